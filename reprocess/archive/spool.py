"""Listed objects by program, kept aside on the local disk, so that memory does not grow with their number.

Rows are gathered in memory and written in compressed blocks of one program each. Small listings never touch the disk.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from reprocess import errors
from reprocess.storage.store import Stamp

_ROWS = 100_000  # gathered before they are written: about 25 MB
_MEMORY_BYTES = 16 * 2**20
_CODEC = "zstd"


@dataclass(frozen=True, slots=True)
class Found:
    """One object as it was listed: its store, its version, and what its key says."""

    location: str
    stamp: Stamp
    dataset: str
    level: str

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What makes it this version of this object; the catalogue's entries are compared by it."""
        return (self.location, self.stamp.key, self.stamp.size, self.stamp.etag)


class Spool(Mapping[str, "list[Found]"]):
    """Found objects by program; those of a program are read back when they are asked for.

    They come in the order of locations as given and of keys, in whatever order they were added.

    Parameters
    ----------
    locations : sequence of str
        Every location that objects will have.
    """

    def __init__(self, locations: Sequence[str]) -> None:
        self._locations = tuple(dict.fromkeys(locations))
        self._numbers = {location: number for number, location in enumerate(self._locations)}
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 (lives as long as this)
        self._blocks: dict[str, list[tuple[int, int, int]]] = {}
        self._rows: defaultdict[str, list[str]] = defaultdict(list)
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._held = 0
        self._end = 0

    def add(self, program: str, location: str, stamp: Stamp, dataset: str, level: str) -> None:
        """Put an object aside."""
        row = (str(self._numbers[location]), stamp.key, str(stamp.size), stamp.etag, dataset, level)
        self._rows[program].append("\0".join(row))
        self._counts[program] += 1
        self._held += 1
        if self._held >= _ROWS:
            self._write()

    def count(self, program: str) -> int:
        """Return how many objects a program has."""
        return self._counts.get(program, 0)

    def __getitem__(self, program: str) -> list[Found]:
        if program not in self._counts:
            raise KeyError(program)
        rows = [row.split("\0") for row in (*self._written(program), *self._rows.get(program, ()))]
        rows.sort(key=lambda row: (int(row[0]), row[1]))
        return [
            Found(self._locations[int(place)], Stamp(key, int(size), etag), dataset, level)
            for place, key, size, etag, dataset, level in rows
        ]

    def __contains__(self, program: object) -> bool:
        return program in self._counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def _write(self) -> None:
        codec = pa.Codec(_CODEC)
        try:
            self._file.seek(self._end)
            for program, rows in self._rows.items():
                data = "\n".join(rows).encode()
                block = codec.compress(data, asbytes=True)
                self._file.write(block)
                self._blocks.setdefault(program, []).append((self._end, len(block), len(data)))
                self._end += len(block)
        except OSError as error:
            raise errors.StorageError(
                f"The listing cannot be put aside in {tempfile.gettempdir()}: {error.strerror}. "
                "Make room there, or set TMPDIR to another directory."
            ) from error
        self._rows.clear()
        self._held = 0

    def _written(self, program: str) -> Iterator[str]:
        codec = pa.Codec(_CODEC)
        for start, length, size in self._blocks.get(program, ()):
            self._file.seek(start)
            yield from codec.decompress(self._file.read(length), size, asbytes=True).decode().split("\n")
