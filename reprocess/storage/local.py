# ruff: noqa: D102 (the contract in store.py documents the methods)
"""Objects as files below a directory: write aside, then move into place, so that a reader never sees half of one.

The ETag of a file is its time of modification in nanoseconds and its size. This room sets that time itself, later than
the one of the version it replaces, so no ETag comes twice. A file that somebody else replaces keeps its ETag only if
both are equal.

Writers that replace or delete hold ``flock`` on a hidden file of the directory: it holds between threads and processes,
and between machines where the file system carries it over. Hidden files begin with ``.reprocess-``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reprocess import errors
from reprocess.storage import keys, sweeps
from reprocess.storage import ranges as extents
from reprocess.storage.body import Body, pieces
from reprocess.storage.store import Blob, Buffer, ByteRange, RangeRequest, Stamp, Store, iso

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

_HIDDEN = ".reprocess-"
_ZARR_PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_LONGEST_PART = 255


class LocalStore(Store):
    """A directory as a store. Writing makes the directories it needs; reading below a missing root is `BucketMissing`.

    A key cannot be the beginning of another one (``a`` and ``a/b``), because a file is no directory.
    """

    def __init__(self, root: Path, prefix: str = "") -> None:
        self._root = root
        self._prefix = prefix

    def __reduce__(self) -> tuple[type[LocalStore], tuple[Path, str]]:
        return LocalStore, (self._root, self._prefix)

    @property
    def url(self) -> str:
        return (self._root / self._prefix).as_uri()

    def get(self, key: str, *, etag: str = "") -> Blob:
        with self._open(key, etag) as (descriptor, stamp):
            return Blob(_read(descriptor, 0, stamp.size), stamp)

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        extents.check(ranges, f"{self.url}/{key}")
        with self._open(key, etag) as (descriptor, stamp):
            for part in ranges:
                if part.start + part.length > stamp.size:
                    raise extents.past_end(f"{self.url}/{key}", part.start, part.start + part.length, stamp.size)
            return [memoryview(_read(descriptor, part.start, part.length)) for part in ranges]

    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        return sweeps.one_by_one(self._range, requests)

    def _range(self, request: RangeRequest) -> Blob:
        extents.check([request.range], f"{self.url}/{request.key}")
        with self._open(request.key, request.etag) as (descriptor, stamp):
            return Blob(_read(descriptor, request.range.start, request.range.length), stamp)

    def head(self, key: str) -> Stamp:
        with self._door(key):
            return _stamp(key, self._status(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        keys.check_prefix(prefix, self.url)
        self._check_root()
        folder = prefix.rpartition("/")[0]
        with self._door(prefix):
            for key, status in _walk(self._root / self._prefix / folder, folder, frozenset(), after):
                if key.startswith(prefix):
                    yield _stamp(key, status)

    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        keys.check_folder(prefix, self.url)
        self._check_root()
        try:
            with self._door(prefix), os.scandir(self._root / self._prefix / prefix) as found:
                names = [entry.name + "/" for entry in found if _visible(entry.name) and entry.is_dir()]
        except errors.ObjectMissing:
            return []
        # A directory without any file is no beginning of a key.
        some = (prefix + name for name in sorted(names, key=os.fsencode))
        return [name for name in some if next(self.list(name), None) is not None]

    def put(self, key: str, data: Buffer, *, content_type: str = "") -> Stamp:
        with self._door(key), self._aside(key, [data]) as part, self._lock(key):
            return self._replace(key, part)

    def put_if_absent(self, key: str, data: Body, *, sha256: str = "", content_type: str = "") -> Stamp:
        return self.upload_if_absent(key, pieces(data), sha256=sha256)

    def upload_if_absent(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", content_type: str = "") -> Stamp:
        with self._door(key), self._aside(key, parts, sha256=sha256, durable=True) as part:
            return self._link(key, part)

    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        self._needed(key, etag)
        with self._door(key):
            self._status(key)
            with self._aside(key, [data], durable=True) as part, self._lock(key):
                self._compare(key, etag, self._status(key))
                return self._replace(key, part)

    def digest(self, key: str) -> str:
        with self._open(key, "") as (descriptor, _), open(descriptor, "rb", closefd=False) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def delete(self, key: str, *, etag: str = "") -> None:
        with contextlib.suppress(errors.ObjectMissing, errors.BucketMissing), self._door(key):
            self._status(key)
            with self._lock(key):
                self._compare(key, etag, self._status(key))
                self._path(key).unlink()

    def below(self, prefix: str) -> Store:
        return (
            LocalStore(self._root, keys.join(self._prefix, self._checked(prefix.removesuffix("/")))) if prefix else self
        )

    def zarr(self, prefix: str) -> ZarrStore:
        from zarr.storage import LocalStore as ZarrLocalStore

        return ZarrLocalStore(self._path(prefix.removesuffix("/")) if prefix else self._root / self._prefix)

    def _checked(self, key: str) -> str:
        keys.check_key(key, self.url)
        for part in key.split("/"):
            if part.startswith(_HIDDEN) or len(part.encode()) > _LONGEST_PART:
                raise errors.StorageError(
                    f"{self.url}: the key {key[:200]!r} cannot be a file; no part may be longer than "
                    f"{_LONGEST_PART} bytes or begin with {_HIDDEN}. Choose another key."
                )
        return key

    def _path(self, key: str) -> Path:
        return self._root / self._prefix / self._checked(key)

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise errors.BucketMissing(f"{self._root} is no directory. Check the path, or make it first.")

    @contextlib.contextmanager
    def _door(self, key: str) -> Iterator[None]:
        """Turn what the operating system raises into our own errors."""
        try:
            yield
        except OSError as error:
            raise self._converted(error, key) from error

    def _converted(self, error: OSError, key: str) -> errors.StorageError:
        name = f"{self.url}/{key}"
        if isinstance(error, PermissionError):
            return errors.AccessDenied(f"{name}: permission denied. Check the owner and mode of the directory.")
        if error.errno in _NOT_THERE:
            if not self._root.is_dir():
                return errors.BucketMissing(f"{self._root} is no directory. Check the path, or make it first.")
            return errors.ObjectMissing(f"{name} does not exist.")
        return errors.StorageError(f"{name}: {error.strerror}. Check the file system.")

    def _status(self, key: str) -> os.stat_result:
        path = self._path(key)
        if path.is_dir():
            raise FileNotFoundError(errno.ENOENT, "is a directory")
        return path.stat()

    def _compare(self, key: str, etag: str, status: os.stat_result) -> None:
        present = _etag(status)
        if etag and etag != present:
            raise errors.PreconditionFailed(f"{self.url}/{key} is version {present}, not {etag}. Read it again.")

    @contextlib.contextmanager
    def _open(self, key: str, etag: str) -> Iterator[tuple[int, Stamp]]:
        """Open one version of a file: what is read through the descriptor stays that version."""
        with self._door(key):
            self._status(key)
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                self._compare(key, etag, status)
                yield descriptor, _stamp(key, status)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def _aside(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", durable: bool = False) -> Iterator[Path]:
        """Write a hidden file in the directory of the key, and remove it at the end if it is still there."""
        folder = self._folder(key)
        path = folder / f"{_HIDDEN}{uuid.uuid4().hex}.part"
        digest = hashlib.sha256()
        try:
            with path.open("xb") as stream:
                for part in parts:
                    stream.write(part)
                    if sha256:
                        digest.update(part)
                stream.flush()
                if durable:
                    os.fsync(stream.fileno())
            if sha256 and digest.hexdigest() != sha256:
                raise errors.ChecksumMismatch(
                    f"{self.url}/{key}: SHA-256 is {digest.hexdigest()}, not {sha256} as declared. Nothing was written."
                )
            yield path
            if durable:
                _sync_directory(folder)
        finally:
            path.unlink(missing_ok=True)

    def _folder(self, key: str) -> Path:
        folder = self._path(key).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise errors.StorageError(
                f"{self.url}/{key} cannot be written: a part of its path is a file. Choose another key."
            ) from error
        return folder

    def _link(self, key: str, part: Path) -> Stamp:
        """Give the finished file its name if the name is free."""
        now = time.time_ns()
        os.utime(part, ns=(now, now))
        try:
            os.link(part, self._path(key))
        except FileExistsError as error:
            raise errors.AlreadyExists(f"{self.url}/{key} exists already; it was not overwritten.") from error
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._rename_if_free(key, part)
        return _stamp(key, self._path(key).stat())

    def _rename_if_free(self, key: str, part: Path) -> None:
        """On file systems without hard links: look and rename under the lock."""
        with self._lock(key):
            if self._path(key).exists():
                raise errors.AlreadyExists(f"{self.url}/{key} exists already; it was not overwritten.")
            part.rename(self._path(key))

    def _replace(self, key: str, part: Path) -> Stamp:
        path = self._path(key)
        if path.is_dir():
            raise errors.StorageError(f"{self.url}/{key} cannot be written: it is a directory. Choose another key.")
        before = path.stat().st_mtime_ns if path.exists() else 0
        now = max(time.time_ns(), before + 1)
        os.utime(part, ns=(now, now))
        part.replace(path)
        return _stamp(key, path.stat())

    @contextlib.contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        path = self._path(key).parent / f"{_HIDDEN}lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _read(descriptor: int, start: int, length: int) -> bytes:
    """Read as many of the bytes as there are; one call reads at most 2 GiB on Linux."""
    data = os.pread(descriptor, length, start)
    if len(data) == length or not data:
        return data
    pieces = [data]
    done = len(data)
    while done < length and (piece := os.pread(descriptor, length - done, start + done)):
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces)


def _walk(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]], after: str = ""
) -> Iterator[tuple[str, os.stat_result]]:
    """Files below a directory in the order of their keys; a symbolic link that leads back up is not followed."""
    try:
        here = folder.stat()
        with os.scandir(folder) as found:
            entries = [(entry.name + "/" if entry.is_dir() else entry.name, entry) for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return
    if (here.st_dev, here.st_ino) in above:
        return
    # A directory sorts as its name with a slash: this is the order of whole keys.
    for name, entry in sorted(entries, key=lambda pair: os.fsencode(pair[0])):
        key = keys.join(prefix, entry.name)
        if not _visible(entry.name):
            continue
        if name.endswith("/"):
            if key + "/" > after or after.startswith(key + "/"):
                yield from _walk(Path(entry.path), key, above | {(here.st_dev, here.st_ino)}, after)
        elif key > after:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                yield key, entry.stat()


def _visible(name: str) -> bool:
    return keys.is_usable(name) and not name.startswith(_HIDDEN) and not _ZARR_PARTIAL.search(name)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _etag(status: os.stat_result) -> str:
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def _stamp(key: str, status: os.stat_result) -> Stamp:
    modified = datetime.fromtimestamp(status.st_mtime_ns // 1_000_000 / 1000, UTC)
    return Stamp(key, status.st_size, _etag(status), iso(modified))
