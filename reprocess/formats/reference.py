"""Reference files as calibration sees them: native arrays, DQ in JWST bits, and the keywords that steps read."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.exposure import Card
from reprocess.formats import flags

# Keywords that a step can reach. They enter the payload digest, so what is not here can change without any work.
_EVERYWHERE = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")  # where the frame lies, to cut it to a subarray
_KEYWORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dark": ("NFRAMES", "GROUPGAP", "AVDRKCUR"),
        "gain": ("GAINFACT",),
        "reset": ("NINTS", "NGROUPS"),
    }
)


@dataclass(frozen=True, slots=True)
class Plane:
    """One array of a reference type: its extension, how many axes it may have, and whether it may be absent.

    An array that is all zero passes for absent if it is `blank_if_zero`.
    """

    extension: str
    axes: tuple[int, ...]
    optional: bool = False
    flags: bool = False
    blank_if_zero: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of a reference type; `absent` stands in all rows of a table without it."""

    extension: str
    name: str
    text: bool = False
    absent: int | None = None


_SCIENCE = Plane("SCI", (2,))
_FLAGS = Plane("DQ", (2,), optional=True, flags=True)
_TYPES: Mapping[str, Mapping[str, Plane]] = MappingProxyType(
    {
        "mask": {"dq": Plane("DQ", (2,), flags=True)},
        "saturation": {"sci": _SCIENCE, "dq": _FLAGS},
        "superbias": {"sci": _SCIENCE, "dq": _FLAGS},
        "linearity": {
            "coeffs": Plane("COEFFS", (3,)),
            "inv_coeffs": Plane("INV_COEFFS", (3,), optional=True),
            "dq": _FLAGS,
        },
        "dark": {
            "sci": Plane("SCI", (3, 4)),
            "dq": Plane("DQ", (2, 3, 4), optional=True, flags=True),
            # The official step then takes the keyword of this name.
            "average_dark_current": Plane("AVDRKCUR", (2,), optional=True, blank_if_zero=True),
        },
        "reset": {"sci": Plane("SCI", (4,)), "dq": _FLAGS},
        "gain": {"sci": _SCIENCE},
        "readnoise": {"sci": _SCIENCE},
        "ipc": {"sci": Plane("SCI", (2, 4))},
        "area": {"sci": _SCIENCE},
        "flat": {"sci": _SCIENCE, "err": Plane("ERR", (2,), optional=True), "dq": _FLAGS},
    }
)

_RSCD = "RSCD_GROUP_SKIP"
_TABLES: Mapping[str, Mapping[str, Column]] = MappingProxyType(
    {
        "rscd": {
            "subarray": Column(_RSCD, "subarray", text=True),
            "readpatt": Column(_RSCD, "readpatt", text=True),
            # Tables from before the first integration had a number of its own; officially -1, too.
            "group_skip1": Column(_RSCD, "group_skip1", absent=-1),
            "group_skip": Column(_RSCD, "group_skip"),
        },
    }
)


def read_reference(data: bytes, type: str, name: str) -> Reference:
    """Read a whole reference file.

    Parameters
    ----------
    data : bytes
        The file.
    type : str
        CRDS type in lower case. An unlisted type keeps every image extension under its name in lower case.
    name : str
        File name in CRDS, for messages.

    Returns
    -------
    Reference
        Arrays of the full frame, float32 or uint32; columns of tables, int32 or bytes, with one axis. Flags are mapped
        through DQ_DEF to JWST bits (`flags.to_jwst`); without DQ_DEF they are JWST bits already. A flag array that may
        be absent and is absent is zero.

    Raises
    ------
    DamagedReference
        The file cannot be read, or an array is absent or has the wrong shape or data type.
    """
    try:
        with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=False) as file:
            _check_whole(file, len(data), f"{name} ({type})")
            arrays = _columns(file, type, name) if type in _TABLES else _arrays(file, type, name)
            keywords = _keywords(file[0].header, type)
    except errors.DamagedReference:
        raise
    except Exception as error:
        # astropy raises whatever its parts raise for damaged bytes; every one of them means the same here
        raise errors.DamagedReference(
            f"{name} ({type}) cannot be read: {error}. Fetch it again into the store of references."
        ) from error
    return Reference(type=type, arrays=arrays, keywords=keywords, name=name)


def payload_digest(reference: Reference) -> str:
    """Digest what calibration can see of a reference file.

    Two deliveries with equal digests calibrate alike: name, dates, history, author, pedigree, description do not enter.

    Returns
    -------
    str
        SHA-256 (hexadecimal) over type, keywords, and each array's name, data type, shape and little-endian bytes.
    """
    digest = hashlib.sha256()
    digest.update(_line({"type": reference.type, "keywords": dict(reference.keywords)}))
    for key in sorted(reference.arrays):
        array = np.ascontiguousarray(reference.arrays[key])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(_line({"array": key, "dtype": little.dtype.str, "shape": little.shape}))
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _check_whole(file: fits.HDUList, size: int, label: str) -> None:
    """Refuse a file that is cut off, whose last extensions would pass for absent ones."""
    last = file[-1].fileinfo()
    end = last["datLoc"] + last["datSpan"]
    if end != size:
        raise errors.DamagedReference(
            f"{label} has {size} bytes, but its extensions end at byte {end}. Fetch it again into the references."
        )


