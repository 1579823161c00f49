"""Claims: work that one process at a time should do, though it does no harm when two do it.

A claim is a small object that says who is at work. A process that dies leaves its claim behind; whoever has watched it
for long enough takes it over. Nothing relies on a claim: what is written under it is the same whoever writes it.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

from reprocess import errors
from reprocess.storage.store import Store

T = TypeVar("T")

PATIENCE_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_MET = (errors.PreconditionFailed, errors.CommitConflict, errors.ObjectMissing, errors.StorageUnavailable)


@contextlib.contextmanager
def claimed(
    store: Store, key: str, ready: Callable[[], T | None], *, patience_s: float = PATIENCE_S
) -> Iterator[T | None]:
    """Hold a claim while a block runs, or wait for what somebody else makes.

    Parameters
    ----------
    store : Store
    key : str
        Where the claim is.
    ready : callable
        Gives what was to be made, None as long as it is not there.
    patience_s : float
        How long the claim of somebody else may stay as it is before it is taken over.

    Yields
    ------
    object or None
        What somebody else has made; None when it is for the caller to do.
    """
    mine = uuid.uuid4().hex.encode()
    found = _wait(store, key, ready, mine, patience_s)
    try:
        # Between the last look and the claim, its last holder may have finished.
        yield ready() if found is None else found
    finally:
        if found is None:
            _give_back(store, key, mine)


def _wait(store: Store, key: str, ready: Callable[[], T | None], mine: bytes, patience_s: float) -> T | None:
    """Return what somebody else has made, or None once the claim is ours."""
    seen, since, pause = "", time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            store.put_if_absent(key, mine)
            return None
        except errors.AlreadyExists:
            pass
        except (errors.StorageUnavailable, errors.CommitConflict):
            return None  # a store without claims to give is no reason to wait
        found = ready()
        if found is not None:
            return found
        with contextlib.suppress(*_MET):
            etag = store.head(key).etag
            if etag != seen:
                seen, since = etag, time.monotonic()
            elif time.monotonic() - since > patience_s:
                store.compare_and_swap(key, mine, etag=etag)
                return None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _give_back(store: Store, key: str, mine: bytes) -> None:
    """Remove the claim if it is still ours; one that stays is taken over sooner or later."""
    with contextlib.suppress(errors.StorageError):
        blob = store.get(key)
        if blob.data == mine:
            store.delete(key, etag=blob.stamp.etag)
