"""Cells: rows of a catalogue that no rule can tell apart, by their configuration and by the USEAFTER dates around them.

An archive of ten million exposures has a few thousand configurations and rules a few dozen dates, so what is asked of
each cell costs next to nothing, and each row takes the answer of its cell.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reprocess.archive import configurations as settings
from reprocess.archive import partition
from reprocess.archive.configurations import Configurations
from reprocess.archive.context import KEYWORDS, Context, date_text
from reprocess.archive.instants import UNKNOWN, Instants, instants, seconds_of

DATE, TIME = "DATE-OBS", "TIME-OBS"
NO_DATE = -1


@dataclass(frozen=True)
class Cells:
    """Rows that no rule can tell apart.

    Attributes
    ----------
    of_row : int32 array, (row,)
        Which cell each row is in.
    configuration : int32 array, (cell,)
    period : int32 array, (cell,)
        How many of the edges lie before or at the date; `NO_DATE` where there is no date.
    first_row : int64 array, (cell,)
        A row of the cell.
    configurations : Configurations
    instants : Instants
    edges : tuple of str
        All USEAFTER dates of the rules, in order.
    """

    of_row: NDArray[np.int32]
    configuration: NDArray[np.int32]
    period: NDArray[np.int32]
    first_row: NDArray[np.int64]
    configurations: Configurations
    instants: Instants
    edges: tuple[str, ...]

    def rows(self) -> NDArray[np.int64]:
        """Return how many rows each cell has."""
        counted: NDArray[np.int64] = np.bincount(self.of_row, minlength=len(self.first_row)).astype(np.int64)
        return counted


def edges_of(contexts: Iterable[Context], instruments: Iterable[str]) -> tuple[str, ...]:
    """Return all USEAFTER dates that the rules of some contexts have for some instruments, in order."""
    known = tuple(instruments)
    found = {
        edge
        for context in contexts
        for instrument in known
        for rule in context.rules_of(instrument)
        for edge in rule.edges
    }
    return tuple(sorted(found))


def keywords_of(more: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the keywords that a configuration consists of: what rules match but the date, and what else matters."""
    return tuple(dict.fromkeys((*(word for word in KEYWORDS.values() if word not in (DATE, TIME)), *more)))


def cells(table: Any, edges: Sequence[str], more: Sequence[str] = ()) -> Cells:  # noqa: ANN401 (pyarrow has no types)
    """Sort the rows of a table into cells.

    Parameters
    ----------
    table : pyarrow.Table
        A column for each keyword, as in the catalogue.
    edges : sequence of str
        See `edges_of`.
    more : sequence of str
        Keywords beyond those of rules that rows of one cell must agree in.
    """
    found = settings.configurations(table, keywords_of(more))
    began = instants(_text(table, DATE), _text(table, TIME), date_text)
    period = _periods(began, tuple(edges))
    code, count = settings.numbered(found.of_row.astype(np.int64) * (len(edges) + 2) + (period + 1))
    first = settings.first_of_each(code, count)
    return Cells(
        of_row=code.astype(np.int32),
        configuration=found.of_row[first],
        period=period[first],
        first_row=first,
        configurations=found,
        instants=began,
        edges=tuple(edges),
    )


def _text(table: Any, keyword: str) -> Any:  # noqa: ANN401
    if keyword not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    array = settings.one_chunk(table.column(keyword))
    if partition.is_json(table.schema.field(keyword)):
        texts = [None if text is None else str(json.loads(text)) for text in array.dictionary.to_pylist()]
        return pa.DictionaryArray.from_arrays(array.indices, pa.array(texts, pa.string()))
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    return array if pa.types.is_string(kind) else array.cast(pa.string())


def _periods(began: Instants, edges: tuple[str, ...]) -> NDArray[np.int32]:
    """Return how many of the edges lie before or at each date."""
    whole = np.array([seconds_of(edge) for edge in edges], np.int64)
    period = np.searchsorted(whole, began.seconds, side="right").astype(np.int32)
    # Only in the second of an edge that has a fraction does the fraction of the date matter.
    split = whole[["." in edge for edge in edges]] if edges else whole
    for row in np.flatnonzero(np.isin(began.seconds, split)) if len(split) else ():
        period[row] = bisect.bisect_right(edges, began.text(int(row)))
    period[began.seconds == UNKNOWN] = NO_DATE
    return period