def _line(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _keywords(header: fits.Header, type: str) -> dict[str, Card]:
    wanted = sorted((*_EVERYWHERE, *_KEYWORDS.get(type, ())))
    found = {keyword: header[keyword] for keyword in wanted if keyword in header}
    return {keyword: value for keyword, value in found.items() if isinstance(value, str | int | float | bool)}


def _arrays(file: fits.HDUList, type: str, name: str) -> dict[str, npt.NDArray[Any]]:
    planes = _TYPES.get(type)
    if planes is None:
        planes = {hdu.name.lower(): _any_plane(hdu) for hdu in file[1:] if _holds_image(hdu)}
    arrays = {key: _array(file, plane, f"{name} ({type})") for key, plane in planes.items()}
    present = {key: array for key, array in arrays.items() if array is not None}
    for key, plane in planes.items():
        if key not in present and plane.flags:
            shape = next(iter(present.values())).shape[-2:]
            present[key] = np.zeros(shape, np.uint32)
    _check_frames(present, f"{name} ({type})", exempt=type == "ipc")
    return present


def _columns(file: fits.HDUList, type: str, name: str) -> dict[str, npt.NDArray[Any]]:
    return {key: _column(file, column, f"{name} ({type})") for key, column in _TABLES[type].items()}


def _column(file: fits.HDUList, column: Column, label: str) -> npt.NDArray[Any]:
    table = file[column.extension].data if column.extension in file else None
    if not isinstance(table, fits.FITS_rec) or not len(table):
        raise errors.DamagedReference(f"{label} has no table {column.extension} with rows. Fetch it again.")
    names = {name.lower(): name for name in table.names}
    if column.name not in names and column.absent is not None:
        return np.full(len(table), column.absent, np.int32)
    values = np.asarray(table[names[column.name]]) if column.name in names else None
    if values is None or values.ndim != 1 or values.dtype.kind not in ("SU" if column.text else "iu"):
        found = "is not there" if values is None else f"is {values.dtype} of shape {values.shape}"
        raise errors.DamagedReference(
            f"{label}: column {column.name} of {column.extension} {found}; "
            f"one {'word' if column.text else 'whole number'} for each row is expected."
        )
    if column.text:
        return np.char.rstrip(values.astype(np.bytes_))
    return values.astype(np.int32)


def _any_plane(hdu: fits.ImageHDU) -> Plane:
    return Plane(hdu.name, (hdu.data.ndim,), flags=hdu.name == "DQ")


def _holds_image(hdu: fits.ImageHDU) -> bool:
    return isinstance(hdu, fits.ImageHDU | fits.CompImageHDU) and hdu.data is not None


def _array(file: fits.HDUList, plane: Plane, label: str) -> npt.NDArray[Any] | None:
    if plane.extension not in file or file[plane.extension].data is None:
        if plane.optional:
            return None
        raise errors.DamagedReference(f"{label} has no {plane.extension} extension with data. Fetch it again.")
    data = np.asarray(file[plane.extension].data)
    if data.ndim not in plane.axes or data.dtype.kind not in ("iu" if plane.flags else "iuf") or 0 in data.shape:
        raise errors.DamagedReference(
            f"{label}: {plane.extension} is {data.dtype} of shape {data.shape}; "
            f"{'flags' if plane.flags else 'numbers'} with {' or '.join(map(str, plane.axes))} axes are expected."
        )
    if not plane.flags and not plane.optional and not any(np.isfinite(part).any() for part in data):
        # Kernels take NaN for "no correction here", so without a number the step would say COMPLETE and do nothing.
        raise errors.DamagedReference(f"{label}: {plane.extension} has not a single finite number. Fetch it again.")
    if plane.flags:
        return _jwst_flags(data.astype(np.uint32), file, label)
    if plane.blank_if_zero and not data.any():
        return None
    return np.ascontiguousarray(data, np.float32)


def _jwst_flags(stored: npt.NDArray[np.uint32], file: fits.HDUList, label: str) -> npt.NDArray[np.uint32]:
    if "DQ_DEF" not in file or not len(file["DQ_DEF"].data):
        return stored
    try:
        table = file["DQ_DEF"].data
        meanings = [(int(value), str(name).strip()) for value, name in zip(table["VALUE"], table["NAME"], strict=True)]
    except KeyError as error:
        raise errors.DamagedReference(f"{label}: DQ_DEF has no column {error}. Fetch it again.") from error
    return flags.to_jwst(stored, meanings)


def _check_frames(arrays: Mapping[str, npt.NDArray[Any]], label: str, *, exempt: bool) -> None:
    frames = {array.shape[-2:] for array in arrays.values()}
    if len(frames) > 1 and not exempt:
        shapes = ", ".join(f"{key} {array.shape}" for key, array in sorted(arrays.items()))
        raise errors.DamagedReference(f"{label}: its arrays cover different frames: {shapes}. Fetch it again.")
