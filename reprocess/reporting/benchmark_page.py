"""A benchmark for people: as text, and as a picture in SVG; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from reprocess.reporting import benchmark
from reprocess.reporting.benchmark import Comparison, Figure, Run
from reprocess.reporting.plaintext import table
from reprocess.reporting.wording import plain, size_text

_WORDS = {
    "exposures_per_core_hour": "exposures per core-hour",
    "exposures_per_hour": "exposures per hour of the run",
    "core_seconds": "core seconds per exposure",
    "cpu_seconds": "CPU seconds per exposure",
    "coordinator_ms": "coordinator and scheduler, CPU ms per unit",
    "requests": "requests per exposure, all in",
    "bytes_read": "read per exposure, all in",
    "bytes_written": "written per exposure, all in",
    "cost": "cost per exposure",
    "peak_bytes": "peak memory of a worker",
    "own_peak_bytes": "peak memory of the coordinator",
    "wall_seconds": "run, s",
    "scan_seconds": "scan, s",
    "plan_seconds": "plan, s",
}
_BYTES = frozenset({"bytes_read", "bytes_written", "peak_bytes", "own_peak_bytes"})

_WIDTH, _HEIGHT, _EDGE = 340, 220, 52
_LINE, _IDEAL = "#1f5f99", "#999999"


def text(run: Run, comparisons: Sequence[Comparison] = (), other: str = "") -> str:
    """Say what was measured, and how it compares with run `other`."""
    return "\n".join([*_measured(run), *(_compared(comparisons, other) if comparisons else ())])


def _measured(run: Run) -> Iterator[str]:
    machine = ", ".join(f"{name} {plain(str(value))}" for name, value in sorted(run.machine.items()))
    options = ", ".join(f"{name} {plain(str(value))}" for name, value in sorted(run.options.items()))
    yield f"benchmark {run.id} of reprocess {plain(run.software)} on a store of kind {run.store}"
    yield f"data {run.data[:12]}: {options}"
    yield f"machine: {machine}"
    found = benchmark.figures(run.campaigns)
    head = ("", *(f"{workers} worker{'s' * (workers > 1)}" for workers in found))
    rows = [
        [words, *(_cell(name, each[name]) if name in each else "" for each in found.values())]
        for name, words in _WORDS.items()
        if any(name in each for each in found.values())
    ]
    scaled = benchmark.scaling(run.campaigns).values()
    rows.append(["throughput, times that of the fewest", *(f"{speed:.2f}" for speed, _ in scaled)])
    rows.append(["CPU per exposure, times that of the fewest", *(f"{cpu:.2f}" for _, cpu in scaled)])
    yield from table(rows, head=head, right=tuple(range(1, len(head))))
    if run.failed:
        yield f"{run.failed:,} exposures were not published; their archives say why."


def _cell(name: str, figure: Figure) -> str:
    told = _amount(name, figure.median)
    return told if figure.least == figure.most else f"{told} ± {100 * figure.spread:.0f} %"


def _amount(name: str, value: float) -> str:
    if name in _BYTES:
        return size_text(round(value))
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _compared(comparisons: Sequence[Comparison], other: str) -> Iterator[str]:
    yield f"compared with {other}: new over old"
    rows = [
        [
            str(one.workers),
            _WORDS.get(one.figure, one.figure),
            _amount(one.figure, one.old),
            _amount(one.figure, one.new),
            f"{one.ratio:.2f}",
            one.verdict,
        ]
        for one in comparisons
    ]
    yield from table(rows, head=("workers", "figure", "old", "new", "ratio", ""), right=(0, 2, 3, 4))
    yield f"verdict: {benchmark.verdict(comparisons)}, by exposures per core-hour"


def picture(run: Run) -> str:
    """Draw throughput and CPU per exposure over the number of workers, as SVG."""
    found = benchmark.figures(run.campaigns)
    speed = {workers: each["exposures_per_hour"] for workers, each in found.items()}
    first = min(speed)
    ideal = {workers: speed[first].median * workers / first for workers in speed}
    cpu = {workers: each["cpu_seconds"] for workers, each in found.items()}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * _WIDTH}" height="{_HEIGHT + 24}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(f'benchmark {run.id}')}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        *_panel(0, "exposures per hour (grey: in proportion)", speed, ideal),
        *_panel(_WIDTH, "CPU seconds per exposure", cpu, dict.fromkeys(cpu, cpu[first].median)),
        f'<text x="8" y="{_HEIGHT + 16}" fill="#555">{escape(_caption(run))}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _caption(run: Run) -> str:
    return f"{run.id}, reprocess {run.software}, {run.options.get('exposures')} exposures of {run.options.get('shape')}"


def _panel(left: int, title: str, found: Mapping[int, Figure], beside: Mapping[int, float]) -> Iterator[str]:
    """Draw medians with their ranges, and a line beside them."""
    most = max([*beside.values(), *(each.most for each in found.values())]) or 1.0
    widest = max(found)

    def place(workers: int, value: float) -> tuple[float, float]:
        across, up = _WIDTH - 2 * _EDGE, _HEIGHT - 2 * _EDGE
        return left + _EDGE + across * workers / widest, _HEIGHT - _EDGE - up * value / most

    (x0, y0), (x1, y1) = place(0, 0.0), place(widest, most)
    yield f'<text x="{x0}" y="{_EDGE - 20}" font-weight="bold">{escape(title)}</text>'
    yield f'<path d="M{x0} {y1} V{y0} H{x1}" fill="none" stroke="#333"/>'
    yield f'<text x="{x0 - 4}" y="{y1 + 4}" text-anchor="end">{_amount("", most)}</text>'
    yield f'<text x="{x0 - 4}" y="{y0}" text-anchor="end">0</text>'
    yield _polyline(
        [place(workers, value) for workers, value in sorted(beside.items())], _IDEAL, 'stroke-dasharray="4"'
    )
    yield _polyline([place(workers, each.median) for workers, each in sorted(found.items())], _LINE, 'stroke-width="2"')
    for workers, each in sorted(found.items()):
        (x, low), (_, high), (_, middle) = (place(workers, value) for value in (each.least, each.most, each.median))
        yield f'<path d="M{x:.1f} {low:.1f} V{high:.1f}" stroke="{_LINE}"/>'
        yield f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="3" fill="{_LINE}"/>'
        yield f'<text x="{x:.1f}" y="{y0 + 14}" text-anchor="middle">{workers}</text>'
    yield f'<text x="{x1}" y="{y0 + 28}" text-anchor="end">workers</text>'


def _polyline(points: Sequence[tuple[float, float]], colour: str, more: str) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{told}" fill="none" stroke="{colour}" {more}/>'
