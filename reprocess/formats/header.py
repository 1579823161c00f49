"""FITS headers from the first bytes of an object.

A sweep of an archive parses millions of headers, so the cards are read here, and not by `astropy.io.fits`, which
spends some milliseconds on each file. What is read is the fixed and the free format of the FITS standard 4.0,
section 4.2; strings that go on in CONTINUE cards keep their first card.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container
from dataclasses import dataclass

from reprocess import errors
from reprocess.exposure import Card, Header

BLOCK = 2880
CARD = 80
FIRST_BYTES = 20 * BLOCK  # holds both headers of nearly every Level 1b file
_LONGEST_HEADER = 512 * BLOCK
_BITPIX = (8, 16, 32, 64, -32, -64)
_MOST_AXES = 999
_END = b"END" + b" " * 77
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
_INTEGER = re.compile(rb"[+-]?\d+\Z")


@dataclass(frozen=True, slots=True)
class NeedMore:
    """The header goes on past the bytes given: come again with the first `length` bytes of the object."""

    length: int


@dataclass(frozen=True, slots=True)
class HeaderUnit:
    """One header: its keywords, and the bytes of the file from `start` to `end`, where the data begin."""

    header: Header
    start: int
    end: int


def parse_header(
    data: bytes, *, name: str, size: int, start: int = 0, wanted: Container[str] | None = None
) -> HeaderUnit | NeedMore:
    """Read the header that begins at byte `start`.

    Parameters
    ----------
    data : bytes
        The first bytes of an object.
    name : str
        What to call the object in messages.
    size : int
        Bytes of the whole object.
    start : int
        Byte at which the header begins.
    wanted : container of str, optional
        Keywords to keep; all of them when it is left out. The first of equal keywords counts, as elsewhere.

    Returns
    -------
    HeaderUnit or NeedMore
        Numbers that are not finite, and values that are not FITS, are kept as text, so that messages can quote them;
        keywords without a value are left out.

    Raises
    ------
    UnreadableHeader
        The bytes are no FITS header.
    Truncated
        The object ends within its header.
    """
    if len(data) < min(start + CARD, size):
        return NeedMore(min(size, start + FIRST_BYTES))
    _check_first_card(data, name, size, start)
    end = _end_card(data, start)
    if end is None:
        return _more(data, name, size, start)
    bad = _UNPRINTABLE.search(data, start, end)
    if bad:
        raise errors.UnreadableHeader(
            f"{name}: byte {bad.start()} of its header is {bad.group()[0]:#04x}, which FITS does not allow there. "
            "Fetch the file again from where it came from."
        )
    stop = start + -(-(end + CARD - start) // BLOCK) * BLOCK
    return HeaderUnit(_keywords(data[start:end], wanted), start, stop)


def parse_value(field: bytes) -> Card | None:
    """Read what follows the value indicator of a card: None when there is no value, text when it is not FITS."""
    text = field.lstrip()
    if text[:1] == b"'":
        return _string(text)
    text = text.partition(b"/")[0].rstrip()
    if not text:
        return None
    if text in (b"T", b"F"):
        return text == b"T"
    if _INTEGER.match(text):
        return int(text)
    return _real(text)


def data_bytes(header: Header, *, name: str) -> int:
    """Bytes of the data that follow a header, without padding (FITS standard 4.0, equation 2).

    Raises
    ------
    WrongLayout
        A keyword that lays out the data is not there or has no possible value; the message calls the header `name`.
    """
    axes = _size(header, "NAXIS", name)
    if axes == 0:
        return 0
    if header.get("BITPIX") not in _BITPIX or axes > _MOST_AXES:
        raise errors.WrongLayout(f"{name} has BITPIX = {header.get('BITPIX')!r}, NAXIS = {axes}: no FITS data are so.")
    pixels = math.prod(_size(header, f"NAXIS{axis}", name) for axis in range(1, axes + 1))
    groups, parameters = (_size(header, keyword, name, default) for keyword, default in (("GCOUNT", 1), ("PCOUNT", 0)))
    return abs(int(header["BITPIX"])) // 8 * groups * (parameters + pixels)


def padded(size: int) -> int:
    """`size` bytes rounded up to whole FITS blocks."""
    return -(-size // BLOCK) * BLOCK


def _size(header: Header, keyword: str, name: str, default: int | None = None) -> int:
    value = header.get(keyword, default)
    if type(value) is not int or value < 0:
        raise errors.WrongLayout(f"{name} has {keyword} = {value!r}, not a whole number.")
    return value


def _check_first_card(data: bytes, name: str, size: int, start: int) -> None:
    if size == 0 or size < start + BLOCK:
        raise errors.Truncated(f"{name} has {size} bytes and ends before the header at byte {start}. Fetch it again.")
    if start == 0 and data[:2] == b"\x1f\x8b":
        raise errors.WrongLayout(f"{name} is gzip-compressed, so no slab of it can be read. Store it uncompressed.")
    first = b"XTENSION=" if start else b"SIMPLE  ="
    if data[start : start + 9] != first:
        raise errors.UnreadableHeader(
            f"{name} has {data[start : start + 9]!r} at byte {start} where {first.decode()} must be: it is no FITS "
            "file, or it is damaged. Fetch it again, or take it out of the archive."
        )


def _end_card(data: bytes, start: int) -> int | None:
    at = data.find(_END, start)
    while at >= 0 and (at - start) % CARD:
        at = data.find(_END, at + 1)
    return at if at >= 0 else None


def _more(data: bytes, name: str, size: int, start: int) -> NeedMore:
    if len(data) >= size:
        raise errors.Truncated(f"{name} has {size} bytes and ends within the header at byte {start}. Fetch it again.")
    if len(data) - start >= _LONGEST_HEADER:
        raise errors.UnreadableHeader(f"{name} has no END within {len(data) - start} bytes of header. Fetch it again.")
    return NeedMore(min(size, max(2 * len(data), start + FIRST_BYTES)))


def _keywords(block: bytes, wanted: Container[str] | None) -> dict[str, Card]:
    text = block.decode("ascii")
    header: dict[str, Card] = {}
    for at in range(0, len(block), CARD):
        if text[at + 8 : at + 10] != "= ":
            continue
        keyword = text[at : at + 8].rstrip()
        if keyword in header or (wanted is not None and keyword not in wanted):
            continue
        value = parse_value(block[at + 10 : at + CARD])
        if value is not None:
            header[keyword] = value
    return header


def _string(text: bytes) -> str:
    parts = text[1:].split(b"'")
    value = [parts[0]]
    for before, after in zip(parts[1::2], parts[2::2], strict=False):
        if before:  # something stood between two quotes: the string ended at the first of them
            break
        value.append(after)
    return b"'".join(value).decode("ascii").rstrip()


def _real(text: bytes) -> Card:
    try:
        number = float(text.replace(b"D", b"E").replace(b"d", b"e"))
    except ValueError:
        return text.decode("ascii")
    return number if math.isfinite(number) and b"_" not in text else text.decode("ascii")
