# ruff: noqa: D102 (the contract in store.py documents the methods)
"""Objects in the memory of this process: for tests and for trying things out."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reprocess import errors
from reprocess.storage import keys, sweeps
from reprocess.storage import ranges as extents
from reprocess.storage.body import Body, pieces
from reprocess.storage.store import Blob, Buffer, ByteRange, RangeRequest, Stamp, Store, iso

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore
    from zarr.core.buffer import Buffer as ZarrBuffer


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    etag: str
    modified: str
    sha256: str


@dataclass(slots=True)
class _Space:
    """The objects of one name; generations are numbered, so no ETag comes twice."""

    objects: dict[str, _Object] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    generations: Iterator[int] = field(default_factory=itertools.count)

    def write(self, key: str, data: bytes, sha256: str = "") -> _Object:
        made = _Object(data, f'"{next(self.generations)}"', iso(datetime.now(UTC)), sha256)
        self.objects[key] = made
        return made


_SPACES: dict[str, _Space] = {}
_SPACES_LOCK = threading.Lock()


def _space(name: str) -> _Space:
    with _SPACES_LOCK:
        return _SPACES.setdefault(name, _Space())


class MemoryStore(Store):
    """A store that lives as long as the process; stores of the same name share their objects.

    Pickled into another process it is the store of that name there, which has objects of its own.
    """

    def __init__(self, name: str, prefix: str = "") -> None:
        self._name = name
        self._prefix = prefix
        self._space = _space(name)

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[str, str]]:
        return MemoryStore, (self._name, self._prefix)

    @property
    def url(self) -> str:
        return "memory://" + keys.join(self._name, self._prefix)

    def get(self, key: str, *, etag: str = "") -> Blob:
        found = self._find(key, etag)
        return Blob(found.data, _stamp(key, found))

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        extents.check(ranges, f"{self.url}/{key}")
        found = self._find(key, etag)
        for part in ranges:
            if part.start + part.length > len(found.data):
                raise extents.past_end(f"{self.url}/{key}", part.start, part.start + part.length, len(found.data))
        return [memoryview(found.data)[part.start : part.start + part.length] for part in ranges]

    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        return sweeps.one_by_one(self._read, requests)

    def _read(self, request: RangeRequest) -> Blob:
        extents.check([request.range], f"{self.url}/{request.key}")
        found = self._find(request.key, request.etag)
        start = request.range.start
        return Blob(found.data[start : start + request.range.length], _stamp(request.key, found))

    def head(self, key: str) -> Stamp:
        return _stamp(key, self._find(key))

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        begin = keys.join(self._prefix, "x")[:-1] + keys.check_prefix(prefix, self.url)
        cut = len(begin) - len(prefix)
        with self._space.lock:
            held = [pair for pair in self._space.objects.items() if pair[0].startswith(begin) and pair[0][cut:] > after]
        return (_stamp(key[cut:], one) for key, one in sorted(held, key=lambda pair: pair[0]))

    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        keys.check_folder(prefix, self.url)
        rests = (stamp.key[len(prefix) :].partition("/") for stamp in self.list(prefix))
        names = itertools.islice(dict.fromkeys(name + slash for name, slash, _ in rests), limit)
        return [prefix + name for name in names if name.endswith("/")]

    def put(self, key: str, data: Buffer, *, content_type: str = "") -> Stamp:
        with self._space.lock:
            return _stamp(key, self._space.write(self._full(key), bytes(data)))

    def put_if_absent(self, key: str, data: Body, *, sha256: str = "", content_type: str = "") -> Stamp:
        body = b"".join(pieces(data))
        digest = hashlib.sha256(body).hexdigest()
        if sha256 and sha256 != digest:
            raise errors.ChecksumMismatch(f"{self.url}/{key}: SHA-256 is {digest}, not {sha256} as declared.")
        with self._space.lock:
            if self._full(key) in self._space.objects:
                raise errors.AlreadyExists(f"{self.url}/{key} exists already; it was not overwritten.")
            return _stamp(key, self._space.write(self._full(key), body, digest))

    def upload_if_absent(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", content_type: str = "") -> Stamp:
        return self.put_if_absent(key, b"".join(parts), sha256=sha256)

    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        with self._space.lock:
            self._find(key, self._needed(key, etag))
            return _stamp(key, self._space.write(self._full(key), bytes(data)))

    def digest(self, key: str) -> str:
        return self._find(key).sha256

    def delete(self, key: str, *, etag: str = "") -> None:
        with self._space.lock:
            if self._full(key) in self._space.objects:
                self._find(key, etag)
                del self._space.objects[self._full(key)]

    def below(self, prefix: str) -> Store:
        return MemoryStore(self._name, self._full(prefix.removesuffix("/"))) if prefix else self

    def zarr(self, prefix: str) -> ZarrStore:
        from zarr.storage import MemoryStore as ZarrMemoryStore

        return ZarrMemoryStore(_Entries(self.below(prefix)))

    def _full(self, key: str) -> str:
        return keys.join(self._prefix, keys.check_key(key, self.url))

    def _find(self, key: str, etag: str = "") -> _Object:
        found = self._space.objects.get(self._full(key))
        if found is None:
            raise errors.ObjectMissing(f"{self.url}/{key} does not exist.")
        if etag and etag != found.etag:
            raise errors.PreconditionFailed(f"{self.url}/{key} is version {found.etag}, not {etag}. Read it again.")
        return found


class _Entries(MutableMapping[str, "ZarrBuffer"]):
    """A store as the mapping that Zarr's own memory store works on, so that arrays show up among the objects."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getitem__(self, key: str) -> ZarrBuffer:
        from zarr.core.buffer import default_buffer_prototype

        try:
            return default_buffer_prototype().buffer.from_bytes(self._store.get(key).data)
        except errors.StorageError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: ZarrBuffer) -> None:
        self._store.put(key, value.to_bytes())

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._store.delete(key)

    def __iter__(self) -> Iterator[str]:
        return (stamp.key for stamp in self._store.list())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _stamp(key: str, held: _Object) -> Stamp:
    return Stamp(key, len(held.data), held.etag, held.modified)
