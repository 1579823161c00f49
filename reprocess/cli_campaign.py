"""Commands that work campaigns off and steer them: run, sweep, pause, resume, cancel, priority, approve, retry."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from reprocess import errors
from reprocess.cli_options import (
    EXIT_BUSY,
    EXIT_DAMAGE,
    EXIT_FAILURES,
    EXIT_PAUSED,
    EXIT_STORAGE,
    archive_argument,
    everywhere,
    json_flag,
    open_archive,
    raise_verbosity,
    show,
    target_of,
    with_all,
)

if TYPE_CHECKING:
    from reprocess.campaign import Archive
    from reprocess.planning.plan import Plan
    from reprocess.reporting.campaign_metrics import Live
    from reprocess.reporting.report import Summary
    from reprocess.steering import Retrial
    from reprocess.sweep import Sweep


def _told_in_a_pod(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Log what is done, too: the log of a pod is what its operator sees."""
    if value:
        raise_verbosity(ctx)
    return value


cluster = (
    click.option("--scheduler", metavar="ADDRESS", help="tcp://host:port of a Dask scheduler, or `serial`."),
    click.option(
        "--workers", type=click.IntRange(min=1), help="Worker processes of the local cluster (default: one per core)."
    ),
    click.option(
        "--memory-limit",
        "memory_limit_mb",
        type=click.IntRange(min=1),
        metavar="MB",
        help="Memory of one worker in MB.",
    ),
    click.option(
        "--cluster",
        type=click.Choice(["kubernetes"]),
        callback=_told_in_a_pod,
        help="In the driver of a run on Kubernetes (see `submit`): make workers there, as many as the work is worth.",
    ),
)
_limits = (
    click.option("--max-cost", type=click.FloatRange(min=0.0, min_open=True), help="Stop when it has cost so much."),
    click.option("--max-hours", type=click.FloatRange(min=0.0, min_open=True), help="Stop after so many hours."),
    click.option("--max-exposures", type=click.IntRange(min=1), metavar="N", help="Work on so many exposures at most."),
)
_metrics_port = click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve Prometheus metrics here; 0: a free port.",
)
_digest = click.argument("digest", metavar="DIGEST")
_why = click.option("--why", default="", help="Kept with it, and shown to whoever looks.")


@click.command(short_help="Do what a plan says: calibrate, publish, report.")
@archive_argument
@_digest
@with_all(cluster)
@with_all(_limits)
@click.option("--approve", is_flag=True, help="Stop after the pilot, until `reprocess approve`.")
@click.option("--release", default="", metavar="NAME", help="Show readers all versions together, under this name.")
@_metrics_port
@json_flag
@with_all(everywhere)
@click.pass_context
def run(ctx: click.Context, /, archive: str, digest: str, as_json: bool, **rest: Any) -> None:  # noqa: ANN401
    """Do what the plan DIGEST says: calibrate, write versions, compare them with what readers see, publish, report.

    Killed at any time, the same command goes on where it was. What is done is not done again.
    DIGEST may be shortened as long as it names one plan.

    Of a plan of twenty exposures or more a few of each kind run first; readers see nothing of them before they all have
    ended well. A version that differs by more than the target's budget allows is held back.

    --metrics-port serves this machine only, or the pod's network in a driver.

    Exits with 1 if exposures failed, 4 if the sum does not close, 5 if the campaign is paused or waits for approval, 6
    if another coordinator works on it.
    """
    from reprocess import campaign, coordinator, terminal
    from reprocess.cli_events import transport_of
    from reprocess.delivery import courier

    wish, port = _wish(rest), rest.pop("metrics_port")
    opened = open_archive(ctx, archive, **rest)
    made = campaign.find_plan(opened, digest)
    with (
        _busy(),
        _metrics(opened, made, port=port) as metrics,
        terminal.live_run(opened.settings.prices, made.forecast, enabled=not as_json) as live,
    ):
        observe = None if live is None else live.observe
        summary = coordinator.run(opened, digest, progress=live, observe=observe, metrics=metrics, wish=wish)
    show(terminal.summary_record(summary), as_json, lambda _: terminal.summary_text(summary))
    courier.after_run(opened.store, transport_of(opened))
    sys.exit(exit_code(summary))


