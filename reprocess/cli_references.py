"""Commands about reference files: what rules select, copies of files, what was made with one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click

from reprocess import errors
from reprocess.cli_options import (
    EXIT_DAMAGE,
    EXIT_FAILURES,
    archive_argument,
    everywhere,
    is_said,
    json_flag,
    open_archive,
    settings_of,
    show,
    target_of,
    with_all,
)


@click.group(
    short_help="Show which references a context selects; mirror them (sync); check.", invoke_without_command=True
)
@click.option("--context", "contexts", multiple=True, metavar="NAME", help="A .pmap; give two to compare.")
@click.option("--headers", type=click.Path(dir_okay=False), help="JSON Lines: FITS keywords, a header a line.")
@click.option("--references", envvar="CRDS_PATH", metavar="URL", help="Where the rules are (else CRDS_PATH).")
@click.option("--types", default="", help="`all`, or types separated by commas (default: what stage 1 reads).")
@click.option("--check", "count", type=click.IntRange(min=1), metavar="N", help="Compare N exposures with crds itself.")
@click.option("--archive", metavar="ARCHIVE", help="Whose exposures are checked, and whose rules.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Which exposures are drawn.")
@json_flag
@with_all(everywhere)
@click.pass_context
def references(ctx: click.Context, /, contexts: tuple[str, ...], count: int | None, as_json: bool, **rest: Any) -> None:  # noqa: ANN401
    """Show which reference file of each type the rules of a context select for each header of a file.

    With two contexts also the types that they select differently. --json prints one JSON object for each header.
    Nothing is asked of any server: the rules are read from a CRDS cache, a directory or s3://bucket/prefix.

    --check N --archive ARCHIVE draws N exposures of the catalogue at random and compares what is selected for all types
    of their instruments with what crds itself selects; exit code 4 if anything differs.
    """
    if ctx.invoked_subcommand is not None:
        given = [name for name in ctx.params if is_said(ctx, name)]
        if given:
            flag = {"contexts": "context", "count": "check", "as_json": "json"}.get(given[0], given[0])
            raise errors.UsageError(f"--{flag} means nothing before {ctx.invoked_subcommand}. Put it after that.")
        return
    if not contexts:
        raise errors.UsageError("Nothing says which rules are meant. Give --context NAME.pmap.")
    if count:
        _check_selection(ctx, contexts, count, as_json, rest)
    else:
        _show_selection(ctx, contexts, as_json, rest)


def _show_selection(ctx: click.Context, contexts: tuple[str, ...], as_json: bool, rest: Mapping[str, Any]) -> None:
    from reprocess import best, campaign
    from reprocess.archive.context import load_context

    if not rest["headers"]:
        raise errors.UsageError("Nothing says which headers are meant. Give --headers FILE.jsonl, or --check N.")
    if not rest["references"]:
        raise errors.UsageError("Nothing says where the rules are. Give --references URL, or set CRDS_PATH.")
    if len(contexts) > 2:
        raise errors.UsageError(f"--context is given {len(contexts)} times. Give one, or two to compare.")
    found = settings_of(ctx)
    store = campaign.open_url(campaign.absolute(rest["references"]), found)
    loaded = [load_context(store, name, found.cache.path) for name in contexts]
    for row in best.best(best.read_headers(Path(rest["headers"])), loaded, rest["types"]):
        click.echo(json.dumps(best.record(row)) if as_json else best.text(row))


def _check_selection(
    ctx: click.Context, contexts: tuple[str, ...], count: int, as_json: bool, rest: Mapping[str, Any]
) -> NoReturn:
    from reprocess import upkeep

    if not rest["archive"]:
        raise errors.UsageError("Nothing says whose exposures are to be checked. Give --archive ARCHIVE.")
    opened = open_archive(ctx, rest["archive"])
    place = rest["references"] if is_said(ctx, "references") or not opened.root.references else None
    found = upkeep.check(opened, contexts, count, seed=rest["seed"], references=place)
    for each in found:
        click.echo(json.dumps(asdict(each), sort_keys=True) if as_json else upkeep.agreement_text(each))
    sys.exit(EXIT_DAMAGE if any(each.differences or not each.decided for each in found) else 0)


@references.command(short_help="Copy every file that a target needs into the archive.")
@archive_argument
@click.option("--target", required=True, type=click.Path(dir_okay=False), help="TOML file: what to aim at.")
@click.option("--references", metavar="URL", help="Where reference files come from (else as `init` was told).")
@json_flag
@with_all(everywhere)
@click.pass_context
def sync(ctx: click.Context, archive: str, target: str, references: str | None, as_json: bool) -> None:
    """Copy every file that a target needs for the exposures of ARCHIVE into the archive, parameter files included.

    From a CRDS cache, a directory or s3://bucket/prefix. What is there is not copied again; two at a time do no harm.
    Afterwards `plan` and the workers read files from the archive and from nowhere else. Exit code 1 if files or rules
    are missing or of no use; all others are copied. Scan first.
    """
    from reprocess import terminal, upkeep

    opened = open_archive(ctx, archive)
    with terminal.progress("mirroring", enabled=not as_json) as progress:
        done = upkeep.mirror_all(opened, target_of(ctx, target), references, progress)
    show(upkeep.synced_record(done), as_json, lambda _: upkeep.synced_text(done))
    sys.exit(EXIT_FAILURES if done.failed or done.rules else 0)


@click.command(short_help="List the products that were made with a reference file.")
@archive_argument
@click.option("--reference", required=True, metavar="NAME", help="Whole name, with or without crds://.")
@json_flag
@with_all(everywhere)
@click.pass_context
def find(ctx: click.Context, archive: str, reference: str, as_json: bool) -> None:
    """List the products of ARCHIVE that were made with a reference file: ours, and those of others beside Level 1b.

    As of the last scan, and as readers see them. Parameter files (pars-...) are not recorded in products, so they are
    not found. --json prints one JSON object for each product. Products that cannot be read are told at the end; exit
    code 4 if there are any.
    """
    from reprocess import upkeep
    from reprocess.archive.find import Unread

    count, unread = 0, []
    for made in upkeep.made_with(open_archive(ctx, archive), reference):
        if isinstance(made, Unread):
            unread.append(made)
            continue
        count += 1
        click.echo(json.dumps(asdict(made), sort_keys=True) if as_json else upkeep.made_text(made))
    summary = f"{count:,} product(s) were made with {reference}." if count else f"Nothing was made with {reference}."
    click.echo(summary, err=True)
    if unread:
        click.echo(upkeep.unread_text(unread), err=True)
        sys.exit(EXIT_DAMAGE)
