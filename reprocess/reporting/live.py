"""How a campaign stands at one moment, as text and as JSON values; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from reprocess.planning.forecast import Forecast, Interval
from reprocess.planning.forecast import to_record as forecast_record
from reprocess.publication import control as controls
from reprocess.publication.control import Control
from reprocess.reporting import classes
from reprocess.reporting.cost import money_text
from reprocess.reporting.ending import RUNNING, Ending, to_record
from reprocess.reporting.plaintext import table
from reprocess.reporting.running import Failed
from reprocess.reporting.wording import duration_text, plain, rate_text, size_text

_NAMED = 5
_ASKED = {controls.PAUSE: "to pause", controls.CANCEL: "to cancel", controls.DEFER: "to stop at a limit"}


@dataclass(frozen=True, slots=True)
class Holder:
    """The coordinator that has, or had last, the lease of a campaign.

    Attributes
    ----------
    place : str
        Host and process.
    epoch, beat : int
        Which holder it is, and how often it has renewed the lease.
    silence_s : float
        How long it may be silent.
    released : bool
        Whether it has ended in order.
    renewed : str
        When the lease was written last, by the store's clock.
    """

    place: str
    epoch: int
    beat: int
    silence_s: float
    released: bool
    renewed: str


@dataclass(frozen=True, slots=True)
class Live:
    """How a campaign stands.

    Attributes
    ----------
    archive, digest : str
    candidates, not_selected, to_do : int
    classes : mapping of str to int
        Candidates by terminal class so far, without empty ones.
    failed : tuple of Failed
    rate : float or None
        Candidates that end in a second, of late, by the clocks of the workers.
    newest : str
        When the unit that ended last did.
    core_seconds, bytes_written, money
        What was spent so far; `money` is None without prices.
    forecast : Forecast or None
        The plan's.
    state : Ending
    holder : Holder or None
        None if nobody has begun.
    control : Control
    moved : bool or None
        Whether the lease was renewed between two looks; None at the first.
    now : datetime
        The moment, by the clock of whoever looks.
    remainder : tuple of str
        Candidates without a class although the campaign has ended, which is an error; the first of them.
    """

    archive: str
    digest: str
    candidates: int
    not_selected: int
    classes: Mapping[str, int]
    failed: tuple[Failed, ...]
    to_do: int
    rate: float | None
    newest: str
    core_seconds: float
    bytes_written: int
    money: float | None
    forecast: Forecast | None
    state: Ending
    holder: Holder | None
    control: Control
    moved: bool | None
    now: datetime
    remainder: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Candidates that ended, in whatever class."""
        return self.candidates - self.to_do

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate of late; None if that cannot be told, or nobody is at work."""
        return self.to_do / self.rate if self.rate and self.to_do and self.is_held else None

    @property
    def is_held(self) -> bool:
        """Whether a coordinator has the lease, alive or not."""
        return self.holder is not None and not self.holder.released

    @property
    def is_over(self) -> bool:
        """Whether no coordinator will do more until somebody runs the plan again."""
        return self.state.state != RUNNING and not self.is_held

    @property
    def silent_s(self) -> float | None:
        """How long ago the lease was renewed: the store's clock against that of whoever looks."""
        return _age(self.holder.renewed, self.now) if self.holder else None


def _age(stamp: str, now: datetime) -> float | None:
    try:
        found = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return max(0.0, (now - found).total_seconds())


def record(live: Live) -> dict[str, Any]:
    """Put it into JSON values."""
    return {
        "campaign": live.digest[:16],
        "digest": live.digest,
        "candidates": live.candidates,
        "not_selected": live.not_selected,
        "classes": dict(live.classes),
        "to_do": 0 if live.remainder else live.to_do,
        "remainder": list(live.remainder),
        "closes": not live.to_do,
        "ended": live.is_over and live.state.is_over,
        "failed": sum(each.count for each in live.failed if classes.is_failure(each.outcome_class)),
        "failures": [asdict(each) for each in live.failed],
        "rate_per_s": live.rate,
        "seconds_left": live.seconds_left,
        "last_outcome": live.newest,
        "spent": {"core_seconds": live.core_seconds, "bytes_written": live.bytes_written, "money": live.money},
        "forecast": forecast_record(live.forecast) if live.forecast else None,
        "state": to_record(live.state),
        "over": live.is_over,
        "lease": asdict(live.holder) | {"age_s": live.silent_s} if live.holder else None,
        "control": {name: value for name, value in asdict(live.control).items() if name != "writer"},
    }


