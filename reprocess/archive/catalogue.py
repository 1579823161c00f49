"""The catalogue: immutable partitions in Parquet, and one small record that says which of them are valid together.

``catalogue/current.json`` is moved by compare-and-swap, so a reader sees the partitions of one scan and never a
mixture. A partition is named by the digest of the listing that it describes: the same listing always has the same
name, which is what lets a scan that was cut off go on where it ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reprocess import errors
from reprocess.archive import keys, partition
from reprocess.archive.partition import Pointer
from reprocess.exposure import CatalogueEntry
from reprocess.formats import records
from reprocess.storage.store import Stamp, Store

FOLDER = "catalogue/"
CURRENT = FOLDER + "current.json"
KIND, SCHEMA = "catalogue", 1
OBJECTS, POINTERS = "objects", "pointers"
BATCH_ROWS = 100_000  # more are slower: then all memory is fresh
"""Objects that are judged at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """One partition.

    Attributes
    ----------
    key : str
        Its Parquet object, below the archive root.
    listing : str
        Digest of the listing that it describes in full; empty when some objects have to be read again.
    rows, unreadable : int
        How many objects it describes, and how many of them with an error.
    """

    key: str
    listing: str
    rows: int
    unreadable: int


@dataclass(frozen=True)
class Generation:
    """Which partitions are valid together.

    Attributes
    ----------
    sequence : int
        Grows by one with every commit; 0 before the first.
    writer : str
        UUID of the commit, by which a writer recognises its own.
    reader : str
        Which revision of header reading made the entries.
    parts : mapping of kind to mapping of program to Part
        Kinds are ``objects`` and ``pointers``.
    ignored : mapping of str to int
        Objects that are not catalogued, by level.
    etag : str
        Version of the record in the store; empty before the first commit.
    """

    sequence: int = 0
    writer: str = ""
    reader: str = ""
    parts: Mapping[str, Mapping[str, Part]] = field(default_factory=lambda: {OBJECTS: {}, POINTERS: {}})
    ignored: Mapping[str, int] = field(default_factory=dict)
    etag: str = ""


@dataclass(frozen=True)
class Catalogue:
    """One generation of a catalogue, read partition by partition."""

    store: Store
    generation: Generation

    @property
    def programs(self) -> tuple[str, ...]:
        """All partitions that hold objects, in order."""
        return tuple(sorted(self.generation.parts[OBJECTS]))

    @property
    def rows(self) -> int:
        """How many objects there are, products of others included."""
        return sum(part.rows for part in self.generation.parts[OBJECTS].values())

    def entries(self, programs: Sequence[str] | None = None) -> Iterator[CatalogueEntry]:
        """All objects, or those of some programs."""
        for program in self.programs if programs is None else programs:
            part = self.generation.parts[OBJECTS].get(program)
            if part is not None:
                yield from read_entries(self.store, part)

    def datasets(self, program: str) -> list[str]:
        """Names of the Level 1b objects of one program."""
        part = self.generation.parts[OBJECTS].get(program)
        if part is None:
            return []
        table = partition.read_table(self.store.get(part.key).data, name=part.key).select(["dataset", "level"])
        return [row["dataset"] for row in table.to_pylist() if row["level"] == keys.RAW_LEVEL]

    def pointers(self, program: str) -> dict[str, Pointer]:
        """What we have published of one program, by dataset."""
        part = self.generation.parts[POINTERS].get(program)
        return {pointer.dataset: pointer for pointer in read_pointers(self.store, part)} if part else {}

    def batches(self, programs: Sequence[str] | None = None, *, rows: int = BATCH_ROWS) -> Iterator[tuple[Any, Any]]:
        """Objects and pointers of all programs, or of some, as tables of pyarrow (`partition.joined`).

        Parameters
        ----------
        programs : sequence of str, optional
        rows : int
            Objects that a batch should have; it may have those of one program more.
        """
        batch: list[str] = []
        held = 0
        for program in self.programs if programs is None else programs:
            part = self.generation.parts[OBJECTS].get(program)
            batch, held = [*batch, program], held + (part.rows if part else 0)
            if held >= rows:
                yield self._tables(batch)
                batch, held = [], 0
        if batch:
            yield self._tables(batch)

    def _tables(self, programs: Sequence[str]) -> tuple[Any, Any]:
        joined = []
        for kind, empty in ((OBJECTS, partition.entries_to_parquet([])), (POINTERS, partition.pointers_to_parquet([]))):
            parts = [part for program in programs if (part := self.generation.parts[kind].get(program)) is not None]
            read = [
                partition.read_table(self.store.get(part.key).data, name=part.key, without=partition.UNJUDGED)
                for part in parts
            ]
            joined.append(partition.joined([*read, partition.read_table(empty, name=kind)]))
        return joined[0], joined[1]


