"""Slabs on their way to one product: staged by many workers, read late and in order by the one that assembles.

Each slab has arrays of its own, so that no two writers ever touch the same object, and a small record that is written
last. An assembly reads the records first: the slabs must cover the detector's rows once, and agree with each other.

```
staging/<campaign>/<dataset>/<start>-<stop>/<array>/...   Zarr, one chunk for each plane of the slab
staging/<campaign>/<dataset>/<start>-<stop>/slab.json
```
"""

from __future__ import annotations

import functools
import math
from collections import Counter
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
from reprocess.exposure import Band
from reprocess.formats import records
from reprocess.publication.patience import Patience
from reprocess.storage.store import Store

KIND = "slab"
SCHEMA = 1
PATIENT = Patience()
Array = npt.NDArray[Any]


def prefix(campaign: str, dataset: str) -> str:
    """Where the slabs of a dataset are staged."""
    return f"staging/{campaign}/{dataset}/"


def stage_slab(
    store: Store,
    prefix: str,
    band: Band,
    arrays: Mapping[str, Array],
    *,
    statuses: Mapping[str, str] | None = None,
    told: Mapping[str, Any] | None = None,
) -> int:
    """Write the results of one slab; doing it again writes the same bytes.

    Parameters
    ----------
    prefix : str
        See `prefix`.
    band : Band
        The core rows that the arrays hold.
    arrays : mapping of name to array
        The last two axes are (row, column); any before them come first.
    statuses : mapping of str to str
        What must be the same for all slabs of an exposure, such as COMPLETE or SKIPPED by step.
    told : mapping, optional
        What this slab alone tells, as JSON values.

    Returns
    -------
    int
        Bytes of the arrays, before compression.
    """
    place = _place(prefix, band)
    for name, array in arrays.items():
        if array.ndim < 2 or array.shape[-2] != len(band):
            raise errors.ReprocessError(f"{place}: {name} has shape {array.shape}, not {len(band)} rows.")
        with _door(place):
            _write(store, place + name, np.ascontiguousarray(array))
    shapes = {name: [list(array.shape), array.dtype.str] for name, array in arrays.items()}
    record: dict[str, Any] = {
        "start": band.start,
        "stop": band.stop,
        "arrays": shapes,
        "statuses": dict(statuses or {}),
    }
    record["told"] = dict(told or {})
    store.put(place + "slab.json", records.dumps(KIND, SCHEMA, record))
    return sum(array.nbytes for array in arrays.values())


