"""Configurations: rows of a catalogue that agree in all keywords that matter are one, and are looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reprocess.archive import partition
from reprocess.exposure import Card

_ROOM = 1 << 62  # codes of several columns are kept in one number as long as it fits


@dataclass(frozen=True)
class Configurations:
    """Distinct settings of some rows.

    Attributes
    ----------
    of_row : int32 array, (row,)
        Which configuration each row has.
    first_row : int64 array, (configuration,)
        A row that has it.
    headers : tuple of mapping of str to str, int, float or bool
        The keywords of each configuration; those that the rows do not have are left out.
    """

    of_row: NDArray[np.int32]
    first_row: NDArray[np.int64]
    headers: tuple[dict[str, Card], ...]


def configurations(table: Any, keywords: Sequence[str]) -> Configurations:  # noqa: ANN401 (pyarrow has no types)
    """Find the distinct settings of a table.

    Parameters
    ----------
    table : pyarrow.Table
        A column for each keyword, as in the catalogue.
    keywords : sequence of str
        Those that matter.
    """
    present = [keyword for keyword in keywords if keyword in table.column_names]
    code, size = np.zeros(table.num_rows, np.int64), 1
    for keyword in present:
        column, length = _codes(table.column(keyword))
        if size * length >= _ROOM:
            code, size = numbered(code)
        code = code * length + column
        size *= length
    of_row, count = numbered(code)
    first = first_of_each(of_row, count)
    headers = _headers(table.select(present).take(pa.array(first))) if present else ({},) * len(first)
    return Configurations(of_row.astype(np.int32), first, headers)


def numbered(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """Number the distinct values from 0 in the order in which they come up; the numbers, and how many there are."""
    encoded = pa.array(codes).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def first_of_each(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the first place of each number from 0 to `count`."""
    first = np.empty(count, np.int64)
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)
    return first


def _codes(column: Any) -> tuple[NDArray[np.int64], int]:  # noqa: ANN401
    """Return a number for the value of each row, and how many there can be; no value counts as one."""
    array = one_chunk(column)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    length = len(array.dictionary) + 1
    indices: NDArray[np.int64] = array.indices.fill_null(length - 1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, length


def one_chunk(column: Any) -> Any:  # noqa: ANN401
    """Return a column as one array; parts with dictionaries of their own get one dictionary."""
    array = column.unify_dictionaries().combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) and array.num_chunks else array


def _headers(table: Any) -> tuple[dict[str, Card], ...]:  # noqa: ANN401
    headers: list[dict[str, Card]] = [{} for _ in range(table.num_rows)]
    for field in table.schema:
        for header, value in zip(headers, partition.cards(table.column(field.name), field), strict=True):
            if value is not None:
                header[field.name] = value
    return tuple(headers)
