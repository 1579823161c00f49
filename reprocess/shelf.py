"""The references that a worker process keeps between units, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from reprocess.calibration.reference import Reference

Key = tuple[object, ...]


class Shelf:
    """References by key, the least recently used given up first.

    Parameters
    ----------
    limit_bytes : int
        Bytes of arrays that are kept at most; what is larger is handed out and not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, Reference] = OrderedDict()
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are kept."""
        return sum(map(_size, self._kept.values()))

    def get(self, key: Key, read: Callable[[], Reference]) -> Reference:
        """Return the reference of `key`, read at its first use. Its arrays must not be changed."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = read()
        for array in found.arrays.values():
            array.flags.writeable = False
        with self._lock:
            if _size(found) <= self.limit_bytes:
                self._kept[key] = found
            while self.size_bytes > self.limit_bytes:
                self._kept.popitem(last=False)
        return found


def _size(reference: Reference) -> int:
    return sum(array.nbytes for array in reference.arrays.values())
