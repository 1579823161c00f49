"""A summary as one HTML file: no script, no network, pictures and charts inside; opens from disk and prints."""

from __future__ import annotations

import base64
import math
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from reprocess.planning.pilot import Finding
from reprocess.reporting import charts, later
from reprocess.reporting.charts import class_color
from reprocess.reporting.classes import REMAINDER, TO_DO, is_failure, meaning, rank
from reprocess.reporting.differences import MAIN
from reprocess.reporting.effort import Bin
from reprocess.reporting.plaintext import throughput_text
from reprocess.reporting.report import Summary
from reprocess.reporting.tables import ModeRow, PublishedRow
from reprocess.reporting.timeline import Timeline
from reprocess.reporting.wording import duration_text, moment_text, plain, size_text

_LARGEST = 20
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = slice(16, 24)
_WIDE = 700


@dataclass(frozen=True, slots=True)
class Picture:
    """One quick-look picture: a PNG file as `reprocess.quicklook.render` makes it."""

    dataset: str
    title: str
    png: bytes


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
    shown = [_figure(each) for each in pictures if _is_png(each.png)]
    return _template().render(
        summary=summary,
        ending=summary.ending.sentence,
        pictures=shown,
        **_sum(summary),
        **_work(summary),
        **_time(summary.timeline),
        **_changes(summary),
        **_pilot(summary.pilot),
        published=[(row, _files(row)) for row in summary.published.rows],
    )


def _sum(summary: Summary) -> dict[str, Any]:
    """Lay out the closing sum."""
    columns = _mode_columns(summary)
    return {
        "classes": [(name, count, meaning(name), class_color(name)) for name, count in summary.classes.items()],
        "closing_bar": _closing_bar(summary),
        "mode_columns": columns,
        "mode_rows": [(row, _mode_cells(row, columns)) for row in summary.modes],
        "has_money": any(row.name == "money" for row in summary.cost.rows),
    }


def _work(summary: Summary) -> dict[str, Any]:
    """Lay out what the work took."""
    effort = summary.effort
    return {
        "effort": effort,
        "throughput": throughput_text(summary),
        "stage_colors": {stage: charts.stage_color(stage) for stage in effort.stages},
        "stage_bar": charts.stages(effort.stages, sum(effort.stages.values())),
        "mode_bars": charts.modes(effort),
        "bin_bars": charts.histogram(effort.bins),
    }


def _time(line: Timeline | None) -> dict[str, Any]:
    """Lay out when it was done."""
    if line is None:
        return {"line": None}
    kinds = {charts.kind(name) for slot in line.slots for name in slot.ended}
    return {
        "line": line,
        "throughput_blocks": charts.throughput(line),
        "throughput_legend": [(name, class_color(name)) for name in sorted(kinds, key=rank)],
        "worker_blocks": charts.workers(line),
        "lanes": [(lane, charts.strip(lane)) for lane in line.lanes],
    }


def _changes(summary: Summary) -> dict[str, Any]:
    """Lay out how the new versions differ."""
    found = summary.differences
    return {
        "main_extension": MAIN,
        "largest_rows": _LARGEST,
        "decide": later.decide(summary.archive),
        "any_reshaped": any(each.reshaped for each in found.extensions),
        "histograms": [
            ("Exposures by changed share of pixels", "Changed", _rows(found.changed_bins, _share)),
            ("Exposures by size of the median difference", "Median, in units of ERR", _rows(found.sigma_bins, _sigma)),
        ],
    }


def _pilot(found: Finding | None) -> dict[str, Any]:
    """Lay out what the pilot has shown; its words come from outside."""
    if found is None:
        return {}
    named = [(plain(name), count) for name, count in found.classes.items()]
    return {"pilot_reason": plain(found.reason), "pilot_classes": named}


def _rows(bins: Sequence[Bin], text: Callable[[float], str]) -> list[tuple[str, int, list[charts.Segment]]]:
    bars = charts.histogram(bins)
    return [(_range(each, text), each.count, bar) for each, bar in zip(bins, bars, strict=True)]


def _range(each: Bin, text: Callable[[float], str]) -> str:
    if each.stop == 0:
        return "none"
    return f"more than {text(each.start)}" if math.isinf(each.stop) else f"up to {text(each.stop)}"


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
    environment.filters |= {"share": _share, "sigma": _sigma, "signed": _signed, "moment": moment_text}
    return environment.get_template("report.html.j2")


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _share(value: float) -> str:
    """Write a share of pixels in percent; what is not nothing does not look like nothing."""
    return "0" if not value else f"{100 * value:.3g} %"


def _sigma(value: float) -> str:
    return "0" if not value else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _signed(value: int) -> str:
    return f"{value:+,}".replace("-", "\N{MINUS SIGN}") if value else "0"


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


def _closing_bar(summary: Summary) -> list[charts.Segment]:
    parts = [(class_color(name), f"{name}: {count:,}", count) for name, count in summary.classes.items() if count]
    rest = [
        ("class-to-do", f"{TO_DO}: {summary.to_do:,}", summary.to_do),
        ("class-failure", REMAINDER, summary.remainder.total),
    ]
    return charts.segments([*parts, *rest])


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
    return name if not is_failure(name) or name in (TO_DO, REMAINDER) else "failed"
