"""A summary as plain text, for terminals, logs and mails."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from reprocess.reporting.report import TO_DO, ModeRow, ReasonRow, Summary
from reprocess.reporting.wording import duration_text, size_text

_WIDTH = 110
_CELL = 60


def render(summary: Summary) -> str:
    """Write a summary as text of about 110 columns, ending with a newline; the lines hold no control characters."""
    parts = (_header, _closing, _modes, _reasons, _published, _problems, _effort, _again)
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
    if summary.to_do:
        yield "  The campaign has not ended."
    if remainder.total:
        yield f"  THE SUM DOES NOT CLOSE. Without exactly one class ({remainder.extent}):"
        yield from (f"    {dataset}" for dataset in remainder.rows)


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


def _again(summary: Summary) -> Iterator[str]:
    if summary.failed or not summary.closes:
        yield "Go on with this plan, or try again what failed:" if summary.failed else "Go on with this plan:"
        yield f"  {summary.command}"


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
