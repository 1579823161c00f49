"""What of a Level 1b file, besides its pixels, its products must carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from reprocess import errors
from reprocess.exposure import CatalogueEntry
from reprocess.formats import asdf_tree
from reprocess.formats.header import HeaderUnit, NeedMore, data_bytes, padded, parse_header
from reprocess.storage.held import Ranged
from reprocess.storage.store import ByteRange

INT_TIMES = np.dtype(
    [
        ("integration_number", "i4"),
        ("int_start_MJD_UTC", "f8"),
        ("int_mid_MJD_UTC", "f8"),
        ("int_end_MJD_UTC", "f8"),
        ("int_start_BJD_TDB", "f8"),
        ("int_mid_BJD_TDB", "f8"),
        ("int_end_BJD_TDB", "f8"),
    ]
)


@dataclass(frozen=True)
class Level1bMetadata:
    """Headers, integration times and ASDF metadata of one Level 1b file.

    Attributes
    ----------
    name : str
        Key of the file, for messages.
    primary, sci : bytes
        The two headers as they are stored, in whole blocks.
    int_times : structured array of dtype `INT_TIMES`, or None
        One row per integration, times in days.
    meta : mapping
        ``meta`` of the file's ASDF tree, of plain values; empty where the file has none.
    logs : mapping
        ``cal_logs`` of the ASDF tree, likewise.
    """

    name: str
    primary: bytes
    sci: bytes
    int_times: npt.NDArray[np.void] | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    logs: Mapping[str, object] = field(default_factory=dict)


def read_tail(store: Ranged, entry: CatalogueEntry) -> Level1bMetadata:
    """Read everything of a Level 1b file that its products carry, by ranges; no pixel is read.

    Raises
    ------
    RawReplaced
        The object is no longer the version that was scanned.
    BadData
        An extension is damaged, or INT_TIMES has not the columns or the rows that it must have.
    """
    if entry.sci_offset is None or entry.sci_shape is None:
        raise errors.WrongLayout(f"{entry.key}: nothing is known of where its pixels are. Scan it again.")
    first = _read(store, entry, 0, entry.sci_offset)
    primary = _whole_header(first, entry, 0)
    science = _whole_header(first, entry, primary.end)
    extensions = dict(_tables(store, entry, science.end + padded(data_bytes(science.header, name=f"{entry.key}: SCI"))))
    tree = _tree(extensions["ASDF"], entry.key) if "ASDF" in extensions else {}
    times = _times(extensions["INT_TIMES"], entry) if "INT_TIMES" in extensions else None
    return Level1bMetadata(
        name=entry.key,
        primary=first[: primary.end],
        sci=first[primary.end : science.end],
        int_times=times,
        meta=_mapping(tree.get("meta")),
        logs=_mapping(tree.get("cal_logs")),
    )


def _read(store: Ranged, entry: CatalogueEntry, start: int, length: int) -> bytes:
    try:
        return bytes(store.get_ranges(entry.key, [ByteRange(start, length)], etag=entry.etag)[0])
    except (errors.PreconditionFailed, errors.ObjectMissing) as error:
        raise errors.RawReplaced(
            f"{entry.key} is no longer the version {entry.etag} that was scanned. Scan again, then plan again."
        ) from error


def _whole_header(data: bytes, entry: CatalogueEntry, start: int) -> HeaderUnit:
    unit = parse_header(data, name=entry.key, size=entry.size, start=start)
    if isinstance(unit, NeedMore):
        raise errors.UnreadableHeader(
            f"{entry.key}: the header at byte {start} does not end where SCI begins. Scan again."
        )
    return unit


def _tables(store: Ranged, entry: CatalogueEntry, start: int) -> Iterator[tuple[str, bytes]]:
    """Walk the extensions from byte `start` on and read those that products carry."""
    known = b""  # bytes from `start` on that came along with an earlier read
    while start + 1 < entry.size:
        unit, known = _extension(store, entry, start, known)
        name = str(unit.header.get("EXTNAME", "")).strip().upper()
        size = data_bytes(unit.header, name=f"{entry.key}: {name or 'an extension'}")
        length = unit.end + padded(size)
        if start + unit.end + size > entry.size:
            raise errors.Truncated(f"{entry.key} has {entry.size} bytes and ends within {name}. Fetch it again.")
        if name in ("INT_TIMES", "ASDF"):
            whole = known if len(known) >= length else _read(store, entry, start, min(length, entry.size - start))
            yield name, whole[:length].ljust(length, b"\0")
        start, known = start + length, known[length:]


def _extension(store: Ranged, entry: CatalogueEntry, start: int, known: bytes) -> tuple[HeaderUnit, bytes]:
    """Read the header at byte `start` with what comes along; its bytes count from there."""
    data = known
    while True:
        shifted = b" " + data  # a header that does not begin at byte 0 begins with XTENSION
        unit = parse_header(shifted, name=entry.key, size=entry.size - start + 1, start=1)
        if not isinstance(unit, NeedMore):
            return HeaderUnit(unit.header, 0, unit.end - 1), data
        data = _read(store, entry, start, min(unit.length, entry.size - start))


def _times(extension: bytes, entry: CatalogueEntry) -> npt.NDArray[np.void]:
    try:
        table = fits.BinTableHDU.fromstring(extension).data
        times = np.empty(len(table), INT_TIMES)
        for name in INT_TIMES.names or ():
            times[name] = table[name]
        return times
    except Exception as error:
        # astropy raises whatever its parts raise for damaged bytes
        raise errors.WrongLayout(f"{entry.key}: INT_TIMES cannot be read ({error}). Fetch the file again.") from error


def _mapping(node: object) -> Mapping[str, object]:
    return node if isinstance(node, Mapping) else {}


def _tree(extension: bytes, name: str) -> dict[str, object]:
    try:
        data = fits.BinTableHDU.fromstring(extension).data
        tree = asdf_tree.from_asdf(data["ASDF_METADATA"][0].tobytes())
        return {key: _plain(tree[key]) for key in ("meta", "cal_logs") if key in tree}
    except Exception as error:
        # astropy and the YAML reader raise what they like for damaged bytes
        raise errors.WrongLayout(
            f"{name}: its ASDF extension cannot be read ({error}). Fetch the file again."
        ) from error


def _plain(node: object) -> object:
    """Copy a tree with what is no plain value left out."""
    if isinstance(node, Mapping):
        copied = {str(key): _plain(value) for key, value in node.items()}
        return {key: value for key, value in copied.items() if value is not None}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    return node if isinstance(node, str | int | float | bool) else None
