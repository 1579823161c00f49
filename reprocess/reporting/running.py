"""A campaign while it is at work: counts, rate, time left and cost, kept up outcome by outcome; pure.

What is kept of an outcome is small, so that a campaign of a million units can be watched.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from reprocess.exposure import Outcome
from reprocess.publication import ledger, spending
from reprocess.reporting.classes import is_failure, rank
from reprocess.reporting.cost import money_text
from reprocess.reporting.timeline import moment
from reprocess.reporting.wording import duration_text, plain, rate_text
from reprocess.settings import PriceSettings

WINDOW_S = 600.0
"""The rate is that of so long a time before the newest end."""
_KEPT = 4096
_EXAMPLES = 3
_WRITTEN = "written"  # of a version that no reader sees yet


class Pace:
    """How fast something is done: from the times at which each was."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque(maxlen=_KEPT)

    def add(self, time: float) -> None:
        """Note that one more was done, at a time in seconds."""
        self._times.append(time)

    def rate(self, now: float | None = None) -> float | None:
        """Return how many are done in a second, of late; None as long as that cannot be told.

        With `now` the time since the last one counts too, so that the rate falls when nothing more is done.
        """
        if not self._times:
            return None
        newest = max(self._times)
        late = [time for time in self._times if time >= newest - self._window_s]
        oldest, end = min(late), max(newest, now if now is not None else newest)
        return (len(late) - 1) / (end - oldest) if len(late) > 1 and end > oldest else None


@dataclass(frozen=True, slots=True)
class Failed:
    """The candidates that failed in one way: how many, and the first of them with their messages."""

    outcome_class: str
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Books:
    """What has been done so far.

    Attributes
    ----------
    classes : Counter
        Candidates by terminal class.
    core_seconds, bytes_written, requests
        What all units took, each attempt like the last.
    pace : Pace
        By the clocks of the workers.
    newest : str
        When the unit that ended last did.
    """

    classes: Counter[str] = field(default_factory=Counter)
    core_seconds: float = 0.0
    bytes_written: int = 0
    requests: int = 0
    pace: Pace = field(default_factory=Pace)
    newest: str = ""
    _ends: dict[str, str] = field(default_factory=dict)
    _costs: dict[str, tuple[float, int, int]] = field(default_factory=dict)
    _messages: dict[str, dict[str, str]] = field(default_factory=dict)
    _terminal: frozenset[str] = field(default_factory=ledger.terminal_classes)

    def begin(self, classes: Mapping[str, int], failures: Iterable[tuple[str, str, str]] = ()) -> None:
        """Take what a plan knows before any work: candidates by class, and failures as dataset, class and message."""
        self.classes.update(classes)
        for dataset, name, message in failures:
            self.classes[name] += 1
            self._messages.setdefault(name, {})[dataset] = message

    def add(self, outcome: Outcome) -> None:
        """Take the latest outcome of a unit; one that came before for the same unit counts no longer."""
        times = max(outcome.attempt, 1)  # as in a settlement: of earlier attempts nothing else is known
        seconds, requests = times * spending.core_seconds(outcome), times * outcome.requests
        before = self._costs.pop(outcome.unit, (0.0, 0, 0))
        self._costs[outcome.unit] = (seconds, outcome.bytes_written, requests)
        self.core_seconds += seconds - before[0]
        self.bytes_written += outcome.bytes_written - before[1]
        self.requests += requests - before[2]
        self.newest = max(self.newest, outcome.ended)
        if outcome.outcome_class in self._terminal:
            self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        name, dataset = outcome.outcome_class, outcome.dataset
        before = self._ends.get(dataset)
        if before is not None:
            self.classes[before] -= 1
            self._messages.get(before, {}).pop(dataset, None)
        self._ends[dataset] = name
        self.classes[name] += 1
        if is_failure(name) or name == "held-back":
            self._messages.setdefault(name, {})[dataset] = outcome.message
        if (time := moment(outcome.ended)) is not None:
            self.pace.add(time)

    @property
    def ended(self) -> int:
        """Datasets that outcomes have decided on."""
        return len(self._ends)

    def has(self, dataset: str) -> bool:
        """Whether an outcome has decided on a dataset."""
        return dataset in self._ends

    def in_order(self) -> dict[str, int]:
        """Candidates by class, in the order of the closing sum, without those that are empty."""
        return {plain(name): self.classes[name] for name in sorted(self.classes, key=rank) if self.classes[name]}

    def failed(self) -> tuple[Failed, ...]:
        """Failures, and what is held back, by class."""
        return tuple(
            Failed(plain(name), self.classes[name], _examples(self._messages[name]))
            for name in sorted(self._messages, key=rank)
            if self.classes[name]
        )


