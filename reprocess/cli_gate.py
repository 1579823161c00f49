"""Commands that decide on versions which the gate held back: accept, reject."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from reprocess.cli_options import archive_argument, everywhere, json_flag, open_archive, show, with_all

if TYPE_CHECKING:
    from reprocess.gatekeeping import Decision

_dataset = click.argument("dataset", metavar="DATASET")
_version = click.argument("version", metavar="VERSION")


@click.command(short_help="Let readers see a version that was held back.")
@archive_argument
@_dataset
@_version
@json_flag
@with_all(everywhere)
@click.pass_context
def accept(ctx: click.Context, archive: str, dataset: str, version: str, as_json: bool) -> None:
    """Let readers see VERSION of DATASET, which was held back because it differs by more than the budget allows.

    The report of its campaign says how it differs. A version of an earlier plan than the one that readers see is
    refused: it was overtaken.
    """
    from reprocess import gatekeeping

    decided = gatekeeping.accept(open_archive(ctx, archive), dataset, version)
    show(asdict(decided), as_json, lambda _: _accepted(decided))


@click.command(short_help="Refuse a version that was held back.")
@archive_argument
@_dataset
@_version
@click.option("--why", default="", help="Kept with the refusal.")
@json_flag
@with_all(everywhere)
@click.pass_context
def reject(ctx: click.Context, archive: str, dataset: str, version: str, why: str, as_json: bool) -> None:
    """Note that readers are not to see VERSION of DATASET, which was held back. They keep what they see now.

    No later plan tries it again until its inputs change, or `reprocess retry` is run. It can still be accepted as long
    as it is not cleaned away.
    """
    from reprocess import gatekeeping

    decided = gatekeeping.reject(open_archive(ctx, archive), dataset, version, why=why)
    show(asdict(decided), as_json, lambda _: _rejected(decided))


def _accepted(decided: Decision) -> str:
    if not decided.changed:
        return f"{decided.dataset}: readers see {decided.version} already."
    before = f"before: {decided.left}" if decided.left else "before: none"
    held = f"\nIt was held back: {decided.held_back}" if decided.held_back else ""
    return f"{decided.dataset}: readers see {decided.shown} now ({before}).{held}"


def _rejected(decided: Decision) -> str:
    sees = f"Readers go on seeing {decided.shown}." if decided.shown else "Readers see none."
    again = "" if decided.changed else " already"
    return f"{decided.dataset}: {decided.version} is rejected{again} ({decided.held_back}). {sees}"
