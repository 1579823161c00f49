"""Scan: bring the catalogue up to date with what the stores hold, reading only what is new or changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

from reprocess import errors
from reprocess.archive import catalogue, headers, inventory, keys, partition, promised
from reprocess.archive.catalogue import OBJECTS, POINTERS, Catalogue, Generation, Part
from reprocess.archive.headers import Reads
from reprocess.archive.keys import KeyPattern
from reprocess.archive.once import write_once
from reprocess.archive.partition import Pointer
from reprocess.archive.promised import Version
from reprocess.archive.s3_inventory import S3Inventory
from reprocess.archive.spool import Found, Spool
from reprocess.exposure import CatalogueEntry
from reprocess.storage.store import Store

READER = "5"
"""Revision of the reading of headers, pointers and manifests; raising it makes the next scan read everything again."""

_ATTEMPTS = 8
_BATCH = 20_000  # objects whose entries are held at a time
_STORAGE = errors.StorageError.outcome_class

Progress = Callable[[int, int | None, str], None]
Item = TypeVar("Item", CatalogueEntry, Pointer)


@dataclass(frozen=True)
class Scan:
    """What a scan did.

    Attributes
    ----------
    new, changed, unchanged, vanished : int
        Objects of raw locations (products of others included), compared with the catalogue before.
    unreadable : int
        Objects in the catalogue now that have an error.
    pointers : int
        Pointer records that were read.
    ignored : mapping of str to int
        Objects that are not catalogued, by level.
    requests : int
        Ranged reads of objects that were made; listings and the catalogue's own objects are not counted.
    catalogue : Catalogue
        What the archive holds now.
    """

    new: int
    changed: int
    unchanged: int
    vanished: int
    unreadable: int
    pointers: int
    ignored: Mapping[str, int]
    requests: int
    catalogue: Catalogue


@dataclass(frozen=True)
class _Kind(Generic[Item]):
    """How one kind of object is read, and kept in partitions; `beside` are files that items are compared with."""

    name: str
    found: Spool
    read: Callable[[Sequence[Found], Reads], Iterator[Item]]
    encode: Callable[[Iterable[Item]], bytes]
    load: Callable[[Store, Part], list[Item]]
    beside: Spool | None = None
    compare: Callable[[Sequence[_Work[Item]], Reads], None] | None = None

    def listing(self, program: str) -> str:
        """Digest what was listed of a program."""
        return inventory.digest([*self.found[program], *self._beside(program)], READER)

    def _beside(self, program: str) -> list[Found]:
        return self.beside.get(program, []) if self.beside is not None else []


@dataclass
class _Tally:
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    vanished: int = 0
    read: int = 0


@dataclass
class _Work(Generic[Item]):
    """One program whose listing is not the one of the catalogue."""

    program: str
    listing: str
    found: list[Found]
    items: list[Item]
    pending: list[Found]


@dataclass
class _Pass:
    """One attempt: the generation it starts from, and what it shares with the attempts before it."""

    archive: Store
    base: Generation
    spare: dict[tuple[str, str], list[Part]]
    reads: Reads
    progress: Progress | None = None
    expected: dict[str, int] = field(default_factory=dict)
    tallies: dict[str, _Tally] = field(default_factory=lambda: {OBJECTS: _Tally(), POINTERS: _Tally()})
    stored: frozenset[str] | None = None


def scan(
    raw: Sequence[Store],
    archive: Store,
    *,
    pattern: KeyPattern | None = None,
    progress: Progress | None = None,
    inventories: Sequence[S3Inventory] = (),
) -> Scan:
    """List every raw location and our pointers, read what is new or changed, and move the catalogue.

    A scan that was cut off leaves whole partitions behind, which the next one takes over. Scans that run at the same
    time all end well: the slower one lists again and keeps what the faster one read.

    Parameters
    ----------
    raw : sequence of Store
        Where Level 1b objects are; only read.
    archive : Store
        The archive root.
    pattern : KeyPattern, optional
        What keys say; the public layout when it is left out.
    progress : callable, optional
        Called with a number of objects, of how many, and what they are: ``objects listed`` of an unknown number, then
        ``headers`` and ``pointers`` that were read. How many there are to read is known from the beginning, except for
        programs that were in the catalogue before, of which it is estimated until their turn comes.
    inventories : sequence of S3Inventory
        Take the objects of the raw locations that they list from there.

    Raises
    ------
    CommitConflict
        Other scans were faster again and again.
    """
    spare: dict[tuple[str, str], list[Part]] = {}
    reads = Reads()
    stores = {store.url: store for store in raw}
    for _ in range(_ATTEMPTS):
        attempt = _Pass(archive, catalogue.read_generation(archive), spare, reads, progress)
        listed = None if progress is None else partial(_listed, progress)
        found = inventory.take(
            tuple(stores.values()), archive, pattern or KeyPattern(), inventories=inventories, listed=listed
        )
        new = _reconcile(attempt, found, stores)
        if _same(new, attempt.base):
            return _result(attempt, Catalogue(archive, attempt.base))
        if catalogue.commit(archive, new, attempt.base):
            return _result(attempt, catalogue.open_catalogue(archive))
    raise errors.CommitConflict(f"{archive.url}: {_ATTEMPTS} other scans were faster. Scan again when they are done.")


def _reconcile(attempt: _Pass, found: inventory.Inventory, stores: Mapping[str, Store]) -> Generation:
    objects = _Kind(
        OBJECTS, found.objects, _header_reader(stores), partition.entries_to_parquet, catalogue.read_entries
    )
    pointers = _Kind(
        POINTERS,
        found.pointers,
        _pointer_reader(attempt.archive),
        partition.pointers_to_parquet,
        catalogue.read_pointers,
        beside=found.products,
        compare=_comparison(attempt.archive, found.products),
    )
    parts: dict[str, Mapping[str, Part]] = {OBJECTS: _update(attempt, objects), POINTERS: _update(attempt, pointers)}
    if found.unparsable:
        part = _store(attempt, objects, _Work(keys.UNPARSABLE, "", [], list(found.unparsable), []))
        parts[OBJECTS] = {**parts[OBJECTS], keys.UNPARSABLE: part}
    return Generation(reader=READER, parts=parts, ignored=found.ignored)


def _update(attempt: _Pass, kind: _Kind[Item]) -> dict[str, Part]:
    """Keep the parts whose listing is unchanged, and make the others anew, as many at a time as fill a sweep."""
    old = attempt.base.parts[kind.name]
    tally = attempt.tallies[kind.name]
    tally.vanished += sum(
        part.rows for program, part in old.items() if program not in kind.found and program != keys.UNPARSABLE
    )
    parts: dict[str, Part] = {}
    changed: dict[str, str] = {}
    for program in sorted(kind.found):
        listing, part = kind.listing(program), old.get(program)
        if part is not None and part.listing == listing and part.key in _stored(attempt):
            parts[program] = part
            tally.unchanged += part.rows
        else:
            changed[program] = listing
    attempt.expected = {
        program: max(0, kind.found.count(program) - (old[program].rows if program in old else 0)) for program in changed
    }
    batch: list[_Work[Item]] = []
    for program, listing in changed.items():
        batch.append(_begin(attempt, kind, program, listing, kind.found[program]))
        if sum(len(work.found) for work in batch) >= _BATCH:
            parts |= _finish(attempt, kind, batch)
            batch = []
    return parts | _finish(attempt, kind, batch)


def _begin(attempt: _Pass, kind: _Kind[Item], program: str, listing: str, found: list[Found]) -> _Work[Item]:
    """Sort a program's objects into those that are known and those to read."""
    before = attempt.base.parts[kind.name].get(program)
    old = kind.load(attempt.archive, before) if before is not None and before.key in _stored(attempt) else []
    _count(attempt.tallies[kind.name], old, found)
    known = {_identity(item): item for item in old} if attempt.base.reader == READER else {}
    for part in _leftovers(attempt, kind, program, listing):
        known |= {_identity(item): item for item in kind.load(attempt.archive, part)}
    usable = {identity: item for identity, item in known.items() if item.error_class != _STORAGE}
    kept = [_renamed(usable[one.identity], one) for one in found if one.identity in usable]
    pending = [one for one in found if one.identity not in usable]
    return _Work(program, listing, found, kept, pending)