def _examples(messages: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    shown = list(messages.items())[:_EXAMPLES]
    return tuple((plain(dataset), plain(message.removeprefix(f"{dataset}: "))) for dataset, message in shown)


@dataclass(slots=True)
class RunTally:
    """What one run has done, as its own coordinator sees it; small however many units there are.

    Attributes
    ----------
    prices : PriceSettings
    expected_money : float or None
        What the whole campaign should cost.
    done, total : int
        Exposures that ended in this run, and those that it has to do.
    classes : Counter
        Those that ended, by class.
    spent : Spent
        By this run.
    pace : Pace
        By the clock of this process.
    """

    prices: PriceSettings = field(default_factory=PriceSettings)
    expected_money: float | None = None
    done: int = 0
    total: int | None = None
    classes: Counter[str] = field(default_factory=Counter)
    spent: spending.Spent = field(default_factory=spending.Spent)
    pace: Pace = field(default_factory=Pace)
    _waiting: set[str] = field(default_factory=set)
    _terminal: frozenset[str] = field(default_factory=ledger.terminal_classes)

    def count(self, done: int, total: int | None, now: float) -> None:
        """Take how many are done at a time in seconds; fewer than before: something else is counted now."""
        if done < self.done:
            self.pace = Pace()
            self.pace.add(now)
        for _ in range(self.done, done):
            self.pace.add(now)
        self.done, self.total = done, total

    def add(self, outcome: Outcome) -> None:
        """Take an outcome as it is noted; what waited for its release is noted twice and costs once."""
        if outcome.unit in self._waiting:
            self._waiting.discard(outcome.unit)
        else:
            self.spent = self.spent + spending.spent([outcome], self.prices)
        if outcome.outcome_class == _WRITTEN:
            self._waiting.add(outcome.unit)
        if outcome.outcome_class in self._terminal and outcome.unit in (outcome.dataset, f"{outcome.dataset}/assembly"):
            self.classes[outcome.outcome_class] += 1

    def line(self, now: float) -> str:
        """Say it on one line."""
        return "  ".join(part for part in (self._counts(), *self._pace(now), *self._classes(), self._money()) if part)

    def _counts(self) -> str:
        if not self.total:
            return f"{self.done:,} done"
        return f"{self.done:,}/{self.total:,} ({100 * self.done / self.total:.0f} %)"

    def _pace(self, now: float) -> Iterator[str]:
        rate = self.pace.rate(now)
        if rate:
            yield rate_text(rate)
            if self.total and self.total > self.done:
                yield f"{duration_text((self.total - self.done) / rate)} left"

    def _classes(self) -> Iterator[str]:
        failed = {plain(name): count for name, count in sorted(self.classes.items()) if is_failure(name)}
        if failed:
            several = ", ".join(f"{name} {count:,}" for name, count in failed.items())
            yield f"{sum(failed.values()):,} failed ({several})"
        if held := self.classes["held-back"]:
            yield f"{held:,} held back"

    def _money(self) -> str:
        if self.spent.money is None:
            return f"{duration_text(self.spent.core_hours * 3600)} of core time" if self.spent.core_hours else ""
        of = "" if self.expected_money is None else f" of {money_text(self.expected_money)}"
        return f"cost {money_text(self.spent.money)}{of}"
