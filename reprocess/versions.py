"""What readers and operators do with versions: get one, go back, retire, name a release, hold a dataset.

Pointers are moved by compare-and-swap only, and each call says what became of each dataset.
"""

from __future__ import annotations

import datetime
import difflib
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from reprocess import download, errors
from reprocess.archive import catalogue, keys
from reprocess.campaign import Archive, find_plan
from reprocess.publication import chain, events, holds, moves, publish, records_of, releases
from reprocess.publication import pointer as pointers
from reprocess.publication.alongside import alongside
from reprocess.publication.holds import Hold
from reprocess.publication.manifest import Manifest
from reprocess.publication.pointer import Commit, Pointer
from reprocess.publication.releases import Release

_NEAR = 1000  # names that are compared with one that is unknown

Choose = Callable[[Pointer], str]
"""Takes the present pointer, gives the version to show; an empty one to leave things as they are."""


@dataclass(frozen=True)
class Got:
    """A version that was copied: its manifest, when readers saw it first, and where its files are now."""

    manifest: Manifest
    since: str
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one dataset.

    Attributes
    ----------
    dataset : str
    what : str
        ``moved``, ``as-it-was`` or ``refused``.
    left, shown : str
        Versions before and after; empty where readers see none.
    message : str
        Why it was refused or left as it was; empty if it was moved.
    sequence : int
        Number of the move in the pointer's chain, that of an earlier one if it was made then; else 0.
    """

    dataset: str
    what: str
    left: str = ""
    shown: str = ""
    message: str = ""
    sequence: int = 0


def get(archive: Archive, dataset: str, directory: Path, *, as_of: str = "", version: str = "") -> Got:
    """Copy the version that readers see, or saw, to a directory.

    Parameters
    ----------
    archive : Archive
    dataset : str
    directory : Path
    as_of : str
        A date, or a date and a time (ISO 8601, UTC if nothing else is said); a date alone means its end.
    version : str
        A version by its name, whether or not readers see it; excludes `as_of`.

    Raises
    ------
    UsageError
        The dataset is not known, nothing was published at that time, or the directory cannot be written.
    PublicationError
        There is no such version.
    Retired
        Readers saw no version then.
    VersionRemoved
        It was cleaned away.
    ChecksumMismatch, ObjectMissing
        It is damaged.
    """
    if as_of and version:
        raise errors.UsageError("A version and a date were given. Give one of them.")
    since = ""
    if not version:
        commit = seen(archive, dataset, instant(as_of) if as_of else "")
        version, since = commit.version, commit.committed
    manifest = publish.need_version(archive.store, dataset, version)
    return Got(manifest, since, download.download(archive.store, manifest, directory))


def seen(archive: Archive, dataset: str, time: str = "") -> Commit:
    """Find the commit that readers see, or saw at a time (UTC, ISO 8601 with milliseconds and no zone).

    Raises
    ------
    UsageError
        Nothing is published of the dataset, or nothing was then.
    Retired
        It was retired.
    """
    pointer = _pointer(archive, dataset)
    commit = pointers.as_of(pointer, time) if time else chain.arrival(pointer)
    if commit is None:
        first = pointer.chain[0]
        raise errors.UsageError(
            f"{dataset}: readers saw nothing at {time} UTC. The first version is {first.version}, of "
            f"{first.committed} UTC."
        )
    if not commit.version:
        raise errors.Retired(
            f"{dataset} was retired at {commit.committed} UTC: {commit.why}. An earlier version is still got with "
            "--as-of or --version."
        )
    return commit


def instant(text: str) -> str:
    """Read a date, or a date and a time, as the time that a pointer's commits are compared with.

    Raises
    ------
    UsageError
        It is none.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise errors.UsageError(f"{text!r} is no date. Write 2026-11-21, or 2026-11-21T14:00:00Z.") from error
    if len(text.strip()) <= len("2026-11-21"):
        moment = datetime.datetime.combine(moment.date(), datetime.time.max)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds")