def open_catalogue(store: Store) -> Catalogue:
    """Open the catalogue as the last scan left it.

    Raises
    ------
    ArchiveError
        The archive was never scanned.
    DamagedRecord
        The record is unreadable.
    """
    generation = read_generation(store)
    if not generation.etag:
        raise errors.ArchiveError(f"{store.url} has no catalogue yet. Run `reprocess scan {store.url}` first.")
    return Catalogue(store, generation)


def read_generation(store: Store) -> Generation:
    """Read the present generation; an empty one before the first scan."""
    try:
        blob = store.get(CURRENT)
    except errors.ObjectMissing:
        return Generation()
    record = records.loads(blob.data, KIND, name=CURRENT, schemas=(SCHEMA,))
    try:
        parts = {
            kind: {program: Part(**part) for program, part in record["parts"][kind].items()}
            for kind in (OBJECTS, POINTERS)
        }
        return Generation(
            record["sequence"], record["writer"], record["reader"], parts, record["ignored"], blob.stamp.etag
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.DamagedRecord(f"{CURRENT} lacks {error}. Delete it and scan again.") from error


def commit(store: Store, new: Generation, base: Generation) -> bool:
    """Make a generation the valid one if `base` still is.

    Returns
    -------
    bool
        False when another scan was faster: read again, decide again.
    """
    named = replace(new, sequence=base.sequence + 1, writer=str(uuid.uuid4()))
    data = records.dumps(KIND, SCHEMA, _payload(named))
    try:
        if base.etag:
            store.compare_and_swap(CURRENT, data, etag=base.etag)
        else:
            store.put_if_absent(CURRENT, data, content_type="application/json")
    except (
        errors.AlreadyExists,
        errors.PreconditionFailed,
        errors.CommitConflict,
        errors.ObjectMissing,
        errors.StorageUnavailable,
    ):
        # The client may have repeated a write whose answer was lost: only the record itself can tell who won.
        return read_generation(store).writer == named.writer
    return True


def read_entries(store: Store, part: Part) -> list[CatalogueEntry]:
    """Read one partition of objects."""
    return partition.entries_from_parquet(store.get(part.key).data, name=part.key)


def read_pointers(store: Store, part: Part) -> list[Pointer]:
    """Read one partition of pointers."""
    return partition.pointers_from_parquet(store.get(part.key).data, name=part.key)


def superseded(store: Store) -> list[tuple[Stamp, str]]:
    """List the partitions that the present generation does not use, with the latest moment at which each was in use.

    That is when the next partition of the same program was written, and without one when the record was: the age of a
    partition itself says nothing, because one that nothing has changed in is used for years.
    """
    generation = read_generation(store)
    used = {part.key for parts in generation.parts.values() for part in parts.values()}
    stamps = list(store.list(FOLDER))
    last = next((stamp.modified for stamp in stamps if stamp.key == CURRENT), "")
    places: dict[str, list[Stamp]] = {}
    for stamp in stamps:
        if stamp.key.endswith(".parquet"):
            places.setdefault(stamp.key.rpartition("/")[0], []).append(stamp)
    found = []
    for some in places.values():
        some.sort(key=lambda stamp: stamp.modified)
        ends = [*(stamp.modified for stamp in some[1:]), last]
        found += [(stamp, end) for stamp, end in zip(some, ends, strict=True) if stamp.key not in used]
    return found


def remove(store: Store, partitions: Iterable[Stamp]) -> None:
    """Delete partitions that nobody uses any more.

    A scan at work may have seen one of them and want it back. The record is written once more afterwards, so such a
    scan finds that another one was faster, and lists again.
    """
    for stamp in partitions:
        store.delete(stamp.key)
    base = read_generation(store)
    while base.etag and not commit(store, base, base):
        base = read_generation(store)


def _payload(generation: Generation) -> dict[str, object]:
    return {
        "sequence": generation.sequence,
        "writer": generation.writer,
        "reader": generation.reader,
        "ignored": dict(generation.ignored),
        "parts": {
            kind: {
                program: {"key": part.key, "listing": part.listing, "rows": part.rows, "unreadable": part.unreadable}
                for program, part in parts.items()
            }
            for kind, parts in generation.parts.items()
        },
    }
