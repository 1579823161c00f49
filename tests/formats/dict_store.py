"""A store of a few objects in a dictionary that counts what is read."""

from __future__ import annotations

import hashlib

from reprocess import errors
from reprocess.storage.store import Blob, Stamp, Store


class DictStore(Store):
    """Objects in memory; `requests` keeps every range that was asked for."""

    def __init__(self, objects=None):
        self.objects = dict(objects or {})
        self.requests = []
        self.zarrs = {}

    @property
    def url(self):
        return "memory://dict"

    def stamp(self, key):
        data = self.objects[key]
        return Stamp(key, len(data), hashlib.md5(data).hexdigest())

    def _check(self, key, etag):
        if key not in self.objects:
            raise errors.ObjectMissing(key)
        if etag and etag != self.stamp(key).etag:
            raise errors.PreconditionFailed(key)

    def get(self, key, *, etag=""):
        self._check(key, etag)
        return Blob(self.objects[key], self.stamp(key))

    def get_ranges(self, key, ranges, *, etag=""):
        self._check(key, etag)
        self.requests.append([(part.start, part.length) for part in ranges])
        data = memoryview(self.objects[key])
        for part in ranges:
            if part.start + part.length > len(data):
                raise errors.StorageError(f"{key}: {part} of {len(data)}")
        return [data[part.start : part.start + part.length] for part in ranges]

    def zarr(self, prefix):
        import zarr

        return self.zarrs.setdefault(prefix, zarr.storage.MemoryStore())

    def sweep(self, requests, *, concurrency=64):
        raise NotImplementedError

    head = list = prefixes = put = put_if_absent = upload_if_absent = compare_and_swap = digest = delete = below = sweep