def _pointer(archive: Archive, dataset: str) -> Pointer:
    pointer, _ = pointers.read(archive.store, dataset)
    if pointer is None:
        near = _nearest(archive, dataset)
        more = f" The nearest are {', '.join(near)}." if near else ""
        raise errors.UsageError(f"{archive.store.url} has published nothing of {dataset!r}.{more} Check the name.")
    return pointer


def _nearest(archive: Archive, dataset: str) -> list[str]:
    stamps = itertools.islice(archive.store.list(f"pointers/{dataset[:7]}"), _NEAR)
    names = [stamp.key.removeprefix("pointers/").removesuffix(".json") for stamp in stamps]
    return difflib.get_close_matches(dataset, names)


def roll_back(archive: Archive, dataset: str, *, to: str = "", why: str = "", dry_run: bool = False) -> Told:
    """Show the version of a dataset again that readers saw before, or one by its name.

    Without `to`, a dataset that was brought back by hand already is left as it is: doing it twice goes back once.
    """

    def choose(present: Pointer) -> str:
        if not to:
            return moves.to_before(present)
        if not present.has(to):
            known = ", ".join(dict.fromkeys(commit.version for commit in present.chain if commit.version))
            raise errors.UsageError(f"Readers of {dataset} never saw a version {to}. They saw {known}.")
        return to

    told = _told(archive, dataset, choose, why, dry_run=dry_run)
    _tell(archive, [told], "rolled-back", why)
    return told


def roll_back_campaign(archive: Archive, campaign: str, *, why: str = "", dry_run: bool = False) -> list[Told]:
    """Show again what readers saw before a campaign, for each dataset of which they see a version of it.

    Raises
    ------
    PlanError
        There is no such campaign.
    """
    made = find_plan(archive, campaign)
    name = made.digest[:16]
    before = dict.fromkeys((item.dataset for item in made.items if item.action == "calibrate"), _before(name))
    return _all_told(archive, before, why or f"rollback of campaign {name}", dry_run=dry_run)


def roll_back_to_release(archive: Archive, name: str, *, why: str = "", dry_run: bool = False) -> list[Told]:
    """Show every version that a release names.

    Raises
    ------
    UsageError
        There is no such release.
    """
    named = releases.read(archive.store, name).versions
    wanted = {dataset: _exactly(version) for dataset, version in sorted(named.items())}
    return _all_told(archive, wanted, why or f"rollback to release {name}", dry_run=dry_run)


def _before(campaign: str) -> Choose:
    return lambda present: moves.to_before_campaign(present, campaign)


def _exactly(version: str) -> Choose:
    return lambda present: version


def _all_told(archive: Archive, wanted: Mapping[str, Choose], why: str, *, dry_run: bool) -> list[Told]:
    """Go back with many datasets, and tell whoever listens, whatever comes in between."""
    told: list[Told] = []
    try:
        for each in alongside(lambda one: _told(archive, *one, why, dry_run=dry_run), wanted.items()):
            told.append(each)
    finally:
        _tell(archive, told, "rolled-back", why)
    return told


def _tell(archive: Archive, told: Iterable[Told], kind: str, why: str) -> None:
    """Tell events of what was moved, now or by an earlier call that may not have come to tell them."""
    events.tell(
        archive.store,
        [
            events.by_hand(kind, one.dataset, one.shown or one.left, sequence=one.sequence, message=why)
            for one in told
            if one.sequence
        ],
    )


def _told(archive: Archive, dataset: str, choose: Choose, why: str, *, dry_run: bool) -> Told:
    """Go back with one dataset, or only say what that would do."""
    try:
        holds.check(archive.store, dataset)
        pointer = _pointer(archive, dataset)
        if dry_run:
            return _would(archive, pointer, choose(pointer))
        move = moves.back(archive.store, dataset, choose, why=why)
    except (errors.PublicationError, errors.DamagedRecord, errors.UsageError) as error:
        return Told(dataset, "refused", message=str(error))
    if move.moved:
        return Told(dataset, "moved", move.left, move.shown, sequence=move.sequence)
    earlier = move.sequence if chain.arrival(pointer).action == "rollback" else 0
    return Told(dataset, "as-it-was", move.left, move.shown, _why_not(pointer), earlier)


