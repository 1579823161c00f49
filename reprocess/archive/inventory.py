"""Which objects exist: a listing of every raw location and of our pointers, by program."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reprocess.archive import keys
from reprocess.archive.keys import KeyPattern
from reprocess.exposure import CatalogueEntry
from reprocess.formats import level1b
from reprocess.storage.store import Stamp, Store

POINTERS = "pointers/"


@dataclass(frozen=True, slots=True)
class Found:
    """One object as it was listed: its store, its version, and what its key says."""

    location: str
    stamp: Stamp
    dataset: str
    level: str

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What makes it this version of this object; the catalogue's entries are compared by it."""
        return (self.location, self.stamp.key, self.stamp.size, self.stamp.etag)


@dataclass(frozen=True)
class Inventory:
    """What a listing found.

    Attributes
    ----------
    objects : mapping of program to list of Found
        Level 1b files, and rate products beside them, in the order of location and key.
    pointers : mapping of program to list of Found
        Our pointer records.
    unparsable : tuple of CatalogueEntry
        What looks like a Level 1b file but whose key says no name.
    ignored : mapping of str to int
        How many other objects there are, by level, or under ``other``.
    """

    objects: Mapping[str, list[Found]]
    pointers: Mapping[str, list[Found]]
    unparsable: tuple[CatalogueEntry, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


def take(raw: Sequence[Store], archive: Store, pattern: KeyPattern) -> Inventory:
    """List all raw locations and the archive's pointers; no object is read."""
    objects: dict[str, list[Found]] = {}
    unparsable: list[CatalogueEntry] = []
    ignored: Counter[str] = Counter()
    for store in raw:
        for stamp in store.list():
            name = pattern.parse(stamp.key)
            if name is not None and name.level in keys.LEVELS:
                objects.setdefault(name.program, []).append(_found(store, stamp, name.dataset, name.level))
            elif name is None and keys.looks_raw(stamp.key):
                unparsable.append(_unparsable(store, stamp, pattern))
            else:
                ignored[name.level if name else "other"] += 1
    return Inventory(objects, _pointers(archive), tuple(unparsable), dict(ignored))


def digest(found: Iterable[Found], salt: str) -> str:
    """Digest a listing, in any order: equal digests mean the same versions of the same objects."""
    total = hashlib.sha256(salt.encode())
    for line in sorted("\0".join(map(str, (*one.identity, one.dataset, one.level))) for one in found):
        total.update(line.encode() + b"\n")
    return total.hexdigest()


def _pointers(archive: Store) -> dict[str, list[Found]]:
    pointers: dict[str, list[Found]] = {}
    for stamp in archive.list(POINTERS):
        dataset = keys.pointer_dataset(stamp.key)
        if dataset is not None:
            pointers.setdefault(keys.program(dataset), []).append(_found(archive, stamp, dataset, "pointer"))
    return pointers


def _found(store: Store, stamp: Stamp, dataset: str, level: str) -> Found:
    return Found(store.url, Stamp(stamp.key, stamp.size, stamp.etag), dataset, level)


def _unparsable(store: Store, stamp: Stamp, pattern: KeyPattern) -> CatalogueEntry:
    # Its key stands in for the name that it does not have, so that it stays one candidate of its own.
    error = keys.unparsable(stamp.key, pattern)
    return level1b.broken_entry(error, stamp, store.url, stamp.key, keys.RAW_LEVEL)
