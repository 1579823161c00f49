"""Rate products as FITS files, laid out as the official pipeline lays them out, in blocks as they are made.

A product is the Level 1b file's own headers with new pixels. Every date is the one the caller gives, so the same input
gives the same bytes. Keywords of our own, in the primary header (the plan is none of them: it says how large slabs are,
and that must not matter):

========  =====================================================================================
CAL_VER   ``reprocess <version>``: the software that made the pixels, and not the official one
RPVERS    version of this package
RPFPRINT  SHA-256 of the fingerprint: software, parameters and references, step by step
RPRAWTAG  version token (ETag) of the Level 1b object
========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from reprocess import errors
from reprocess.exposure import Card
from reprocess.formats import asdf_tree, metadata_tree
from reprocess.formats.header import BLOCK
from reprocess.formats.tail import INT_TIMES, Level1bMetadata
from reprocess.storage.store import Buffer

_BLOCK_BYTES = 8 * 2**20
_UNITS = (("DN/s", "physical units of the array values"), ("DN", "physical units of the array values"))
_VERSION = (1, "extension value")
_FORMATS = MappingProxyType({"u1": "B", "i4": "J", "f8": "D"})

# Tree key, extension and attribute of `Rate`, in the order of the file.
_PLANES = (
    ("data", "SCI", "sci"),
    ("err", "ERR", "err"),
    ("dq", "DQ", "dq"),
    ("var_poisson", "VAR_POISSON", "var_poisson"),
    ("var_rnoise", "VAR_RNOISE", "var_rnoise"),
)
# Likewise of `Ramp`.
_RAMP_PLANES = (("data", "SCI", "data"), ("pixeldq", "PIXELDQ", "pixeldq"), ("groupdq", "GROUPDQ", "groupdq"))
_MODELS = MappingProxyType({2: "ImageModel", 3: "CubeModel", 4: "RampModel"})
_TYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {"DQ": np.dtype(np.uint32), "PIXELDQ": np.dtype(np.uint32), "GROUPDQ": np.dtype(np.uint8)}
)

# Cards of the Level 1b headers that a product must not take over: layout, checksums, and what tells of processing.
_LAYOUT = frozenset(
    [
        "SIMPLE",
        "XTENSION",
        "BITPIX",
        "NAXIS",
        "NAXIS1",
        "NAXIS2",
        "NAXIS3",
        "NAXIS4",
        "PCOUNT",
        "GCOUNT",
        "EXTEND",
        "BSCALE",
        "BZERO",
        "BLANK",
        "EXTNAME",
        "EXTVER",
        "EXTLEVEL",
        "NEXTEND",
        "CHECKSUM",
        "DATASUM",
        "LONGSTRN",
        "INHERIT",
    ]
)
_PROCESSING = frozenset(["CAL_VER", "CAL_VCS", "CRDS_VER", "CRDS_CTX", "RPVERS", "RPFPRINT", "RPRAWTAG"])

_STEP_TITLES = MappingProxyType(
    {
        "S_GRPSCL": "Group scale correction",
        "S_DQINIT": "Data quality initialization",
        "S_MIREMI": "MIRI EMI correction",
        "S_SATURA": "Saturation checking",
        "S_IPC": "Interpixel capacitance correction",
        "S_SUPERB": "Superbias subtraction",
        "S_REFPIX": "Reference pixel correction",
        "S_RSCD": "MIRI reset switch charge decay correction",
        "S_FRSTFR": "MIRI first frame correction",
        "S_LASTFR": "MIRI last frame correction",
        "S_RESET": "MIRI reset correction",
        "S_LINEAR": "Linearity correction",
        "S_DARK": "Dark current subtraction",
        "S_CHGMIG": "Charge migration flagging",
        "S_JUMP": "Jump detection",
        "S_PCTFRM": "Picture frame correction",
        "S_CLNFNS": "Flicker noise removal",
        "S_PERSIS": "Persistence flagging",
        "S_RAMP": "Ramp fitting",
        "S_GANSCL": "Gain scale correction",
    }
)


class Plane(Protocol):
    """An array, or what can be sliced along its first axis like one, so that it can be read late."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type."""

    def __getitem__(self, key: slice, /) -> npt.ArrayLike:
        """Part of the array along its first axis."""


class Planes(Protocol):
    """The five planes of a rate."""

    @property
    def sci(self) -> Plane:
        """Rate in DN/s."""

    @property
    def err(self) -> Plane:
        """Its standard deviation in DN/s."""

    @property
    def dq(self) -> Plane:
        """Flags, unsigned 32-bit."""

    @property
    def var_poisson(self) -> Plane:
        """Variance by photon noise, (DN/s)^2."""

    @property
    def var_rnoise(self) -> Plane:
        """Variance by read noise, (DN/s)^2."""


