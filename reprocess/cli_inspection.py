"""Commands that look at an archive and change nothing: status, report, explain."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprocess import errors
from reprocess.cli_options import (
    archive_argument,
    everywhere,
    json_flag,
    open_archive,
    show,
    target_of,
    with_all,
)

if TYPE_CHECKING:
    from reprocess import campaign


@click.command(short_help="Say how far campaigns are, and how much is stale.")
@archive_argument
@click.argument("digest", metavar="[DIGEST]", required=False)
@click.option(
    "--last", type=click.IntRange(min=1), default=10, show_default=True, help="How many plans and judgements."
)
@click.option("--watch", is_flag=True, help="Show it again every few seconds until the campaign has ended.")
@click.option("--prometheus", is_flag=True, help="Print the staleness as metrics, for a textfile collector.")
@json_flag
@with_all(everywhere)
@click.pass_context
def status(
    ctx: click.Context, archive: str, digest: str | None, last: int, watch: bool, prometheus: bool, as_json: bool
) -> None:
    """Say how far the campaign of the plan DIGEST is, who works it off, how fast and at what cost. Changes nothing.

    With --watch it is shown again every few seconds, reading only what is new, until the campaign has ended; --json
    gives a line each time.

    Without DIGEST list the latest plans, and say how much of the archive is stale, for how long and why: as the latest
    `reprocess plan` of the whole catalogue found it, with those before it. --prometheus prints the newest of these
    findings in the text format of Prometheus.
    """
    if digest and prometheus:
        raise errors.UsageError("--prometheus tells of the whole archive. Leave out the digest.")
    if watch and not digest:
        raise errors.UsageError("--watch needs the digest of a plan; `reprocess status ARCHIVE` lists the latest.")
    opened = open_archive(ctx, archive)
    if digest:
        _show_campaign(opened, digest, watch, as_json)
    elif prometheus:
        _show_metrics(opened)
    else:
        _show_overview(opened, last, as_json)


WATCH_EVERY_S = 5.0


def _show_campaign(opened: campaign.Archive, digest: str, watch: bool, as_json: bool) -> None:
    from reprocess import terminal, watching

    watched = watching.Watch(opened, digest)
    if not watch:
        terminal.show_live(watched.look(datetime.now(UTC)), as_json)
        return
    with terminal.live_screen(as_json) as draw:
        while not draw(watched.look(datetime.now(UTC))).is_over:
            time.sleep(WATCH_EVERY_S)


def _show_metrics(opened: campaign.Archive) -> None:
    from reprocess import inspection
    from reprocess.reporting import metrics

    newest = next(iter(inspection.staleness(opened, 1)), None)
    if newest is None:
        raise errors.UsageError(f"The whole catalogue of {opened.store.url} was never judged. Run `reprocess plan`.")
    click.echo(metrics.exposition(newest, datetime.now(UTC)), nl=False)


def _show_overview(opened: campaign.Archive, last: int, as_json: bool) -> None:
    from reprocess import inspection
    from reprocess.reporting import overview

    plans, history = inspection.standings(opened, last), inspection.staleness(opened, last)
    show(overview.record(plans, history), as_json, lambda _: overview.text(plans, history, datetime.now(UTC)))


@click.command(short_help="Show the report of a campaign, as text or HTML.")
@archive_argument
@click.argument("digest", metavar="DIGEST")
@click.option("--output", type=click.Path(dir_okay=False), help="File for the HTML page (default: print text).")
@json_flag
@with_all(everywhere)
@click.pass_context
def report(ctx: click.Context, archive: str, digest: str, output: str | None, as_json: bool) -> None:
    """Show the report of the campaign of the plan DIGEST; --output FILE.html for the page with pictures."""
    from reprocess import inspection, terminal

    opened = open_archive(ctx, archive)
    summary = inspection.status(opened, digest)
    if output:
        Path(output).write_bytes(inspection.read_report(opened, digest))
        click.echo(f"{output} written; it opens from disk.", err=as_json)
    if as_json or not output:
        show(terminal.summary_record(summary), as_json, lambda _: terminal.summary_text(summary))


@click.command(short_help="Tell one product's story: what made it, what changed.")
@archive_argument
@click.argument("dataset", metavar="DATASET")
@click.option("--target", type=click.Path(dir_okay=False), help="Judge against this, not the latest plan.")
@json_flag
@with_all(everywhere)
@click.pass_context
def explain(ctx: click.Context, archive: str, dataset: str, target: str | None, as_json: bool) -> None:
    """Tell the story of one product: what made it, what has changed since, what would be redone.

    DATASET is its name, or the name of one of its files, a key or a URL.
    """
    from reprocess import inspection, story

    wanted = target_of(ctx, target) if target else None
    account = inspection.explain(open_archive(ctx, archive), dataset, wanted)
    show(story.record(account), as_json, lambda _: story.tell(account).rstrip("\n"))
