"""Reference files as calibration sees them: native arrays, DQ in JWST bits, and the keywords that steps read."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.exposure import Card
from reprocess.formats import flags
from reprocess.formats.stored_image import HeldBytes, Image, OpenFile, Source, image_of, opened

Take = Callable[[str, tuple[int, ...], np.dtype[Any]], npt.NDArray[Any]]

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
    """One column of a table of a reference type; `absent` stands in all rows of a table without it.

    Numbers are given as `dtype`. A column of a table that may be absent (`optional`) is left out with it.
    """

    extension: str
    name: str
    text: bool = False
    absent: int | None = None
    dtype: str = "int32"
    optional: bool = False


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
        # Coefficients of IRS2 frames, real and imaginary parts in turn, and the reference samples not to be used.
        "refpix": {
            **{
                name: Column("IRS2", name, dtype="float32")
                for name in (f"{letter}_{output}" for letter in ("alpha", "beta") for output in range(4))
            },
            **{name: Column("DQ", name, dtype="uint32", optional=True) for name in ("output", "odd_even", "mask")},
        },
    }
)


def new_array(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Give fresh memory for an array."""
    return np.empty(shape, dtype)


@dataclass(frozen=True)
class ReferenceFile:
    """A reference file whose headers have been read and whose arrays have been checked, but not read.

    Attributes
    ----------
    type, name : str
        CRDS type in lower case, and file name in CRDS.
    keywords : mapping
        Those of the primary header that steps read.
    images : mapping of str to image
        By the name that calibration has for them.
    tables : mapping of str to array
        Columns of tables.
    absent : tuple of str
        Flag arrays that the file does not have.
    flags : tuple of str
        Flag arrays.
    meanings : tuple of (int, str), or None
        Rows of DQ_DEF; None where flags are JWST bits already.
    """

    type: str
    name: str
    keywords: Mapping[str, Card]
    images: Mapping[str, Image]
    tables: Mapping[str, npt.NDArray[Any]]
    absent: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    meanings: tuple[tuple[int, str], ...] | None = None

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.name} ({self.type})"

    def covers(self, name: str) -> bool:
        """Tell whether the last two axes of an array are rows and columns of the detector."""
        return name in self.absent or (name in self.images and has_frames(self.type, self.images[name].shape))

    def shape(self, name: str) -> tuple[int, ...]:
        """Axes of an array; an absent one has the frames of the others."""
        if name not in self.absent:
            return self.images[name].shape
        return next(iter(self.images.values())).shape[-2:]

    def read(
        self,
        rows: slice | None = None,
        columns: slice | None = None,
        *,
        take: Take = new_array,
        groups: int | None = None,
    ) -> Reference:
        """Read a window of all arrays that have frames, and the others whole.

        Parameters
        ----------
        rows, columns : slice, optional
            Window in the frame of the file, with start and stop; all of it where they are left out.
        take : callable
            Gives the memory for an array by its name, shape and type.
        groups : int, optional
            How many of the first groups of ``sci`` are wanted; all where it is left out.

        Raises
        ------
        DamagedReference
            The file has become shorter since it was opened.
        """
        arrays: dict[str, npt.NDArray[Any]] = dict(self.tables)
        try:
            for name in (*self.images, *self.absent):
                arrays[name] = self._read(name, rows, columns, take, groups if name == "sci" else None)
        except errors.BadData as error:
            raise errors.DamagedReference(f"{self.label} cannot be read any more: {error}.") from error
        return Reference(type=self.type, arrays=arrays, keywords=self.keywords, name=self.name)

    def _read(
        self, name: str, rows: slice | None, columns: slice | None, take: Take, groups: int | None
    ) -> npt.NDArray[Any]:
        shape = self.shape(name)
        whole = not self.covers(name)
        rows = slice(0, shape[-2]) if whole or rows is None else rows
        columns = slice(0, shape[-1]) if whole or columns is None else columns
        depth = shape[-3:-2] if groups is None else tuple(min(groups, length) for length in shape[-3:-2])
        window = (*shape[:-3], *depth, rows.stop - rows.start, columns.stop - columns.start)
        out = take(name, window, np.dtype(np.uint32 if name in self.flags else np.float32))
        if name in self.absent:
            out[...] = 0
            return out
        self.images[name].read(rows, columns, out=out, planes=slice(0, *depth) if depth else slice(None))
        if name in self.flags and self.meanings is not None:
            flags.to_jwst(out, self.meanings, out=out)
        return out


def has_frames(type: str, shape: tuple[int, ...]) -> bool:
    """Tell whether an array of a reference has rows and columns of the detector as its last two axes.

    Columns of tables have none, nor does an inter-pixel capacitance kernel that is the same for all pixels.
    """
    return len(shape) > 2 or (len(shape) == 2 and type != "ipc")


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
    return _opened(io.BytesIO(data), HeldBytes(data), len(data), type, name).read()


def open_reference(file: BinaryIO, type: str, name: str) -> ReferenceFile:
    """Read the headers of a reference file on disk, and check its arrays; see `read_reference`.

    Parameters
    ----------
    file : binary file
        Stays open, for as long as the result is used.
    type, name : str
        As for `read_reference`.
    """
    return _opened(file, OpenFile(file), os.fstat(file.fileno()).st_size, type, name)


