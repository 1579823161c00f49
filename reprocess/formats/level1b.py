"""Level 1b exposures: catalogue entries from their first bytes, and pixels by byte ranges.

The science extension follows the primary header and is stored plainly, so each row of each group has a place in the
file that the header alone tells: a slab is read without reading the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reprocess import errors
from reprocess.exposure import Band, Card, CatalogueEntry
from reprocess.formats import keywords
from reprocess.formats.header import HeaderUnit, NeedMore, data_bytes, padded, parse_header
from reprocess.storage.held import HeldRanges, Ranged
from reprocess.storage.store import ByteRange, Stamp, Store

_PIXEL_BYTES = 2
_PIECE_BYTES = 64 * 2**20
_FLIGHT_BYTES = 256 * 2**20
_REST_BYTES = 16 * 2**20
_BLOCK_PIXELS = 2**19
_HIGHEST_BIT = np.uint16(0x8000)
"""Flipping it adds BZERO = 32768 to what is stored as signed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the science extension of a level must be: number of axes, BITPIX and BZERO."""

    axes: int
    bitpix: int
    bzero: int


LAYOUTS = {
    "uncal": Layout(axes=4, bitpix=16, bzero=32768),
    "rate": Layout(axes=2, bitpix=-32, bzero=0),
    "rateints": Layout(axes=3, bitpix=-32, bzero=0),
}


class Frames(NamedTuple):
    """Some groups of one integration: `data` is uint16 (group, row, column) in DN, its first group is `group`."""

    integration: int
    group: int
    data: npt.NDArray[np.uint16]


def read_entry(data: bytes, stamp: Stamp, location: str, dataset: str, level: str) -> CatalogueEntry | NeedMore:
    """Make the catalogue entry of an object from its first bytes.

    Parameters
    ----------
    data : bytes
        The first bytes of the object, `header.FIRST_BYTES` or all it has; more on a second call.
    stamp : Stamp
        The version that the bytes belong to.
    location : str
        URL of the store that holds the object.
    dataset, level : str
        What the key says: root name, and ``uncal``, ``rate`` or ``rateints``; other levels are not held to a layout.

    Returns
    -------
    CatalogueEntry or NeedMore
        `NeedMore` when the headers go on past `data`.

    Raises
    ------
    BadData
        `UnreadableHeader`, `Truncated`, `MissingExtension` or `WrongLayout`: the message names the object, the
        extension, the keyword and its value. `broken_entry` turns it into an entry.
    """
    primary = parse_header(data, name=stamp.key, size=stamp.size, wanted=keywords.WANTED)
    if isinstance(primary, NeedMore):
        return primary
    header = {key: value for key, value in primary.header.items() if key not in keywords.STRUCTURE}
    start = primary.end + padded(data_bytes(primary.header, name=f"{stamp.key}: its primary header"))
    if start >= stamp.size:
        raise errors.MissingExtension(f"{stamp.key} has no SCI extension: it ends after its primary header.")
    science = parse_header(data, name=stamp.key, size=stamp.size, start=start)
    if isinstance(science, NeedMore):
        return science
    shape = _science_shape(science, stamp, LAYOUTS.get(level))
    return CatalogueEntry(
        dataset=dataset,
        level=level,
        location=location,
        key=stamp.key,
        size=stamp.size,
        etag=stamp.etag,
        header=header,
        sci_offset=science.end,
        sci_shape=shape,
    )


def broken_entry(error: errors.ReprocessError, stamp: Stamp, location: str, dataset: str, level: str) -> CatalogueEntry:
    """Make the entry of an object that `read_entry` refused, or that could not be read."""
    return CatalogueEntry(
        dataset=dataset,
        level=level,
        location=location,
        key=stamp.key,
        size=stamp.size,
        etag=stamp.etag,
        error_class=error.outcome_class,
        error=str(error),
    )


def check_layout(entry: CatalogueEntry) -> None:
    """Compare the shape of the science array with what the primary header promises.

    Raises
    ------
    WrongLayout
        They differ; the message has both.
    MissingKeyword
        A size is not in the header, or is no whole number.
    """
    integrations = _whole(entry, "NINTS")
    if "INTSTART" in entry.header and "INTEND" in entry.header:
        integrations = _whole(entry, "INTEND") - _whole(entry, "INTSTART") + 1
    rows = _whole(entry, "SUBSIZE2")
    if "IRS2" in str(entry.header.get("READPATT", "")) and rows == 2048:
        rows = 3200  # NRSIRS2 patterns interleave reference pixels with the science pixels of the full frame
    promised = (integrations, _whole(entry, "NGROUPS"), rows, _whole(entry, "SUBSIZE1"))
    if entry.sci_shape != promised:
        raise errors.WrongLayout(
            f"{entry.key}: SCI has shape {entry.sci_shape} (integration, group, row, column) but the primary header "
            f"(NINTS, NGROUPS, SUBSIZE2, SUBSIZE1) promises {promised}. Fetch the file again from where it came from."
        )


def read_slab(store: Store, entry: CatalogueEntry, band: Band) -> npt.NDArray[np.uint16]:
    """Read full rows of every group of every integration.

    Parameters
    ----------
    store : Store
        The store that `entry.location` names.
    entry : CatalogueEntry
        An ``uncal`` entry.
    band : Band
        Rows to read; all rows are read in one piece.

    Returns
    -------
    uint16 array, shape (integration, group, len(band), column), in DN
        In native byte order, and the caller's to write to. While reading, at most 256 MiB more than it are held.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    """
    integrations, groups, rows, columns = _shape(entry)
    if not 0 <= band.start < band.stop <= rows:
        raise errors.WrongLayout(f"{entry.key} has rows 0 to {rows}; rows {band.start} to {band.stop} were asked for.")
    slab = np.empty((integrations, groups, len(band), columns), np.uint16)
    if len(band) == rows:
        _fill(slab.reshape(-1), store, entry, _offset(entry))
    else:
        _gather(slab.reshape(-1), store, entry, _slab_ranges(entry, band))
    return slab


