"""Prepared references on the disk of a machine: fetched from the store once for all of its workers, and mapped by them.

A reference is a directory that appears whole or not at all. Who needs one that is not there fetches it with a lock in
hand, so that the others wait instead of fetching it too; it is written aside and moved into place. Each process checks
the digests of what it maps at the first time. Pages of the files are shared by all processes that map them.

```
<directory>/<name>/record.json, <array>.npy     the time of its last use is that of the directory
<directory>/<name>.lock                         held by who fetches it
<directory>/<name>.partial-<pid>                on its way
```

Whatever is wrong with the disk (full, not writable, damaged) costs time only: references then come from the store.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.formats import prepared, region
from reprocess.formats.window import Corner
from reprocess.storage.store import Store

LIMIT_BYTES = 20 * 10**9
SPARED_BYTES = 10**9
"""Bytes of the disk that are left free, whatever the limit."""
_RECORD, _GONE = "record.json", ".partial-gone"
_SMALL_BYTES = 2**16
_SCHEMA = 1
_LOG = logging.getLogger(__name__)
_CHECKED: set[tuple[str, int]] = set()
"""Records that this process has held against their arrays: path, and time of writing."""


class _UnusableError(Exception):
    """A directory is no whole reference, or there is no room for one."""


@dataclass(frozen=True)
class ReferenceCache:
    """References in a directory of this machine.

    Attributes
    ----------
    directory : Path
        Made when it is needed.
    limit_bytes : int
        What all references may take; those that were not used for the longest time go first.
    """

    directory: Path
    limit_bytes: int = LIMIT_BYTES

    def read_region(
        self,
        store: Store,
        prefix: str,
        name: str,
        *,
        corner: Corner,
        shape: tuple[int, int],
        digests: Callable[[], Mapping[str, str]] = dict,
    ) -> Reference:
        """Read the part of a prepared reference that covers some detector pixels; see `region.read_region`.

        Parameters
        ----------
        store, prefix
            Where it is prepared.
        name : str
            What it is called here; the same content has the same name for ever.
        digests : callable
            Gives the SHA-256 of its arrays, see `prepared.digests`, where they are known; called if it must be fetched.

        Returns
        -------
        Reference
            Its arrays cannot be written to; those that are not cut are mapped from the disk.
        """
        try:
            whole = self._whole(store, prefix, name, digests)
        except (OSError, _UnusableError) as error:
            _LOG.warning("%s cannot keep %s (%s); it is read from %s.", self.directory, name, error, store.url)
            return region.read_region(store, prefix, corner=corner, shape=shape)
        return region.cut(whole, corner=corner, shape=shape)

    def _whole(self, store: Store, prefix: str, name: str, digests: Callable[[], Mapping[str, str]]) -> Reference:
        place = self.directory / name
        with contextlib.suppress(OSError, _UnusableError):
            return _mapped(place)
        self.directory.mkdir(parents=True, exist_ok=True)
        with _locked(self.directory / f"{name}.lock"):
            with contextlib.suppress(OSError, _UnusableError):
                return _mapped(place)  # somebody else has fetched it meanwhile
            self._fetch(prepared.open_whole(store, prefix), place, digests())
            return _mapped(place)

    def _fetch(self, whole: prepared.Whole, place: Path, digests: Mapping[str, str]) -> None:
        for left in self.directory.glob(f"{place.name}.partial-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that died with the lock in hand
        self._make_room(sum(array.nbytes for array in whole.arrays.values()), place)
        aside = place.with_name(f"{place.name}.partial-{os.getpid()}")
        aside.mkdir()
        try:
            written = {name: _write(aside / f"{name}.npy", whole, name) for name in whole.arrays}
            if digests and written != dict(digests):
                raise errors.DamagedReference(
                    f"The arrays at {whole.prefix} are not those that were prepared. Delete them and the marker below "
                    "references/ready/, then run again."
                )
            record = {
                "schema": _SCHEMA,
                "type": whole.type,
                "name": whole.name,
                "keywords": dict(whole.keywords),
                "arrays": written,
                "text": sorted(whole.text),
            }
            (aside / _RECORD).write_text(json.dumps(record))
            os.rename(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _make_room(self, wanted: int, place: Path) -> None:
        """Remove what stands in the place, and what was not used for the longest time, until there is room."""
        with _locked(self.directory / ".lock"):
            for path in (place, *self.directory.glob(f"*{_GONE}")):
                shutil.rmtree(path, ignore_errors=True)
            kept = sorted(_entries(self.directory), key=lambda entry: entry[1])
            taken = sum(size for _, _, size in kept)
            free = shutil.disk_usage(self.directory).free - SPARED_BYTES
            if wanted > self.limit_bytes or wanted > free + taken:
                raise _UnusableError(f"no room for {wanted / 1e6:.0f} MB")
            for path, _, size in kept:
                if taken + wanted <= self.limit_bytes and wanted <= free:
                    return
                # Who has it mapped keeps it; nobody finds half of it.
                gone = path.with_name(path.name + _GONE)
                os.rename(path, gone)
                shutil.rmtree(gone, ignore_errors=True)
                taken, free = taken - size, free + size


def _entries(directory: Path) -> Iterator[tuple[Path, float, int]]:
    """Yield the references that are there: path, time of last use, bytes."""
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if (path / _RECORD).exists() and ".partial-" not in path.name:
                yield path, path.stat().st_mtime, sum(file.stat().st_size for file in path.iterdir())


def _write(path: Path, whole: prepared.Whole, name: str) -> str:
    """Write one array as it comes, in bands of rows; returns the digest of its bytes as they are on the disk.

    Not through a map: a full disk must be an error, and not the end of the process.
    """
    array = whole.arrays[name]
    header = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with open(path, "w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        begin, done = file.tell(), 0
        for band in whole.bands(name):
            if band.shape == array.shape:
                file.write(band.data)
                continue
            row_bytes = band.itemsize * band.shape[-1]
            for number, plane in enumerate(band.reshape(-1, *band.shape[-2:])):
                file.seek(begin + (number * array.shape[-2] + done) * row_bytes)
                file.write(plane.data)
            done += band.shape[-2]
        file.flush()
        file.seek(begin)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mapped(place: Path) -> Reference:
    """Map a reference that is there, and note that it is used."""
    record = _record(place / _RECORD)
    arrays = {name: _map(place / f"{name}.npy") for name in record["arrays"]}
    seen = (str(place), (place / _RECORD).stat().st_mtime_ns)
    if seen not in _CHECKED:
        if any(prepared.digest(array) != record["arrays"][name] for name, array in arrays.items()):
            raise _UnusableError(f"{place} is damaged")
        _CHECKED.add(seen)
    with contextlib.suppress(OSError):
        os.utime(place)
    named = {name: _as_text(array) if name in record["text"] else array for name, array in arrays.items()}
    return Reference(type=record["type"], arrays=named, keywords=record["keywords"], name=record["name"])


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        if {"type", "name", "keywords", "arrays", "text"} <= record.keys() and record["schema"] == _SCHEMA:
            return dict(record)
    except (ValueError, KeyError, AttributeError) as error:
        raise _UnusableError(f"{path} is damaged") from error
    raise _UnusableError(f"{path} is of another schema")


def _map(path: Path) -> npt.NDArray[Any]:
    try:
        mode = "r" if path.stat().st_size > _SMALL_BYTES else None
        return np.asarray(np.load(path, mmap_mode=mode, allow_pickle=False))  # type: ignore[arg-type]  # any mode
    except (ValueError, EOFError) as error:
        raise _UnusableError(f"{path} is damaged") from error


def _as_text(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Undo what Zarr needs: characters in rows become text."""
    return array.view(f"S{array.shape[-1]}")[:, 0]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the end of the process gives back, however it ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
