"""Files of which the pixels come by rows, in any order: laid out first, then filled from several places at once.

A file is written aside. `ProductRows` moves all of its files into place together, or leaves none.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reprocess.exposure import Band
from reprocess.formats.header import padded
from reprocess.formats.product import PixelArea
from reprocess.storage.store import Buffer

_PIECE_BYTES = 1 << 20

Parts = Iterable[Buffer | PixelArea]


class RowFile:
    """One file that is being written.

    Parameters
    ----------
    path : Path
        Where it is written; must not exist.
    parts : iterable of bytes-like and PixelArea
        What the file consists of, in order.

    Raises
    ------
    OSError
        The file cannot be written.
    """

    def __init__(self, path: Path, parts: Parts) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._areas: list[tuple[int, PixelArea]] = []
        try:
            self._lay_out(parts)
        except BaseException:
            self.close()
            raise

    def _lay_out(self, parts: Parts) -> None:
        offset = 0
        for part in parts:
            if isinstance(part, PixelArea):
                self._areas.append((offset, part))
                offset += padded(part.size)
            else:
                _put(self._descriptor, memoryview(part), offset)
                offset += len(part)
        os.ftruncate(self._descriptor, offset)

    def write(self, core: Band, arrays: object) -> None:
        """Write the rows of a band.

        Parameters
        ----------
        core : Band
            Which rows of the image they are.
        arrays : object
            Has an array for each area as an attribute: the axes of the area, but only the rows of the band.
        """
        for offset, area in self._areas:
            values = getattr(arrays, area.attribute)
            height, width = area.shape[-2:]
            frames = values.reshape(-1, len(core), width)
            for number, frame in enumerate(frames):
                place = offset + ((number * height) + core.start) * width * area.dtype.itemsize
                self._write_rows(frame, area.dtype, place)

    def _write_rows(self, rows: npt.NDArray[Any], dtype: np.dtype[Any], place: int) -> None:
        step = max(1, _PIECE_BYTES // (rows.shape[1] * dtype.itemsize))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            if dtype == np.uint32:
                part = part ^ np.uint32(2**31)  # BZERO: unsigned numbers are stored as signed ones
            stored = part.astype(dtype.newbyteorder(">"))
            _put(self._descriptor, stored.reshape(-1).view(np.uint8).data, place)
            place += stored.nbytes

    def close(self) -> None:
        """Close the file; it stays where it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _put(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count


class ProductRows:
    """Files that appear together: all of them, or none.

    Use as a context. Leaving it in good order moves the files into place; leaving it by an exception removes what was
    written, and directories that were made for it.

    Parameters
    ----------
    directory : Path
        Where the files go; made with the first of them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Path] = []
        self._files: dict[Path, tuple[Path, RowFile]] = {}

    def __enter__(self) -> ProductRows:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            for _, file in self._files.values():
                file.close()
            if kind is None:
                _move({aside: path for path, (aside, _) in self._files.items()})
                self._made.clear()
        finally:
            self._clear()

    def add(self, name: str, parts: Parts) -> RowFile:
        """Begin a file.

        Parameters
        ----------
        name : str
            Its name in the directory.
        parts : iterable of bytes and PixelArea

        Raises
        ------
        OSError
            It cannot be written.
        """
        for missing in reversed([place for place in (self._directory, *self._directory.parents) if not place.exists()]):
            missing.mkdir(exist_ok=True)
            self._made.append(missing)
        path = self._directory / name
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory", str(path))
        aside = path.with_name(f".{name}.{uuid.uuid4().hex}")
        try:
            file = RowFile(aside, parts)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        self._files[path] = (aside, file)
        return file

    def _clear(self) -> None:
        """Remove what is still aside, and directories that nothing was moved to."""
        for aside, _ in self._files.values():
            with contextlib.suppress(OSError):
                aside.unlink()
        for made in reversed(self._made):
            with contextlib.suppress(OSError):
                made.rmdir()


def _move(moves: dict[Path, Path]) -> None:
    """Move files into place; if one cannot be moved, put back what was there before."""
    before: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for aside, path in moves.items():
            if path.exists():
                kept = path.with_name(f"{aside.name}.before")
                os.replace(path, kept)
                before[path] = kept
            os.replace(aside, path)
            placed.append(path)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        for path, kept in before.items():
            os.replace(kept, path)
        raise
    for kept in before.values():
        kept.unlink(missing_ok=True)
