"""Bodies of objects that lie in memory in one piece or in several, which are never put together."""

from __future__ import annotations

import io
from collections.abc import Sequence

from reprocess.storage.store import Buffer

Body = Buffer | Sequence[Buffer]
"""One buffer, or several whose bytes follow each other."""


def pieces(body: Body) -> list[memoryview]:
    """Give a body as flat views of its buffers, empty ones left out."""
    buffers = [body] if isinstance(body, Buffer) else body
    return [memoryview(buffer).cast("B") for buffer in buffers if memoryview(buffer).nbytes]


def size(body: Body) -> int:
    """Count the bytes of a body."""
    return sum(map(len, pieces(body)))


class BodyReader:
    """A body as a file for clients that want one; reading copies nothing: what it gives are views of its buffers."""

    def __init__(self, body: Body) -> None:
        self._pieces = pieces(body)
        self._size = sum(map(len, self._pieces))
        self._next = self._within = self._at = 0

    def __len__(self) -> int:
        return self._size

    def seekable(self) -> bool:
        """Whether it can be read again: yes, clients do when they try a request once more."""
        return True

    def tell(self) -> int:
        """Bytes that have been read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._next, self._within = 0, self._at
        while self._next < len(self._pieces) and self._within >= len(self._pieces[self._next]):
            self._within -= len(self._pieces[self._next])
            self._next += 1
        return self._at

    def read(self, size: int = -1) -> memoryview:
        """Read at most so many bytes: fewer where a buffer ends, none at the end of the body."""
        if self._next == len(self._pieces):
            return memoryview(b"")
        piece = self._pieces[self._next]
        stop = len(piece) if size is None or size < 0 else min(len(piece), self._within + size)
        view = piece[self._within : stop]
        self._within, self._at = stop, self._at + len(view)
        if stop == len(piece):
            self._next, self._within = self._next + 1, 0
        return view
