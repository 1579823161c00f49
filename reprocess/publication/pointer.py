"""The pointer of a dataset: which version readers see, and every version that they saw before.

A pointer changes only by compare-and-swap. Two pointers never have the same bytes, because the sequence number grows
and the writer is named; so an ETag that was read once cannot match again later. Each pointer carries the chain of all
commits before it: a writer whose answer was lost finds its own commit there even when others came after it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from reprocess import errors
from reprocess.archive import fingerprint
from reprocess.exposure import Fingerprint
from reprocess.formats import records
from reprocess.publication import manifest as manifests
from reprocess.publication.manifest import Manifest
from reprocess.storage.store import Store

KIND = "pointer"
SCHEMA = 1

Action = Literal["publish", "rollback", "retire", "clean"]


@dataclass(frozen=True, slots=True)
class Commit:
    """One move of a pointer.

    Attributes
    ----------
    version : str
        What readers saw from then on.
    sequence : int
        1 for the first; grows by one.
    writer : str
        UUID of the program that moved it.
    campaign : str
        Whose version it is.
    committed : str
        When, by the store's clock: UTC, ISO 8601 with milliseconds and no zone; never earlier than the one before.
    action : str
        ``publish``; ``rollback``, which shows an earlier version again; ``retire``, which shows none and has an empty
        `version`; ``clean``, which shows the same as before.
    why : str
        What the operator said, where one did.
    """

    version: str
    sequence: int
    writer: str
    campaign: str
    committed: str = ""
    action: Action = "publish"
    why: str = ""


@dataclass(frozen=True)
class Pointer:
    """What readers of a dataset see.

    Attributes
    ----------
    version, sequence, writer, campaign, committed, action, why
        The present commit, see `Commit`. The stored body cannot know its own time of commit and has an empty string
        there; `read` fills it in from the store's stamp.
    plan, created : str
        Digest and time of creation of the plan that made the version.
    context, software, raw, fingerprint
        As in the version's manifest.
    equivalents : tuple of str
        Digests of recipes that were proved to give the same science payload from this raw object.
    history : tuple of Commit
        All earlier commits, oldest first.
    files : tuple of str
        Names of the files of the version, sorted; none in records of earlier releases of this package.
    orphans : tuple of str
        Names of files that an earlier version had and the one that readers see no longer has, sorted.
    removed : tuple of str
        Versions that were cleaned away: nobody goes back to them.
    manifest : str
        SHA-256 of the version's manifest; empty where an earlier release moved the pointer, and in a tombstone.
    """

    dataset: str
    version: str
    sequence: int
    writer: str
    campaign: str
    plan: str
    created: str
    context: str
    software: str
    raw: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: Fingerprint = ()
    equivalents: tuple[str, ...] = ()
    history: tuple[Commit, ...] = ()
    committed: str = ""
    action: Action = "publish"
    why: str = ""
    files: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    manifest: str = ""

    @property
    def commit(self) -> Commit:
        """The present commit."""
        return Commit(self.version, self.sequence, self.writer, self.campaign, self.committed, self.action, self.why)

    @property
    def is_tombstone(self) -> bool:
        """Whether the dataset was retired: readers see no version."""
        return not self.version

    @property
    def chain(self) -> tuple[Commit, ...]:
        """All commits, oldest first, the present one last."""
        return (*self.history, self.commit)

    def has(self, version: str) -> bool:
        """Whether readers see this version or saw it once."""
        return any(commit.version == version for commit in self.chain)


def key(dataset: str) -> str:
    """Where the pointer of a dataset is."""
    return f"pointers/{dataset}.json"


def read(store: Store, dataset: str) -> tuple[Pointer | None, str]:
    """Read the pointer of a dataset and the ETag to swap it by; None and an empty ETag if nothing was published."""
    try:
        blob = store.get(key(dataset))
    except errors.ObjectMissing:
        return None, ""
    pointer = from_bytes(blob.data, name=key(dataset))
    return replace(pointer, committed=_time_of(pointer, blob.stamp.modified)), blob.stamp.etag


def advance(
    present: Pointer | None,
    manifest: Manifest,
    *,
    writer: str,
    equivalents: Iterable[str] = (),
    orphans: Iterable[str] = (),
    action: Action = "publish",
    why: str = "",
) -> Pointer:
    """Make the pointer that comes after `present` and shows the version of `manifest`.

    Equivalents of the same version are kept; those of another version say nothing about this one.
    """
    same = present is not None and present.version == manifest.version
    known = set(present.equivalents if present and same else ()) | set(equivalents)
    return Pointer(
        dataset=manifest.dataset,
        version=manifest.version,
        sequence=present.sequence + 1 if present else 1,
        writer=writer,
        campaign=manifest.campaign,
        plan=manifest.plan,
        created=manifest.created,
        context=manifest.context,
        software=manifest.software,
        raw=dict(manifest.raw),
        fingerprint=manifest.fingerprint,
        equivalents=tuple(sorted(known)),
        history=present.chain if present else (),
        action=action,
        why=why,
        files=tuple(sorted(file.name for file in manifest.files)),
        orphans=tuple(sorted(orphans)),
        removed=present.removed if present else (),
        manifest=manifests.digest(manifest),
    )


def retire(present: Pointer, *, writer: str, why: str) -> Pointer:
    """Make the tombstone that comes after `present`: readers see no version; what made the last one is kept."""
    following = replace(_next(present, writer), version="", campaign="", action="retire", why=why)
    orphans = tuple(sorted({*present.orphans, *present.files}))
    return replace(following, equivalents=(), files=(), orphans=orphans, manifest="")


def without(present: Pointer, versions: Iterable[str], *, writer: str, why: str) -> Pointer:
    """Make the pointer that comes after `present`, shows the same, and lets nobody go back to some versions."""
    removed = tuple(sorted({*present.removed, *versions}))
    return replace(_next(present, writer), action="clean", why=why, removed=removed)


def _next(present: Pointer, writer: str) -> Pointer:
    return replace(present, sequence=present.sequence + 1, writer=writer, history=present.chain, committed="")


def as_of(pointer: Pointer, time: str) -> Commit | None:
    """Find what readers saw at a time (UTC, ISO 8601 with milliseconds and no zone); None before the first commit."""
    seen = [commit for commit in pointer.chain if commit.committed <= time]
    return seen[-1] if seen else None


def to_bytes(pointer: Pointer) -> bytes:
    """Write a pointer as canonical JSON."""
    return records.dumps(KIND, SCHEMA, asdict(pointer))


def from_bytes(data: bytes, *, name: str) -> Pointer:
    """Read a pointer.

    Raises
    ------
    DamagedRecord
        The bytes are no pointer of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        body = {key: value for key, value in body.items() if key not in ("kind", "schema")}
        body["fingerprint"] = fingerprint.from_record(body["fingerprint"])
        body["equivalents"] = tuple(body["equivalents"])
        body["history"] = tuple(Commit(**commit) for commit in body["history"])
        body |= {name: tuple(body[name]) for name in ("files", "orphans", "removed") if name in body}
        return Pointer(**body)
    except (KeyError, TypeError, ValueError) as error:
        raise errors.DamagedRecord(f"{name} is not a whole pointer: {error!r}. Restore an earlier version.") from error


def swap(store: Store, following: Pointer, etag: str) -> None:
    """Commit a pointer in the place of the one that had this ETag; of none, if it is empty.

    Raises
    ------
    PreconditionFailed, AlreadyExists, CommitConflict
        Another commit came before.
    StorageUnavailable
        It is unknown whether the commit was made.
    PublicationError
        The pointer was deleted.
    """
    place, data = key(following.dataset), to_bytes(following)
    if not etag:
        store.put_if_absent(place, data, content_type="application/json")
        return
    try:
        store.compare_and_swap(place, data, etag=etag)
    except errors.ObjectMissing as error:
        raise errors.PublicationError(
            f"{place} was deleted while it was being moved. Pointers are never deleted: restore it, then run again."
        ) from error


def _time_of(pointer: Pointer, modified: str) -> str:
    before = pointer.history[-1].committed if pointer.history else ""
    try:
        moment = datetime.datetime.fromisoformat(modified)
    except ValueError:
        return before
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return max(before, moment.isoformat(timespec="milliseconds"))
