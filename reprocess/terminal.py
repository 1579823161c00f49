"""What the command line shows: progress while it works, and the words after it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import click
import rich.live
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from reprocess.archive.scan import Scan
from reprocess.exposure import DETECTOR1, IMAGE2, Outcome
from reprocess.planning.forecast import Forecast, to_record
from reprocess.planning.plan import Plan, counts
from reprocess.reporting import live, plaintext
from reprocess.reporting.cost import money_text
from reprocess.reporting.live import Live
from reprocess.reporting.report import Summary
from reprocess.reporting.running import RunTally
from reprocess.reporting.wording import duration_text, plain, size_text
from reprocess.settings import PriceSettings
from reprocess.simulation.options import SimulationSummary

Show = Callable[[int, int | None, str], None]


@contextlib.contextmanager
def progress(label: str, *, enabled: bool = True) -> Iterator[Show | None]:
    """Show a bar on standard error while a block runs; None is yielded when it is not wanted."""
    if not enabled:
        yield None
        return
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[word]}", style="dim", markup=False),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(label, total=None, word="")
        before = 0

        def show(done: int, total: int | None, word: str) -> None:
            nonlocal before
            if done < before:  # something else is counted now, at another rate
                bar.reset(task, total=total)
            before = done
            bar.update(task, completed=done, total=total, word=word)

        yield show


class LiveRun:
    """The line that a run shows while it works: on a terminal it is rewritten, else one comes every now and then.

    Give the object to `coordinator.run` as `progress`, and its method `observe` as `observe`.

    Parameters
    ----------
    tally : RunTally
    console : Console
        Standard error.
    clock : callable
        Seconds from any beginning.
    """

    def __init__(self, tally: RunTally, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally, self._console, self._clock = tally, console, clock
        self._word = ""
        self._lock = threading.Lock()  # the terminal is redrawn from a thread of its own
        self._begun = self._said = clock()
        self._tally.pace.add(self._begun)

    def __call__(self, done: int, total: int | None, word: str) -> None:
        """Take how many are done, how many there are, and a word on the last one."""
        with self._lock:
            self._tally.count(done, total, self._clock())
            self._word = plain(word)
        if not self._console.is_terminal and self._clock() - self._said >= LINE_EVERY_S:
            self._said = self._clock()
            self._console.print(f"calibrating  {self.line()}", markup=False, highlight=False, soft_wrap=True)

    def observe(self, outcome: Outcome) -> None:
        """Take an outcome as it is noted."""
        with self._lock:
            self._tally.add(outcome)

    def line(self) -> str:
        """Say how far the run is."""
        with self._lock:
            return self._tally.line(self._clock())

    def __rich__(self) -> Text:
        """Draw it on one line of the terminal, as much as there is room for."""
        spent = duration_text(self._clock() - self._begun)
        text = Text.assemble(f"calibrating  {self.line()}  ", (f"{spent}  {self._word}", "dim"))
        text.truncate(self._console.width, overflow="ellipsis")
        return text


LINE_EVERY_S = 30.0
"""How often a run says how far it is where it cannot rewrite the line."""


@contextlib.contextmanager
def live_run(
    prices: PriceSettings, forecast: Forecast | None = None, *, enabled: bool = True
) -> Iterator[LiveRun | None]:
    """Show how far a run is, on standard error, while a block works; None is yielded when it is not wanted.

    Parameters
    ----------
    prices : PriceSettings
        For what it costs.
    forecast : Forecast, optional
        The plan's.
    enabled : bool
    """
    if not enabled:
        yield None
        return
    console = Console(stderr=True)
    expected = forecast.money.expected if forecast and forecast.money else None
    shown = LiveRun(RunTally(prices, expected), console)
    if not console.is_terminal:
        yield shown
        return
    with rich.live.Live(shown, console=console, refresh_per_second=4):
        yield shown


def show_live(found: Live, as_json: bool) -> Live:
    """Print how a campaign stands, on standard output."""
    click.echo(json.dumps(live.record(found)) if as_json else live.text(found))
    return found


@contextlib.contextmanager
def live_screen(as_json: bool) -> Iterator[Callable[[Live], Live]]:
    """Show how a campaign stands, again and again: a terminal is rewritten, elsewhere one text follows the other."""
    console = Console()
    if as_json or not console.is_terminal:
        yield lambda found: show_live(found, as_json)
        return
    with rich.live.Live(console=console, auto_refresh=False, vertical_overflow="crop") as screen:

        def draw(found: Live) -> Live:
            screen.update(Text(live.text(found), no_wrap=True, overflow="ellipsis"), refresh=True)
            return found

        yield draw


class _RateColumn(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s", style="dim")


def scan_record(done: Scan) -> dict[str, Any]:
    """Put what a scan did into JSON values."""
    names = ("new", "changed", "unchanged", "vanished", "unreadable", "pointers", "requests")
    record: dict[str, Any] = {name: getattr(done, name) for name in names}
    return record | {"ignored": dict(done.ignored), "objects": done.catalogue.rows}


def scan_text(done: Scan) -> str:
    """Say what a scan did."""
    lines = [
        f"{done.catalogue.rows:,} objects: {done.new:,} new, {done.changed:,} changed, {done.unchanged:,} unchanged, "
        f"{done.vanished:,} vanished; read {done.requests - done.pointers:,} headers and {done.pointers:,} pointers",
    ]
    if not done.catalogue.rows:
        lines.append("Nothing below the raw locations looks like Level 1b. Check the URLs in archive.toml.")
    if done.unreadable:
        lines.append(f"{done.unreadable:,} cannot be used; the plan says why")
    if done.ignored:
        lines.append("left out: " + ", ".join(f"{count:,} {level}" for level, count in sorted(done.ignored.items())))
    return "\n".join(lines)


def plan_records(made: Plan) -> Iterator[dict[str, Any]]:
    """Put a plan into JSON values: first what it is and how many are what, then each exposure."""
    yield {
        "digest": made.digest,
        "created": made.created,
        "context": made.context,
        "software": made.software,
        "target": made.target,
        "candidates": made.candidates,
        "where": made.where,
        "not_selected": made.not_selected,
        "counts": counts(made),
        "forecast": to_record(made.forecast) if made.forecast else None,
    }
    failures = {item.dataset: {"class": item.failure_class, "message": item.failure} for item in made.items}
    for verdict in made.verdicts():
        failure = failures.get(verdict.dataset, {"class": ""})
        yield {
            "dataset": verdict.dataset,
            "verdict": verdict.state,
            "reasons": [
                {"kind": one.kind, "type": one.reference_type, "old": one.old, "new": one.new, "step": one.step}
                for one in verdict.reasons
            ],
            "restart": verdict.restart,
            **({"failure": failure} if failure["class"] else {}),
        }


def plan_text(made: Plan, archive: str) -> str:
    """Say what a plan holds, and how to run it."""
    found = counts(made)
    lines = [f"{made.candidates:,} exposures judged against {made.context}, reprocess {made.software}"]
    if made.where:
        lines.append(f"{made.not_selected:,} not selected by --where {plain(made.where)}")
        if not made.candidates:
            return "\n".join([*lines, f"plan {made.digest}", "It selects nothing: there is nothing to run."])
    for title, name in (
        ("verdicts", "verdict"),
        ("reasons", "reason"),
        ("instruments", "instrument"),
        ("modes", "mode"),
        ("work begins with", "restart"),
        ("to do", "action"),
    ):
        lines.append(f"{title}:")
        lines += [f"  {count:>8,}  {_BEGINNINGS.get(word, word)}" for word, count in found[name].items()]
    failures = [item for item in made.items if item.action == "fail"]
    for item in failures[:_EXAMPLES]:
        lines.append(f"  {item.dataset}: {item.failure_class}: {item.failure}")
    if len(failures) > _EXAMPLES:
        lines.append(f"  ... and {len(failures) - _EXAMPLES:,} more; --json lists all")
    if made.forecast and made.forecast.exposures:
        lines += forecast_lines(made.forecast)
    return "\n".join([*lines, f"plan {made.digest}", INSTEAD, f"Next: reprocess run {archive} {made.digest[:16]}"])


INSTEAD = "On Kubernetes: submit in place of run."
_EXAMPLES = 5
_BEGINNINGS = {DETECTOR1: f"the Level 1b object ({DETECTOR1})", IMAGE2: f"the rate product ({IMAGE2}), not built yet"}


def forecast_lines(made: Forecast) -> list[str]:
    """Say what a plan will cost, as a table: expected, and from the least to the most that it should be."""
    workers = f"on {made.workers:,} worker{'s' * (made.workers > 1)}"
    rows = [
        ("to read", made.bytes_read, size_text),
        ("to write", made.bytes_written, size_text),
        ("core time", made.core_hours * 3600, duration_text),
        (f"wall time {workers}", made.wall_seconds, duration_text),
        *([("money", made.money, money_text)] if made.money else []),
    ]
    width = max(len(name) for name, _, _ in rows)
    exposures = f"{made.exposures:,} exposure{'s' * (made.exposures > 1)}"
    lines = [f"forecast for {exposures}, expected and from least to most:"]
    for name, each, text in rows:
        lines.append(f"  {name:<{width}}  {text(each.expected):>12}   {text(each.low)} to {text(each.high)}")
    ours = f"on {made.measured:,} exposure{'s' * (made.measured > 1)} of this archive"
    theirs = "on a benchmark machine, because no exposure of this archive was calibrated yet"
    lines.append(f"  measured {ours if made.measured else theirs}")
    if not made.money:
        lines.append("  For money, give core_hour and gb_month in the section [prices] of reprocess.toml.")
    return lines


def summary_record(summary: Summary) -> dict[str, Any]:
    """Put a closing sum into JSON values."""
    return {
        "campaign": summary.campaign,
        "digest": summary.digest,
        "candidates": summary.candidates,
        "classes": dict(summary.classes),
        "remainder": list(summary.remainder.rows),
        "closes": summary.closes,
        "ended": summary.ended,
        "to_do": summary.to_do,
        "failed": summary.failed,
    }


def summary_text(summary: Summary) -> str:
    """Say how far a campaign is, or how it ended."""
    return plaintext.render(summary).rstrip("\n")


def closing_text(summary: Summary) -> str:
    """Say in one line how many candidates ended in which class."""
    found = ", ".join(f"{count:,} {name}" for name, count in summary.classes.items() if count)
    state = "the sum closes" if summary.closes else f"REMAINDER {summary.remainder.total:,}"
    if summary.to_do and not summary.remainder.total:
        state = f"{summary.to_do:,} still to do"
    return f"{summary.candidates:,} candidates: {found}; {state}"


def simulation_text(made: SimulationSummary, url: str) -> str:
    """Say what was made up, and how to go on."""
    states = Counter(expected.state for expected in made.expected)
    first, second = made.contexts
    lines = [
        f"{len(made.exposures):,} exposures, {len(made.references):,} reference files, {size_text(made.bytes_written)}",
        f"contexts {first} and {second}; from the one to the other:",
        *(f"  {count:>8,}  {state}" for state, count in sorted(states.items())),
        "Next:",
        f"  reprocess init ARCHIVE --raw {url}/raw --references {url}/crds",
        "  reprocess scan ARCHIVE",
        f"  reprocess plan ARCHIVE --target {url}/targets/first.toml",
    ]
    return "\n".join(lines)