@click.command(short_help="Scan, plan and run in one, for every night.")
@archive_argument
@click.option("--target", required=True, type=click.Path(dir_okay=False), help="TOML file: what to aim at.")
@with_all(cluster)
@with_all(_limits)
@_metrics_port
@json_flag
@with_all(everywhere)
@click.pass_context
def sweep(ctx: click.Context, /, archive: str, target: str, as_json: bool, **rest: Any) -> None:  # noqa: ANN401
    """Scan ARCHIVE, plan what is stale, and run that plan: for a nightly job.

    New exposures come first, those that arrived first before all others; then what has been stale for longest. What is
    left at a limit is left for the next night. Never waits for a person.

    Exits with 0 also if something was left for the next night; else as `run`. 6 says that another sweep is at work.
    """
    from reprocess import sweep as sweeping
    from reprocess import terminal
    from reprocess.cli_events import transport_of
    from reprocess.delivery import courier

    wish, port = _wish(rest), rest.pop("metrics_port")
    opened = open_archive(ctx, archive, **rest)
    wanted = target_of(ctx, target)
    with _busy(), terminal.live_run(opened.settings.prices, enabled=not as_json) as live:
        observe, served = None if live is None else live.observe, partial(_metrics, opened, port=port)
        done = sweeping.sweep(opened, wanted, wish=wish, progress=live, observe=observe, metrics=served)
    show(_sweep_record(done), as_json, lambda _: _sweep_text(done))
    courier.after_run(opened.store, transport_of(opened))
    sys.exit(exit_code(done.summary))


@click.command(short_help="Have a campaign stop until it is resumed.")
@archive_argument
@_digest
@_why
@with_all(everywhere)
@click.pass_context
def pause(ctx: click.Context, archive: str, digest: str, why: str) -> None:
    """Have the campaign of the plan DIGEST stop within seconds, wherever it runs. Nothing that is done is lost."""
    from reprocess import steering

    steering.pause(open_archive(ctx, archive), digest, why=why)
    click.echo(f"The campaign is paused{_because(why)}. That is lifted by: reprocess resume {archive} {digest}")


@click.command(short_help="Let a paused campaign go on.")
@archive_argument
@_digest
@with_all(everywhere)
@click.pass_context
def resume(ctx: click.Context, archive: str, digest: str) -> None:
    """Let the campaign of the plan DIGEST go on: the next `run` or `submit` works on it."""
    from reprocess import steering, terminal

    steering.resume(open_archive(ctx, archive), digest)
    click.echo(f"{terminal.INSTEAD}\nThe campaign may go on. Next: reprocess run {archive} {digest}")


@click.command(short_help="End a campaign for good.")
@archive_argument
@_digest
@_why
@with_all(everywhere)
@click.pass_context
def cancel(ctx: click.Context, archive: str, digest: str, why: str) -> None:
    """End the campaign of the plan DIGEST for good. What it has published stays; the rest counts as cancelled."""
    from reprocess import steering

    steering.cancel(open_archive(ctx, archive), digest, why=why)
    click.echo(f"The campaign is cancelled{_because(why)}. What it has published stays.")


@click.command(short_help="Have a campaign go before others on the same workers.")
@archive_argument
@_digest
@click.argument("number", type=click.IntRange(-1000, 1000))
@with_all(everywhere)
@click.pass_context
def priority(ctx: click.Context, archive: str, digest: str, number: int) -> None:
    """Set the priority of the campaign of the plan DIGEST: of several on the same workers the higher NUMBER goes first.

    It is 0 unless it is set, and counts for units that are handed out from now on.
    """
    from reprocess import steering

    steering.prefer(open_archive(ctx, archive), digest, number)
    click.echo(f"The campaign has priority {number}.")


@click.command(short_help="Say that the pilot of a campaign is good.")
@archive_argument
@_digest
@with_all(everywhere)
@click.pass_context
def approve(ctx: click.Context, archive: str, digest: str) -> None:
    """Say that the pilot of the plan DIGEST is good: the next `run` or `submit` publishes it and goes on."""
    from reprocess import steering, terminal

    steering.approve(open_archive(ctx, archive), digest)
    click.echo(f"{terminal.INSTEAD}\nThe pilot is approved. Next: reprocess run {archive} {digest}")