def _opened(file: BinaryIO, source: Source, size: int, type: str, name: str) -> ReferenceFile:
    label = f"{name} ({type})"
    try:
        with opened(file) as hdus:
            _check_whole(hdus, size, label)
            keywords = _keywords(hdus[0].header, type)
            if type in _TABLES:
                return ReferenceFile(type, name, keywords, {}, _columns(hdus, type, name))
            planes = _TYPES.get(type) or _any_planes(hdus)
            images = _images(hdus, planes, source, label)
            return ReferenceFile(
                type,
                name,
                keywords,
                images,
                {},
                absent=tuple(key for key, plane in planes.items() if plane.flags and key not in images),
                flags=tuple(key for key, plane in planes.items() if plane.flags),
                meanings=_meanings(hdus, label) if any(planes[key].flags for key in images) else None,
            )
    except errors.DamagedReference:
        raise
    except Exception as error:
        # astropy raises whatever its parts raise for damaged bytes; every one of them means the same here
        raise errors.DamagedReference(
            f"{name} ({type}) cannot be read: {error}. Fetch it again into the store of references."
        ) from error


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


def _images(hdus: fits.HDUList, planes: Mapping[str, Plane], source: Source, label: str) -> dict[str, Image]:
    found = {key: _image(hdus, plane, source, label) for key, plane in planes.items()}
    present = {key: image for key, image in found.items() if image is not None}
    frames = {image.shape[-2:] for image in present.values()}
    if len(frames) > 1 and not label.endswith("(ipc)"):
        shapes = ", ".join(f"{key} {image.shape}" for key, image in sorted(present.items()))
        raise errors.DamagedReference(f"{label}: its arrays cover different frames: {shapes}. Fetch it again.")
    return present


def _columns(file: fits.HDUList, type: str, name: str) -> dict[str, npt.NDArray[Any]]:
    given = {key: column for key, column in _TABLES[type].items() if not (column.optional and _is_empty(file, column))}
    return {key: _column(file, column, f"{name} ({type})") for key, column in given.items()}


def _is_empty(file: fits.HDUList, column: Column) -> bool:
    return column.extension not in file or not file[column.extension].header["NAXIS2"]


def _column(file: fits.HDUList, column: Column, label: str) -> npt.NDArray[Any]:
    table = file[column.extension].data if column.extension in file else None
    if not isinstance(table, fits.FITS_rec) or not len(table):
        raise errors.DamagedReference(f"{label} has no table {column.extension} with rows. Fetch it again.")
    names = {name.lower(): name for name in table.names}
    if column.name not in names and column.absent is not None:
        return np.full(len(table), column.absent, np.int32)
    values = np.asarray(table[names[column.name]]) if column.name in names else None
    wanted = "SU" if column.text else "fiu" if column.dtype == "float32" else "iu"
    if values is None or values.ndim != 1 or values.dtype.kind not in wanted:
        found = "is not there" if values is None else f"is {values.dtype} of shape {values.shape}"
        raise errors.DamagedReference(
            f"{label}: column {column.name} of {column.extension} {found}; "
            f"one {'word' if column.text else 'number' if 'f' in wanted else 'whole number'} for each row is expected."
        )
    if column.text:
        return np.char.rstrip(values.astype(np.bytes_))
    return values.astype(column.dtype)


def _any_planes(hdus: fits.HDUList) -> dict[str, Plane]:
    """Take every image extension of an unlisted type as it is."""
    images = [hdu for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU | fits.CompImageHDU) and hdu.shape]
    return {hdu.name.lower(): Plane(hdu.name, (len(hdu.shape),), flags=hdu.name == "DQ") for hdu in images}


def _image(hdus: fits.HDUList, plane: Plane, source: Source, label: str) -> Image | None:
    image = image_of(hdus[plane.extension], source, label) if plane.extension in hdus else None
    if image is None:
        if plane.optional:
            return None
        raise errors.DamagedReference(f"{label} has no {plane.extension} extension with data. Fetch it again.")
    if image.ndim not in plane.axes or image.dtype.kind not in ("iu" if plane.flags else "iuf") or 0 in image.shape:
        raise errors.DamagedReference(
            f"{label}: {plane.extension} is {image.dtype} of shape {image.shape}; "
            f"{'flags' if plane.flags else 'numbers'} with {' or '.join(map(str, plane.axes))} axes are expected."
        )
    if plane.blank_if_zero and not any(piece.any() for piece in image.pieces()):
        return None
    if not plane.flags and not plane.optional and not any(np.isfinite(piece).any() for piece in image.pieces()):
        # Kernels take NaN for "no correction here", so without a number the step would say COMPLETE and do nothing.
        raise errors.DamagedReference(f"{label}: {plane.extension} has not a single finite number. Fetch it again.")
    return image


def _meanings(hdus: fits.HDUList, label: str) -> tuple[tuple[int, str], ...] | None:
    if "DQ_DEF" not in hdus or not len(hdus["DQ_DEF"].data):
        return None
    try:
        table = hdus["DQ_DEF"].data
        rows = zip(table["VALUE"], table["NAME"], strict=True)
        return tuple((int(value), str(name).strip()) for value, name in rows)
    except KeyError as error:
        raise errors.DamagedReference(f"{label}: DQ_DEF has no column {error}. Fetch it again.") from error
