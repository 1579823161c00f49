"""Commands that look at an archive and change nothing: status, report, explain, verify."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reprocess import errors
from reprocess.cli_options import (
    EXIT_DAMAGE,
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
@click.option("--prometheus", is_flag=True, help="Print the staleness as metrics, for a textfile collector.")
@json_flag
@with_all(everywhere)
@click.pass_context
def status(ctx: click.Context, archive: str, digest: str | None, last: int, prometheus: bool, as_json: bool) -> None:
    """Say how far the campaign of the plan DIGEST is. Changes nothing.

    Without DIGEST list the latest plans, and say how much of the archive is stale, for how long and why: as the latest
    `reprocess plan` of the whole catalogue found it, with those before it. --prometheus prints the newest of these
    findings in the text format of Prometheus.
    """
    from reprocess import inspection, terminal

    if digest and prometheus:
        raise errors.UsageError("--prometheus tells of the whole archive. Leave out the digest.")
    opened = open_archive(ctx, archive)
    if digest:
        summary = inspection.status(opened, digest)
        show(terminal.summary_record(summary), as_json, lambda _: terminal.summary_text(summary))
    elif prometheus:
        _show_metrics(opened)
    else:
        _show_overview(opened, last, as_json)


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


@click.command(short_help="Read back every published version, byte for byte.")
@archive_argument
@json_flag
@with_all(everywhere)
@click.pass_context
def verify(ctx: click.Context, archive: str, as_json: bool) -> None:
    """Read back every version that readers of ARCHIVE see, and compare it with its manifest, byte for byte.

    What is damaged is made again by `reprocess plan ARCHIVE --target TARGET.toml --again DATASET`, and `run`.
    """
    from reprocess import inspection, terminal

    with terminal.progress("reading back", enabled=not as_json) as progress:
        check = inspection.verify(open_archive(ctx, archive), progress)

    def text(_: object) -> str:
        if not check.versions and not check.problems:
            return "Nothing is published yet."
        state = f"{len(check.problems):,} problem(s)" if check.problems else "all as their manifests say"
        return "\n".join([f"{check.versions:,} versions, {check.files:,} files: {state}", *check.problems])

    show(asdict(check), as_json, text)
    sys.exit(EXIT_DAMAGE if check.problems else 0)