def _finish(attempt: _Pass, kind: _Kind[Item], batch: Sequence[_Work[Item]]) -> dict[str, Part]:
    """Read what a batch needs in one sweep, and store its partitions."""
    pending = [one for work in batch for one in work.pending]
    items: dict[str, list[Item]] = {work.program: work.items for work in batch}
    tally = attempt.tallies[kind.name]
    for work in batch:
        del attempt.expected[work.program]
    total = tally.read + len(pending) + sum(attempt.expected.values())
    for done, item in enumerate(kind.read(pending, attempt.reads), 1):
        items[keys.program(item.dataset)].append(item)
        if attempt.progress:
            attempt.progress(tally.read + done, total, _WORDS[kind.name])
    tally.read += len(pending)
    if kind.compare is not None:
        kind.compare(batch, attempt.reads)
    return {work.program: _store(attempt, kind, work) for work in batch}


_WORDS = {OBJECTS: "headers", POINTERS: "pointers"}


def _listed(progress: Progress, count: int) -> None:
    progress(count, None, "objects listed")


def _store(attempt: _Pass, kind: _Kind[Item], work: _Work[Item]) -> Part:
    """Write a partition unless it is there; one that does not describe its listing in full gets a name of its own."""
    settled = {one.identity for one in work.found} == {_identity(item) for item in work.items}
    settled = settled and all(item.error_class != _STORAGE for item in work.items)
    data = kind.encode(work.items)
    # What is unsettled depends on when it was read, so its name comes from its content and not from its listing.
    name = work.listing if settled else hashlib.sha256(data).hexdigest()
    key = _key(kind.name, work.program, name)
    if key not in _stored(attempt):
        write_once(attempt.archive, key, data)
    unreadable = sum(item.error_class is not None for item in work.items)
    part = Part(key, work.listing if settled else "", len(work.items), unreadable)
    attempt.spare.setdefault((kind.name, work.program), []).append(part)
    return part


