"""A sweep for stores whose reads do not wait: one request after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from reprocess import errors
from reprocess.storage.store import Blob, RangeRequest


def one_by_one(
    read: Callable[[RangeRequest], Blob], requests: Iterable[RangeRequest]
) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
    """Read the requests in their order; a `StorageError` stands in the place of its blob."""
    for request in requests:
        try:
            answer: Blob | Exception = read(request)
        except errors.StorageError as error:
            answer = error
        yield request, answer
