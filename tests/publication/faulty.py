"""Stores around a store: one that lets a test intervene in every single call, one whose ETags are those of S3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from reprocess import errors
from reprocess.storage.store import Store


class Killed(BaseException):
    """The process is gone; nothing catches this."""


class Watched(Store):
    """Passes every call through ``hook(name, key, perform)``."""

    def __init__(self, inner: Store, hook: Callable) -> None:
        self.inner = inner
        self.hook = hook

    @property
    def url(self):
        return self.inner.url

    def __getattribute__(self, name):
        if name.startswith("_") or name in ("inner", "hook", "url"):
            return object.__getattribute__(self, name)
        call = getattr(self.inner, name)

        def watched(key="", *arguments, **options):
            # What sweeps takes no key but many requests.
            place = key if isinstance(key, str) else ""
            return self.hook(name, place, lambda: call(key, *arguments, **options))

        return watched


Watched.__abstractmethods__ = frozenset()  # whatever a store can do is passed on


class Fault:
    """A hook that strikes once, at the n-th call, before or after it takes effect."""

    def __init__(self, number: int, error: BaseException, *, after: bool) -> None:
        self.number, self.error, self.after = number, error, after
        self.calls = 0

    def __call__(self, name, key, perform):
        self.calls += 1
        if self.calls != self.number:
            return perform()
        if self.after:
            perform()
        raise self.error

    @property
    def struck(self) -> bool:
        return self.calls >= self.number


class ByContent(Watched):
    """A store with the ETags of S3: equal bytes have equal ETags, so that an old one can match again."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, self._translate)

    def _translate(self, name, key, perform):
        result = perform()
        if name == "get":
            etag = hashlib.md5(result.data).hexdigest()
            return replace(result, stamp=replace(result.stamp, etag=etag))
        return result

    def __getattribute__(self, name):
        if name == "compare_and_swap":
            return object.__getattribute__(self, "_swap")
        return super().__getattribute__(name)

    def _swap(self, key, data, *, etag):
        blob = self.inner.get(key)
        if hashlib.md5(blob.data).hexdigest() != etag:
            raise errors.PreconditionFailed(key)
        return self.inner.compare_and_swap(key, data, etag=blob.stamp.etag)