def text(live: Live) -> str:
    """Write it for people."""
    parts = (_head, _control, _counts, _pace, _spent, _failed, _next)
    return "\n".join(line for part in parts for line in part(live))


def _head(live: Live) -> Iterator[str]:
    state = live.state.sentence if live.is_over else _at_work(live)
    yield f"Campaign {live.digest[:16]}: {state}"


def _at_work(live: Live) -> str:
    if live.holder is None:
        return "nobody has begun it." if live.done < live.candidates and not live.newest else live.state.sentence
    if live.holder.released:
        return "the last run was cut off, or has not written its report. Run the plan again: it goes on."
    who = f"{plain(live.holder.place)} (coordinator {live.holder.epoch})"
    since = "at a time that the store does not tell" if live.silent_s is None else f"{duration_text(live.silent_s)} ago"
    if live.moved is not True and (live.silent_s is None or live.silent_s > live.holder.silence_s):
        limit = duration_text(live.holder.silence_s)
        return f"held by {who}, which was alive {since}; it may be silent for {limit}. Run the plan again to take over."
    return f"at work: {who}, alive {since if live.moved is not True else 'just now'}."


def _control(live: Live) -> Iterator[str]:
    control = live.control
    if control.state != controls.RUN and not live.is_over:
        by = f" by {plain(control.by)}" if control.by else ""
        why = f": {plain(control.why)}" if control.why else ""
        yield f"  asked {_ASKED.get(control.state, f'for {plain(control.state)}')}{by}{why}"
    if control.priority:
        yield f"  priority {control.priority}"


def _counts(live: Live) -> Iterator[str]:
    share = f" ({100 * live.done / live.candidates:.1f} %)" if live.candidates else ""
    yield f"  {live.done:,} of {live.candidates:,} candidates have ended{share}"
    if live.not_selected:
        yield f"  {live.not_selected:,} exposures were not selected"
    rest = classes.REMAINDER if live.remainder else classes.TO_DO
    rows = [[name, f"{count:,}"] for name, count in live.classes.items()]
    yield from (f"  {line}" for line in table([*rows, [rest, f"{live.to_do:,}"]], right=(1,)))
    if live.remainder:
        yield f"  THE SUM DOES NOT CLOSE. Without a class: {', '.join(live.remainder[:_NAMED])}"


def _pace(live: Live) -> Iterator[str]:
    if live.rate is None or live.is_over:
        return
    left = f", {duration_text(live.seconds_left)} left" if live.seconds_left is not None else ""
    yield f"  rate {rate_text(live.rate)}{left}; the last ended at {plain(live.newest)[:19]} UTC"


def _spent(live: Live) -> Iterator[str]:
    if not live.core_seconds:
        return
    told, rows = live.forecast, list[tuple[str, float, Interval | None, Callable[[float], str]]]()
    rows.append(("core time", live.core_seconds, told.core_hours * 3600 if told else None, duration_text))
    rows.append(("written", live.bytes_written, told.bytes_written if told else None, size_text))
    if live.money is not None:
        rows.append(("money", live.money, told.money if told else None, money_text))
    for name, actual, forecast, words in rows:
        of = f" of {words(forecast.expected)} ({words(forecast.low)} to {words(forecast.high)})" if forecast else ""
        yield f"  {name:<9} {words(actual)}{of}"


def _failed(live: Live) -> Iterator[str]:
    for each in live.failed:
        yield f"  {each.outcome_class}: {each.count:,}. {classes.advice(each.outcome_class)}"
        yield from (f"    {dataset}: {message}" for dataset, message in each.examples)
        if each.count > len(each.examples):
            yield f"    ... and {each.count - len(each.examples):,} more"


def _next(live: Live) -> Iterator[str]:
    if live.is_over:
        yield f"All of it: reprocess report {live.archive} {live.digest[:16]}"
