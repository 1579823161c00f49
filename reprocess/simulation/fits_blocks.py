"""FITS extensions as a stream of bytes, plane by plane, so that no file is ever whole in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Card = tuple[str, Any, str]

_BLOCK = 2880
_BITPIX = {"u1": 8, "u2": 16, "u4": 32, "f4": -32}
# Unsigned integers are stored as signed ones shifted by half their range (FITS standard 4.0, section 4.4.2.5).
_ZERO = {"u2": 2**15, "u4": 2**31}


def primary(cards: Iterable[Card]) -> bytes:
    """An empty primary HDU with the given cards."""
    begin: list[Card] = [("SIMPLE", True, "conforms to FITS standard"), ("BITPIX", 8, "array data type")]
    return _header([*begin, ("NAXIS", 0, "number of array dimensions"), ("EXTEND", True, ""), *cards])


def image(
    name: str, dtype: str, shape: tuple[int, ...], planes: Iterable[NDArray[Any]], cards: Iterable[Card] = ()
) -> Iterator[bytes]:
    """An IMAGE extension.

    Parameters
    ----------
    name : str
        EXTNAME.
    dtype : str
        ``u1``, ``u2``, ``u4`` or ``f4``.
    shape : tuple of int
        Axes in array order.
    planes : iterable of ndarray
        The array in pieces, in order; native byte order.
    cards : iterable of (keyword, value, comment)

    Yields
    ------
    bytes
        Header, then one piece for each plane, then padding.
    """
    yield _image_header(name, dtype, shape, cards)
    written = 0
    for plane in planes:
        data = _stored(plane, dtype)
        written += len(data)
        yield data
    yield b"\0" * (-written % _BLOCK)


def whole_image(name: str, dtype: str, array: NDArray[Any], cards: Iterable[Card] = ()) -> Iterator[bytes]:
    """An IMAGE extension of an array that is there already."""
    planes = array if array.ndim > 2 else [array]
    return image(name, dtype, array.shape, planes, cards)


def table(name: str, rows: NDArray[Any], units: Mapping[str, str] | None = None) -> bytes:
    """A BINTABLE extension of a structured array."""
    extension = fits.BinTableHDU(rows, name=name)
    for index, column in enumerate(rows.dtype.names or (), start=1):
        if units and column in units:
            extension.header[f"TUNIT{index}"] = units[column]
    return _extension(extension)


def asdf_table(document: bytes) -> bytes:
    """The BINTABLE extension called ASDF that holds a document as one cell of bytes."""
    cell = np.frombuffer(document, dtype=np.uint8)[None, :]
    column = fits.Column(name="ASDF_METADATA", format=f"{cell.shape[1]}B", array=cell)
    return _extension(fits.BinTableHDU.from_columns([column], name="ASDF"))


def _extension(extension: fits.BinTableHDU) -> bytes:
    """An extension's own bytes: what astropy writes after an empty primary HDU, which is one block."""
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), extension]).writeto(stream)
    return stream.getvalue()[_BLOCK:]


def _image_header(name: str, dtype: str, shape: tuple[int, ...], cards: Iterable[Card]) -> bytes:
    begin: list[Card] = [("XTENSION", "IMAGE", "Image extension"), ("BITPIX", _BITPIX[dtype], "array data type")]
    begin.append(("NAXIS", len(shape), "number of array dimensions"))
    begin += [(f"NAXIS{axis}", size, "") for axis, size in enumerate(reversed(shape), start=1)]
    begin += [("PCOUNT", 0, "number of parameters"), ("GCOUNT", 1, "number of groups")]
    if dtype in _ZERO:
        begin += [("BSCALE", 1, ""), ("BZERO", _ZERO[dtype], "")]
    return _header([*begin, ("EXTNAME", name, "extension name"), *cards])


def _header(cards: Iterable[Card]) -> bytes:
    """A header of the cards in their order; one without a keyword is a heading between blank lines."""
    header = fits.Header()
    for keyword, value, comment in cards:
        if keyword:
            header.append((keyword, value, comment), end=True)
        else:
            for text in ("", f"        {comment}", ""):
                header.append(("", text), end=True)
    block: str = header.tostring()
    return block.encode("ascii")


def _stored(plane: NDArray[Any], dtype: str) -> bytes:
    if dtype in _ZERO:
        unsigned = np.asarray(plane, dtype=dtype) ^ np.dtype(dtype).type(_ZERO[dtype])
        return bytes(unsigned.astype(f">{dtype}").data)
    return bytes(np.asarray(plane).astype(f">{dtype}").data)
