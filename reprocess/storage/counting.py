# ruff: noqa: D102 (the contract in store.py documents the methods)
"""Count calls and bytes of any store from outside: for tests and benchmarks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from reprocess.storage.body import Body, size
from reprocess.storage.store import Blob, Buffer, ByteRange, RangeRequest, Stamp, Store

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore


class CountingStore(Store):
    """A store that counts what passes through it; stores below it count together with it.

    Calls are counted by the method's name, also when they fail; a sweep counts one ``sweep`` for each object, a listing
    one ``list``. Bytes are those that were given. Traffic of `zarr` and repeated attempts are not seen.

    Attributes
    ----------
    requests : Counter
        Calls by method.
    bytes_read, bytes_written : Counter
        Bytes by method.
    """

    def __init__(self, store: Store, counts: CountingStore | None = None) -> None:
        self._store = store
        self._lock: threading.Lock = counts._lock if counts else threading.Lock()
        self.requests: Counter[str] = counts.requests if counts else Counter()
        self.bytes_read: Counter[str] = counts.bytes_read if counts else Counter()
        self.bytes_written: Counter[str] = counts.bytes_written if counts else Counter()

    def __reduce__(self) -> tuple[type[CountingStore], tuple[Store]]:
        return CountingStore, (self._store,)

    def reset(self) -> None:
        """Begin at zero."""
        with self._lock:
            for counter in (self.requests, self.bytes_read, self.bytes_written):
                counter.clear()

    @property
    def url(self) -> str:
        return self._store.url

    def get(self, key: str, *, etag: str = "") -> Blob:
        self._count("get")
        blob = self._store.get(key, etag=etag)
        self._read("get", len(blob.data))
        return blob

    def get_ranges(self, key: str, ranges: Sequence[ByteRange], *, etag: str = "") -> list[memoryview]:
        self._count("get_ranges")
        views = self._store.get_ranges(key, ranges, etag=etag)
        self._read("get_ranges", sum(view.nbytes for view in views))
        return views

    def fill(self, key: str, start: int, targets: Sequence[Buffer], *, etag: str = "") -> None:
        self._count("fill")
        self._store.fill(key, start, targets, etag=etag)
        self._read("fill", sum(memoryview(target).nbytes for target in targets))

    def sweep(
        self, requests: Iterable[RangeRequest], *, concurrency: int = 64
    ) -> Iterator[tuple[RangeRequest, Blob | Exception]]:
        for request, answer in self._store.sweep(requests, concurrency=concurrency):
            self._count("sweep")
            self._read("sweep", len(answer.data) if isinstance(answer, Blob) else 0)
            yield request, answer

    def head(self, key: str) -> Stamp:
        self._count("head")
        return self._store.head(key)

    def list(self, prefix: str = "", *, after: str = "") -> Iterator[Stamp]:
        self._count("list")
        return self._store.list(prefix, after=after)

    def prefixes(self, prefix: str = "", *, limit: int = 5_000) -> Sequence[str]:
        self._count("prefixes")
        return self._store.prefixes(prefix, limit=limit)

    @property
    def answers_by_page(self) -> bool:
        return self._store.answers_by_page

    def put(self, key: str, data: Buffer, *, content_type: str = "") -> Stamp:
        self._count("put", len(data))
        return self._store.put(key, data, content_type=content_type)

    def put_if_absent(self, key: str, data: Body, *, sha256: str = "", content_type: str = "") -> Stamp:
        self._count("put_if_absent", size(data))
        return self._store.put_if_absent(key, data, sha256=sha256, content_type=content_type)

    def upload_if_absent(self, key: str, parts: Iterable[Buffer], *, sha256: str = "", content_type: str = "") -> Stamp:
        self._count("upload_if_absent")
        return self._store.upload_if_absent(key, self._counted(parts), sha256=sha256, content_type=content_type)

    def compare_and_swap(self, key: str, data: Buffer, *, etag: str) -> Stamp:
        self._count("compare_and_swap", len(data))
        return self._store.compare_and_swap(key, data, etag=etag)

    def digest(self, key: str) -> str:
        self._count("digest")
        return self._store.digest(key)

    def delete(self, key: str, *, etag: str = "") -> None:
        self._count("delete")
        self._store.delete(key, etag=etag)

    def below(self, prefix: str) -> Store:
        return CountingStore(self._store.below(prefix), self) if prefix else self

    def zarr(self, prefix: str) -> ZarrStore:
        return self._store.zarr(prefix)

    def _count(self, kind: str, written: int | None = None) -> None:
        with self._lock:
            self.requests[kind] += 1
            if written is not None:
                self.bytes_written[kind] += written

    def _read(self, kind: str, size: int) -> None:
        with self._lock:
            self.bytes_read[kind] += size

    def _counted(self, parts: Iterable[Buffer]) -> Iterator[Buffer]:
        for part in parts:
            with self._lock:
                self.bytes_written["upload_if_absent"] += len(part)
            yield part
