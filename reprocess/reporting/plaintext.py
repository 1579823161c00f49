"""A summary as plain text, for terminals, logs and mails."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from reprocess.reporting.classes import TO_DO
from reprocess.reporting.cost import CostRow
from reprocess.reporting.report import Summary
from reprocess.reporting.tables import ModeRow, ReasonRow
from reprocess.reporting.wording import duration_text, moment_text, plain, size_text

_WIDTH = 110
_CELL = 60
_LARGEST = 10


def render(summary: Summary) -> str:
    """Write a summary as text of about 110 columns, ending with a newline; the lines hold no control characters."""
    before = (_header, _closing, _obstacles, _pilot, _modes, _reasons)
    parts = (*before, _published, _problems, _differences, _effort, _cost, _left)
    blocks = ("\n".join(part(summary)) for part in parts)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _header(summary: Summary) -> Iterator[str]:
    yield f"Campaign {summary.campaign}"
    yield from _pairs(
        ("archive", summary.archive),
        ("plan", summary.digest),
        ("created", f"{summary.created} UTC"),
        ("context", summary.context),
        ("software", f"reprocess {summary.software}"),
        ("references", summary.references),
    )


def _closing(summary: Summary) -> Iterator[str]:
    remainder = summary.remainder
    yield f"{'So far' if summary.to_do else 'Closing sum'}: {summary.candidates:,} candidates"
    shown = {name: count for name, count in summary.classes.items() if count}
    rest = ("remainder", remainder.total) if not summary.to_do else (TO_DO, summary.to_do)
    yield from table([[name, f"{count:,}"] for name, count in [*shown.items(), rest]], right=(1,))
    if summary.where:
        yield f"  {summary.not_selected:,} more were not selected by --where {summary.where}"
    if summary.to_do or not summary.ending.is_plain:
        yield from _wrap(summary.ending.sentence, indent="  ")
    if remainder.total:
        yield f"  THE SUM DOES NOT CLOSE. Without exactly one class ({remainder.extent}):"
        yield from (f"    {dataset}" for dataset in remainder.rows)


def _obstacles(summary: Summary) -> Iterator[str]:
    if summary.obstacles:
        yield "In the way of the workers"
    for one in summary.obstacles:
        yield from _wrap(f"{moment_text(one.since)}: {one.text}", indent="  ")


def _pilot(summary: Summary) -> Iterator[str]:
    found = summary.pilot
    if found is None or not found.datasets:
        return
    classes = ", ".join(f"{plain(name)} {count:,}" for name, count in found.classes.items())
    yield f"Pilot: {'passed' if found.passed else 'not passed'}; {len(found.datasets):,} exposures ({classes})"
    yield from _wrap(plain(found.reason), indent="  ")


def _modes(summary: Summary) -> Iterator[str]:
    if not summary.modes:
        return
    yield "By instrument and EXP_TYPE"
    yield from table(
        [[row.instrument, row.exp_type, f"{row.total:,}", _mode_counts(row)] for row in summary.modes], right=(2,)
    )


def _mode_counts(row: ModeRow) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(row.counts.items()))


def _reasons(summary: Summary) -> Iterator[str]:
    if not summary.verdicts:
        return
    verdicts = ", ".join(f"{state} {count:,}" for state, count in summary.verdicts.items())
    yield f"Verdicts: {verdicts}"
    if summary.reasons.total:
        yield f"Reasons ({summary.reasons.extent})"
    rows = [_reason_cells(row) for row in summary.reasons.rows]
    yield from table(rows, head=("datasets", "verdict", "reason", "first step", "old -> new", "example"), right=(0,))


def _reason_cells(row: ReasonRow) -> list[str]:
    kind = f"{row.kind} {row.reference_type}" if row.reference_type else row.kind
    change = f"{row.old or '-'} -> {row.new or '-'}" if row.old or row.new else ""
    return [f"{row.datasets:,}", row.verdict, kind, row.step, change, row.example]


def _published(summary: Summary) -> Iterator[str]:
    if not summary.published.total:
        return
    yield f"Published ({summary.published.extent})"
    rows = [
        [row.dataset, row.first_step, duration_text(row.seconds), size_text(row.bytes_written), row.version]
        for row in summary.published.rows
    ]
    yield from table(rows, head=("dataset", "first step", "time", "written", "version"), right=(2, 3))


def _problems(summary: Summary) -> Iterator[str]:
    for number, group in enumerate(summary.problems):
        if number:
            yield ""
        kind = "Failed" if group.failure else "Not published"
        yield f"{kind}: {group.outcome_class} ({group.examples.extent})"
        yield from _wrap(group.advice, indent="  ")
        for example in group.examples.rows:
            tries = f" ({example.attempts} attempts)" if example.attempts > 1 else ""
            yield from _wrap(f"{example.dataset}{tries}: {example.message or 'no message'}", indent="    ")


def _effort(summary: Summary) -> Iterator[str]:
    effort = summary.effort
    if not effort.units:
        return
    stages = ", ".join(f"{stage} {duration_text(seconds)}" for stage, seconds in effort.stages.items())
    yield f"Work: {effort.exposures:,} exposures calibrated, {effort.units:,} units, {effort.retried:,} of them retried"
    yield from _pairs(
        ("core time", f"{duration_text(effort.core_seconds)} ({stages})"),
        ("processor time", duration_text(effort.cpu_seconds)),
        ("per exposure", f"median {duration_text(effort.median_seconds)}"),
        ("throughput", throughput_text(summary)),
        ("traffic", f"{size_text(effort.bytes_read)} read, {size_text(effort.bytes_written)} written"),
        ("peak memory", f"{size_text(effort.peak_bytes)} ({effort.peak_dataset})"),
    )


def throughput_text(summary: Summary) -> str:
    """Write exposures per core hour and, where the duration is known, per hour."""
    effort = summary.effort
    text = f"{effort.exposures_per_core_hour:,.1f} exposures per core hour"
    if effort.exposures_per_hour is None or effort.wall_seconds is None:
        return text
    return f"{text}, {effort.exposures_per_hour:,.1f} per hour ({duration_text(effort.wall_seconds)} in all)"


def _differences(summary: Summary) -> Iterator[str]:
    found = summary.differences
    if not found.compared:
        return
    verdicts = ", ".join(f"{name} {count:,}" for name, count in found.verdicts.items())
    yield f"Compared with what readers had: {found.compared:,} ({verdicts})"
    rows = [
        [each.dataset, each.verdict, f"{100 * each.changed:.3g} %", f"{each.median_sigma:.3g}", f"{each.mad_sigma:.3g}"]
        for each in found.largest[:_LARGEST]
    ]
    yield from table(rows, head=("largest changes", "verdict", "pixels", "median/ERR", "MAD/ERR"), right=(2, 3, 4))


def _cost(summary: Summary) -> Iterator[str]:
    cost = summary.cost
    if not cost.planned or not cost.rows or not summary.effort.units:
        return
    yield f"Cost against forecast: {cost.done:,} of {cost.planned:,} exposures"
    rows = [_cost_cells(row) for row in cost.rows if row.forecast]
    yield from table(rows, head=("", "so far", "forecast", "from least to most", ""), right=(1, 2, 3))


def _cost_cells(row: CostRow) -> list[str]:
    told = row.forecast
    said = [row.text(told.expected), f"{row.text(told.low)} to {row.text(told.high)}"] if told else ["", ""]
    words = {"more": "more than forecast", "less": "less than forecast", "within": "as forecast"}
    return [row.name, row.text(row.actual), *said, words.get(row.verdict, "")]


def _left(summary: Summary) -> Iterator[str]:
    if not summary.later:
        yield "What is left: nothing. A later run of this plan would do no work."
        return
    yield "What is left (on Kubernetes: submit in place of run)"
    for step in summary.later:
        yield from _wrap(f"{step.count:,} {step.words}{':' if step.command else '.'}", indent="  ")
        yield from (f"    {line}" for line in step.command.splitlines())


def _pairs(*pairs: tuple[str, str]) -> Iterator[str]:
    width = max(len(name) for name, _ in pairs)
    yield from (f"  {name:<{width}}  {value}" for name, value in pairs)


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), right: Sequence[int] = ()) -> Iterator[str]:
    """Align columns; all but the last are as wide as their widest cell and no wider than a limit."""
    if not rows:
        return
    lines = [head, *rows] if head else list(rows)
    widths = [min(_CELL, max(map(len, column))) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (
            f"{cell:>{width}}" if n in right else f"{cell:<{width}}"
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield f"  {'  '.join(cells)}".rstrip()


def _wrap(text: str, *, indent: str) -> Iterable[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
