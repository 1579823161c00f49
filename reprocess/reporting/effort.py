"""What the work of a campaign cost: outcomes added up by stage, by kind of exposure and by duration; pure."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.reporting.wording import plain

STAGES = ("read", "references", "calibrate", "write", "publish")
"""Stages of a unit in their order; others follow by name."""

_BINS = 14
_CPU = "cpu"
_MOST_RETRIED = 20


@dataclass(frozen=True, slots=True)
class ModeEffort:
    """Mean wall seconds per exposure by stage, for one instrument and EXP_TYPE."""

    instrument: str
    exp_type: str
    exposures: int
    stages: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """Mean wall seconds per exposure, all stages."""
        return sum(self.stages.values())


@dataclass(frozen=True, slots=True)
class Bin:
    """How many exposures took from `start` to `stop` seconds."""

    start: float
    stop: float
    count: int


@dataclass(frozen=True, slots=True)
class Tier:
    """What ran in one memory tier.

    Attributes
    ----------
    tier : int
        0 is the smallest.
    units, retried : int
        Units whose last attempt was in it, and those of them that took several.
    out_of_memory : int
        Units that ended there for lack of memory.
    peak_bytes : int
        Highest peak of a worker.
    """

    tier: int
    units: int
    retried: int
    out_of_memory: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Retried:
    """One unit that took several attempts."""

    unit: str
    attempts: int
    tier: int
    outcome_class: str


@dataclass(frozen=True, slots=True)
class Effort:
    """What the work cost.

    Attributes
    ----------
    exposures : int
        Exposures that were calibrated to the end, whether or not their pointer moved.
    units, retried, workers : int
        Units with an outcome, those of them that took more than one attempt, and distinct workers.
    core_seconds, cpu_seconds : float
        Wall seconds of all stages of all units, failures included, and the processor time among them.
    stages : mapping of str to float
        `core_seconds` by stage.
    modes : tuple of ModeEffort
    bins : tuple of Bin
        Distribution of wall seconds per exposure.
    median_seconds : float
        Of the same distribution.
    bytes_read, bytes_written, peak_bytes : int
    peak_dataset : str
        What was being worked on at the highest peak.
    wall_seconds : float or None
        From the campaign's start to its end, where known.
    requests : int
        Requests that units made of the store.
    attempts : mapping of int to int
        Units by the number of their attempts.
    tiers : tuple of Tier
    most_retried : tuple of Retried
        Units that took the most attempts, the most first.
    """

    exposures: int
    units: int
    retried: int
    workers: int
    core_seconds: float
    cpu_seconds: float
    stages: Mapping[str, float]
    modes: tuple[ModeEffort, ...]
    bins: tuple[Bin, ...]
    median_seconds: float
    bytes_read: int
    bytes_written: int
    peak_bytes: int
    peak_dataset: str
    wall_seconds: float | None
    requests: int = 0
    attempts: Mapping[int, int] = field(default_factory=dict)
    tiers: tuple[Tier, ...] = ()
    most_retried: tuple[Retried, ...] = ()

    @property
    def exposures_per_core_hour(self) -> float:
        """Throughput of one core; 0 when nothing was done."""
        return 3600 * self.exposures / self.core_seconds if self.core_seconds else 0.0

    @property
    def exposures_per_hour(self) -> float | None:
        """Throughput of the campaign, where its duration is known."""
        return 3600 * self.exposures / self.wall_seconds if self.wall_seconds else None


@dataclass(slots=True)
class Tally:
    """What the outcomes of one dataset add up to.

    Attributes
    ----------
    stages : mapping of str to float
        Wall seconds by stage.
    cpu_seconds : float
    bytes_written : int
    attempts : int
        Most attempts that one of the units took.
    version : str
        The version recorded last, or empty.
    """

    stages: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    cpu_seconds: float = 0.0
    bytes_written: int = 0
    attempts: int = 0
    version: str = ""

    @property
    def seconds(self) -> float:
        """Wall seconds of all stages."""
        return sum(self.stages.values())

    def add(self, outcome: Outcome) -> None:
        """Add one outcome."""
        for stage, seconds in outcome.seconds.items():
            if stage == _CPU:
                self.cpu_seconds += seconds
            else:
                self.stages[stage] += seconds
        self.bytes_written += outcome.bytes_written
        self.attempts = max(self.attempts, outcome.attempt)
        self.version = outcome.version or self.version


def add_up(outcomes: Iterable[Outcome]) -> dict[str, Tally]:
    """Add the outcomes of each dataset up."""
    work: defaultdict[str, Tally] = defaultdict(Tally)
    for outcome in outcomes:
        work[outcome.dataset].add(outcome)
    return dict(work)


def measure(
    outcomes: Sequence[Outcome],
    work: Mapping[str, Tally],
    modes: Mapping[str, tuple[str, str]],
    *,
    wall_seconds: float | None = None,
) -> Effort:
    """Measure what the work cost.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Those of attempt 0 tell of units that were never tried, and count for nothing here.
    work : mapping of dataset to Tally
        The same outcomes, from `add_up`.
    modes : mapping of dataset to (str, str)
        Instrument and EXP_TYPE of every dataset that was calibrated to the end.
    wall_seconds : float, optional
        Duration of the campaign.
    """
    ran = [outcome for outcome in outcomes if outcome.attempt]
    stages: defaultdict[str, float] = defaultdict(float)
    for each in work.values():
        for stage, seconds in each.stages.items():
            stages[stage] += seconds
    durations = sorted(work[dataset].seconds for dataset in modes)
    peak = max(ran, key=lambda outcome: (outcome.peak_bytes, outcome.dataset), default=None)
    return Effort(
        exposures=len(modes),
        units=len({outcome.unit for outcome in ran}),
        retried=len({outcome.unit for outcome in ran if outcome.attempt > 1}),
        workers=len({outcome.worker for outcome in ran if outcome.worker}),
        core_seconds=sum(stages.values()),
        cpu_seconds=sum(each.cpu_seconds for each in work.values()),
        stages=_in_order(stages),
        modes=_mode_efforts(work, modes),
        bins=_bins(durations),
        median_seconds=statistics.median(durations) if durations else 0.0,
        bytes_read=sum(outcome.bytes_read for outcome in ran),
        bytes_written=sum(outcome.bytes_written for outcome in ran),
        peak_bytes=peak.peak_bytes if peak else 0,
        peak_dataset=plain(peak.dataset) if peak else "",
        wall_seconds=wall_seconds,
        requests=sum(outcome.requests for outcome in ran),
        attempts=dict(sorted(Counter(outcome.attempt for outcome in ran).items())),
        tiers=_tiers(ran),
        most_retried=_most_retried(ran),
    )


def _tiers(outcomes: Iterable[Outcome]) -> tuple[Tier, ...]:
    members: defaultdict[int, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        members[outcome.tier].append(outcome)
    return tuple(
        Tier(
            tier=tier,
            units=len(each),
            retried=sum(outcome.attempt > 1 for outcome in each),
            out_of_memory=sum(outcome.outcome_class == errors.OutOfMemory.outcome_class for outcome in each),
            peak_bytes=max(outcome.peak_bytes for outcome in each),
        )
        for tier, each in sorted(members.items())
    )


def _most_retried(outcomes: Iterable[Outcome]) -> tuple[Retried, ...]:
    several = sorted((each for each in outcomes if each.attempt > 1), key=lambda each: (-each.attempt, each.unit))
    return tuple(
        Retried(plain(each.unit), each.attempt, each.tier, plain(each.outcome_class))
        for each in several[:_MOST_RETRIED]
    )


def _in_order(stages: Mapping[str, float]) -> dict[str, float]:
    names = [name for name in STAGES if name in stages] + sorted(set(stages) - set(STAGES))
    return {plain(name): stages[name] for name in names}


def _mode_efforts(work: Mapping[str, Tally], modes: Mapping[str, tuple[str, str]]) -> tuple[ModeEffort, ...]:
    members: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
    for dataset, mode in modes.items():
        members[mode].append(work[dataset])
    efforts = []
    for mode, each in sorted(members.items()):
        names = {stage for one in each for stage in one.stages}
        means = {name: sum(one.stages.get(name, 0.0) for one in each) / len(each) for name in names}
        efforts.append(ModeEffort(*mode, exposures=len(each), stages=_in_order(means)))
    return tuple(efforts)


def _bins(durations: Sequence[float]) -> tuple[Bin, ...]:
    """Count sorted durations in bins from 0 whose width is 1, 2 or 5 times a power of ten."""
    if not durations or durations[-1] <= 0:
        return ()
    width = next(width for width in _widths() if durations[-1] < width * _BINS)
    counts = Counter(int(seconds // width) for seconds in durations)
    return tuple(Bin(n * width, (n + 1) * width, counts[n]) for n in range(max(counts) + 1))


def _widths() -> Iterator[float]:
    exponent = -6
    while True:
        yield from (digit * 10.0**exponent for digit in (1, 2, 5))
        exponent += 1
