"""The sweep: scan, plan and run in one, for every night; one at a time, with limits, the most urgent first.

Level 2 products of a new exposure are due within five days of its arrival for 95 % of them. The clock of an exposure
runs from when the store took its Level 1b object to when its first products were done.
"""

from __future__ import annotations

import datetime
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace

from reprocess import campaign, coordinator, errors
from reprocess.archive import debt
from reprocess.archive.scan import Scan
from reprocess.campaign import Archive, Progress
from reprocess.coordinator import Wish
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.planning.plan import Item, Plan
from reprocess.publication import lease as leases
from reprocess.publication import ledger, publish
from reprocess.reporting.campaign_metrics import Live
from reprocess.reporting.report import Summary
from reprocess.target import Target

KIND, SCHEMA = "sweep", 1
PREFIX = "sweeps/"
DUE_S = 5 * 86400.0
"""When the first products of a new exposure are due."""

Metrics = Callable[[Plan], AbstractContextManager[Live | None]]

_LEASE = "sweep"
_AT_ONCE = 16
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clock:
    """How long new exposures took to their first products.

    Attributes
    ----------
    done : int
        New exposures whose first products came with this sweep.
    hours : mapping of str to float
        Percentiles ``50``, ``90``, ``95`` and ``100`` of their times; empty if there are none.
    in_time : float or None
        Share of them that came within five days.
    waiting : int
        New exposures that are still without products; those of a kind that is not calibrated are not counted.
    overdue : int
        Of those, how many have waited for more than five days.
    """

    done: int
    hours: Mapping[str, float]
    in_time: float | None
    waiting: int
    overdue: int


@dataclass(frozen=True)
class Sweep:
    """What one sweep did."""

    scan: Scan
    plan: Plan
    summary: Summary
    clock: Clock


def sweep(
    archive: Archive,
    target: Target,
    *,
    wish: Wish,
    progress: Progress | None = None,
    observe: Callable[[Outcome], None] | None = None,
    metrics: Metrics = lambda _: nullcontext(),
) -> Sweep:
    """Scan an archive, plan what is stale, and run the plan; the nearest deadline and the oldest debt first.

    Parameters
    ----------
    archive : Archive
    target : Target
    wish : Wish
        Limits of this night; a sweep never waits for approval.
    progress, observe : callable, optional
        See `coordinator.run`.
    metrics : callable
        Serves what the campaign of a plan comes to, while a block runs.

    Raises
    ------
    LeaseHeld
        Another sweep of this archive is at work.
    """
    held = leases.acquire(archive.store, _LEASE, silence_s=archive.settings.execution.lease_s, waiting=_LOG.warning)
    with held.kept():
        scanned = campaign.scan(archive)
        made = campaign.plan(archive, target)
        held.check()
        arrivals = _arrivals(archive, made)
        first = order(made.items, arrivals, next(iter(debt.history(archive.store, 1)), None))
        wish = replace(wish, approve=False, first=first)
        with metrics(made) as live:
            summary = coordinator.run(archive, made.digest, progress=progress, observe=observe, metrics=live, wish=wish)
        outcomes = ledger.read(archive.store, made.digest[:16])
        told = clock(arrivals, outcomes.values(), now=_now())
        _keep(archive, made, summary, told)
    return Sweep(scanned, made, summary, told)


def order(items: Sequence[Item], arrivals: Mapping[str, str], known: debt.Debt | None) -> tuple[str, ...]:
    """Put what is to be done in the order of its urgency: new exposures as they arrived, then the oldest debt."""
    since = {cause.key: cause.since for cause in known.causes} if known else {}

    def rank(item: Item) -> tuple[int, str, str]:
        if item.dataset in arrivals:
            return 0, arrivals[item.dataset], item.dataset
        state = item.verdict.state
        ages = [
            ages.get(reason.old or "", ages.get("", _NEVER))
            for reason in item.verdict.reasons
            if (ages := since.get((state, reason.kind, reason.reference_type or "")))
        ]
        return 1, min(ages, default=_NEVER), item.dataset

    return tuple(item.dataset for item in sorted((one for one in items if one.action == "calibrate"), key=rank))


_NEVER = "9999"  # after every date


def _arrivals(archive: Archive, made: Plan) -> dict[str, str]:
    """Ask the stores when the exposures without products arrived."""
    new = [
        item
        for item in made.items
        if item.verdict.state == "missing"
        and item.failure_class != "unsupported"
        and item.entry.location in archive.raw
    ]

    def arrival(item: Item) -> tuple[str, str]:
        try:
            return item.dataset, archive.raw[item.entry.location].head(item.entry.key).modified
        except errors.StorageError:
            return item.dataset, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return {dataset: modified for dataset, modified in pool.map(arrival, new) if modified}


def clock(arrivals: Mapping[str, str], outcomes: Iterable[Outcome], *, now: str) -> Clock:
    """Measure how long new exposures took.

    Parameters
    ----------
    arrivals : mapping of dataset to str
        When their raw objects arrived, by the store's clock.
    outcomes : iterable of Outcome
        Of the sweep; the end of a unit is that of the worker's clock.
    now : str
        The present, for those that wait.
    """
    outcomes = list(outcomes)
    shown = {one.dataset: one.ended for one in outcomes if one.outcome_class == "published" and one.ended}
    never = {one.dataset for one in outcomes if one.outcome_class == "unsupported"}
    taken = sorted(_seconds(at, shown[dataset]) for dataset, at in arrivals.items() if dataset in shown)
    waited = [_seconds(at, now) for dataset, at in arrivals.items() if dataset not in shown and dataset not in never]
    return Clock(
        done=len(taken),
        hours={str(share): round(_percentile(taken, share) / 3600, 3) for share in (50, 90, 95, 100)} if taken else {},
        in_time=sum(each <= DUE_S for each in taken) / len(taken) if taken else None,
        waiting=len(waited),
        overdue=sum(each > DUE_S for each in waited),
    )


def _percentile(ordered: Sequence[float], share: int) -> float:
    """Return the smallest value that so many in a hundred do not exceed."""
    return ordered[max(math.ceil(len(ordered) * share / 100), 1) - 1]


def _seconds(begin: str, end: str) -> float:
    """Seconds between two moments; 0 where the clock of the later one is behind that of the other."""
    return max((_moment(end) - _moment(begin)).total_seconds(), 0.0)


def _moment(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _keep(archive: Archive, made: Plan, summary: Summary, told: Clock) -> None:
    """Leave a record of the night."""
    body = {"plan": made.digest, "created": made.created, "classes": dict(summary.classes), "clock": asdict(told)}
    name = made.created.replace(":", "")
    publish.put_once(archive.store, f"{PREFIX}{name}-{made.digest[:16]}.json", records.dumps(KIND, SCHEMA, body))
