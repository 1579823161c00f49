"""Stores in memory that write down what is asked of them, and Level 1b objects to put into them."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

from reprocess.formats import records
from reprocess.storage.memory import MemoryStore
from tests.formats import files

_NAMES = itertools.count()


class CountingStore(MemoryStore):
    """A memory store of its own that counts reads by key, and can fail on purpose."""

    def __init__(self, name=None, prefix=""):
        super().__init__(name or f"counting-{next(_NAMES)}", prefix)
        self.reads = Counter()
        self.failures = {}
        self.before_swap = None

    def get(self, key, *, etag=""):
        self.reads[key] += 1
        return super().get(key, etag=etag)

    def sweep(self, requests, *, concurrency=64):
        for request in requests:
            self.reads[request.key] += 1
            assert request.range.start == 0
            if request.key in self.failures:
                yield request, self.failures[request.key]
            else:
                yield from super().sweep([request], concurrency=concurrency)

    def compare_and_swap(self, key, data, *, etag):
        self._interfere()
        return super().compare_and_swap(key, data, etag=etag)

    def put_if_absent(self, key, data, *, sha256="", content_type=""):
        if key == "catalogue/current.json":
            self._interfere()
        return super().put_if_absent(key, data, sha256=sha256, content_type=content_type)

    def _interfere(self):
        interfere, self.before_swap = self.before_swap, None
        if interfere:
            interfere()


def raw_key(dataset, level="uncal"):
    """Key of an object in the public layout."""
    return f"jwst/public/{dataset[:7]}/{dataset.partition('_')[0]}/{dataset}_{level}.fits"


def dataset(number=1, program="01234", detector="nrca1"):
    """Name of an exposure."""
    return f"jw{program}001001_02101_{number:05d}_{detector}"


def fill(store, datasets, **options):
    """Put a small Level 1b object for each dataset."""
    data = files.uncal(**options)
    for name in datasets:
        store.put(raw_key(name), data)


def manifest(pointer, **changes):
    """The manifest of the version that a pointer record shows, with a rate file of one byte."""
    words = ("dataset", "version", "software", "context", "raw", "fingerprint")
    files = [{"name": f"{pointer['dataset']}_rate.fits", "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}]
    said = {**{word: pointer[word] for word in words}, "files": files, **changes}
    return records.dumps("manifest", 1, {word: value for word, value in said.items() if value is not None})


def publish(store, pointer):
    """Leave a version and its pointer as a publication does."""
    place = f"products/{pointer['dataset']}/{pointer['version']}/"
    store.put(f"{place}{pointer['dataset']}_rate.fits", b"x")
    store.put(f"{place}manifest.json", manifest(pointer))
    digest = hashlib.sha256(manifest(pointer)).hexdigest()
    store.put(f"pointers/{pointer['dataset']}.json", records.dumps("pointer", 1, {"manifest": digest, **pointer}))
