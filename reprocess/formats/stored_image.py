"""Images that stand plainly in a FITS file, read by rows from their place and brought to native numbers on the way.

Nothing is mapped into memory: mapped pages count as resident, and the whole of a dark would.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from reprocess import errors

# Read and converted at a time, so that bytes are still in the processor's cache when they are swapped.
_PIECE_BYTES = 1 << 18

_UNSIGNED: dict[tuple[int, float], np.dtype[Any]] = {
    (16, 2**15): np.dtype(np.uint16),
    (32, 2**31): np.dtype(np.uint32),
}
_STORED = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


class Source(Protocol):
    """Bytes that can be read from any place, by several threads at once."""

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer from byte `offset` on, and return how many bytes there were."""


@dataclass(frozen=True, slots=True)
class HeldBytes:
    """A file that is in memory."""

    data: bytes

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Copy bytes."""
        part = self.data[offset : offset + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file on disk, read by position."""

    file: BinaryIO

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """Read bytes; fewer only where the file ends."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.file.fileno(), [buffer[done:]], offset + done)
            if not count:
                break
            done += count
        return done


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image of a file.

    Attributes
    ----------
    source : Source
    offset : int
        Byte of its first pixel.
    shape : tuple of int
        Axes in array order.
    stored : dtype
        Big-endian type of the pixels in the file.
    dtype : dtype
        Native type of the pixels; unsigned where the file says so by BZERO.
    label : str
        How messages call it: file and extension.
    """

    source: Source
    offset: int
    shape: tuple[int, ...]
    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    label: str

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def read(
        self, rows: slice, columns: slice, *, out: npt.NDArray[Any], planes: slice = slice(None)
    ) -> npt.NDArray[Any]:
        """Read a window of every plane of the last two axes.

        Parameters
        ----------
        rows, columns : slice
            Window with start and stop, within the image.
        out : array, (..., row, column), C-contiguous
            What is filled; its type decides what the pixels become.
        planes : slice
            Of the third last axis, where only some are wanted; from the first on.

        Raises
        ------
        errors.BadData
            The file cannot be read, or ends before the image does.
        """
        height, width = self.shape[-2:]
        depth = self.shape[-3] if self.ndim > 2 else 1
        wanted = range(*planes.indices(depth))
        frames = [place * depth + plane for place in range(math.prod(self.shape[:-3])) for plane in wanted]
        flat = out.reshape(len(frames), -1, columns.stop - columns.start)
        step = max(1, _PIECE_BYTES // (width * self.stored.itemsize))
        scratch = np.empty(min(step, rows.stop - rows.start) * width, self.stored)
        for frame, target in zip(frames, flat, strict=True):
            for start in range(rows.start, rows.stop, step):
                stop = min(start + step, rows.stop)
                pixels = scratch[: (stop - start) * width]
                self._fill(pixels, (frame * height + start) * width)
                part = target[start - rows.start : stop - rows.start]
                np.copyto(part, self._unsigned(pixels).reshape(-1, width)[:, columns], casting="unsafe")
        return out

    def pieces(self) -> Iterator[npt.NDArray[Any]]:
        """Yield all pixels in order, some at a time and flat; each piece is overwritten by the next."""
        size, step = math.prod(self.shape), _PIECE_BYTES // self.stored.itemsize
        scratch = np.empty(min(step, size), self.stored)
        for start in range(0, size, step):
            pixels = scratch[: min(step, size - start)]
            self._fill(pixels, start)
            yield self._unsigned(pixels)

    def _fill(self, pixels: npt.NDArray[Any], first: int) -> None:
        """Read pixels from the `first` on."""
        buffer = pixels.view(np.uint8).data
        try:
            count = self.source.read_into(self.offset + first * self.stored.itemsize, buffer)
        except OSError as error:
            raise errors.BadData(f"{self.label}: cannot be read ({error.strerror}). Fetch it again.") from error
        if count != len(buffer):
            raise errors.Truncated(f"{self.label}: the file ends before its data do. Fetch it again.")

    def _unsigned(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return pixels with the sign bit turned where it stands for BZERO; still big-endian."""
        if self.dtype.kind != "u" or self.stored.kind == "u":
            return pixels
        sign = np.array(1 << (8 * self.stored.itemsize - 1), self.dtype.newbyteorder(">")).view(self.dtype)
        pixels.view(self.dtype)[...] ^= sign
        return pixels.view(self.dtype.newbyteorder(">"))


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image that had to be read whole, because it does not stand plainly in its file."""

    data: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes in array order."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Native type of the pixels."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    def read(
        self, rows: slice, columns: slice, *, out: npt.NDArray[Any], planes: slice = slice(None)
    ) -> npt.NDArray[Any]:
        """Copy a window; see `StoredImage.read`."""
        part = self.data[..., planes, :, :] if self.data.ndim > 2 else self.data
        np.copyto(out, part[..., rows, columns], casting="unsafe")
        return out

    def pieces(self) -> Iterator[npt.NDArray[Any]]:
        """Yield all pixels in order, some at a time and flat."""
        step = _PIECE_BYTES // self.data.itemsize
        flat = self.data.reshape(-1)
        return (flat[start : start + step] for start in range(0, flat.size, step))


Image = StoredImage | HeldImage


@contextlib.contextmanager
def opened(file: BinaryIO) -> Iterator[fits.HDUList]:
    """Read all headers of a file, and leave it open."""
    with warnings.catch_warnings():
        # What astropy warns of, a file that is cut off above all, is refused by whoever reads it.
        warnings.simplefilter("ignore", AstropyUserWarning)
        hdus = fits.open(file, memmap=False, lazy_load_hdus=False)
    try:
        yield hdus
    finally:
        hdus.close(closed=False)


def image_of(hdu: fits.ImageHDU, source: Source, label: str) -> Image | None:
    """Find the image of an extension, without reading it where it stands plainly; None if there are no data."""
    header = hdu.header
    if type(hdu) is not fits.ImageHDU or not _is_plain(header):  # a compressed image passes for one
        data = hdu.data
        return None if data is None else HeldImage(np.asarray(data))
    shape = tuple(int(header[f"NAXIS{axis}"]) for axis in range(header["NAXIS"], 0, -1))
    if not shape:
        return None
    stored = np.dtype(_STORED[header["BITPIX"]])
    dtype: np.dtype[Any] = _UNSIGNED.get((header["BITPIX"], header.get("BZERO", 0)), stored.newbyteorder("="))
    return StoredImage(source, hdu.fileinfo()["datLoc"], shape, stored, dtype, label)


def _is_plain(header: fits.Header) -> bool:
    """Tell whether pixels are what is stored, but for the sign of unsigned numbers."""
    zero = header.get("BZERO", 0)
    scaled = zero != 0 and (header["BITPIX"], zero) not in _UNSIGNED
    return not scaled and header.get("BSCALE", 1) == 1 and "BLANK" not in header
