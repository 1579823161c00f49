"""An archive at a glance: how far its campaigns are, and how much is stale. Pure: no clock and no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from reprocess.archive import debt
from reprocess.archive.debt import Cause, Debt
from reprocess.exposure import Outcome
from reprocess.planning.outline import Outline
from reprocess.publication import ledger
from reprocess.reporting.classes import WORKED, is_failure
from reprocess.reporting.metrics import moment
from reprocess.reporting.plaintext import table
from reprocess.reporting.wording import plain, size_text

_DAY_S = 86_400
_CAUSES = 12
_COLUMNS = ("stale", "missing", "unknown", "current")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one plan is.

    Attributes
    ----------
    digest : str
    created, context, software : str
    candidates : int
        Exposures that were judged.
    to_do, done, failed : int
        Candidates without an outcome; with a version that was written; and with a failure.
    state : str
        ``planned`` (nothing was done yet), ``begun`` (a run is at work or was cut off), ``ended``, ``nothing to do``,
        ``remainder`` (ended, and the sum does not close) or ``unreadable``.
    problem : str
        Why it is unreadable; else empty.
    where : str
        Expression that chose the candidates; empty when all exposures are.
    """

    digest: str
    created: str = ""
    context: str = ""
    software: str = ""
    candidates: int = 0
    to_do: int = 0
    done: int = 0
    failed: int = 0
    state: str = "unreadable"
    problem: str = ""
    where: str = ""


def standing(plan: Outline, outcomes: Iterable[Outcome], *, ended: bool) -> Standing:
    """Sum up how far a plan is.

    Parameters
    ----------
    plan : Outline
    outcomes : iterable of Outcome
        In the order they were recorded.
    ended : bool
        Whether a run has come to its end.
    """
    terminal = ledger.terminal_classes()
    every = tuple(outcomes)
    last = {outcome.dataset: outcome.outcome_class for outcome in every if outcome.outcome_class in terminal}
    classes = Counter(last.values()) + Counter(plan.failing)
    to_do = plan.work - len(last)
    return Standing(
        digest=plan.digest,
        created=plan.created,
        context=plain(plan.context),
        software=plain(plan.software),
        candidates=plan.candidates,
        to_do=to_do,
        done=sum(classes[name] for name in WORKED),
        failed=sum(count for name, count in classes.items() if is_failure(name)),
        state=_state(to_do, ended=ended, begun=bool(every)),
        where=plain(plan.where),
    )


def _state(to_do: int, *, ended: bool, begun: bool) -> str:
    if ended:
        return "remainder" if to_do else "ended"
    if not to_do:
        return "nothing to do"
    return "begun" if begun else "planned"


def unreadable(digest: str, problem: str) -> Standing:
    """Describe a plan that cannot be read."""
    return Standing(digest, problem=plain(problem))


def record(standings: Sequence[Standing], history: Sequence[Debt]) -> dict[str, Any]:
    """Put an overview into JSON values; the newest first in both lists."""
    return {"plans": [asdict(each) for each in standings], "staleness": [_debt_record(each) for each in history]}


def _debt_record(found: Debt) -> dict[str, Any]:
    states = {state: asdict(found.of_state(state)) for state in debt.STATES}
    return debt.record(found) | {"states": states, "stale_since": found.stale_since or None}


def text(standings: Sequence[Standing], history: Sequence[Debt], now: datetime) -> str:
    """Write an overview for people.

    Parameters
    ----------
    standings : sequence of Standing
        The newest first.
    history : sequence of Debt
        The newest first.
    now : datetime
        With a time zone.
    """
    return "\n".join([*_plans(standings), "", *_staleness(history, standings, now)])


def _plans(standings: Sequence[Standing]) -> Iterator[str]:
    if not standings:
        yield "Nothing was planned yet. Next: reprocess plan"
        return
    yield "Plans, the newest first"
    head = ("plan", "created, UTC", "context", "candidates", "to do", "done", "failed", "state")
    yield from table([_row(each) for each in standings], head=head, right=(3, 4, 5, 6))


def _row(each: Standing) -> list[str]:
    if each.problem:
        return [each.digest[:16], "", "", "", "", "", "", f"{each.state}: {each.problem}"]
    numbers = [f"{number:,}" for number in (each.candidates, each.to_do, each.done, each.failed)]
    some = f", where {each.where}" if each.where else ""
    return [each.digest[:16], _time(each.created), each.context, *numbers, f"{each.state}{some}"]


def _staleness(history: Sequence[Debt], standings: Sequence[Standing], now: datetime) -> Iterator[str]:
    if not history:
        yield "Staleness: the whole catalogue was not judged yet"
        return
    newest = history[0]
    stale = newest.of_state("stale")
    asked = f"{plain(newest.context)} and reprocess {plain(newest.software)}"
    yield f"Staleness against {asked}, judged {_time(newest.created)} UTC"
    yield f"  {stale.count:,} of {newest.total.count:,} exposures are stale, {size_text(stale.bytes)} of Level 1b"
    if newest.stale_since:
        yield f"  seen as stale for at most {_age(newest.stale_since, now)}"
    if newest.oldest_product:
        yield f"  the oldest stale product of ours was made {_age(newest.oldest_product, now)} ago"
    done = sum(each.done for each in standings if each.digest == newest.plan)
    if done:
        yield f"  since then its plan has done {done:,}; scan and plan to judge again"
    yield from _causes(newest, now)
    yield "Trend"
    head = ("judged, UTC", "context", *_COLUMNS, "stale bytes")
    yield from table([_trend(each) for each in history], head=head, right=(2, 3, 4, 5, 6))


def _causes(newest: Debt, now: datetime) -> Iterator[str]:
    if not newest.causes:
        return
    yield "Causes; an exposure may have several"
    rows = [_cause(cause, now) for cause in newest.causes[:_CAUSES]]
    yield from table(rows, head=("state", "cause", "exposures", "Level 1b", "age"), right=(2, 3))
    if len(newest.causes) > _CAUSES:
        yield f"  ... and {len(newest.causes) - _CAUSES:,} more; --json lists all"


def _cause(cause: Cause, now: datetime) -> list[str]:
    amount, name = cause.amount, f"{cause.kind} {cause.type}".strip()
    return [
        cause.state,
        plain(name),
        f"{amount.count:,}",
        size_text(amount.bytes),
        f"at most {_age(cause.oldest, now)}",
    ]


def _trend(each: Debt) -> list[str]:
    # What is stale in name only needs no work: it is as good as current.
    counts = {state: each.of_state(state).count for state in debt.STATES}
    counts["current"] += counts["stale-in-name-only"]
    numbers = [f"{counts[state]:,}" for state in _COLUMNS]
    return [_time(each.created), plain(each.context), *numbers, size_text(each.of_state("stale").bytes)]


def _time(created: str) -> str:
    return created[:19].replace("T", " ")


def _age(created: str, now: datetime) -> str:
    seconds = max(0.0, (now - moment(created)).total_seconds())
    if seconds >= _DAY_S:
        return f"{seconds / _DAY_S:,.1f} days"
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
