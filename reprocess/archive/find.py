"""Which products were made with a reference file: the first question after a bad delivery.

Products of ours tell it by their recipes, of which a catalogue of millions has a few thousand; products of somebody
else by their R_ keywords. Both are looked up in the dictionaries of the columns, and only the rows that have what is
found there are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reprocess import errors
from reprocess.archive import configurations, keys, partition

PREFIX = "crds://"


@dataclass(frozen=True, slots=True)
class Made:
    """A product that was made with a reference file.

    Attributes
    ----------
    dataset : str
    version : str or None
        The version that readers see; None for a product of somebody else.
    used_as : str
        The type that it was read as, for a product of somebody else the keyword that names it.
    software, context : str
        What made the product; empty where it does not say so.
    location, key : str
        The pointer, or the product of somebody else.
    """

    dataset: str
    version: str | None
    used_as: str
    software: str
    context: str
    location: str
    key: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A product that does not tell what it was made with, because its pointer or its header cannot be read.

    `location` and `key` are those of the pointer, or of the product of somebody else; `problem` is a sentence.
    """

    dataset: str
    location: str
    key: str
    problem: str


def reference_name(text: str) -> str:
    """Return the name of a reference file, given with or without ``crds://``.

    Raises
    ------
    UsageError
        It is no name of a file.
    """
    name = text.removeprefix(PREFIX)
    if not name or "/" in name or any(letter in name for letter in "*? "):
        raise errors.UsageError(f"{text!r} is no name of a reference file. Give the whole name, without a directory.")
    return name


def find(batches: Iterable[tuple[Any, Any]], name: str) -> Iterator[Made | Unread]:
    """Yield the products that were made with a file, those of ours before those of others, program by program.

    Products of which it cannot be told come after them.

    Parameters
    ----------
    batches : iterable of (objects, pointers)
        See `catalogue.Catalogue.batches`.
    name : str
        See `reference_name`; names are matched whole.
    """
    for objects, pointers in batches:
        yield from _ours(pointers, name)
        yield from _theirs(objects, name)
        yield from _unread(pointers, pc.equal(pointers.column("version"), ""))
        yield from _unread(objects, pc.not_equal(objects.column("level"), keys.RAW_LEVEL))


def _unread(rows: Any, among: Any) -> Iterator[Unread]:  # noqa: ANN401
    """Yield rows that have an error, among some."""
    broken = rows.filter(pc.and_(among, pc.is_valid(rows.column("error"))))
    for row in broken.select(["dataset", "location", "key", "error"]).to_pylist():
        yield Unread(row["dataset"], row["location"], row["key"], row["error"])


def _ours(pointers: Any, name: str) -> Iterator[Made]:  # noqa: ANN401 (pyarrow has no types)
    codes, recipes = _encoded(pointers.column("recipe"))
    used = {number: kinds for number, text in enumerate(recipes) if (kinds := _kinds(text, name))}
    shown = pc.not_equal(pointers.column("version"), "").to_numpy(zero_copy_only=False)  # else it was retired
    rows = np.flatnonzero(np.isin(codes, list(used)) & shown)
    words = ["dataset", "version", "software", "context", "location", "key"]
    for row, code in zip(pointers.select(words).take(pa.array(rows)).to_pylist(), codes[rows], strict=True):
        yield Made(used_as=used[int(code)], **row)


def _kinds(recipe: str | None, name: str) -> str:
    """Return the types that a recipe reads a file as; empty when it does not."""
    if not recipe or name not in recipe:
        return ""
    links = json.loads(recipe)
    return " ".join(sorted({kind for _, _, _, files in links for kind, file, _ in files if file == name}))


def _theirs(objects: Any, name: str) -> Iterator[Made]:  # noqa: ANN401
    products = objects.filter(pc.not_equal(objects.column("level"), keys.RAW_LEVEL))
    keywords = [field for field in products.schema if field.name.startswith("R_")]
    where = {field.name: _says(products.column(field.name), field, {name, PREFIX + name}) for field in keywords}
    rows = np.flatnonzero(np.logical_or.reduce(list(where.values()))) if where else np.empty(0, np.int64)
    found = products.take(pa.array(rows, pa.int64()))
    for row, entry in zip(rows, partition.entries(found), strict=True):
        used_as = " ".join(keyword for keyword in sorted(where) if where[keyword][row])
        yield Made(entry.dataset, None, used_as, *_maker(entry.header), location=entry.location, key=entry.key)


def _maker(header: Mapping[str, Any]) -> tuple[str, str]:
    return str(header.get("CAL_VER", "")), str(header.get("CRDS_CTX", ""))


def _says(column: Any, field: Any, values: set[str]) -> NDArray[np.bool_]:  # noqa: ANN401
    """Tell which rows have one of some values."""
    codes, texts = _encoded(column)
    decoded = partition.cards(pa.chunked_array([pa.array(texts).dictionary_encode()]), field) if texts else []
    return np.isin(codes, [number for number, value in enumerate(decoded) if value in values])


def _encoded(column: Any) -> tuple[NDArray[np.int64], list[Any]]:  # noqa: ANN401
    """Return the number of each row's value, -1 for none, and the values."""
    array = configurations.one_chunk(column)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    codes: NDArray[np.int64] = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, encoded.dictionary.to_pylist()