def _leftovers(attempt: _Pass, kind: _Kind[Item], program: str, listing: str) -> list[Part]:
    """Find partitions that nobody refers to yet: of earlier attempts, and of scans that were cut off."""
    key = _key(kind.name, program, listing)
    parts: list[Part] = [*attempt.spare.get((kind.name, program), ())]
    return [*parts, Part(key, listing, 0, 0)] if key in _stored(attempt) else parts


def _stored(attempt: _Pass) -> frozenset[str]:
    if attempt.stored is None:
        attempt.stored = frozenset(stamp.key for stamp in attempt.archive.list("catalogue/"))
    return attempt.stored


def _key(kind: str, program: str, name: str) -> str:
    return f"catalogue/{kind}/program={program}/{name}.parquet"


def _header_reader(stores: Mapping[str, Store]) -> Callable[[Sequence[Found], Reads], Iterator[CatalogueEntry]]:
    def read(found: Sequence[Found], reads: Reads) -> Iterator[CatalogueEntry]:
        for url, store in stores.items():
            yield from headers.sweep(store, [one for one in found if one.location == url], reads=reads)

    return read


def _pointer_reader(archive: Store) -> Callable[[Sequence[Found], Reads], Iterator[Pointer]]:
    def read(found: Sequence[Found], reads: Reads) -> Iterator[Pointer]:
        yield from headers.sweep_pointers(archive, found, reads=reads)

    return read


def _comparison(archive: Store, products: Spool) -> Callable[[Sequence[_Work[Pointer]], Reads], None]:
    def compare(batch: Sequence[_Work[Pointer]], reads: Reads) -> None:
        versions: dict[str, Version] = {}
        for work in batch:
            listed = {one.identity for one in work.found}
            # What was replaced after the listing may belong to files that are newer than the listing.
            known = [item for item in work.items if _identity(item) in listed]
            versions |= promised.versions(known, (one.stamp for one in products.get(work.program, [])))
        pointers = [item for work in batch for item in work.items if item.dataset in versions]
        compared = {item.dataset: item for item in promised.compare(archive, pointers, versions, reads=reads)}
        for work in batch:
            work.items = [compared.get(item.dataset, item) for item in work.items]

    return compare


def _identity(item: CatalogueEntry | Pointer) -> tuple[str, str, int, str]:
    return (item.location, item.key, item.size, item.etag)


def _renamed(item: Item, one: Found) -> Item:
    """Give a known item the name that the present key pattern reads from its key."""
    if isinstance(item, Pointer) or (item.dataset, item.level) == (one.dataset, one.level):
        return item
    return replace(item, dataset=one.dataset, level=one.level)


def _count(tally: _Tally, old: Iterable[CatalogueEntry | Pointer], found: Sequence[Found]) -> None:
    before = {(item.location, item.key): _identity(item) for item in old}
    now = {(one.location, one.stamp.key): one.identity for one in found}
    tally.new += sum(place not in before for place in now)
    tally.unchanged += sum(before.get(place) == identity for place, identity in now.items())
    tally.changed += sum(place in before and before[place] != identity for place, identity in now.items())
    tally.vanished += sum(place not in now for place in before)


def _same(new: Generation, base: Generation) -> bool:
    return (new.parts, new.ignored, new.reader) == (base.parts, base.ignored, base.reader) and bool(base.etag)


def _result(attempt: _Pass, now: Catalogue) -> Scan:
    tally = attempt.tallies[OBJECTS]
    return Scan(
        new=tally.new,
        changed=tally.changed,
        unchanged=tally.unchanged,
        vanished=tally.vanished,
        unreadable=sum(part.unreadable for part in now.generation.parts[OBJECTS].values()),
        pointers=attempt.tallies[POINTERS].read,
        ignored=now.generation.ignored,
        requests=attempt.reads.requests,
        catalogue=now,
    )