def _would(archive: Archive, pointer: Pointer, version: str) -> Told:
    if version in ("", pointer.version):
        return Told(pointer.dataset, "as-it-was", pointer.version, pointer.version, _why_not(pointer))
    if version in pointer.removed:
        raise errors.VersionRemoved(f"{pointer.dataset}: version {version} was cleaned away.")
    moves.whole(archive.store, pointer.dataset, version)
    return Told(pointer.dataset, "moved", pointer.version, version)


def _why_not(pointer: Pointer) -> str:
    arrival = chain.arrival(pointer)
    if arrival.action == "rollback":
        return f"shown since the rollback of {arrival.committed} UTC; to go further back, name a version with --to"
    return "nothing to go back from"


def retire(archive: Archive, dataset: str, *, why: str) -> Told:
    """Take a dataset away from readers and tell them why; its files stay, and `roll_back` shows it again.

    Raises
    ------
    UsageError
        Nothing is published of it, or no reason is given.
    OnHold
        It is held.
    """
    if not why.strip():
        raise errors.UsageError("Readers are told why a dataset was retired. Give --reason.")
    holds.check(archive.store, dataset)
    _pointer(archive, dataset)
    move = moves.retire(archive.store, dataset, why=why)
    what, message = ("moved", "") if move.moved else ("as-it-was", "retired")
    told = Told(dataset, what, move.left, move.shown, message, move.sequence)
    _tell(archive, [told], "retired", why)
    return told


def release(archive: Archive, name: str, *, campaign: str = "") -> Release:
    """Name the versions that readers see now; of one campaign only, if it is said.

    Raises
    ------
    UsageError
        The name is taken or cannot be one, or there is nothing to name.
    PlanError
        There is no such campaign.
    DamagedRecord
        A pointer cannot be read, so the release would not be whole.
    """
    releases.key(name)
    only = find_plan(archive, campaign).digest[:16] if campaign else ""
    versions: dict[str, str] = {}
    for blob in records_of.read_all(archive.store, "pointers/"):
        pointer = pointers.from_bytes(blob.data, name=blob.stamp.key)
        if not pointer.is_tombstone and only in ("", pointer.campaign):
            versions[pointer.dataset] = pointer.version
    made = Release(name, dict(sorted(versions.items())), only)
    releases.write(archive.store, made)
    return made


def hold(archive: Archive, dataset: str, *, why: str, who: str) -> Hold:
    """Keep everything away from a dataset until somebody lifts the hold.

    Raises
    ------
    UsageError
        The archive does not know the dataset, somebody holds it already, or no reason is given.
    """
    if not why.strip() or not who.strip():
        raise errors.UsageError("A hold says why and who. Give --why and --who.")
    _check_known(archive, dataset)
    return holds.put(archive.store, Hold(dataset, why.strip(), who.strip()))


def unhold(archive: Archive, dataset: str) -> Hold | None:
    """Lift a hold; None if there was none."""
    return holds.lift(archive.store, dataset)


def held(archive: Archive) -> Mapping[str, Hold]:
    """Read all holds, by dataset."""
    return holds.read(archive.store)


def _check_known(archive: Archive, dataset: str) -> None:
    known = catalogue.open_catalogue(archive.store)
    if dataset not in known.datasets(keys.program(dataset)):
        near = difflib.get_close_matches(dataset, known.datasets(keys.program(dataset)))
        more = f" The nearest are {', '.join(near)}." if near else ""
        raise errors.UsageError(f"The catalogue has no dataset {dataset!r}, so a hold would hold nothing.{more}")
