"""Charts as numbers: parts of bars, columns over time and strips, in percent of their width and height; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprocess.reporting.classes import rank
from reprocess.reporting.effort import STAGES, Bin, Effort
from reprocess.reporting.timeline import Lane, Timeline
from reprocess.reporting.wording import duration_text

FAILED = "failed"
_SHADES = 4
_COLORED = frozenset({"current", "published", "unchanged", "held-back", "unsupported", "deferred", "cancelled"})
_PARTS = frozenset({"staged", "written", "again"})


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: position and length in percent of the whole, its colour's class and its words."""

    start: float
    length: float
    color: str
    label: str


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a column: place and size in percent of the chart, its colour's class and its words."""

    x: float
    y: float
    width: float
    height: float
    color: str
    label: str


@dataclass(frozen=True, slots=True)
class Strip:
    """A row of cells of one height, drawn as one path for each shade, the lightest first."""

    paths: tuple[str, ...]
    cells: int


def class_color(name: str) -> str:
    """Return the style of a class of outcomes."""
    return f"class-{name}" if name in _COLORED else "class-part" if name in _PARTS else "class-failure"


def stage_color(stage: str) -> str:
    """Return the style of a stage of work."""
    return f"stage-{stage}" if stage in STAGES else "stage-other"


def segments(parts: Sequence[tuple[str, str, float]], whole: float | None = None) -> list[Segment]:
    """Lay parts (colour, words, amount) side by side; without `whole` they fill the bar."""
    total = sum(value for *_, value in parts) if whole is None else whole
    found: list[Segment] = []
    start = 0.0
    for color, label, value in parts:
        length = 100 * value / total if total else 0.0
        if length > 0:
            found.append(Segment(start, length, color, label))
        start += length
    return found


def stages(seconds: Mapping[str, float], whole: float) -> list[Segment]:
    """Lay out the stages of work."""
    return segments([(stage_color(name), f"{name}: {duration_text(s)}", s) for name, s in seconds.items()], whole)


def modes(effort: Effort) -> list[list[Segment]]:
    """Lay out the stages of each kind of exposure, all on the same scale."""
    longest = max((mode.seconds for mode in effort.modes), default=0.0)
    return [stages(mode.stages, longest) for mode in effort.modes]


def histogram(bins: Sequence[Bin]) -> list[list[Segment]]:
    """Lay out one bar for each bin, on the scale of the fullest."""
    most = max((each.count for each in bins), default=0)
    return [segments([("stage-calibrate", f"{each.count:,}", each.count)], most) for each in bins]


def kind(name: str) -> str:
    """Return what a class of outcomes is shown as over time: all failures as one."""
    return name if class_color(name) != "class-failure" else FAILED


def throughput(line: Timeline) -> list[Block]:
    """Stack the units that ended in each slot by their kinds, failures on top."""
    width = 100 / len(line.slots)
    found = []
    for number, slot in enumerate(line.slots):
        counts: Counter[str] = Counter()
        for name, count in slot.ended.items():
            counts[kind(name)] += count
        top = 100.0
        for name in sorted(counts, key=lambda name: (name == FAILED, rank(name))):
            height = 100 * counts[name] / line.most_ended
            top -= height
            label = f"{name}: {counts[name]:,} in {duration_text(line.slot_seconds)}"
            found.append(Block(number * width, top, width, height, class_color(name), label))
    return found


def workers(line: Timeline) -> list[Block]:
    """Draw how many workers there were in each slot, and in front of them how many were busy."""
    width, most = 100 / len(line.slots), line.most_present
    found = []
    for number, slot in enumerate(line.slots):
        label = f"{slot.busy:.1f} of {slot.present:,} workers busy"
        for color, value in (("present", float(slot.present)), ("busy", slot.busy)):
            if value > 0 and most:
                height = 100 * min(value / most, 1.0)
                found.append(Block(number * width, 100 - height, width, height, color, label))
    return found


def strip(lane: Lane) -> Strip:
    """Draw when a worker was busy: the more of a slot, the darker."""
    cells = [min(_SHADES, -(-round(100 * share) * _SHADES // 100)) for share in lane.shares]
    return Strip(tuple(_path(cells, shade) for shade in range(1, _SHADES + 1)), len(cells))


def _path(cells: Sequence[int], shade: int) -> str:
    """Outline each run of cells of one shade as a rectangle, one unit high."""
    found, start = [], 0
    for number in range(1, len(cells) + 1):
        if number == len(cells) or cells[number] != cells[start]:
            if cells[start] == shade:
                found.append(f"M{start} 0h{number - start}v1H{start}z")
            start = number
    return "".join(found)
