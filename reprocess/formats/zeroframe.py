"""ZEROFRAME of a Level 1b file: the first frame of every integration, sent down alone, read by rows.

It stands somewhere behind the science extension. Finding it takes the headers in between, so its place is found once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from reprocess import errors
from reprocess.exposure import Band, CatalogueEntry
from reprocess.formats.header import HeaderUnit, NeedMore, data_bytes, padded, parse_header
from reprocess.storage.held import Ranged
from reprocess.storage.store import ByteRange

KEYWORD, NAME = "ZEROFRAM", "ZEROFRAME"
_STORED = {(16, 32768): ">u2", (-32, 0): ">f4"}
_NATIVE: dict[str, np.dtype[Any]] = {">u2": np.dtype(np.uint16), ">f4": np.dtype(np.float32)}
_HIGHEST_BIT = np.uint16(0x8000)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the frames are.

    Attributes
    ----------
    offset : int
        Byte of the first pixel.
    shape : tuple of int
        Axes: (integration, row, column).
    stored : str
        Type of the pixels in the file: ``>u2`` or ``>f4``.
    """

    offset: int
    shape: tuple[int, int, int]
    stored: str


def find(store: Ranged, entry: CatalogueEntry) -> Place | None:
    """Find the frames; None if the file has none.

    Parameters
    ----------
    store : Store or HeldRanges
        The store that `entry.location` names.
    entry : CatalogueEntry
        An ``uncal`` entry. Nothing is read unless its keyword ZEROFRAM is true.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    WrongLayout
        The frames are not those of the science extension, or of a type that they cannot have.
    Truncated
        The file ends before they do.
    """
    if entry.header.get(KEYWORD) is not True or entry.sci_offset is None or entry.sci_shape is None:
        return None
    science_bytes = 2 * int(np.prod(entry.sci_shape, dtype=np.int64))
    for unit, name, size in _extensions(store, entry, entry.sci_offset + padded(science_bytes)):
        if name == NAME:
            return _place(unit, entry, size)
    return None


def reader(store: Ranged, entry: CatalogueEntry) -> Callable[[Band], npt.NDArray[Any]] | None:
    """Return what reads rows of the frames, see `read`; None if the file has none."""
    place = find(store, entry)
    return None if place is None else partial(read, store, entry, place)


def read(store: Ranged, entry: CatalogueEntry, place: Place, band: Band) -> npt.NDArray[Any]:
    """Read full rows of all frames.

    Parameters
    ----------
    store : Store or HeldRanges
    entry : CatalogueEntry
    place : Place
        See `find`.
    band : Band
        Rows to read.

    Returns
    -------
    uint16 or float32 array, (integration, row, column), in DN
        In native byte order.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    """
    integrations, rows, columns = place.shape
    stored = np.dtype(place.stored)
    row_bytes = columns * stored.itemsize
    wanted = [
        ByteRange(place.offset + (number * rows + band.start) * row_bytes, len(band) * row_bytes)
        for number in range(integrations)
    ]
    frames: npt.NDArray[Any] = np.empty((integrations, len(band), columns), _NATIVE[place.stored])
    for frame, part in zip(frames, _ranges(store, entry, wanted), strict=True):
        frame[...] = np.frombuffer(part, stored).reshape(frame.shape)
    if frames.dtype == np.uint16:
        frames ^= _HIGHEST_BIT  # adds BZERO = 32768 to what is stored as signed
    return frames


def _place(unit: HeaderUnit, entry: CatalogueEntry, size: int) -> Place:
    """Hold the header of the extension against the science extension."""
    assert entry.sci_shape is not None
    header = unit.header
    integrations, _, rows, columns = entry.sci_shape
    shape = tuple(int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1))
    kind = header.get("BITPIX"), header.get("BZERO", 0)
    stored = _STORED.get((int(kind[0] or 0), int(kind[1])))
    if shape != (integrations, rows, columns) or stored is None:
        raise errors.WrongLayout(
            f"{entry.key}: {NAME} has axes {shape}, BITPIX = {kind[0]} and BZERO = {kind[1]}, but frames of SCI have "
            f"axes {(integrations, rows, columns)} and are 16-bit unsigned or float. Fetch the file again."
        )
    if unit.end + size > entry.size:
        raise errors.Truncated(f"{entry.key} has {entry.size} bytes and ends within {NAME}. Fetch it again.")
    return Place(unit.end, (integrations, rows, columns), stored)


def _extensions(store: Ranged, entry: CatalogueEntry, start: int) -> Iterator[tuple[HeaderUnit, str, int]]:
    """Yield header, name and bytes of data of the extensions from byte `start` on."""
    while start + 1 < entry.size:
        unit = _header(store, entry, start)
        name = str(unit.header.get("EXTNAME", "")).strip().upper()
        size = data_bytes(unit.header, name=f"{entry.key}: {name or 'an extension'}")
        yield unit, name, size
        start = unit.end + padded(size)


def _header(store: Ranged, entry: CatalogueEntry, start: int) -> HeaderUnit:
    """Read the header at byte `start`; its places count from the begin of the file."""
    data = b""
    while True:
        # A header that does not begin at byte 0 begins with XTENSION.
        unit = parse_header(b" " + data, name=entry.key, size=entry.size - start + 1, start=1)
        if not isinstance(unit, NeedMore):
            return HeaderUnit(unit.header, start, start + unit.end - 1)
        length = min(unit.length, entry.size - start)
        data = bytes(_ranges(store, entry, [ByteRange(start, length)])[0])


def _ranges(store: Ranged, entry: CatalogueEntry, wanted: list[ByteRange]) -> list[memoryview]:
    try:
        return store.get_ranges(entry.key, wanted, etag=entry.etag)
    except (errors.PreconditionFailed, errors.ObjectMissing) as error:
        raise errors.RawReplaced(
            f"{entry.key} is no longer the version {entry.etag} that was scanned. Scan again, then plan again."
        ) from error
