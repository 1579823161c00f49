"""Which header keywords say something of the science, and which only of the making.

Two products of one exposure differ in their dates, versions, reference names and statuses of steps however equal their
pixels are. What counts as such provenance is what the official pipeline puts below ``meta.ref_file`` and
``meta.cal_step``, its versions and the file's own name and date, and the keywords that are our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reprocess import errors
from reprocess.exposure import Card
from reprocess.formats import header, metadata_tree

_GROUPS = frozenset({"ref_file", "cal_step"})
_NAMES = frozenset({"date", "filename", "calibration_software_version", "calibration_software_revision"})
_VERSIONS = frozenset(
    {
        "data_processing_software_version",
        "prd_software_version",
        "oss_software_version",
        "guide_star_catalog_version",
    }
)
_OWN = ("RPVERS", "RPFPRINT", "RPRAWTAG")
# Keywords of files that others made, which no table here places.
_UNPLACED = re.compile(r"(R|S)_|CRDS_|CAL_|DATE$")

_LAYOUT_WORDS = """
    SIMPLE XTENSION BITPIX NAXIS PCOUNT GCOUNT EXTEND BSCALE BZERO BLANK EXTNAME EXTVER EXTLEVEL NEXTEND CHECKSUM
    DATASUM LONGSTRN INHERIT TFIELDS"""
_LAYOUT = frozenset(_LAYOUT_WORDS.split())
_NUMBERED_LAYOUT = re.compile(r"(NAXIS|TTYPE|TFORM|TUNIT|TDIM|TZERO|TSCAL|TNULL)\d+$")
_WCS = re.compile(r"WCSAXES$|(CRPIX|CRVAL|CDELT|CTYPE|CUNIT|CROTA)\d+[A-Z]?$|(PC|CD|PV|PS)\d+_\d+[A-Z]?$")
_WCS_GROUPS = frozenset({"wcsinfo", "coordinates"})


def is_provenance(extension: str, keyword: str) -> bool:
    """Whether a keyword of an extension tells how the product was made, and nothing of what it shows."""
    path = metadata_tree.PATHS.get(extension, {}).get(keyword)
    if path is None:
        return keyword in _OWN or bool(_UNPLACED.match(keyword))
    return path[1] in _GROUPS or (len(path) == 2 and path[1] in _NAMES | _VERSIONS)


def is_wcs(extension: str, keyword: str) -> bool:
    """Whether a keyword of an extension says where on the sky its pixels are."""
    path = metadata_tree.PATHS.get(extension, {}).get(keyword)
    return bool(_WCS.match(keyword)) or (path is not None and path[1] in _WCS_GROUPS)


def keywords(extension: str, block: bytes) -> dict[str, Card]:
    """Read the keywords of a stored header that say something of the science.

    Parameters
    ----------
    extension : str
        Name of the extension; ``PRIMARY`` for the first header.
    block : bytes
        The header as it is stored.

    Returns
    -------
    dict
        Values by keyword; the first of equal keywords counts. Long strings are whole.

    Raises
    ------
    UnreadableHeader
        The bytes are no FITS header.
    """
    found: dict[str, Card] = {}
    for keyword, value in _cards(block):
        if keyword in found or keyword in _LAYOUT or _NUMBERED_LAYOUT.match(keyword):
            continue
        if not is_provenance(extension, keyword):
            found[keyword] = value
    return found


def layout(block: bytes) -> Mapping[str, Card]:
    """Read the keywords of a stored header that lay out its data, and its name."""
    cards = ((keyword, value) for keyword, value in _cards(block))
    return {key: value for key, value in cards if key in _LAYOUT or _NUMBERED_LAYOUT.match(key)}


def _cards(block: bytes) -> Iterator[tuple[str, Card]]:
    """Yield keywords with their values; a string that goes on in CONTINUE cards is joined."""
    if not block.isascii():
        raise errors.UnreadableHeader("A header holds bytes that FITS does not allow there. Verify the archive.")
    keyword, value = "", None
    for at in range(0, len(block), header.CARD):
        name, sign = block[at : at + 8], block[at + 8 : at + 10]
        if name == b"CONTINUE" and isinstance(value, str) and value.endswith("&"):
            more = header.parse_value(block[at + 10 : at + header.CARD])
            value = value[:-1] + str(more or "")
            continue
        if keyword and value is not None:
            yield keyword, value
        keyword, value = "", None
        if name.rstrip() == b"END":
            return
        if sign == b"= ":
            keyword = name.decode("ascii").rstrip()
            value = header.parse_value(block[at + 10 : at + header.CARD])
