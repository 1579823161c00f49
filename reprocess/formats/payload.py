"""The science payload of a FITS file, digested as the file passes by on its way to a store.

Two files with equal payloads show the same science, whatever their dates and versions are: every array is the same bit
by bit, and so is every keyword that says something of the science. The ASDF extension is left out: it repeats keywords,
and what else it holds is provenance.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from reprocess import errors
from reprocess.formats import header, science
from reprocess.storage.store import Buffer

KEYWORDS = "keywords"
"""Key of the digests of science keywords by extension; the other keys are names of extensions."""

Payload = dict[str, Any]
"""For each extension with data what `plane` gives and its ``sha256``; and the digests of the keywords."""

_LONGEST_HEADER = 512 * header.BLOCK
_DIGITS = 32  # of the digest of keywords, which are few and short
LEFT_OUT = "ASDF"
"""Name of the extension that is no part of a payload."""


class Digester:
    """Takes the bytes of one FITS file in order, in parts of any length.

    Attributes
    ----------
    payload : mapping
        What has been digested; complete after the last byte. Empty if the bytes are no FITS file.
    """

    def __init__(self) -> None:
        self.payload: Payload = {}
        self._header = bytearray()
        self._offset = self._data = self._padding = 0
        self._hash: Any = None
        self._cards: dict[str, str] = {}
        self._usable = True
        self._plane: dict[str, Any] = {}

    def update(self, part: Buffer) -> None:
        """Take the next bytes."""
        view = memoryview(part).cast("B")
        while view and self._usable:
            taken = self._take(view)
            self._offset += taken
            view = view[taken:]

    def finish(self) -> Payload:
        """Return the payload of a file of which all bytes were taken; empty if they are no whole FITS file."""
        if not self._usable or self._data or self._padding or self._header or not self._cards:
            return {}
        return {**self.payload, KEYWORDS: self._cards}

    def _take(self, view: memoryview) -> int:
        """Take what belongs to one thing: a block of a header, pixels, or what fills up their last block."""
        if self._data:
            part = view[: self._data]
            self._hash.update(part)
            self._data -= len(part)
            if not self._data:
                self._plane["sha256"] = self._hash.hexdigest()
            return len(part)
        if self._padding:
            count = min(len(view), self._padding)
            self._padding -= count
            return count
        return self._take_header(view)

    def _take_header(self, view: memoryview) -> int:
        part = bytes(view[: header.BLOCK - len(self._header) % header.BLOCK])
        self._header += part
        whole = len(self._header) % header.BLOCK == 0
        if whole and ends(bytes(self._header[-header.BLOCK :])):
            try:
                self._begin(bytes(self._header), self._offset + len(part))
            except errors.BadData:
                self._usable = False
            self._header.clear()
        elif len(self._header) > _LONGEST_HEADER:
            self._usable = False
        return len(part)

    def _begin(self, block: bytes, offset: int) -> None:
        """Begin the data of an extension whose header is complete."""
        laid = science.layout(block)
        name = extension_name(laid)
        size = header.data_bytes(laid, name=name)
        self._data, self._padding, self._hash = size, header.padded(size) - size, hashlib.sha256()
        self._plane = plane(laid, offset) if size else {}
        if name == LEFT_OUT:
            return
        self._cards[name] = digest(science.keywords(name, block))
        if size:
            self.payload[name] = self._plane


def digest(keywords: Mapping[str, Any]) -> str:
    """Digest keywords with their values, whatever their order."""
    text = json.dumps(keywords, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def extension_name(laid: Mapping[str, Any]) -> str:
    """Name of the extension of a header."""
    return "PRIMARY" if "XTENSION" not in laid else str(laid.get("EXTNAME", "")).strip().upper()


def ends(block: bytes) -> bool:
    """Whether a block of a header holds its end."""
    return any(block[at : at + 8] == b"END     " for at in range(0, len(block), header.CARD))


def plane(laid: Mapping[str, Any], offset: int) -> dict[str, Any]:
    """Say where the array of an extension is: ``offset`` in bytes, ``shape`` in array order, ``dtype`` as stored.

    Flags are ``u4``, stored as signed numbers with BZERO. Rows of a table are bytes, of shape (row, byte).
    """
    shape = [int(laid[f"NAXIS{axis}"]) for axis in range(int(laid["NAXIS"]), 0, -1)]
    if laid.get("XTENSION") == "BINTABLE":
        return {"offset": offset, "shape": shape, "dtype": "row"}
    bits = int(laid["BITPIX"])
    unsigned = bits > 8 and laid.get("BZERO") == 2 ** (bits - 1)
    kind = "f" if bits < 0 else "u" if unsigned or bits == 8 else "i"
    return {"offset": offset, "shape": shape, "dtype": f"{kind}{abs(bits) // 8}"}


def of(data: Buffer) -> Payload:
    """Digest the payload of a file that is in memory; empty if it is no FITS file."""
    digester = Digester()
    digester.update(data)
    return digester.finish()


def headers(data: Buffer) -> Iterator[tuple[str, bytes]]:
    """Yield the names and the bytes of headers that follow each other without data, up to one that is not whole."""
    view, start = memoryview(data), 0
    for stop in range(header.BLOCK, len(view) + 1, header.BLOCK):
        if ends(bytes(view[stop - header.BLOCK : stop])):
            block = bytes(view[start:stop])
            yield extension_name(science.layout(block)), block
            start = stop


def data_bytes(place: Mapping[str, Any]) -> int:
    """Count the bytes of an array, without padding."""
    size: int = math.prod(place["shape"])
    return size if place["dtype"] == "row" else size * int(place["dtype"][1:])


def pixels(place: Mapping[str, Any]) -> int:
    """Count the elements of an array; of a table, its rows."""
    return math.prod(place["shape"][:1] if place["dtype"] == "row" else place["shape"])