@dataclass(frozen=True, slots=True)
class PixelArea:
    """Where pixels go in a file that is laid out.

    Attributes
    ----------
    attribute : str
        Which array: its name in `Rate` or `Ramp`.
    shape : tuple of int
        Its axes.
    dtype : dtype
        Its type in memory. In the file it is big-endian, and unsigned 32-bit numbers have BZERO.
    """

    attribute: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def size(self) -> int:
        """Bytes of the pixels, without padding."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class ProductInfo:
    """What a product says of its making.

    Attributes
    ----------
    dataset : str
        Root name; the file is named ``<dataset>_rate.fits`` or ``<dataset>_rateints.fits``.
    created : str
        UTC, ISO 8601 with milliseconds and no zone: the plan's time of creation.
    software : str
        Version of this package.
    context : str
        CRDS context that chose the reference files.
    statuses : mapping of keyword to str
        For example ``S_JUMP`` to ``COMPLETE``.
    references : mapping of CRDS type to file name or None
        None is written as ``N/A``: the context says that the exposure needs none.
    fingerprint, raw_etag : str
        See the table of keywords above; what is empty is left out.
    crds_version : str
        Version of the CRDS client that applied the context; left out when empty.
    log : tuple of str
        Lines kept in the ASDF tree under ``cal_logs``; without hosts, users and paths.
    keywords : mapping
        Further primary keywords that a step determined, for example ``GAINFACT``.
    """

    dataset: str
    created: str
    software: str
    context: str
    statuses: Mapping[str, str]
    references: Mapping[str, str | None]
    fingerprint: str = ""
    raw_etag: str = ""
    crds_version: str = ""
    log: tuple[str, ...] = ()
    keywords: Mapping[str, Card] = field(default_factory=dict)


def write_rate(rate: Planes, metadata: Level1bMetadata, info: ProductInfo) -> Iterator[Buffer]:
    """Write the averaged rate, arrays of shape (row, column), as the blocks of a ``_rate`` FITS file.

    Memory beyond the arrays is a few blocks of 8 MiB.
    """
    return _write(rate, metadata, info, suffix="rate", axes=2)


def write_rateints(rateints: Planes, metadata: Level1bMetadata, info: ProductInfo) -> Iterator[Buffer]:
    """Write the rate of each integration, arrays of shape (integration, row, column), as a ``_rateints`` FITS file.

    It carries the INT_TIMES table where the Level 1b file has one.
    """
    return _write(rateints, metadata, info, suffix="rateints", axes=3)


def layout(
    shape: tuple[int, ...], metadata: Level1bMetadata, info: ProductInfo, *, suffix: str
) -> Iterator[bytes | PixelArea]:
    """Lay out a product of some shape: bytes of the file, and areas for pixels, in their order.

    Parameters
    ----------
    shape : tuple of int
        (row, column) or (integration, row, column) for rates, (integration, group, row, column) for a ramp.
    metadata : Level1bMetadata
    info : ProductInfo
    suffix : str
        End of the file's name after the root, for example ``rate``.
    """
    headers = {"PRIMARY": _primary(metadata, info, _MODELS[len(shape)], f"{info.dataset}_{suffix}.fits")}
    yield _block(headers["PRIMARY"])
    arrays: dict[str, tuple[str, np.dtype[Any], tuple[int, ...]]] = {}
    for key, extension, attribute in _RAMP_PLANES if len(shape) == 4 else _PLANES:
        area = shape[-2:] if extension == "PIXELDQ" else shape
        dtype: np.dtype[Any] = _TYPES.get(extension, np.dtype(np.float32))
        headers[extension] = _plane_header(extension, area, metadata, dtype=dtype, unit=_UNITS[len(shape) == 4])
        arrays[key] = (extension, dtype, area)
        yield _block(headers[extension])
        yield PixelArea(attribute, area, dtype)
        if extension in ("DQ", "GROUPDQ") and len(shape) > 2 and metadata.int_times is not None:
            arrays["int_times"] = ("INT_TIMES", INT_TIMES, metadata.int_times.shape)
            yield from _table("INT_TIMES", metadata.int_times, version=True)
    logs = {**metadata.logs, **({"reprocess": list(info.log)} if info.log else {})}
    content = metadata_tree.tree(headers, arrays, inherited=metadata.meta, logs=logs)
    yield from _asdf(asdf_tree.to_asdf(content))


def _write(rate: Planes, metadata: Level1bMetadata, info: ProductInfo, *, suffix: str, axes: int) -> Iterator[Buffer]:
    for part in layout(_check_shapes(rate, info, axes), metadata, info, suffix=suffix):
        if isinstance(part, PixelArea):
            yield from _pixels(getattr(rate, part.attribute), flags=part.dtype.kind == "u")
        else:
            yield part


def _check_shapes(rate: Planes, info: ProductInfo, axes: int) -> tuple[int, ...]:
    shapes = {attribute: tuple(getattr(rate, attribute).shape) for _, _, attribute in _PLANES}
    if len(set(shapes.values())) != 1 or len(shapes["sci"]) != axes:
        raise errors.ReprocessError(f"{info.dataset}: the arrays of a product need one shape of {axes} axes: {shapes}.")
    if np.dtype(rate.dq.dtype) != np.dtype(np.uint32):
        raise errors.ReprocessError(f"{info.dataset}: flags are {rate.dq.dtype}, not uint32.")
    return shapes["sci"]


def _primary(metadata: Level1bMetadata, info: ProductInfo, model: str, filename: str) -> fits.Header:
    header = fits.Header()
    header["SIMPLE"] = (True, "conforms to FITS standard")
    header["BITPIX"] = (8, "array data type")
    header["NAXIS"] = (0, "number of array dimensions")
    header["EXTEND"] = True
    for card in _cards(metadata.primary):
        if card.keyword[:2] not in ("R_", "S_") and card.keyword not in _PROCESSING:
            header.append(card, end=True)
    header.set("DATE", info.created, "UTC date file created")
    header.set("FILENAME", *_fitting(filename, "Name of the file"))
    header.set("DATAMODL", model, "Type of data model")
    header.set("CAL_VER", f"reprocess {info.software}", "Calibration software version", before="DATAMODL")
    for keyword, value in sorted(info.keywords.items()):
        header.set(keyword, value)
    _append(header, "Reference file information", _reference_cards(info))
    _append(header, "Calibration step information", _status_cards(info))
    _append(header, "Reprocessing information", _own_cards(info))
    return _with_long_strings(header, after="EXTEND")


def _reference_cards(info: ProductInfo) -> Iterator[tuple[str, str, str]]:
    if info.crds_version:
        yield "CRDS_VER", info.crds_version, "Version of CRDS file selection software used"
    yield "CRDS_CTX", info.context, "CRDS context (.pmap) used to select ref files"
    known = metadata_tree.REFERENCE_KEYWORDS
    for kind in sorted(info.references, key=lambda kind: known.get(kind, "")):
        if kind not in known:
            raise errors.ReprocessError(f"{info.dataset}: no header keyword stands for the reference type {kind!r}.")
        name = info.references[kind]
        yield known[kind], f"crds://{name}" if name else "N/A", f"{kind.capitalize()} reference file name"


def _status_cards(info: ProductInfo) -> Iterator[tuple[str, str, str]]:
    for keyword, status in sorted(info.statuses.items()):
        if keyword not in metadata_tree.PATHS["PRIMARY"] or keyword[:2] != "S_":
            raise errors.ReprocessError(f"{info.dataset}: {keyword!r} is no keyword of a step's status.")
        yield keyword, status, _STEP_TITLES.get(keyword, "Calibration step")


def _own_cards(info: ProductInfo) -> Iterator[tuple[str, str, str]]:
    yield "RPVERS", info.software, "Version of reprocess"
    if info.fingerprint:
        yield "RPFPRINT", info.fingerprint, ""  # a digest leaves no room for a comment
    if info.raw_etag:
        yield "RPRAWTAG", info.raw_etag.strip('"'), ""


def _append(header: fits.Header, title: str, cards: Iterator[tuple[str, str, str]]) -> None:
    rows = list(cards)
    if rows:
        for text in ("", title, ""):
            header.append(("", text), end=True)
        for keyword, value, comment in rows:
            header.append((keyword, *_fitting(value, comment)), end=True)


def _fitting(value: str, comment: str) -> tuple[str, str]:
    """Cut a comment to the room that a text value leaves on its card."""
    room = 80 - len("KEYWORD = ") - max(20, len(value) + 2) - len(" / ")
    return value, comment[: max(0, room)]


def _plane_header(
    extension: str, shape: tuple[int, ...], metadata: Level1bMetadata, *, dtype: np.dtype[Any], unit: tuple[str, str]
) -> fits.Header:
    header = fits.Header()
    header["XTENSION"] = ("IMAGE", "Image extension")
    header["BITPIX"] = (8 * dtype.itemsize * (-1 if dtype.kind == "f" else 1), "array data type")
    header["NAXIS"] = (len(shape), "number of array dimensions")
    for axis, length in enumerate(reversed(shape), start=1):
        header[f"NAXIS{axis}"] = length
    header["PCOUNT"] = (0, "number of parameters")
    header["GCOUNT"] = (1, "number of groups")
    if dtype == np.uint32:
        header["BSCALE"] = 1
        header["BZERO"] = 2**31
    header["EXTNAME"] = (extension, "extension name")
    if extension == "SCI":
        for card in _cards(metadata.sci):
            header.append(card, end=True)
    if extension in ("SCI", "ERR"):
        header.set("BUNIT", *unit)
    header["EXTVER"] = _VERSION
    return _with_long_strings(header, after="EXTNAME")


def _cards(block: bytes) -> Iterator[fits.Card]:
    """Cards of a stored header without its layout; cards that are not FITS are left out: no reader could use them."""
    for card in fits.Header.fromstring(block.decode("ascii", "replace")).cards:
        if card.keyword in _LAYOUT:
            continue
        try:
            card.verify("exception")
        except fits.VerifyError:
            continue
        # A card that has lost its value indicator passes for valid and cannot be given a value.
        if card.image[8:10] == "= " or card.keyword in _WITHOUT_VALUE:
            yield card


_WITHOUT_VALUE = frozenset(["", "COMMENT", "HISTORY"])


def _with_long_strings(header: fits.Header, *, after: str) -> fits.Header:
    """Announce strings that go on in CONTINUE cards, as the convention asks."""
    if any(len(card.image) > 80 for card in header.cards):
        header.set("LONGSTRN", "OGIP 1.0", "The OGIP long string convention may be used", after=after)
    return header


def _block(header: fits.Header) -> bytes:
    return bytes(header.tostring().encode("ascii"))


def _pixels(plane: Plane, *, flags: bool) -> Iterator[Buffer]:
    """Big-endian pixels, a few rows or integrations at a time, filled up to whole FITS blocks."""
    length = plane.shape[0]
    step = max(1, _BLOCK_BYTES // (4 * int(np.prod(plane.shape[1:], dtype=np.int64))))
    for start in range(0, length, step):
        part = np.asarray(plane[start : min(start + step, length)])
        if flags:
            part = part ^ np.uint32(2**31)  # BZERO: unsigned numbers are stored as signed ones
        yield part.astype(">u4" if flags else ">f4").reshape(-1).view(np.uint8).data
    yield _padding(4 * int(np.prod(plane.shape, dtype=np.int64)))


def _table(name: str, table: npt.NDArray[np.void], *, version: bool) -> Iterator[bytes]:
    stored = table.astype(table.dtype.newbyteorder(">"))
    header = _table_header(name, stored)
    if version:
        header["EXTVER"] = _VERSION
    yield _block(header)
    yield stored.tobytes()
    yield _padding(stored.nbytes)


def _table_header(name: str, table: npt.NDArray[np.void]) -> fits.Header:
    """Describe a table; astropy's own extension for tables would load what it has for tables of every kind."""
    names = table.dtype.names or ()
    header = fits.Header()
    header["XTENSION"] = ("BINTABLE", "binary table extension")
    header["BITPIX"] = (8, "array data type")
    header["NAXIS"] = (2, "number of array dimensions")
    header["NAXIS1"] = (table.dtype.itemsize, "length of dimension 1")
    header["NAXIS2"] = (len(table), "length of dimension 2")
    header["PCOUNT"] = (0, "number of group parameters")
    header["GCOUNT"] = (1, "number of groups")
    header["TFIELDS"] = (len(names), "number of table fields")
    for number, column in enumerate(names, start=1):
        kind, shape = table.dtype[column].base, table.dtype[column].shape
        header[f"TTYPE{number}"] = column
        header[f"TFORM{number}"] = f"{shape[0] if shape else ''}{_FORMATS[kind.str[1:]]}"
        if shape:
            header[f"TDIM{number}"] = f"({shape[0]})"
    header["EXTNAME"] = (name, "extension name")
    return header


def _asdf(content: bytes) -> Iterator[bytes]:
    row = np.frombuffer(content, np.dtype([("ASDF_METADATA", "u1", (len(content),))]))
    yield from _table("ASDF", row, version=False)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % BLOCK)
