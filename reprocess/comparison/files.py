"""Product files to compare: where their arrays are, and pixels of them by ranges of bytes.

A file that was just made may be in memory as arrays still; its pixels are then not read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reprocess import errors
from reprocess.exposure import Card
from reprocess.formats import header, payload, science
from reprocess.publication.manifest import File, Manifest
from reprocess.storage.store import ByteRange, Store

Array = npt.NDArray[Any]
Place = Mapping[str, Any]
"""Where an array is in its file, see `payload.plane`; with its ``sha256`` where a manifest tells it."""

_ATTRIBUTES = {"SCI": "sci", "ERR": "err", "DQ": "dq", "VAR_POISSON": "var_poisson", "VAR_RNOISE": "var_rnoise"}
_FIRST_BYTES = 4 * header.BLOCK


@dataclass(frozen=True)
class ProductFile:
    """One FITS file of a version.

    Attributes
    ----------
    store : Store
    key : str
    places : mapping of extension to Place
        In the order of the file.
    digests : mapping of extension to str
        Digests of its science keywords; empty where no manifest tells them.
    held : Rate, optional
        The same arrays in memory.
    """

    store: Store
    key: str
    places: Mapping[str, Place]
    digests: Mapping[str, str] = field(default_factory=dict)
    held: object | None = None

    def holds(self, extension: str) -> bool:
        """Whether an array can be had without reading the file."""
        return self.held is not None and extension in _ATTRIBUTES

    def read(self, extensions: Sequence[str], start: int, stop: int) -> dict[str, Array]:
        """Read elements `start` to `stop` of flat arrays, with native byte order; of tables, rows.

        Raises
        ------
        StorageError
            The file is gone, or shorter than it was.
        """
        stored = [name for name in extensions if not self.holds(name)]
        ranges = [_range(self.places[name], start, stop) for name in stored]
        views = self.store.get_ranges(self.key, ranges) if stored else []
        found = {name: _native(view, self.places[name]) for name, view in zip(stored, views, strict=True)}
        return found | {name: self._held(name)[start:stop] for name in extensions if self.holds(name)}

    def _held(self, extension: str) -> Array:
        array: Array = np.asarray(getattr(self.held, _ATTRIBUTES[extension]), self.places[extension]["dtype"])
        return array.reshape(-1)

    def keywords(self, extensions: Iterable[str]) -> dict[str, dict[str, Card]]:
        """Read the science keywords of some extensions; the headers of the first two are one range."""
        wanted, ranges, end = set(extensions), [], 0
        for name, place in self.places.items():
            if name in wanted or (not end and "PRIMARY" in wanted):
                ranges.append(ByteRange(end, int(place["offset"]) - end))
            end = int(place["offset"]) + header.padded(payload.data_bytes(place))
        blocks = (block for view in self.store.get_ranges(self.key, ranges) for block in payload.headers(view))
        return {name: science.keywords(name, block) for name, block in blocks if name in wanted}


def product_files(store: Store, manifest: Manifest, held: Mapping[str, object] | None = None) -> dict[str, ProductFile]:
    """Open the FITS files of a version by what their names end in, for example ``rate``.

    Parameters
    ----------
    store : Store
    manifest : Manifest
        Of a version without payloads, the headers of its files are read.
    held : mapping of suffix to Rate, optional
        Arrays that are in memory.

    Raises
    ------
    StorageError, BadData, DamagedRecord
        A file is gone or no whole FITS file, or the manifest is damaged.
    """
    arrays, begin, end = held or {}, f"{manifest.dataset}_", ".fits"
    files = (file for file in manifest.files if file.name.startswith(begin) and file.name.endswith(end))
    suffixes = {file.name[len(begin) : -len(end)]: file for file in files}
    return {suffix: _opened(store, manifest, file, arrays.get(suffix)) for suffix, file in suffixes.items()}


def _opened(store: Store, manifest: Manifest, file: File, held: object | None) -> ProductFile:
    key = manifest.prefix + file.name
    if not file.payload:
        return ProductFile(store, key, dict(_located(store, key, file.size)), held=held)
    try:
        digests: Mapping[str, str] = dict(file.payload[payload.KEYWORDS])
        places = [(payload.data_bytes(place) and int(place["offset"]), name, place) for name, place in _places(file)]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise errors.DamagedRecord(f"{manifest.key}: what it says of {file.name} is damaged ({error!r}).") from error
    # Canonical JSON has sorted them by name.
    return ProductFile(
        store, key, {name: place for _, name, place in sorted(places, key=lambda each: each[0])}, digests, held
    )


def _places(file: File) -> Iterator[tuple[str, Place]]:
    return ((name, place) for name, place in file.payload.items() if name != payload.KEYWORDS)


def _located(store: Store, key: str, size: int) -> Iterable[tuple[str, Place]]:
    """Find the arrays of a file by its headers."""
    start = 0
    while start < size:
        name, laid, end = _header(store, key, start, size)
        length = header.data_bytes(laid, name=f"{key}: {name}")
        if end + length > size:
            raise errors.Truncated(f"{key} has {size} bytes and ends within {name}. Verify the archive.")
        if length and name != payload.LEFT_OUT:
            yield name, payload.plane(laid, end)
        start = end + header.padded(length)


def _header(store: Store, key: str, start: int, size: int) -> tuple[str, Mapping[str, Card], int]:
    """Read the header that begins at a byte; name, keywords of its layout, and the byte where it ends."""
    length = _FIRST_BYTES
    while True:
        data = store.get_ranges(key, [ByteRange(start, min(length, size - start))])[0]
        for name, block in payload.headers(data):
            return name, science.layout(block), start + len(block)
        if start + length >= size:
            raise errors.Truncated(f"{key} ends within the header at byte {start}. Verify the archive.")
        length *= 4


def _range(place: Place, start: int, stop: int) -> ByteRange:
    width = payload.data_bytes(place) // max(1, payload.pixels(place))
    return ByteRange(int(place["offset"]) + start * width, (stop - start) * width)


def _native(view: memoryview, place: Place) -> Array:
    kind = place["dtype"]
    if kind == "row":
        return np.frombuffer(view, np.uint8).reshape(-1, place["shape"][1])
    values = np.frombuffer(view, f">{kind}").astype(f"={kind}")
    if kind[0] == "u" and kind != "u1":
        values ^= np.array(1 << (8 * values.itemsize - 1), values.dtype)  # BZERO: stored as signed numbers
    return values
