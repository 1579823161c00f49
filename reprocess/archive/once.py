"""Writing what is the same whoever writes it: keys named by their content, or by what decides it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable

from reprocess import errors
from reprocess.storage.store import Stamp, Store

PIECE_BYTES = 16 * 2**20
_PAUSES_S = (0.2, 1.0, 5.0)


def write_once(store: Store, key: str, data: bytes, *, sha256: str = "") -> None:
    """Write an immutable object unless it is there.

    A write whose fate is unknown is tried again: it does no harm, because every writer of this key has the same bytes.

    Raises
    ------
    StorageError
        The store refuses, or does not answer four times in a row.
    """
    digest = sha256 or hashlib.sha256(data).hexdigest()
    _until_known(lambda: _write(store, key, data, digest))


def write_pieces_once(store: Store, key: str, pieces: Callable[[], Iterable[bytes]], *, sha256: str) -> None:
    """Write an immutable object, too large to be held, unless it is there; see `write_once`.

    Parameters
    ----------
    store : Store
    key : str
    pieces : callable
        Gives the bytes piece by piece, each time that it is called.
    sha256 : str
        Digest of the whole.
    """
    _until_known(lambda: store.upload_if_absent(key, pieces(), sha256=sha256))


def _until_known(write: Callable[[], Stamp]) -> None:
    """Try to write until it is known that the object is there."""
    pauses = iter(_PAUSES_S)
    while True:
        try:
            write()
        except errors.AlreadyExists:
            return
        except (errors.StorageUnavailable, errors.CommitConflict):
            pause = next(pauses, None)
            if pause is None:
                raise
            time.sleep(pause)
        else:
            return


def _write(store: Store, key: str, data: bytes, digest: str) -> Stamp:
    if len(data) <= PIECE_BYTES:
        return store.put_if_absent(key, data, sha256=digest)
    view = memoryview(data)
    parts = (view[at : at + PIECE_BYTES] for at in range(0, len(view), PIECE_BYTES))
    return store.upload_if_absent(key, parts, sha256=digest)
