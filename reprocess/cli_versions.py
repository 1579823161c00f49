"""Commands about versions: get, rollback, retire, release, hold, unhold, holds, clean, verify."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reprocess import errors
from reprocess.cli_options import (
    EXIT_DAMAGE,
    EXIT_FAILURES,
    archive_argument,
    everywhere,
    json_flag,
    open_archive,
    show,
    with_all,
)

if TYPE_CHECKING:
    from reprocess.versions import Told

_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
_dataset = click.argument("dataset", metavar="DATASET")


@click.command(short_help="Copy a published version to a directory, checked byte for byte.")
@archive_argument
@_dataset
@click.option(
    "--as-of", default="", metavar="DATE", help="What readers saw then: 2026-11-21 (its end), or with a time."
)
@click.option("--version", default="", metavar="VERSION", help="This version, whether readers see it or not.")
@click.option("--output-dir", default=".", type=click.Path(file_okay=False), help="Where the files go (default: here).")
@json_flag
@with_all(everywhere)
@click.pass_context
def get(
    ctx: click.Context, archive: str, dataset: str, as_of: str, version: str, output_dir: str, as_json: bool
) -> None:
    """Copy the files of DATASET that readers of ARCHIVE see, or saw at a time, to a directory.

    Each byte is checked against the manifest; then all files appear together, or none of them. Times are those of the
    store's clock, in UTC if nothing else is said.
    """
    from reprocess import versions

    got = versions.get(open_archive(ctx, archive), dataset, Path(output_dir), as_of=as_of, version=version)
    record = {
        "dataset": dataset,
        "version": got.manifest.version,
        "since": got.since,
        "campaign": got.manifest.campaign,
        "files": [str(path) for path in got.paths],
    }
    show(record, as_json, lambda _: "\n".join(map(str, got.paths)))


@click.command(short_help="Show readers an earlier version again.")
@archive_argument
@click.argument("dataset", metavar="[DATASET]", required=False)
@click.option(
    "--campaign", default="", metavar="ID", help="All datasets of which readers see a version of this campaign."
)
@click.option("--release", default="", metavar="NAME", help="All datasets that this release names.")
@click.option("--to", default="", metavar="VERSION", help="With DATASET: this version, which readers saw once.")
@click.option("--why", default="", metavar="TEXT", help="Kept with the move.")
@_dry_run
@json_flag
@with_all(everywhere)
@click.pass_context
def rollback(
    ctx: click.Context,
    /,
    archive: str,
    dataset: str | None,
    campaign: str,
    release: str,
    as_json: bool,
    **rest: Any,  # noqa: ANN401
) -> None:
    """Show readers of ARCHIVE an earlier version again, of one DATASET, of a campaign's datasets, or of a release's.

    DATASET goes back to the version before, once: doing it again changes nothing, --to goes further back, or forward
    again. A campaign's datasets go back to what readers saw before it, a release's to what it names. What was retired
    is shown again. No version is deleted; what readers left is made anew if a later plan asks for it. Cancel a campaign
    that still runs before you take it back: what it publishes afterwards stays.

    Exits with 1 if a dataset was refused: held, or its version before is cleaned away or not whole.
    """
    from reprocess import versions

    if bool(dataset) + bool(campaign) + bool(release) != 1:
        raise errors.UsageError("Say one of DATASET, --campaign ID and --release NAME.")
    if rest["to"] and not dataset:
        raise errors.UsageError("--to names a version of one DATASET.")
    opened, to = open_archive(ctx, archive), rest.pop("to")
    if dataset:
        told: Iterable[Told] = [versions.roll_back(opened, dataset, to=to, **rest)]
    elif campaign:
        told = versions.roll_back_campaign(opened, campaign, **rest)
    else:
        told = versions.roll_back_to_release(opened, release, **rest)
    _tell(told, as_json, dry_run=rest["dry_run"])


def _tell(told: Iterable[Told], as_json: bool, *, dry_run: bool = False) -> None:
    """Print what became of each dataset, and end with 1 if one was refused."""
    every = list(told)
    counts = {what: sum(one.what == what for one in every) for what in ("moved", "as-it-was", "refused")}

    def text(_: object) -> str:
        would = "would be moved" if dry_run else "moved"
        last = f"{counts['moved']:,} {would}, {counts['as-it-was']:,} as they were, {counts['refused']:,} refused"
        return "\n".join([*(_line(one, would) for one in every), last])

    show({"dry_run": dry_run, "counts": counts, "datasets": [asdict(one) for one in every]}, as_json, text)
    if counts["refused"]:
        sys.exit(EXIT_FAILURES)


def _line(one: Told, moved: str) -> str:
    if one.what == "moved":
        return f"{one.dataset}  {moved} from {one.left or 'none'} to {one.shown or 'none'}"
    return f"{one.dataset}  {one.what.replace('-', ' ')}: {one.message}"


@click.command(short_help="Take a dataset away from readers, and tell them why.")
@archive_argument
@_dataset
@click.option("--reason", required=True, metavar="WHY", help="What readers are told.")
@json_flag
@with_all(everywhere)
@click.pass_context
def retire(ctx: click.Context, archive: str, dataset: str, reason: str, as_json: bool) -> None:
    """Take DATASET away from readers of ARCHIVE: they are told that it was retired, when and why.

    Its versions stay, and plans leave it alone, until `reprocess rollback ARCHIVE DATASET` shows it again.
    """
    from reprocess import versions

    _tell([versions.retire(open_archive(ctx, archive), dataset, why=reason)], as_json)


@click.command(short_help="Give the versions that readers see now a name, for ever.")
@archive_argument
@click.argument("name", metavar="NAME")
@click.option(
    "--campaign", default="", metavar="ID", help="Only the datasets of which readers see this campaign's version."
)
@json_flag
@with_all(everywhere)
@click.pass_context
def release(ctx: click.Context, archive: str, name: str, campaign: str, as_json: bool) -> None:
    """Write down, as release NAME, which version of each dataset readers of ARCHIVE see now.

    A release never changes. What it names is never cleaned away, and `reprocess rollback --release NAME` shows all of
    it again.
    """
    from reprocess import versions

    made = versions.release(open_archive(ctx, archive), name, campaign=campaign)
    record = {"name": made.name, "campaign": made.campaign, "versions": dict(made.versions)}
    show(record, as_json, lambda _: f"Release {made.name} names {len(made.versions):,} versions.")


@click.command(short_help="Keep everything away from datasets.")
@archive_argument
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@click.option("--why", required=True, metavar="TEXT", help="Why nothing may touch them.")
@click.option("--who", metavar="NAME", help="Who says so (default: you).")
@json_flag
@with_all(everywhere)
@click.pass_context
def hold(ctx: click.Context, archive: str, datasets: tuple[str, ...], why: str, who: str | None, as_json: bool) -> None:
    """Hold DATASETs of ARCHIVE: nothing makes, publishes, moves, retires or cleans them until `reprocess unhold`."""
    from reprocess import versions

    opened = open_archive(ctx, archive)
    name = who if who is not None else _user()
    made = [versions.hold(opened, dataset, why=why, who=name) for dataset in datasets]
    show([asdict(one) for one in made], as_json, lambda _: "\n".join(map(str, made)))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return ""


@click.command(short_help="Lift holds.")
@archive_argument
@click.argument("datasets", metavar="DATASET...", nargs=-1, required=True)
@json_flag
@with_all(everywhere)
@click.pass_context
def unhold(ctx: click.Context, archive: str, datasets: tuple[str, ...], as_json: bool) -> None:
    """Lift the holds of DATASETs of ARCHIVE: the next plan has them again."""
    from reprocess import versions

    opened = open_archive(ctx, archive)
    lifted = {dataset: versions.unhold(opened, dataset) for dataset in datasets}
    record = {dataset: asdict(one) if one else None for dataset, one in lifted.items()}

    def text(_: object) -> str:
        lines = (f"{dataset}: {'no longer held' if one else 'was not held'}" for dataset, one in lifted.items())
        return "\n".join(lines)

    show(record, as_json, text)


@click.command(short_help="List what is held, by whom and why.")
@archive_argument
@json_flag
@with_all(everywhere)
@click.pass_context
def holds(ctx: click.Context, archive: str, as_json: bool) -> None:
    """List the datasets of ARCHIVE that are held, by whom and why. Changes nothing."""
    from reprocess import versions

    found = list(versions.held(open_archive(ctx, archive)).values())
    show([asdict(one) for one in found], as_json, lambda _: "\n".join(map(str, found)) or "Nothing is held.")


@click.command(short_help="Remove remains and old versions by a retention rule.")
@archive_argument
@click.option("--yes", is_flag=True, help="Do it. Without, only say what would be done.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, which is the default.")
@click.option(
    "--keep", type=click.IntRange(min=1), metavar="N", help="Versions of each dataset that stay (else archive.toml)."
)
@click.option(
    "--older-than", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="DAYS", help="Age."
)
@json_flag
@with_all(everywhere)
@click.pass_context
def clean(
    ctx: click.Context, /, archive: str, yes: bool, dry_run: bool, keep: int | None, older_than: float, as_json: bool
) -> None:
    """Remove what nobody needs from ARCHIVE, and say what storage costs. Without --yes nothing is changed.

    Goes: versions that readers left more than DAYS ago, beyond the N latest of their dataset; versions that they never
    saw, once a later plan has been published; files of no version and staging of campaigns that nobody works off, when
    all of it is older than DAYS. Ages are those of the store's clock; to read it, an object of a few bytes is written.

    Stays, whatever its age: what readers see, what a release names, what is held, what a running campaign may write,
    and the raw exposures, which are never touched. Parts of uploads that were cut off are left to a lifecycle rule of
    the bucket (AbortIncompleteMultipartUpload).
    """
    from reprocess import cleaning, terminal

    if yes and dry_run:
        raise errors.UsageError("--yes and --dry-run were given. Give one of them.")
    opened = open_archive(ctx, archive)
    with terminal.progress("cleaning" if yes else "looking", enabled=not as_json) as progress:
        found = cleaning.clean(opened, keep=keep, older_than_days=older_than, act=yes, progress=progress)
    show(cleaning.record(found), as_json, lambda _: cleaning.text(found))
    if found.problems:
        sys.exit(EXIT_FAILURES)


@click.command(short_help="Hold the bucket against manifests and ledger, byte for byte.")
@archive_argument
@click.option("--all", "everything", is_flag=True, help="Read back older versions, too.")
@json_flag
@with_all(everywhere)
@click.pass_context
def verify(ctx: click.Context, archive: str, everything: bool, as_json: bool) -> None:
    """Read back every version that readers of ARCHIVE see, byte for byte, and close the sum of every campaign.

    Older versions are compared with their manifests by name and size. What the ledger calls published has to be there.
    Exits with 4 if something is damaged or a sum does not close: a candidate of a campaign that has ended, or was cut
    off, has no class. Files of no version are told, but are no damage. Changes nothing.

    What is damaged is made again by `reprocess plan ARCHIVE --target TARGET.toml --again DATASET`, and `run`.
    """
    from reprocess import terminal, verification

    with terminal.progress("reading back", enabled=not as_json) as progress:
        found = verification.verify(open_archive(ctx, archive), progress, everything=everything)
    show(verification.record(found), as_json, lambda _: verification.text(found))
    sys.exit(0 if found.is_sound else EXIT_DAMAGE)


COMMANDS = (get, rollback, release, retire, hold, unhold, holds, clean, verify)
