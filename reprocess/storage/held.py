"""Reads of an object of which some stretches are in memory already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from reprocess.storage.store import Buffer, ByteRange, Store


class Ranged(Protocol):
    """Whatever gives ranges of objects: a store, or `HeldRanges` of one object."""

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        """Read several ranges of one version of an object, in the order given; see `Store.get_ranges`."""


class HeldRanges:
    """Ranges of one object: from memory where they are there, or else from the store.

    Parameters
    ----------
    store : Store
    key : str
        Name of the object. Others are read from the store.
    held : mapping of int to buffer
        Stretches of it, by the byte where each begins.
    """

    def __init__(self, store: Store, key: str, held: Mapping[int, Buffer]) -> None:
        self._store = store
        self._key = key
        self._held = {start: memoryview(stretch).cast("B") for start, stretch in held.items() if len(stretch)}

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        """Read ranges; the stretches are taken to be of the version `etag`."""
        found = [self._find(part) if key == self._key else None for part in ranges]
        missing = [part for part, view in zip(ranges, found, strict=True) if view is None]
        read = iter(self._store.get_ranges(key, missing, etag=etag) if missing else ())
        return [next(read) if view is None else view for view in found]

    def _find(self, part: ByteRange) -> memoryview | None:
        for start, stretch in self._held.items():
            first = part.start - start
            if first >= 0 and first + part.length <= len(stretch):
                return stretch[first : first + part.length]
        return None
