"""A Level 1b exposure on disk, read by frames or by bands of rows, straight from its place in the file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from reprocess import errors
from reprocess.exposure import Band, CatalogueEntry
from reprocess.formats.stored_image import OpenFile, StoredImage, image_of, opened


@dataclass(frozen=True, slots=True)
class ExposureFile:
    """The pixels of an exposure.

    Attributes
    ----------
    file : binary file
        Open as long as this is used.
    image : StoredImage
        The science extension, (integration, group, row, column).
    version : tuple of int
        Size and time of modification that the file had when it was opened.
    zeroframe : StoredImage or None
        Its ZEROFRAME, (integration, row, column), where it was asked for and is there.
    """

    file: BinaryIO
    image: StoredImage
    version: tuple[int, int]
    zeroframe: StoredImage | None = None

    @classmethod
    def of(cls, file: BinaryIO, entry: CatalogueEntry, *, zeroframe: bool = False) -> ExposureFile:
        """Take the pixels of an open file, of which the headers are known.

        Parameters
        ----------
        file : binary file
        entry : CatalogueEntry
        zeroframe : bool
            Whether its ZEROFRAME is wanted.

        Raises
        ------
        WrongLayout
            The headers tell nothing of the pixels, or a ZEROFRAME is not what it must be.
        """
        if entry.sci_offset is None or entry.sci_shape is None:
            raise errors.WrongLayout(f"{entry.key}: nothing is known of where its pixels are. Scan it again.")
        label, stored, native = f"{entry.key}: SCI", np.dtype(">i2"), np.dtype(np.uint16)
        image = StoredImage(OpenFile(file), entry.sci_offset, entry.sci_shape, stored, native, label)
        return cls(file, image, _version(file), _zeroframe(file, entry.key) if zeroframe else None)

    def read(self, band: Band, out: npt.NDArray[np.uint16], *, first: int = 0) -> npt.NDArray[np.uint16]:
        """Read the rows of a band, of all groups of as many integrations as an array has, into it.

        Parameters
        ----------
        band : Band
        out : uint16 array, (integration, group, row, column)
        first : int
            The integration to begin with.

        Raises
        ------
        Truncated
            The file ends before its pixels do.
        """
        place = self.image.offset + first * math.prod(self.image.shape[1:]) * self.image.stored.itemsize
        some = replace(self.image, offset=place, shape=(len(out), *self.image.shape[1:]))
        some.read(band.rows, slice(0, self.image.shape[-1]), out=out)
        return out

    def __iter__(self) -> Iterator[npt.NDArray[np.uint16]]:
        """Yield all frames, (row, column), in order; each is an array of its own."""
        return _planes(self.image)

    def zeroframes(self) -> Iterator[npt.NDArray[np.uint16]]:
        """Yield the ZEROFRAME of each integration, (row, column)."""
        return iter(()) if self.zeroframe is None else _planes(self.zeroframe)

    def read_zeroframe(self, band: Band) -> npt.NDArray[np.uint16] | None:
        """Read the rows of a band of every ZEROFRAME, (integration, row, column); None where there is none."""
        if self.zeroframe is None:
            return None
        integrations, _, columns = self.zeroframe.shape
        out = np.empty((integrations, len(band), columns), np.uint16)
        return self.zeroframe.read(band.rows, slice(0, columns), out=out)

    def check_unchanged(self) -> None:
        """Refuse a file that was written to since it was opened.

        Raises
        ------
        RawReplaced
            It was.
        """
        if _version(self.file) != self.version:
            raise errors.RawReplaced(f"{self.image.label}: the file changed while it was read. Calibrate it again.")


def _planes(image: StoredImage) -> Iterator[npt.NDArray[np.uint16]]:
    rows, columns = image.shape[-2:]
    for number in range(math.prod(image.shape[:-2])):
        place = image.offset + number * rows * columns * image.stored.itemsize
        plane = replace(image, offset=place, shape=(rows, columns))
        yield plane.read(slice(0, rows), slice(0, columns), out=np.empty((rows, columns), np.uint16))


def _zeroframe(file: BinaryIO, name: str) -> StoredImage | None:
    """Find the ZEROFRAME extension, where the header says that there is one."""
    with opened(file) as hdus:
        if not hdus[0].header.get("ZEROFRAM") or "ZEROFRAME" not in hdus:
            return None
        image = image_of(hdus["ZEROFRAME"], OpenFile(file), f"{name}: ZEROFRAME")
    if not isinstance(image, StoredImage) or image.dtype != np.uint16 or image.ndim != 3:
        raise errors.WrongLayout(f"{name}: ZEROFRAME is not of 16-bit numbers with 3 axes. Fetch the file again.")
    return image


def _version(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
