"""Reference arrays as Zarr, chunked by rows, so that a slab reads its rows of a dark and not all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BytesCodec, ZstdCodec
from zarr.errors import ContainsArrayError

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.exposure import Card
from reprocess.formats.product import Plane, Planes
from reprocess.formats.reference import has_frames
from reprocess.storage.store import Store

SCHEMA = 1
_CHUNK_BYTES = 16 * 2**20
_BAND_BYTES = 64 * 2**20
_FEWEST_ROWS, _MOST_ROWS = 16, 256


def rows_per_chunk(shape: tuple[int, ...], itemsize: int) -> int:
    """Rows of one chunk that holds all planes and columns: the largest power of two within 16 MiB, from 16 to 256."""
    row_bytes = itemsize * int(np.prod(shape[:-2], dtype=np.int64)) * shape[-1]
    rows = _MOST_ROWS
    while rows > _FEWEST_ROWS and rows * row_bytes > _CHUNK_BYTES:
        rows //= 2
    return min(rows, shape[-2])


def write_prepared(store: Store, prefix: str, reference: Reference) -> None:
    """Write the arrays and keywords of a reference below `prefix`.

    The same reference gives the same bytes and nothing is deleted, so writers that meet do no harm.
    A reader must not look before the writer is done: whoever calls this writes a marker afterwards.
    """
    with _door(prefix):
        root = _group(store, prefix, _attributes(reference))
        for name in sorted(reference.arrays):
            array = np.asarray(reference.arrays[name])
            if has_frames(reference.type, array.shape):
                rows = rows_per_chunk(array.shape, array.itemsize)
                _write(root, name, array, chunks=(*array.shape[:-2], rows, array.shape[-1]))
            else:
                stored = _characters(array) if array.dtype.kind == "S" else array
                _write(root, name, stored, chunks=stored.shape)


def read_prepared(store: Store, prefix: str, *, rows: slice, columns: slice) -> Reference:
    """Read a window of a prepared reference; only chunks that hold its rows are fetched.

    Parameters
    ----------
    rows, columns : slice
        Window in the frame of the reference file; applied to the last two axes of each array that `has_frames`.

    Returns
    -------
    Reference
        C-contiguous arrays in native byte order, with all planes.

    Raises
    ------
    ObjectMissing
        Nothing is prepared below `prefix`.
    DamagedReference
        What is there is no prepared reference, or the window reaches outside it.
    """
    with _door(prefix):
        root, attributes = _open(store, prefix)
        names: Any = attributes["arrays"]
        text: Any = attributes.get("text", ())
        type = str(attributes["type"])
        arrays = {}
        for name in names:
            array = _array(root[name], f"{prefix}/{name}")
            if name in text or not has_frames(type, array.shape):
                whole = np.ascontiguousarray(array[...])
                arrays[name] = whole.view(f"S{whole.shape[-1]}")[:, 0] if name in text else whole
            else:
                arrays[name] = _window(array, rows, columns, f"{prefix}/{name}")
    keywords: Any = attributes["keywords"]
    return Reference(type=type, arrays=arrays, keywords=keywords, name=str(attributes["name"]))


@dataclass(frozen=True)
class Whole:
    """A prepared reference of which no array has been read yet.

    Attributes
    ----------
    type, name : str
    keywords : mapping
    arrays : mapping of str to Zarr array
    prefix : str
        Where it is.
    text : frozenset of str
        Names of the arrays that are text, stored as (row, character).
    """

    type: str
    name: str
    keywords: Mapping[str, Card]
    arrays: Mapping[str, zarr.Array[Any]]
    prefix: str
    text: frozenset[str]

    def bands(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Read one array a few chunks of rows at a time, with all planes; what has no frames is read in one piece."""
        array = self.arrays[name]
        with _door(self.prefix):
            if name in self.text or not has_frames(self.type, array.shape):
                yield np.ascontiguousarray(array[...])
                return
            rows = array.chunks[-2]
            step = rows * max(1, _BAND_BYTES * array.shape[-2] // (rows * max(1, array.nbytes)))
            for start in range(0, array.shape[-2], step):
                yield np.ascontiguousarray(array[..., start : start + step, :])


def open_whole(store: Store, prefix: str) -> Whole:
    """Open a prepared reference to read all of it.

    Raises
    ------
    ObjectMissing
        Nothing is prepared below `prefix`.
    DamagedReference
        What is there is no prepared reference.
    """
    with _door(prefix):
        root, attributes = _open(store, prefix)
        names: Any = attributes["arrays"]
        text: Any = attributes.get("text", ())
        keywords: Any = attributes["keywords"]
        arrays = {name: _array(root[name], f"{prefix}/{name}") for name in names}
        return Whole(str(attributes["type"]), str(attributes["name"]), dict(keywords), arrays, prefix, frozenset(text))


def digests(reference: Reference) -> dict[str, str]:
    """SHA-256 of the bytes of each array, as `write_prepared` stores it."""
    return {name: digest(array) for name, array in reference.arrays.items()}


def digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of the bytes of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def read_keywords(store: Store, prefix: str) -> Mapping[str, Card]:
    """Read the keywords of a prepared reference, and no array."""
    with _door(prefix):
        keywords: Any = _open(store, prefix)[1]["keywords"]
    return dict(keywords)


def _open(store: Store, prefix: str) -> tuple[zarr.Group, dict[str, Any]]:
    root = zarr.open_group(store=store.zarr(prefix), mode="r", zarr_format=3, use_consolidated=False)
    attributes = dict(root.attrs)
    if attributes.get("kind") != "prepared-reference" or attributes.get("schema") != SCHEMA:
        raise errors.DamagedReference(f"{prefix} is no prepared reference of schema {SCHEMA}. Prepare it again.")
    return root, attributes


def write_rateints_zarr(store: Store, prefix: str, rateints: Planes, attributes: Mapping[str, Any]) -> None:
    """Write a rate per integration as a Zarr group below `prefix`: one array per plane, one chunk per integration.

    Parameters
    ----------
    rateints : Rate
        Arrays of shape (integration, row, column); they are read one integration at a time.
    attributes : mapping
        JSON values that say where the data come from, for example the keywords of the primary header.
    """
    with _door(prefix):
        root = _group(store, prefix, attributes)
        for name in ("sci", "err", "dq", "var_poisson", "var_rnoise"):
            source: Plane = getattr(rateints, name)
            target = _create(root, name, source, (1, *source.shape[1:]), ("integration", "row", "column"))
            for integration in range(source.shape[0]):
                target[integration] = np.asarray(source[integration : integration + 1])[0]


def _group(store: Store, prefix: str, attributes: Mapping[str, Any]) -> zarr.Group:
    root = zarr.open_group(store=store.zarr(prefix), mode="a", zarr_format=3, use_consolidated=False)
    return root.update_attributes(dict(attributes))


def _attributes(reference: Reference) -> dict[str, Any]:
    return {
        "kind": "prepared-reference",
        "schema": SCHEMA,
        "type": reference.type,
        "name": reference.name,
        "arrays": sorted(reference.arrays),
        # Zarr has no settled form for text: these are stored as (row, character).
        "text": sorted(name for name, array in reference.arrays.items() if array.dtype.kind == "S"),
        "keywords": dict(sorted(reference.keywords.items())),
    }


def _characters(text: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint8]:
    """Return bytes of one length as (row, character)."""
    return np.ascontiguousarray(text).view(np.uint8).reshape(len(text), text.itemsize)


def _write(root: zarr.Group, name: str, array: npt.NDArray[Any], *, chunks: tuple[int, ...]) -> None:
    _create(root, name, array, chunks, None)[...] = array


def _create(
    root: zarr.Group, name: str, like: Plane, chunks: tuple[int, ...], dimensions: tuple[str, ...] | None
) -> zarr.Array[Any]:
    # Flags shrink to nothing; floating-point noise does not shrink and would cost time on every read.
    packed = np.dtype(like.dtype).kind in "iu"
    try:
        return root.create_array(
            name=name,
            shape=like.shape,
            dtype=np.dtype(like.dtype),
            chunks=chunks,
            serializer=BytesCodec(endian="little"),
            compressors=[ZstdCodec(level=1)] if packed else None,
            # a chunk that got lost must not pass for good data
            fill_value=np.iinfo(like.dtype).max if packed else np.nan,
            config={"write_empty_chunks": True},
            dimension_names=dimensions,
        )
    except ContainsArrayError:
        return _same(root[name], like, chunks, f"{root.store_path}/{name}")


def _same(array: object, like: Plane, chunks: tuple[int, ...], label: str) -> zarr.Array[Any]:
    """Take an array that another writer has begun, if it is the one that would be created."""
    if not isinstance(array, zarr.Array) or (array.shape, array.dtype, array.chunks) != (
        like.shape,
        like.dtype,
        chunks,
    ):
        raise errors.DamagedReference(f"{label} exists and is laid out otherwise. Delete it, then prepare again.")
    return array


def _array(array: object, label: str) -> zarr.Array[Any]:
    if not isinstance(array, zarr.Array):
        raise errors.DamagedReference(f"{label} is no array. Prepare the reference again.")
    return array


def _window(array: zarr.Array[Any], rows: slice, columns: slice, label: str) -> npt.NDArray[Any]:
    for cut, length in zip((rows, columns), array.shape[-2:], strict=True):
        if (
            cut.step not in (None, 1)
            or not 0 <= (cut.start or 0) < (length if cut.stop is None else cut.stop) <= length
        ):
            raise errors.DamagedReference(f"{label} has frames of {array.shape[-2:]}; {rows}, {columns} reach outside.")
    return np.ascontiguousarray(array[..., rows, columns])


@contextmanager
def _door(prefix: str) -> Iterator[None]:
    """Turn what Zarr and the store below it raise into errors of this package."""
    try:
        yield
    except errors.ReprocessError:
        raise
    except (FileNotFoundError, KeyError) as error:
        raise errors.ObjectMissing(f"There is no Zarr group at {prefix}. Prepare the reference again.") from error
    except (ValueError, TypeError, RuntimeError) as error:
        raise errors.DamagedReference(f"The Zarr group at {prefix} cannot be read or written: {error}.") from error
    except Exception as error:
        raise errors.StorageUnavailable(f"The store failed while reading or writing {prefix}: {error}.") from error