@click.command(short_help="Have what failed tried again.")
@archive_argument
@_digest
@click.option("--class", "classes", multiple=True, metavar="CLASS", help="Only what ended in this class; repeatable.")
@json_flag
@with_all(everywhere)
@click.pass_context
def retry(ctx: click.Context, archive: str, digest: str, classes: tuple[str, ...], as_json: bool) -> None:
    """Have what failed or was held back in the campaign of the plan DIGEST tried again, by `run` and by later plans."""
    from reprocess import steering

    found = steering.retry(open_archive(ctx, archive), digest, classes=classes)
    show(asdict(found), as_json, lambda _: _retrial_text(found, f"reprocess run {archive} {digest}"))


COMMANDS = (run, sweep, pause, resume, cancel, priority, approve, retry)


def exit_code(summary: Summary) -> int:
    """Return how a command ends after a campaign has come to a stop."""
    if summary.ending.state in ("paused", "approval"):
        return EXIT_PAUSED
    if not summary.closes:
        return EXIT_DAMAGE
    return EXIT_FAILURES if summary.failed else 0


def _wish(rest: dict[str, Any]) -> Any:  # noqa: ANN401 (its module is imported late)
    from reprocess.coordinator import Wish
    from reprocess.publication import releases

    if rest.get("release"):
        releases.key(rest["release"])
    return Wish(
        approve=rest.pop("approve", False),
        release=rest.pop("release", ""),
        most_cost=rest.pop("max_cost") or 0.0,
        most_hours=rest.pop("max_hours") or 0.0,
        most_exposures=rest.pop("max_exposures") or 0,
    )


@contextmanager
def _busy() -> Iterator[None]:
    """Give another coordinator's lease an exit code of its own: a nightly job is not in trouble then."""
    try:
        yield
    except errors.LeaseHeld as error:
        click.echo(f"reprocess: {error}", err=True)
        # Nobody may be at work after a silence of the store: that is for another try, at once.
        sys.exit(EXIT_STORAGE if isinstance(error, errors.LeaseLapsed) else EXIT_BUSY)


@contextmanager
def _metrics(archive: Archive, made: Plan, *, port: int | None) -> Iterator[Live | None]:
    """Serve what the campaign comes to while a block runs, if a port is given; yields what has to be told."""
    from reprocess.archive import debt
    from reprocess.publication import ledger
    from reprocess.reporting import campaign_metrics

    if port is None:
        yield None
        return
    before = ledger.read(archive.store, made.digest[:16])
    newest = next(iter(debt.history(archive.store, 1)), None)
    live = campaign_metrics.Live(made, before.values(), archive.settings.prices, debt=newest)
    # In a pod others scrape; a network policy says who may.
    address = "0.0.0.0" if archive.settings.execution.cluster else "127.0.0.1"
    with live.served(port, address) as chosen:
        click.echo(f"Metrics: http://{address}:{chosen}/metrics", err=True)
        yield live


def _because(why: str) -> str:
    return f" ({why})" if why else ""


def _retrial_text(found: Retrial, command: str) -> str:
    if not found.datasets:
        return f"Campaign {found.campaign} has nothing to try again."
    lines = [f"  {dataset}: {kind}" for dataset, kind in found.datasets.items()]
    return "\n".join([f"{len(lines)} to try again; next: {command}", *lines[:20], *(["  ..."] if lines[20:] else [])])


def _sweep_record(done: Sweep) -> dict[str, Any]:
    from reprocess import terminal

    return {
        "scan": terminal.scan_record(done.scan),
        "digest": done.plan.digest,
        "summary": terminal.summary_record(done.summary),
        "clock": asdict(done.clock),
    }


def _sweep_text(done: Sweep) -> str:
    from reprocess import terminal

    clock = done.clock
    lines = [terminal.scan_text(done.scan), terminal.summary_text(done.summary)]
    if clock.done and clock.in_time is not None:
        told = ", ".join(f"{share} %: {hours:.1f} h" for share, hours in clock.hours.items())
        lines.append(f"New exposures: {clock.done} done, {clock.in_time:.0%} of them within five days ({told})")
    if clock.waiting:
        lines.append(f"New exposures without products: {clock.waiting}, overdue {clock.overdue}")
    return "\n".join(lines)