@dataclass(frozen=True)
class StagedArray:
    """An array in slabs, read from the store when it is sliced along its first axis.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    parts : tuple of (Band, Zarr array)
        In the order of rows, without gaps.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: tuple[tuple[Band, Any], ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: slice, /) -> Array:
        start, stop, step = key.indices(self.shape[0])
        if step != 1:
            raise errors.ReprocessError(f"A staged array is read in contiguous slices, not in steps of {step}.")
        return self._rows(start, stop) if self.ndim == 2 else self._planes(start, stop)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self[:], dtype=dtype)

    def _rows(self, start: int, stop: int) -> Array:
        result = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        for band, part in self.parts:
            low, high = max(start, band.start), min(stop, band.stop)
            if low < high:
                result[low - start : high - start] = _read(part, slice(low - band.start, high - band.start))
        return result

    def _planes(self, start: int, stop: int) -> Array:
        result = np.empty((max(stop - start, 0), *self.shape[1:]), self.dtype)
        for band, part in self.parts:
            result[..., band.rows, :] = _read(part, slice(start, stop))
        return result


@dataclass(frozen=True)
class Staged:
    """All slabs of one exposure: arrays by name, the statuses that every slab agrees on, and what each tells."""

    arrays: Mapping[str, StagedArray]
    statuses: Mapping[str, str]
    told: Mapping[Band, Mapping[str, Any]]


def open_staged(store: Store, prefix: str, *, rows: int) -> Staged:
    """Open the staged slabs of an exposure of `rows` rows; reads records, no pixels.

    Raises
    ------
    PublicationError
        A slab is missing, covers rows of another one, or disagrees with another one.
    """
    slabs = _slabs(store, prefix, [stamp.key for stamp in store.list(prefix)], rows)
    statuses = _agreed(prefix, "statuses", [slab["statuses"] for slab in slabs])
    kinds = [{name: _without_rows(*kind) for name, kind in slab["arrays"].items()} for slab in slabs]
    arrays = {name: _open(store, prefix, name, slabs, rows) for name in sorted(_agreed(prefix, "arrays", kinds))}
    told = {Band(slab["start"], slab["stop"]): slab["told"] for slab in slabs}
    return Staged(arrays, statuses, told)


def clear_staging(store: Store, prefix: str) -> int:
    """Delete whatever is staged below `prefix`; returns the number of objects."""
    count = 0
    # Records first: what is left by a crash is then no longer taken for a slab.
    for stamp in sorted(store.list(prefix), key=lambda stamp: not stamp.key.endswith("/slab.json")):
        store.delete(stamp.key)
        count += 1
    return count


def _place(prefix: str, band: Band) -> str:
    return f"{prefix}{band.start:05d}-{band.stop:05d}/"


# A chunk that is not there has to mean that it was not written, also where all of it is 0.
_EVERY_CHUNK: Any = {"write_empty_chunks": True}


def _write(store: Store, place: str, array: Array) -> None:
    """Write without deleting first: an earlier attempt that still lives writes the same bytes to the same keys."""
    entries = store.zarr(place)
    try:
        target = zarr.create_array(
            store=entries,
            shape=array.shape,
            dtype=array.dtype,
            chunks=(*(1 for _ in array.shape[:-2]), *array.shape[-2:]),
            serializer=BytesCodec(endian="little"),
            compressors=(ZstdCodec(level=1, checksum=True),),
            fill_value=0,
            config=_EVERY_CHUNK,
        )
    except ContainsArrayError:
        target = zarr.open_array(entries, mode="r+").with_config(_EVERY_CHUNK)
    target[...] = array


def _slabs(store: Store, prefix: str, keys: list[str], rows: int) -> list[dict[str, Any]]:
    """Read the records of the slabs and check that they cover all rows once and that all their chunks are there."""
    names = [key for key in keys if key.endswith("/slab.json")]
    found = [PATIENT.insist(functools.partial(store.get, key)).data for key in names]
    slabs = [records.loads(data, KIND, name=key, schemas=(SCHEMA,)) for key, data in zip(names, found, strict=True)]
    slabs.sort(key=lambda slab: int(slab["start"]))
    edges = [0, *(slab["stop"] for slab in slabs)]
    starts = [*(slab["start"] for slab in slabs), rows]
    for edge, start in zip(edges, starts, strict=True):
        if edge != start:
            what = "are missing" if edge < start else "are staged twice"
            raise _unusable(prefix, f"rows {min(edge, start)} to {max(edge, start)} {what}")
    folders = Counter(key.rpartition("/c/")[0] for key in keys if "/c/" in key)
    for slab in slabs:
        for name, (shape, _) in slab["arrays"].items():
            place = _place(prefix, Band(slab["start"], slab["stop"])) + name
            if folders[place] != math.prod(shape[:-2]):
                # Zarr would read zeros in their place.
                raise _unusable(place, f"{folders[place]} of {math.prod(shape[:-2])} chunks are there")
    return slabs


def _unusable(name: str, what: str) -> errors.PublicationError:
    return errors.PublicationError(f"{name}: {what}. Clear the staging and run the plan again.")


def _agreed(prefix: str, what: str, values: list[dict[str, Any]]) -> dict[str, Any]:
    for value in values[1:]:
        if value != values[0]:
            raise _unusable(prefix, f"slabs disagree on their {what}: {values[0]} and {value}")
    return values[0]


def _without_rows(shape: list[int], dtype: str) -> tuple[tuple[int, ...], int, str]:
    return tuple(shape[:-2]), shape[-1], dtype


def _open(store: Store, prefix: str, name: str, slabs: list[dict[str, Any]], rows: int) -> StagedArray:
    shape, dtype = slabs[0]["arrays"][name]
    bands = [Band(slab["start"], slab["stop"]) for slab in slabs]
    with _door(prefix + name):
        parts = tuple((band, zarr.open_array(store.zarr(_place(prefix, band) + name), mode="r")) for band in bands)
    return StagedArray((*shape[:-2], rows, shape[-1]), np.dtype(dtype), parts)


def _read(part: Any, where: slice) -> Array:  # noqa: ANN401
    """Read a slice of one slab; an answer that was cut must not cost the assembly all that it has read so far."""

    def attempt() -> Array:
        with _door(part.name):
            return np.asarray(part[where])

    return PATIENT.insist(attempt)


@contextmanager
def _door(name: str) -> Iterator[None]:
    """Turn what Zarr and the store below it raise into errors of this package."""
    try:
        yield
    except errors.ReprocessError:
        raise
    except FileNotFoundError as error:
        raise errors.ObjectMissing(f"Nothing is staged at {name}. Run the plan again.") from error
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise errors.PublicationError(f"What is staged at {name} cannot be read or written: {error!r}.") from error
    except Exception as error:
        raise errors.StorageUnavailable(f"The store failed at {name}: {error!r}.") from error
