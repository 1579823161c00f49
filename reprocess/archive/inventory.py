"""Which objects exist: all raw locations, our pointers and our products, by program."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reprocess.archive import keys, listing
from reprocess.archive.keys import KeyPattern
from reprocess.archive.s3_inventory import S3Inventory
from reprocess.archive.spool import Found, Spool
from reprocess.exposure import CatalogueEntry
from reprocess.formats import level1b
from reprocess.storage.keys import is_usable
from reprocess.storage.store import Stamp, Store

POINTERS = "pointers/"
PRODUCTS = "products/"
ELSEWHERE = "elsewhere"
"""Level under which objects of an inventory are counted that lie in no raw location."""

Listed = Callable[[int], None]


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
    products : mapping of program to list of Found
        Files of our own products, with their sizes; manifests with their ETags.
    """

    objects: Spool
    pointers: Spool
    unparsable: tuple[CatalogueEntry, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)
    products: Spool = field(default_factory=lambda: Spool(()))


def take(
    raw: Sequence[Store],
    archive: Store,
    pattern: KeyPattern,
    *,
    inventories: Sequence[S3Inventory] = (),
    listed: Listed | None = None,
) -> Inventory:
    """List all raw locations and the archive's pointers and products; no object is read.

    Parameters
    ----------
    raw : sequence of Store
    archive : Store
    pattern : KeyPattern
    inventories : sequence of S3Inventory
        Where they name objects of a raw location, it is not listed.
    listed : callable, optional
        Called with the number of objects listed so far.
    """
    locations = [store.url for store in raw]
    objects = Spool(locations)
    unparsable: list[CatalogueEntry] = []
    ignored: Counter[str] = Counter()
    count = _Count(listed)
    for location, page in _raw_pages(raw, inventories, ignored):
        count.add(len(page))
        for stamp in page:
            name = pattern.parse(stamp.key)
            if name is not None and name.level in keys.LEVELS:
                objects.add(name.program, location, stamp, name.dataset, name.level)
            elif name is None and keys.looks_raw(stamp.key):
                unparsable.append(_unparsable(location, stamp, pattern))
            else:
                ignored[name.level if name else "other"] += 1
    pointers, products = _own(archive, count)
    unparsable.sort(key=lambda entry: (locations.index(entry.location), entry.key))
    return Inventory(objects, pointers, tuple(unparsable), dict(ignored), products)


def digest(found: Iterable[Found], salt: str) -> str:
    """Digest a listing, in any order: equal digests mean the same versions of the same objects."""
    total = hashlib.sha256(salt.encode())
    for line in sorted("\0".join(map(str, (*one.identity, one.dataset, one.level))) for one in found):
        total.update(line.encode() + b"\n")
    return total.hexdigest()


class _Count:
    def __init__(self, listed: Listed | None) -> None:
        self._listed = listed
        self._total = 0

    def add(self, number: int) -> None:
        self._total += number
        if self._listed and number:
            self._listed(self._total)


def _raw_pages(
    raw: Sequence[Store], inventories: Sequence[S3Inventory], ignored: Counter[str]
) -> Iterator[tuple[str, list[Stamp]]]:
    """Yield pages of each location: from inventories, and by listing where they name no object of it."""
    told: set[str] = set()
    for inventory in inventories:
        for page in inventory.pages():
            for location, stamps in _by_location(page, inventory.bucket, [store.url for store in raw], ignored):
                told.add(location)
                yield location, stamps
    for store in raw:
        if store.url not in told:
            for page in listing.pages(store):
                yield store.url, page


def _by_location(
    page: Iterable[Stamp], bucket: str, locations: Sequence[str], ignored: Counter[str]
) -> Iterator[tuple[str, list[Stamp]]]:
    """Sort objects of a bucket into the locations that they lie in; keys become those of the location."""
    found: dict[str, list[Stamp]] = {}
    prefixes = [
        (location, prefix + "/" if prefix else "")
        for location in locations
        for whose, _, prefix in (location.partition("://")[2].partition("/"),)
        if whose == bucket
    ]
    for stamp in page:
        mine = [(location, prefix) for location, prefix in prefixes if stamp.key.startswith(prefix)]
        ignored[ELSEWHERE] += not mine
        for location, prefix in mine:
            key = stamp.key[len(prefix) :]
            if is_usable(key):
                found.setdefault(location, []).append(Stamp(key, stamp.size, stamp.etag))
    if not ignored[ELSEWHERE]:
        del ignored[ELSEWHERE]
    yield from found.items()


def _own(archive: Store, count: _Count) -> tuple[Spool, Spool]:
    """List our pointers, and our products if there are pointers."""
    pointers, products = Spool([archive.url]), Spool([archive.url])
    for page in listing.pages(archive, POINTERS):
        count.add(len(page))
        for stamp in page:
            dataset = keys.pointer_dataset(stamp.key)
            if dataset is not None:
                pointers.add(keys.program(dataset), archive.url, stamp, dataset, "pointer")
    for page in listing.pages(archive, PRODUCTS) if pointers else ():
        count.add(len(page))
        for stamp in page:
            found = keys.product(stamp.key)
            if found is not None:
                # Which bytes a product has is what `verify` looks at; of manifests it is told here.
                etag = stamp.etag if found.name == keys.MANIFEST else ""
                listed = Stamp(stamp.key, stamp.size, etag)
                products.add(keys.program(found.dataset), archive.url, listed, found.dataset, "product")
    return pointers, products


def _unparsable(location: str, stamp: Stamp, pattern: KeyPattern) -> CatalogueEntry:
    # Its key stands in for the name that it does not have, so that it stays one candidate of its own.
    error = keys.unparsable(stamp.key, pattern)
    return level1b.broken_entry(error, stamp, location, stamp.key, keys.RAW_LEVEL)
