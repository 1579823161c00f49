"""A summary as one HTML file: no script, no network, pictures and charts inside; opens from disk and prints."""

from __future__ import annotations

import base64
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import jinja2

from reprocess.reporting.effort import STAGES, Effort
from reprocess.reporting.plaintext import throughput_text
from reprocess.reporting.report import REMAINDER, TO_DO, ModeRow, PublishedRow, Summary
from reprocess.reporting.wording import duration_text, plain, size_text

_MEANINGS = {
    "current": "already what the target asks for",
    "published": "new version, which readers now see",
    "unchanged": "made again with the same science content; readers keep what they had",
    "held-back": "new version exists and waits for a decision",
    "unsupported": "of a kind that stage 1 does not calibrate here",
    "deferred": "left for a later run by a budget or limit",
    "cancelled": "not begun, or stopped by request",
}
_FAILURES = {
    "bad-data": "the raw object cannot be used",
    "raw-replaced": "the raw object is no longer the one planned for",
    "reference": "a reference file or a rule is missing or damaged",
    "storage": "the store refused or did not answer",
    "worker-lost": "the process went away",
    "publication": "a version of this name exists with other bytes",
    "overtaken": "readers already see the version of a later plan",
    "own-error": "a defect of this package",
    "usage": "the request was wrong",
}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = slice(16, 24)
_WIDE = 700


@dataclass(frozen=True, slots=True)
class Picture:
    """One quick-look picture: a PNG file as `reprocess.quicklook.render` makes it."""

    dataset: str
    title: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar: position and length in percent of the whole, its colour's class and its words."""

    start: float
    length: float
    color: str
    label: str


def render(summary: Summary, *, pictures: Sequence[Picture] = ()) -> str:
    """Write a summary as HTML.

    Parameters
    ----------
    summary : Summary
    pictures : sequence of Picture
        Shown in this order; what is no PNG file is left out.

    Returns
    -------
    str
        A whole document, the same for the same arguments.
    """
    return _template().render(
        summary=summary,
        effort=summary.effort,
        throughput=throughput_text(summary),
        classes=[(name, count, _meaning(name), _color(name)) for name, count in summary.classes.items()],
        closing_bar=_closing_bar(summary),
        mode_columns=(columns := _mode_columns(summary)),
        mode_rows=[(row, _mode_cells(row, columns)) for row in summary.modes],
        stage_colors={stage: _stage_color(stage) for stage in summary.effort.stages},
        stage_bar=_bar_of_stages(summary.effort.stages, sum(summary.effort.stages.values())),
        mode_bars=_mode_bars(summary.effort),
        bin_bars=_bin_bars(summary.effort),
        published=[(row, _files(row)) for row in summary.published.rows],
        pictures=[_figure(each) for each in pictures if _is_png(each.png)],
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reprocess.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_text, "duration": duration_text, "number": _number, "percent": _percent}
    return environment.get_template("report.html.j2")


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _files(row: PublishedRow) -> list[tuple[str, int]]:
    """Return names and bytes, each name without what all keys of a version have in common."""
    common = f"{row.dataset}_"
    return [
        (f"…_{file.name.removeprefix(common)}" if file.name.startswith(common) else file.name, file.size)
        for file in row.files
    ]


@dataclass(frozen=True, slots=True)
class _Figure:
    dataset: str
    title: str
    uri: str
    width: int
    height: int

    @property
    def across(self) -> bool:
        return self.width > _WIDE


def _is_png(data: bytes) -> bool:
    return data.startswith(_PNG) and len(data) >= _PNG_SIZE.stop


def _figure(picture: Picture) -> _Figure:
    width, height = struct.unpack(">II", picture.png[_PNG_SIZE])
    uri = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    return _Figure(plain(picture.dataset), plain(picture.title), uri, width, height)


def _meaning(name: str) -> str:
    return _MEANINGS.get(name) or f"failed: {_FAILURES.get(name, 'see the messages')}"


def _color(name: str) -> str:
    return f"class-{name}" if name in _MEANINGS else "class-failure"


def _stage_color(stage: str) -> str:
    return f"stage-{stage}" if stage in STAGES else "stage-other"


def _closing_bar(summary: Summary) -> list[Segment]:
    parts = [(_color(name), f"{name}: {count:,}", count) for name, count in summary.classes.items() if count]
    rest = [
        (_color("deferred"), f"{TO_DO}: {summary.to_do:,}", summary.to_do),
        ("class-failure", REMAINDER, summary.remainder.total),
    ]
    return _segments([*parts, *rest])


def _mode_columns(summary: Summary) -> list[str]:
    """Return the columns that hold anything, in the order of the closing sum, all failures in one."""
    used = {_column(name) for row in summary.modes for name in row.counts}
    return [name for name in dict.fromkeys(map(_column, [*summary.classes, TO_DO, REMAINDER])) if name in used]


def _mode_cells(row: ModeRow, columns: Sequence[str]) -> list[int]:
    counts: Counter[str] = Counter()
    for name, count in row.counts.items():
        counts[_column(name)] += count
    return [counts[column] for column in columns]


def _column(name: str) -> str:
    return name if name in _MEANINGS or name in (TO_DO, REMAINDER) else "failed"


def _bar_of_stages(stages: Mapping[str, float], whole: float) -> list[Segment]:
    return _segments([(_stage_color(name), f"{name}: {duration_text(s)}", s) for name, s in stages.items()], whole)


def _mode_bars(effort: Effort) -> list[list[Segment]]:
    longest = max((mode.seconds for mode in effort.modes), default=0.0)
    return [_bar_of_stages(mode.stages, longest) for mode in effort.modes]


def _bin_bars(effort: Effort) -> list[list[Segment]]:
    most = max((each.count for each in effort.bins), default=0)
    return [_segments([("stage-calibrate", f"{each.count:,}", each.count)], most) for each in effort.bins]


def _segments(parts: Sequence[tuple[str, str, float]], whole: float | None = None) -> list[Segment]:
    total = sum(value for *_, value in parts) if whole is None else whole
    segments: list[Segment] = []
    start = 0.0
    for color, label, value in parts:
        length = 100 * value / total if total else 0.0
        if length > 0:
            segments.append(Segment(start, length, color, label))
        start += length
    return segments
