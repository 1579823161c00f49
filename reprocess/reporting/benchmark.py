"""What a benchmark campaign measured, summed up and compared with an earlier one; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from reprocess import errors
from reprocess.formats import records

KIND, SCHEMA = "benchmark", 1

NOISE = 0.05
"""Differences smaller than this are never taken for real."""

LESS_IS_BETTER = frozenset(
    {
        "core_seconds",
        "cpu_seconds",
        "coordinator_ms",
        "requests",
        "bytes_read",
        "bytes_written",
        "cost",
        "peak_bytes",
        "own_peak_bytes",
        "scan_seconds",
        "plan_seconds",
        "wall_seconds",
    }
)
DECIDING = "exposures_per_core_hour"
"""The figure that a verdict goes by."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One campaign.

    Attributes
    ----------
    workers, turn : int
        How many workers, and which repetition, from 1.
    exposures, failed : int
        Exposures that were published, and that were not.
    scan_seconds, plan_seconds, wall_seconds : float
        From beginning to end; `wall_seconds` of the run, its cluster having been started before.
    exposures_per_core_hour, exposures_per_hour : float
        Per hour for which workers were busy, and per hour of the run.
    core_seconds, cpu_seconds : float
        Of workers, for an exposure: wall time of all stages, and processor time.
    coordinator_ms : float
        Processor milliseconds of the coordinator's process, scheduler included, for a unit.
    requests, bytes_read, bytes_written : float
        For an exposure, all in: the work of the coordinator and what the campaign needs once are shared out.
    cost : float or None
        Of an exposure, products kept for a month; None without prices.
    peak_bytes, own_peak_bytes : int
        Most memory of a worker, and of the coordinator's process up to then.
    """

    workers: int
    turn: int
    exposures: int
    failed: int
    scan_seconds: float
    plan_seconds: float
    wall_seconds: float
    exposures_per_core_hour: float
    exposures_per_hour: float
    core_seconds: float
    cpu_seconds: float
    coordinator_ms: float
    requests: float
    bytes_read: float
    bytes_written: float
    cost: float | None
    peak_bytes: int
    own_peak_bytes: int


FIGURES = tuple(each.name for each in fields(Measured) if each.name not in ("workers", "turn", "exposures", "failed"))


@dataclass(frozen=True, slots=True)
class Run:
    """A benchmark.

    Attributes
    ----------
    id, started, software : str
        `started` is UTC, ISO 8601.
    data : str
        Digest of the options that the data set was made by.
    options, machine : mapping
        The options of the data set; and the machine, without names of hosts, users or directories.
    store : str
        Kind of the store: ``s3``, ``file`` or ``memory``.
    campaigns : tuple of Measured
    """

    id: str
    started: str
    software: str
    data: str
    options: Mapping[str, Any]
    machine: Mapping[str, Any]
    store: str
    campaigns: tuple[Measured, ...]

    @property
    def failed(self) -> int:
        """Exposures that were not published, in all campaigns."""
        return sum(one.failed for one in self.campaigns)


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several measurements, and between what they lay."""

    median: float
    least: float
    most: float

    @property
    def spread(self) -> float:
        """Half of the range, as a part of the median."""
        return (self.most - self.least) / 2 / abs(self.median) if self.median else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two runs; `ratio` is new over old, and `verdict` ``better``, ``worse`` or ``alike``."""

    workers: int
    figure: str
    old: float
    new: float
    ratio: float
    verdict: str


def figures(campaigns: Iterable[Measured]) -> dict[int, dict[str, Figure]]:
    """Sum up campaigns by number of workers; figures that are not known are left out."""
    groups: dict[int, list[Measured]] = {}
    for one in campaigns:
        groups.setdefault(one.workers, []).append(one)
    return {workers: _figures(every) for workers, every in sorted(groups.items())}


def _figures(every: Sequence[Measured]) -> dict[str, Figure]:
    found = {}
    for name in FIGURES:
        values = [value for one in every if (value := getattr(one, name)) is not None]
        if values:
            found[name] = Figure(statistics.median(values), min(values), max(values))
    return found


def scaling(campaigns: Iterable[Measured]) -> dict[int, tuple[float, float]]:
    """Return, for each number of workers, throughput and CPU per exposure as multiples of those of the fewest."""
    found = figures(campaigns)
    first = found[min(found)] if found else {}
    return {
        workers: (_ratio(each, first, "exposures_per_hour"), _ratio(each, first, "cpu_seconds"))
        for workers, each in found.items()
    }


def _ratio(some: Mapping[str, Figure], others: Mapping[str, Figure], name: str) -> float:
    return some[name].median / others[name].median if others[name].median else 0.0


def compare(old: Run, new: Run) -> tuple[Comparison, ...]:
    """Compare two runs, figure by figure, where both have the same number of workers.

    Raises
    ------
    UsageError
        They worked on different data, or have no number of workers in common.
    """
    if old.data != new.data:
        raise errors.UsageError(
            f"Run {old.id} worked on other data ({_options(old)}) than this one ({_options(new)}): a comparison would "
            "say nothing. Give the same --exposures, --shape and --groups."
        )
    before, after = figures(old.campaigns), figures(new.campaigns)
    common = sorted(set(before) & set(after))
    if not common:
        raise errors.UsageError(
            f"Run {old.id} has campaigns of {_numbers(before)} workers, this one of {_numbers(after)}. Give --workers "
            "so that they have one in common."
        )
    return tuple(
        _compare(workers, name, before[workers][name], after[workers][name])
        for workers in common
        for name in FIGURES
        if name in before[workers] and name in after[workers]
    )


def verdict(comparisons: Iterable[Comparison]) -> str:
    """Say in a word whether a run is better than another: by its exposures per core-hour, on any number of workers."""
    found = {one.verdict for one in comparisons if one.figure == DECIDING}
    return next((word for word in ("worse", "better") if word in found), "alike")


def _compare(workers: int, name: str, old: Figure, new: Figure) -> Comparison:
    ratio = new.median / old.median if old.median else float(new.median == old.median)
    noise = max(NOISE, old.spread, new.spread)
    word = "alike"
    if abs(ratio - 1) > noise:
        word = "better" if (ratio < 1) == (name in LESS_IS_BETTER) else "worse"
    return Comparison(workers, name, old.median, new.median, ratio, word)


def _options(run: Run) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(run.options.items()))


def _numbers(found: Iterable[int]) -> str:
    return " and ".join(map(str, found)) or "no"


def to_record(run: Run) -> dict[str, Any]:
    """Put a run into JSON values, with what its campaigns sum up to."""
    summed = {
        str(workers): {name: asdict(figure) for name, figure in each.items()}
        for workers, each in figures(run.campaigns).items()
    }
    scaled = {
        str(workers): {"throughput": speed, "cpu_per_exposure": cpu}
        for workers, (speed, cpu) in scaling(run.campaigns).items()
    }
    return asdict(run) | {"campaigns": [asdict(one) for one in run.campaigns], "figures": summed, "scaling": scaled}


def to_bytes(run: Run) -> bytes:
    """Write a run as canonical JSON."""
    return records.dumps(KIND, SCHEMA, to_record(run))


def from_bytes(data: bytes, *, name: str) -> Run:
    """Read a run.

    Raises
    ------
    DamagedRecord
        The bytes are no run of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        plain = {each.name: body[each.name] for each in fields(Run) if each.name != "campaigns"}
        return Run(**plain, campaigns=tuple(Measured(**one) for one in body["campaigns"]))
    except (KeyError, TypeError) as error:
        raise errors.DamagedRecord(f"{name} is no whole benchmark: {error!r}. Measure again.") from error