def read_whole(store: Store, entry: CatalogueEntry) -> tuple[npt.NDArray[np.uint16], Ranged]:
    """Read a file from its first byte to its last: all pixels, and what stands around them.

    Returns
    -------
    uint16 array, shape (integration, group, row, column), in DN
        As of `read_slab`.
    Ranged
        Reads the rest of the same object. What was read along with the pixels costs no request any more: all of it, or
        only what stands before them where more than 16 MiB follow.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    """
    pixels = np.empty(_shape(entry), np.uint16)
    end = _offset(entry) + pixels.nbytes
    before, after = bytearray(_offset(entry)), bytearray(max(0, entry.size - end))
    if len(after) > _REST_BYTES:
        after = bytearray()
    _fill(pixels.reshape(-1), store, entry, 0, before=before, after=after)
    return pixels, HeldRanges(store, entry.key, {0: before, end: after})


def read_frames(store: Store, entry: CatalogueEntry, *, memory_limit_bytes: int = 2**28) -> Iterator[Frames]:
    """Read a whole exposure in order, one integration at a time, or fewer groups where an integration is too large.

    Parameters
    ----------
    memory_limit_bytes : int
        Bound on the data of one piece, except that a piece has at least one group.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    """
    integrations, groups, rows, columns = _shape(entry)
    frame_bytes = rows * columns * _PIXEL_BYTES
    step = max(1, min(groups, memory_limit_bytes // max(1, frame_bytes)))
    for integration in range(integrations):
        for group in range(0, groups, step):
            data = np.empty((min(step, groups - group), rows, columns), np.uint16)
            start = _offset(entry) + (integration * groups + group) * frame_bytes
            _fill(data.reshape(-1), store, entry, start)
            yield Frames(integration, group, data)


def _science_shape(unit: HeaderUnit, stamp: Stamp, layout: Layout | None) -> tuple[int, ...]:
    header = unit.header
    if "ZIMAGE" in header:
        raise errors.WrongLayout(
            f"{stamp.key}: its first extension has ZIMAGE = {header['ZIMAGE']}, a tile-compressed image, so no slab of "
            "it can be read. Store it uncompressed."
        )
    if str(header.get("EXTNAME", "")).strip().upper() != "SCI":
        raise errors.MissingExtension(
            f"{stamp.key}: its first extension has EXTNAME = {header.get('EXTNAME')!r} where SCI must be."
        )
    end = unit.end + data_bytes(header, name=f"{stamp.key}: SCI")
    if layout:
        found = {"NAXIS": header["NAXIS"], "BITPIX": header["BITPIX"], "BZERO": header.get("BZERO", 0)}
        wanted = {"NAXIS": layout.axes, "BITPIX": layout.bitpix, "BZERO": layout.bzero}
        for keyword, value in wanted.items():
            if found[keyword] != value:
                raise errors.WrongLayout(f"{stamp.key}: SCI has {keyword} = {found[keyword]!r}, not {value}.")
    if end > stamp.size:
        raise errors.Truncated(
            f"{stamp.key} has {stamp.size} bytes, but the data of SCI end at byte {end}. Fetch the file again."
        )
    return tuple(int(header[f"NAXIS{axis}"]) for axis in range(int(header["NAXIS"]), 0, -1))


def _whole(entry: CatalogueEntry, keyword: str) -> int:
    value: Card | None = entry.header.get(keyword)
    if type(value) is not int:
        raise errors.MissingKeyword(f"{entry.key}: {keyword} of the primary header is {value!r}, not a whole number.")
    return value


def _shape(entry: CatalogueEntry) -> tuple[int, int, int, int]:
    if entry.sci_shape is None or len(entry.sci_shape) != LAYOUTS["uncal"].axes:
        raise errors.WrongLayout(f"{entry.key}: its SCI has shape {entry.sci_shape}, so it is no Level 1b exposure.")
    integrations, groups, rows, columns = entry.sci_shape
    return integrations, groups, rows, columns


def _offset(entry: CatalogueEntry) -> int:
    if entry.sci_offset is None:
        raise errors.WrongLayout(f"{entry.key}: nothing is known of where its pixels are. Scan it again.")
    return entry.sci_offset


def _slab_ranges(entry: CatalogueEntry, band: Band) -> list[ByteRange]:
    integrations, groups, rows, columns = _shape(entry)
    row_bytes = columns * _PIXEL_BYTES
    first = _offset(entry) + band.start * row_bytes
    return [
        ByteRange(first + frame * rows * row_bytes, len(band) * row_bytes) for frame in range(integrations * groups)
    ]


def _fill(
    pixels: npt.NDArray[np.uint16],
    store: Store,
    entry: CatalogueEntry,
    start: int,
    *,
    before: bytearray | None = None,
    after: bytearray | None = None,
) -> None:
    """Fill a flat array from the bytes that stand at `start`, and buffers with those right before and after them."""
    targets = [before or b"", pixels.view(np.uint8).data, after or b""]
    with _one_version(entry):
        store.fill(entry.key, start, targets, etag=entry.etag)
    for first in range(0, pixels.size, _BLOCK_PIXELS):
        block = pixels[first : first + _BLOCK_PIXELS]
        if sys.byteorder == "little":
            block.byteswap(inplace=True)
        block ^= _HIGHEST_BIT


def _gather(pixels: npt.NDArray[np.uint16], store: Store, entry: CatalogueEntry, ranges: Sequence[ByteRange]) -> None:
    """Fill a flat array from the ranges, one flight of requests after the other."""
    done = 0
    for flight in _flights(ranges):
        with _one_version(entry):
            parts = store.get_ranges(entry.key, flight, etag=entry.etag)
        for part in parts:
            stored = np.frombuffer(part, ">u2")
            pixels[done : done + stored.size] = stored  # swaps the bytes on the way
            done += stored.size
    pixels ^= _HIGHEST_BIT


@contextmanager
def _one_version(entry: CatalogueEntry) -> Iterator[None]:
    try:
        yield
    except (errors.PreconditionFailed, errors.ObjectMissing) as error:
        raise errors.RawReplaced(
            f"{entry.key} is no longer the version {entry.etag} that was scanned. Scan again, then plan again."
        ) from error


def _flights(ranges: Sequence[ByteRange]) -> Iterator[list[ByteRange]]:
    flight: list[ByteRange] = []
    held = 0
    for piece in _pieces(ranges):
        if flight and held + piece.length > _FLIGHT_BYTES:
            yield flight
            flight, held = [], 0
        flight.append(piece)
        held += piece.length
    if flight:
        yield flight


def _pieces(ranges: Sequence[ByteRange]) -> Iterator[ByteRange]:
    for whole in ranges:
        for start in range(0, whole.length, _PIECE_BYTES):
            yield ByteRange(whole.start + start, min(_PIECE_BYTES, whole.length - start))
