"""When a campaign worked: throughput and workers over time, from the outcomes alone; pure.

Times are those of the workers' clocks. Long times in which nothing was at work (a campaign that was paused, or resumed
days later) are cut out, so that the work is seen however long it lay.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reprocess.exposure import Outcome
from reprocess.reporting.wording import plain

SLOTS = 96
"""Into how many equal parts the time of work is cut, at most."""
LANES = 40
"""How many workers are shown one by one."""

_NOT_AT_WORK = ("cpu", "publish")  # processor time is no wall time, and pointers are moved by the coordinator
_LEAST_BREAK_S = 60.0
_BREAK_SHARE = 0.25

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Slot:
    """One part of the time of work.

    Attributes
    ----------
    ended : mapping of str to int
        Units that ended in it, by class.
    busy : float
        Workers at work, on average.
    present : int
        Workers that were at work before its end and after its start, though not all the time.
    """

    ended: Mapping[str, int]
    busy: float
    present: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker: how many units it ended, and the share of each slot in which it was at work."""

    worker: str
    units: int
    shares: tuple[float, ...]

    @property
    def share(self) -> float:
        """Share of the time from its first unit to its last in which it was at work."""
        used = [n for n, share in enumerate(self.shares) if share > 0]
        return sum(self.shares) / (used[-1] - used[0] + 1) if used else 0.0


@dataclass(frozen=True, slots=True)
class Break:
    """A time that was cut out: where, as a share of the time of work, and how long it was."""

    position: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """When a campaign worked.

    Attributes
    ----------
    begin, end : str
        Beginning of the first unit and end of the last: UTC, ISO 8601 with seconds and no zone.
    seconds : float
        Time of work, without the breaks.
    slot_seconds : float
    slots : tuple of Slot
    breaks : tuple of Break
    lanes : tuple of Lane
        In the order of their first units, at most `LANES`.
    workers : int
        All of them.
    untimed : int
        Units whose outcome does not say when they ended.
    """

    begin: str
    end: str
    seconds: float
    slot_seconds: float
    slots: tuple[Slot, ...]
    breaks: tuple[Break, ...]
    lanes: tuple[Lane, ...]
    workers: int
    untimed: int

    @property
    def most_ended(self) -> int:
        """Units that ended in the fullest slot."""
        return max((sum(slot.ended.values()) for slot in self.slots), default=0)

    @property
    def most_present(self) -> int:
        """Workers in the slot that had most of them."""
        return max((slot.present for slot in self.slots), default=0)


def moment(text: str) -> float | None:
    """Read a UTC time as seconds since 1970; None if it is none."""
    try:
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def work_seconds(outcome: Outcome) -> float:
    """Return how long a worker was busy with a unit."""
    return math.fsum(seconds for stage, seconds in outcome.seconds.items() if stage not in _NOT_AT_WORK)


def timeline(outcomes: Iterable[Outcome]) -> Timeline | None:
    """Find out when a campaign worked; None if no outcome says when it ended."""
    every = tuple(outcome for outcome in outcomes if outcome.attempt)  # 0: never tried
    timed = [(outcome, end) for outcome in every if (end := moment(outcome.ended)) is not None]
    if not timed:
        return None
    spans = [(end - work_seconds(outcome), end) for outcome, end in timed]
    axis = _Axis(_stretches(spans))
    slots, lanes = _fill(axis, [outcome for outcome, _ in timed], spans)
    return Timeline(
        begin=_text(min(start for start, _ in spans)),
        end=_text(max(end for _, end in spans)),
        seconds=axis.length,
        slot_seconds=axis.slot,
        slots=slots,
        breaks=tuple(axis.breaks()),
        lanes=lanes[:LANES],
        workers=len(lanes),
        untimed=len(every) - len(timed),
    )


def _text(seconds: float) -> str:
    return (datetime(1970, 1, 1) + timedelta(seconds=round(seconds))).isoformat()


def _stretches(spans: Sequence[Interval]) -> list[Interval]:
    """Join intervals to stretches of work; only long breaks are left between them."""
    joined: list[Interval] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    least = max(_LEAST_BREAK_S, _BREAK_SHARE * math.fsum(end - start for start, end in joined))
    stretches = joined[:1]
    for start, end in joined[1:]:
        if start - stretches[-1][1] > least:
            stretches.append((start, end))
        else:
            stretches[-1] = (stretches[-1][0], end)
    return stretches


class _Axis:
    """Clock times to seconds of work, and those to slots."""

    def __init__(self, stretches: Sequence[Interval]) -> None:
        self._stretches = stretches
        self._before = [0.0]
        for start, end in stretches:
            self._before.append(self._before[-1] + end - start)
        self.length = self._before[-1]
        self.count = SLOTS if self.length > 0 else 1
        self.slot = self.length / self.count or 1.0

    def place(self, time: float, stretch: int) -> float:
        """Return the place of a time, in slots."""
        return (self._before[stretch] + time - self._stretches[stretch][0]) / self.slot

    def slots_of(self, span: Interval, stretch: int) -> Iterator[tuple[int, float]]:
        """Yield each slot that an interval touches, and the share of the slot that it takes."""
        start, end = (self.place(time, stretch) for time in span)
        for number in range(min(int(start), self.count - 1), self.last(end) + 1):
            yield number, max(0.0, min(end, number + 1) - max(start, number))

    def last(self, place: float) -> int:
        """Return the slot in which something ended: of two that adjoin, the earlier."""
        return max(0, min(math.ceil(place) - 1, self.count - 1))

    def breaks(self) -> Iterator[Break]:
        for number in range(1, len(self._stretches)):
            seconds = self._stretches[number][0] - self._stretches[number - 1][1]
            yield Break(self._before[number] / self.length if self.length else 0.0, seconds)

    def stretch_of(self, time: float) -> int:
        """Return the number of the stretch that a time is in."""
        low, high = 0, len(self._stretches)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._stretches[middle][0] <= time else (low, middle)
        return low


def _fill(
    axis: _Axis, outcomes: Sequence[Outcome], spans: Sequence[Interval]
) -> tuple[tuple[Slot, ...], tuple[Lane, ...]]:
    ended: list[defaultdict[str, int]] = [defaultdict(int) for _ in range(axis.count)]
    shares: dict[str, list[float]] = {}
    units: defaultdict[str, int] = defaultdict(int)
    for outcome, span in sorted(zip(outcomes, spans, strict=True), key=lambda pair: (pair[1], pair[0].worker)):
        stretch = axis.stretch_of(span[0])
        ended[axis.last(axis.place(span[1], stretch))][outcome.outcome_class] += 1
        if outcome.worker:
            units[outcome.worker] += 1
            row = shares.setdefault(outcome.worker, [0.0] * axis.count)
            for number, share in axis.slots_of(span, stretch):
                row[number] += share
    rows = [tuple(min(1.0, share) for share in row) for row in shares.values()]
    present = _present(rows, axis.count)
    slots = tuple(
        Slot({plain(name): count for name, count in sorted(ended[n].items())}, sum(row[n] for row in rows), present[n])
        for n in range(axis.count)
    )
    return slots, tuple(Lane(plain(name), units[name], row) for name, row in zip(shares, rows, strict=True))


def _present(rows: Iterable[tuple[float, ...]], count: int) -> list[int]:
    found = [0] * count
    for row in rows:
        used = [n for n, share in enumerate(row) if share > 0]
        if used:
            for n in range(used[0], used[-1] + 1):
                found[n] += 1
    return found
