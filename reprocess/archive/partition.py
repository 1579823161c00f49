"""One partition of the catalogue as Parquet: a row for each object, a typed column for each header keyword.

The columns can be queried as they are: keywords are upper case, everything else is lower case. A keyword whose values
in one partition are of different types is kept as JSON text, and its column says so in its metadata.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reprocess import errors
from reprocess.exposure import Card, CatalogueEntry

_SHAPE = pa.list_(pa.int64())
_TEXT = pa.dictionary(pa.int32(), pa.string())
_PLAIN: dict[str, Any] = {
    "dataset": pa.string(),
    "level": _TEXT,
    "location": _TEXT,
    "key": pa.string(),
    "size": pa.int64(),
    "etag": pa.string(),
    "error_class": _TEXT,
    "error": pa.string(),
    "sci_offset": pa.int64(),
    "sci_shape": _SHAPE,
}
_TYPES: dict[type, Any] = {str: _TEXT, bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
_MIXED = {b"cards": b"json"}
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer record of ours as a scan read it.

    Attributes
    ----------
    dataset : str
    location, key, size, etag
        The object that was read.
    version, software, context : str
        What readers see, and what made it.
    raw : mapping
        Version of the Level 1b object, see `fingerprint.raw_version`.
    recipe : str
        See `reprocess.archive.recipe`.
    equivalents : tuple of str
        Digests of recipes that were proved to give the same science payload.
    left : tuple of str
        Versions that readers saw before.
    error_class, error : str or None
        Why the record cannot be used.
    missing : tuple of str
        Which files of the version are gone, of those without which nobody can read it, see `keys.needed_files`.
    created : str
        Creation of the plan that made the version (UTC, ISO 8601 with milliseconds); empty where it is not known.
    manifest : str
        SHA-256 of the version's manifest; empty where the record does not tell it.
    compared : str
        What was listed of the version when its manifest was read, see `promised.Version`; empty if it was not.
    damage : str
        What the manifest lies about; empty where it holds, and where it is gone.
    """

    dataset: str
    location: str
    key: str
    size: int
    etag: str
    version: str = ""
    software: str = ""
    context: str = ""
    raw: Mapping[str, str | int] = field(default_factory=dict)
    recipe: str = ""
    equivalents: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    error_class: str | None = None
    error: str | None = None
    missing: tuple[str, ...] = ()
    created: str = ""
    manifest: str = ""
    compared: str = ""
    damage: str = ""


_NAMES = pa.list_(pa.string())
_POINTER: dict[str, Any] = {
    "dataset": pa.string(),
    "location": _TEXT,
    "key": pa.string(),
    "size": pa.int64(),
    "etag": pa.string(),
    "version": pa.string(),
    "software": _TEXT,
    "context": _TEXT,
    "recipe": _TEXT,
    "equivalents": _NAMES,
    "left": _NAMES,
    "error_class": _TEXT,
    "error": pa.string(),
    "missing": _NAMES,
    "created": _TEXT,
    "manifest": pa.string(),
    "compared": pa.string(),
    "damage": _TEXT,
}
_LATER = ("created", "manifest", "compared", "damage")  # partitions of earlier scans do not have them
UNJUDGED = ("manifest", "compared")
"""Columns of pointers that a scan needs and a judgement does not."""
_RAW: dict[str, Any] = {"location": _TEXT, "key": pa.string(), "size": pa.int64(), "etag": pa.string()}


def entries_to_parquet(entries: Iterable[CatalogueEntry]) -> bytes:
    """Write entries, sorted by location, key and version: the same entries give the same bytes."""
    rows = sorted(entries, key=lambda entry: (entry.location, entry.key, entry.etag))
    columns = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in _PLAIN.items()}
    fields = [pa.field(name, kind) for name, kind in _PLAIN.items()]
    for keyword in sorted({keyword for row in rows for keyword in row.header}):
        columns[keyword], described = keyword_column(keyword, [row.header.get(keyword) for row in rows])
        fields.append(described)
    return _parquet(pa.table(columns, schema=pa.schema(fields)))


def entries_from_parquet(data: bytes, *, name: str) -> list[CatalogueEntry]:
    """Read what `entries_to_parquet` wrote.

    Raises
    ------
    DamagedRecord
        The bytes are no such partition.
    """
    return entries(read_table(data, name=name))


def entries(table: Any) -> list[CatalogueEntry]:  # noqa: ANN401 (pyarrow has no types)
    """Return the rows of a table of objects."""
    plain = {column: table.column(column).to_pylist() for column in _PLAIN}
    keywords = [column for column in table.schema if column.name not in _PLAIN]
    headers: list[dict[str, Card]] = [{} for _ in range(table.num_rows)]
    for keyword in keywords:
        for header, value in zip(headers, cards(table.column(keyword.name), keyword), strict=True):
            if value is not None:
                header[keyword.name] = value
    plain["sci_shape"] = [None if shape is None else tuple(shape) for shape in plain["sci_shape"]]
    rows = zip(*plain.values(), headers, strict=True)
    return [CatalogueEntry(**dict(zip((*plain, "header"), row, strict=True))) for row in rows]


