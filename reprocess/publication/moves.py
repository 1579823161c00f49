"""Moves of a pointer that an operator makes: back to an earlier version, to a tombstone, away from what is cleaned.

Each is one compare-and-swap. What is to be done is decided anew from each pointer that is read, so a version that
somebody publishes meanwhile is never lost: it is seen, and the move is decided again or refused. An answer that was
lost is found in the chain, by the writer's UUID.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass

from reprocess import errors
from reprocess.publication import chain, publish
from reprocess.publication import pointer as pointers
from reprocess.publication.manifest import Manifest
from reprocess.publication.patience import Patience
from reprocess.publication.pointer import Pointer
from reprocess.publication.publish import PATIENT
from reprocess.storage.store import Store

Decide = Callable[[Pointer, str], Pointer | None]
"""Takes the present pointer and the writer; gives the one that is to follow, None for none, or raises."""

_NOT_MADE = (errors.StorageUnavailable, errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists)


@dataclass(frozen=True, slots=True)
class Move:
    """What a move did to one dataset: from a version to another, both empty where readers see none.

    Attributes
    ----------
    dataset : str
    left, shown : str
        The same if nothing was to be done.
    moved : bool
    sequence : int
        Of the commit with which readers came to what they see now.
    """

    dataset: str
    left: str
    shown: str
    moved: bool
    sequence: int = 0


def commit(store: Store, dataset: str, decide: Decide, *, patience: Patience = PATIENT) -> Move:
    """Commit what `decide` makes of the present pointer.

    Raises
    ------
    UsageError
        Nothing was ever published of the dataset.
    StorageUnavailable, CommitConflict
        It stays unknown whether the move was made; calling again is safe.
    """
    writer = str(uuid.uuid4())
    for number in patience.rounds():
        present, etag = _read(store, dataset, patience)
        if (landed := _landed(present, writer)) is not None:
            return landed
        following = decide(present, writer)
        if following is None:
            since = chain.arrival(present).sequence
            return Move(dataset, present.version, present.version, moved=False, sequence=since)
        try:
            pointers.swap(store, following, etag)
            return Move(dataset, present.version, following.version, moved=True, sequence=following.sequence)
        except _NOT_MADE:
            if number == patience.tries:
                if (landed := _landed(_read(store, dataset, patience)[0], writer)) is not None:
                    return landed
                raise
    raise errors.StorageUnavailable(f"No try was allowed to move the pointer of {dataset}.")


def back(
    store: Store, dataset: str, choose: Callable[[Pointer], str], *, why: str, patience: Patience = PATIENT
) -> Move:
    """Show a version again that readers saw before, or that a release has.

    Parameters
    ----------
    choose : callable
        Takes the present pointer and gives the version to show; an empty one to leave things as they are.
    why : str
        What the operator says.

    Raises
    ------
    VersionRemoved, PublicationError
        The version is not there any more, or not whole. Nothing was changed.
    """

    def decide(present: Pointer, writer: str) -> Pointer | None:
        version = choose(present)
        if version in ("", present.version):
            return None
        if version in present.removed:
            raise errors.VersionRemoved(f"{dataset}: version {version} was cleaned away, so nothing goes back to it.")
        manifest = whole(store, dataset, version)
        orphans = publish.orphans(store, present, manifest, patience)
        return pointers.advance(present, manifest, writer=writer, orphans=orphans, action="rollback", why=why)

    return commit(store, dataset, decide, patience=patience)


def retire(store: Store, dataset: str, *, why: str, patience: Patience = PATIENT) -> Move:
    """Show readers no version of a dataset, and tell them why; nothing is deleted."""

    def decide(present: Pointer, writer: str) -> Pointer | None:
        return None if present.is_tombstone else pointers.retire(present, writer=writer, why=why)

    return commit(store, dataset, decide, patience=patience)


def give_up(
    store: Store, dataset: str, choose: Callable[[Pointer], Collection[str]], *, why: str, patience: Patience = PATIENT
) -> tuple[str, ...]:
    """Note versions as removed before they are: from then on nobody goes back to them.

    Parameters
    ----------
    choose : callable
        Takes the present pointer and gives the versions that may go.

    Returns
    -------
    tuple of str
        Those that were noted, by this call or an earlier one.
    """
    chosen: tuple[str, ...] = ()

    def decide(present: Pointer, writer: str) -> Pointer | None:
        nonlocal chosen
        chosen = tuple(sorted(set(choose(present)) - {present.version}))
        if set(chosen) <= set(present.removed):
            return None
        return pointers.without(present, chosen, writer=writer, why=why)

    commit(store, dataset, decide, patience=patience)
    return chosen


def whole(store: Store, dataset: str, version: str) -> Manifest:
    """Read the manifest of a version, and look with one listing whether all its files are there.

    Raises
    ------
    VersionRemoved, PublicationError
        It was cleaned away, or it is not whole.
    """
    manifest = publish.need_version(store, dataset, version)
    there = {stamp.key: stamp.size for stamp in store.list(manifest.prefix)}
    for file in manifest.files:
        if there.get(manifest.prefix + file.name) != file.size:
            raise errors.PublicationError(
                f"{dataset}: version {version} is not whole, {file.name} is missing or of another size. Nothing was "
                "changed; go back to another version, or make it again with `reprocess plan --again`."
            )
    return manifest


def to_before(present: Pointer) -> str:
    """Choose what readers saw before the present version, once: what was brought back by hand is left alone.

    Raises
    ------
    PublicationError
        There is nothing before it.
    """
    if chain.arrival(present).action == "rollback":
        return ""
    before = chain.before(present)
    if before is None:
        raise errors.PublicationError(
            f"{present.dataset}: nothing was shown before version {present.version}. `reprocess retire` takes it away."
        )
    return before.version


def to_before_campaign(present: Pointer, campaign: str) -> str:
    """Choose what readers saw before a campaign, if they see a version of it now.

    Raises
    ------
    PublicationError
        There is nothing before it.
    """
    if present.campaign != campaign:
        return ""
    before = chain.before_campaign(present, campaign)
    if before is None:
        raise errors.PublicationError(
            f"{present.dataset}: nothing was shown before campaign {campaign}. `reprocess retire` takes it away."
        )
    return before.version


def _read(store: Store, dataset: str, patience: Patience) -> tuple[Pointer, str]:
    present, etag = patience.insist(lambda: pointers.read(store, dataset))
    if present is None:
        raise errors.UsageError(f"{store.url} has published nothing of {dataset!r}. Check the name.")
    return present, etag


def _landed(present: Pointer, writer: str) -> Move | None:
    """Tell what a commit of this writer did that was made although no answer came."""
    for before, after in zip(("", *(each.version for each in present.chain)), present.chain, strict=False):
        if after.writer == writer:
            return Move(present.dataset, before, after.version, moved=True, sequence=after.sequence)
    return None
