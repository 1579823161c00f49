"""What an operator says of a version that the gate held back: accept it, or reject it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from reprocess import errors
from reprocess.campaign import Archive
from reprocess.comparison import published
from reprocess.publication import events, holds, moves, publish, refusals
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication.manifest import Manifest
from reprocess.publication.pointer import Pointer
from reprocess.publication.refusals import Refusal

HELD_BACK, REJECTED = "held-back", "rejected"
ACCEPTED = "accepted by an operator after it was held back"
_SHOWN = 10  # names of versions in a message


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a version.

    Attributes
    ----------
    dataset, version : str
    what : str
        ``accepted`` or ``rejected``.
    left, shown : str
        The versions that readers saw before and see now; empty where they see none.
    changed : bool
        False if the same was said before.
    held_back : str
        Why the gate held it back, or what was said when it was rejected.
    """

    dataset: str
    version: str
    what: str
    left: str
    shown: str
    changed: bool
    held_back: str


def accept(archive: Archive, dataset: str, version: str) -> Decision:
    """Let readers see a version that was held back or rejected; doing it again changes nothing.

    Raises
    ------
    UsageError
        There is no such version, or it was not held back.
    OnHold
        Nothing touches the dataset.
    Overtaken
        Readers see a version of a later plan, or the dataset was retired.
    VersionRemoved, PublicationError
        The version is not there any more, or not whole.
    """
    holds.check(archive.store, dataset)
    manifest, pointer, refusal = _found(archive, dataset, version)
    if pointer is not None and pointer.version == version:
        # An earlier call may have died in between; after one that came to its end nothing refuses the version.
        if (dataset, refusals.run_key(version)) in refusals.read(archive.store):
            _tell(archive, pointer)
        _release(archive, manifest, refusal)
        return Decision(dataset, version, "accepted", version, version, changed=False, held_back=_why(refusal))
    if pointer is not None and pointer.has(version):
        raise errors.UsageError(
            f"{dataset}: readers saw {version} before, and see {pointer.version} now. `reprocess rollback` goes back."
        )
    if refusal is None:
        raise errors.UsageError(
            f"{dataset}: version {version} was not held back, so there is nothing to accept. `reprocess run` publishes "
            "what a plan has made."
        )
    moves.whole(archive.store, dataset, version)
    publish.move_pointer(archive.store, manifest, writer=str(uuid.uuid4()))
    now, _ = pointers.read(archive.store, dataset)
    if now is not None and now.version == version:  # else somebody was faster, who tells of it
        _tell(archive, now)
    _release(archive, manifest, refusal)
    left = pointer.version if pointer else ""
    return Decision(dataset, version, "accepted", left, version, changed=True, held_back=_why(refusal))


def reject(archive: Archive, dataset: str, version: str, *, why: str = "") -> Decision:
    """Note that readers are not to see a version that was held back; later plans do not try it again.

    The version stays until old versions are cleaned away, and can still be accepted.

    Raises
    ------
    UsageError
        There is no such version, or readers see it.
    """
    manifest, pointer, refusal = _found(archive, dataset, version)
    shown = pointer.version if pointer else ""
    if shown == version:
        raise errors.UsageError(f"{dataset}: readers see {version}. `reprocess rollback` goes back to the one before.")
    if refusal is not None and refusal.outcome_class == REJECTED and why in ("", refusal.message):
        return Decision(dataset, version, "rejected", shown, shown, changed=False, held_back=refusal.message)
    campaign = refusal.campaign if refusal else manifest.campaign
    said = why or _why(refusal) or "rejected by an operator"
    refused = Refusal(dataset, refusals.run_key(version), REJECTED, said, campaign)
    refusals.note(archive.store, campaign, [refused])
    return Decision(dataset, version, "rejected", shown, shown, changed=True, held_back=said)


def _found(archive: Archive, dataset: str, version: str) -> tuple[Manifest, Pointer | None, Refusal | None]:
    """Read a version, the pointer of its dataset, and what was said of the version."""
    manifest = publish.read_version(archive.store, dataset, version)
    if manifest is None:
        raise errors.UsageError(
            f"{archive.store.url} has no version {version!r} of {dataset!r}. {_kept(archive, dataset)}"
        )
    pointer, _ = pointers.read(archive.store, dataset)
    refusal = refusals.read(archive.store).get((dataset, refusals.run_key(version)))
    return manifest, pointer, refusal or _from_difference(archive, manifest)


def _from_difference(archive: Archive, manifest: Manifest) -> Refusal | None:
    """Read from the kept difference that a version was held back: a campaign that died may not have noted it."""
    found = published.read(archive.store, manifest.campaign, manifest.dataset)
    if found is None or found.get("version") != manifest.version:
        return None
    said = " ".join(map(str, found.get("reasons", ())))
    return Refusal(manifest.dataset, refusals.run_key(manifest.version), HELD_BACK, said, manifest.campaign)


def _kept(archive: Archive, dataset: str) -> str:
    place = manifests.prefix(dataset, "").rstrip("/") + "/"
    names = [each.removeprefix(place).rstrip("/") for each in archive.store.prefixes(place)]
    return f"It has {', '.join(names[:_SHOWN])}." if names else "It has none; check the name of the dataset."


def _why(refusal: Refusal | None) -> str:
    return refusal.message if refusal else ""


def _tell(archive: Archive, pointer: Pointer) -> None:
    """Tell whoever listens what readers see since a version was accepted."""
    kind = "reprocessed" if pointer.history else "new"
    campaign, sequence = pointer.campaign, pointer.sequence
    told = events.by_hand(
        kind, pointer.dataset, pointer.version, campaign=campaign, sequence=sequence, message=ACCEPTED
    )
    events.tell(archive.store, [told])


def _release(archive: Archive, manifest: Manifest, refusal: Refusal | None) -> None:
    for campaign in dict.fromkeys((manifest.campaign, *([refusal.campaign] if refusal else []))):
        refusals.release(archive.store, campaign, [manifest.dataset])