def pointers_to_parquet(pointers: Iterable[Pointer]) -> bytes:
    """Write pointers, sorted by key."""
    return _parquet(pointer_table(pointers))


def pointer_table(pointers: Iterable[Pointer]) -> Any:  # noqa: ANN401
    """Put pointers into a table, sorted by key."""
    rows = sorted(pointers, key=lambda pointer: pointer.key)
    columns = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in _POINTER.items()}
    columns |= {f"raw_{name}": pa.array([row.raw.get(name) for row in rows], kind) for name, kind in _RAW.items()}
    return pa.table(columns)


def pointers_from_parquet(data: bytes, *, name: str) -> list[Pointer]:
    """Read what `pointers_to_parquet` wrote.

    Raises
    ------
    DamagedRecord
        The bytes are no such partition.
    """
    return pointers(read_table(data, name=name))


def pointers(table: Any) -> list[Pointer]:  # noqa: ANN401
    """Return the rows of a table of pointers."""
    return [_pointer(row) for row in table.to_pylist()]


def _pointer(row: dict[str, Any]) -> Pointer:
    raw = {name: row[f"raw_{name}"] for name in _RAW if row[f"raw_{name}"] is not None}
    lists = {name: tuple(row.get(name) or ()) for name in ("equivalents", "left", "missing")}
    later = {name: row.get(name) or "" for name in _LATER}
    plain = {name: row[name] for name in _POINTER if name not in lists and name not in later}
    return Pointer(**plain | lists | later, raw=raw)


def joined(tables: Sequence[Any]) -> Any:  # noqa: ANN401
    """Put tables of one kind, of several partitions, into one; a keyword that differs in type becomes JSON text."""
    fields: dict[str, set[tuple[Any, bool]]] = {}
    for table in tables:
        for column in table.schema:
            fields.setdefault(column.name, set()).add((column.type, is_json(column)))
    mixed = {name for name, kinds in fields.items() if len(kinds) > 1}
    return pa.concat_tables([_with_text(table, mixed) for table in tables], promote_options="default")


def rows_of(table: Any, dataset: str) -> Any:  # noqa: ANN401
    """Return the rows of one dataset."""
    return table.filter(pc.equal(table.column("dataset"), dataset))


def is_json(described: Any) -> bool:  # noqa: ANN401
    """Tell whether a column has its values as JSON text, because they are of different types."""
    return (described.metadata or {}).get(b"cards") == b"json"


def _with_text(table: Any, mixed: set[str]) -> Any:  # noqa: ANN401
    for place, described in enumerate(table.schema):
        if described.name in mixed and not is_json(described):
            texts = [None if value is None else json.dumps(value) for value in cards(table.column(place), described)]
            field = pa.field(described.name, _TEXT, metadata=_MIXED)
            table = table.set_column(place, field, pa.array(texts, _TEXT))
    return table


def keyword_column(name: str, values: Sequence[Card | None]) -> tuple[Any, Any]:
    """Return the column of a keyword, and its field; None stands where a header does not have it."""
    kinds = {type(value) for value in values if value is not None}
    (kind,) = kinds if len(kinds) == 1 else (None,)
    fits = kind is not int or all(value is None or -_INT64 <= value < _INT64 for value in values)  # type: ignore[operator]
    if kind is not None and fits:
        return pa.array(values, _TYPES[kind]), pa.field(name, _TYPES[kind])
    texts = [None if value is None else json.dumps(value) for value in values]
    return pa.array(texts, _TEXT), pa.field(name, _TEXT, metadata=_MIXED)


def cards(column: Any, field: Any) -> list[Card | None]:  # noqa: ANN401 (pyarrow has no types)
    """Return the header values of a column, None where a header does not have the keyword."""
    chunk = column.combine_chunks()
    if not pa.types.is_dictionary(field.type):
        values: list[Card | None] = chunk.to_pylist()
        return values
    # Each distinct value is decoded once and shared by its rows.
    read: Callable[[str], Card] = json.loads if is_json(field) else str
    chunks = chunk.chunks if isinstance(chunk, pa.ChunkedArray) else [chunk]
    cards: list[Card | None] = []
    for part in chunks:
        distinct = [None if text is None else read(text) for text in part.dictionary.to_pylist()]
        cards += [None if index is None else distinct[index] for index in part.indices.to_pylist()]
    return cards


def _parquet(table: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", version="2.6")
    return buffer.getvalue()


def read_table(data: bytes, *, name: str, without: Collection[str] = ()) -> Any:  # noqa: ANN401
    """Read a partition as a table, with all columns but some.

    Raises
    ------
    DamagedRecord
        The bytes are no partition.
    """
    try:
        columns = [each for each in pq.read_schema(pa.BufferReader(data)).names if each not in without]
        return pq.read_table(pa.BufferReader(data), columns=columns, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise errors.DamagedRecord(
            f"{name} is no partition of a catalogue: {error}. Delete it and scan again."
        ) from error
