"""Every record below a prefix, read many at a time: pointers, holds, releases."""

from __future__ import annotations

from collections.abc import Iterator

from reprocess import errors
from reprocess.storage.store import Blob, ByteRange, RangeRequest, Store


def read_all(store: Store, prefix: str) -> Iterator[Blob]:
    """Read every object below a prefix whole, in the order in which the answers come.

    One that is replaced meanwhile is read as it is then; one that is deleted meanwhile is left out.

    Raises
    ------
    StorageError
        The store refused, or did not answer.
    """
    requests = (
        RangeRequest(stamp.key, ByteRange(0, max(1, stamp.size)), stamp.etag)
        for stamp in store.list(prefix)
        if stamp.key.endswith(".json")
    )
    for request, answer in store.sweep(requests):
        if isinstance(answer, Blob):
            yield answer
        elif isinstance(answer, errors.PreconditionFailed):
            try:
                yield store.get(request.key)
            except errors.ObjectMissing:
                continue
        elif not isinstance(answer, errors.ObjectMissing):
            raise answer
