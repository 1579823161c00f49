"""Copying a published version to a directory: every byte is checked against the manifest before any file appears."""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from reprocess import errors
from reprocess.publication.manifest import File, Manifest
from reprocess.storage.store import ByteRange, Store

_PART_BYTES = 8 * 2**20


def download(store: Store, manifest: Manifest, directory: Path) -> tuple[Path, ...]:
    """Write the files of a version to a directory, all or none of them.

    Parameters
    ----------
    store : Store
        The archive root.
    manifest : Manifest
    directory : Path
        Made if it is not there. Files of the same names are replaced.

    Returns
    -------
    tuple of Path

    Raises
    ------
    ChecksumMismatch
        A file is not what the manifest says. No file of the directory was changed.
    ObjectMissing
        A file is gone.
    UsageError
        The directory cannot be written.
    """
    with _aside(directory) as aside:
        for number, file in enumerate(manifest.files):
            if not file.name or Path(file.name).name != file.name:
                raise errors.DamagedRecord(f"{manifest.key} names a file {file.name!r}. Verify the archive.")
            _copy(store, manifest.prefix + file.name, file, aside[number])
        return tuple(_move(aside[number], directory / file.name) for number, file in enumerate(manifest.files))


@contextlib.contextmanager
def _aside(directory: Path) -> Iterator[_Names]:
    """Give names beside the files to come, and leave none of them behind."""
    names = _Names(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield names
    except OSError as error:
        place = error.filename or directory
        raise errors.UsageError(
            f"{place}: {error.strerror}. Nothing is left half done; take another directory."
        ) from error
    finally:
        for path in names.given:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class _Names:
    """Names that nobody else uses, in the directory itself: a rename does not cross file systems."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._salt = directory, uuid.uuid4().hex
        self.given: list[Path] = []

    def __getitem__(self, number: int) -> Path:
        path = self._directory / f".reprocess-{self._salt}-{number}.part"
        if path not in self.given:
            self.given.append(path)
        return path


def _copy(store: Store, key: str, file: File, place: Path) -> None:
    """Copy an object, and compare size and digest of what was written."""
    stamp, digest = store.head(key), hashlib.sha256()
    with place.open("wb") as stream:
        for start in range(0, stamp.size, _PART_BYTES):
            part = ByteRange(start, min(_PART_BYTES, stamp.size - start))
            (data,) = store.get_ranges(key, [part], etag=stamp.etag)
            digest.update(data)
            stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    if stamp.size != file.size or digest.hexdigest() != file.sha256:
        raise errors.ChecksumMismatch(
            f"{key} has {stamp.size} bytes with the digest {digest.hexdigest()[:12]}; its manifest says {file.size} "
            f"bytes, {file.sha256[:12]}. Nothing was written. `reprocess verify` finds all damage."
        )


def _move(source: Path, place: Path) -> Path:
    os.replace(source, place)
    return place
