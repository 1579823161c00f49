"""How a version is removed, so that at any moment it is there whole or is told to be gone.

1. The pointer notes the version as removed, by compare-and-swap: from then on nothing goes back to it.
2. ``removed.json`` is written beside it: who plans takes another incarnation.
3. The manifest is replaced by the same record, by compare-and-swap; where there was none, it is written if absent. The
   version has ended, and a worker that still writes it can never finish it.
4. The files are deleted, each only as it was listed.

A removal that was cut off anywhere is finished by the next one. Commit keys are never deleted.
"""

from __future__ import annotations

import contextlib

from reprocess import errors
from reprocess.publication import manifest as manifests
from reprocess.publication import removed
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.publication.removed import Removed
from reprocess.publication.stored import MANIFEST, Stored
from reprocess.storage.store import Blob, Stamp, Store


def remove(store: Store, record: Removed, stored: Stored, *, given_up: bool, patience: Patience = PATIENT) -> int:
    """Remove a version that its pointer has given up, or remains that never were one.

    Parameters
    ----------
    record : Removed
        What is to stand in its place.
    stored : Stored
        What a listing found of it.
    given_up : bool
        Whether the pointer notes it as removed. If not, a manifest that has come meanwhile saves it.

    Returns
    -------
    int
        Bytes of the files that were deleted; 0 if the version was finished or written anew meanwhile.

    Raises
    ------
    StorageError
        The store refused, or did not answer often enough; doing it again is safe.
    """
    prefix = manifests.prefix(record.dataset, record.version)
    data = removed.to_bytes(record)
    with contextlib.suppress(errors.PublicationError):  # there is one of an earlier removal
        put_once(store, prefix + removed.NAME, data, patience=patience)
    if not _end(store, prefix + MANIFEST, data, given_up=given_up, patience=patience):
        store.delete(prefix + removed.NAME)
        return 0
    return sum(_delete(store, stamp) for stamp in stored.files)


def _end(store: Store, key: str, data: bytes, *, given_up: bool, patience: Patience) -> bool:
    """Put the record in the place of the manifest; False if a version came to be where there were only remains."""
    for number in patience.rounds():
        try:
            if (blob := _present(store, key)) is None:
                store.put_if_absent(key, data, content_type="application/json")
                return True
            if removed.is_one(blob.data):
                return True
            if not given_up:
                return False
            store.compare_and_swap(key, data, etag=blob.stamp.etag)
            return True
        except (errors.StorageUnavailable, errors.CommitConflict, errors.PreconditionFailed, errors.AlreadyExists):
            if number == patience.tries:
                raise
    raise errors.StorageUnavailable(f"No try was allowed to end {key}.")


def _present(store: Store, key: str) -> Blob | None:
    try:
        return store.get(key)
    except errors.ObjectMissing:
        return None


def _delete(store: Store, stamp: Stamp) -> int:
    try:
        store.delete(stamp.key, etag=stamp.etag)
    except errors.PreconditionFailed:
        return 0  # somebody wrote it anew: the next clean-up sees it
    return stamp.size
