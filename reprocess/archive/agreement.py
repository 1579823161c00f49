"""Agreement: rows of a catalogue drawn at random, and what `crds` itself selects for them.

Our selection goes by columns, by answers that were kept and by dates between which nothing changes. `crds` is asked for
each header and each type anew, by its own loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reprocess.archive import cells, keys, partition, selection
from reprocess.archive.context import Context, parameters_of
from reprocess.exposure import CatalogueEntry, Header


@dataclass(frozen=True, slots=True)
class Difference:
    """One type of one exposure that is selected differently; None is no file."""

    dataset: str
    type: str
    ours: str | None
    crds: str | None


@dataclass(frozen=True)
class Agreement:
    """What a check found.

    Attributes
    ----------
    context : str
    rows : int
        Exposures that were looked at.
    comparisons : int
        Pairs of exposure and type, decided or not.
    files : int
        How many of them `crds` selects a file for.
    undecided : int
        Pairs that we refuse to decide: no date, no known instrument, or several files at once.
    differences : tuple of Difference
    """

    context: str
    rows: int
    comparisons: int
    files: int
    undecided: int
    differences: tuple[Difference, ...]

    @property
    def decided(self) -> int:
        """How many pairs were compared."""
        return self.comparisons - self.undecided


def draw(batches: Iterable[tuple[Any, Any]], count: int, *, seed: int) -> Any:  # noqa: ANN401 (pyarrow has no types)
    """Draw Level 1b objects of a catalogue at random, each with the same chance; all of them when there are fewer.

    Parameters
    ----------
    batches : iterable of (objects, pointers)
        See `catalogue.Catalogue.batches`.
    count : int
    seed : int
        The same seed and catalogue give the same rows.
    """
    chance = np.random.default_rng(seed)
    drawn: Any = None
    numbers = np.empty(0)
    for objects, _ in batches:
        readable = pc.and_(pc.equal(objects.column("level"), keys.RAW_LEVEL), pc.is_null(objects.column("error")))
        rows = objects.filter(readable)
        numbers = np.concatenate([numbers, chance.random(rows.num_rows)])
        together = rows if drawn is None else partition.joined([drawn, rows])
        best = np.sort(np.argsort(numbers, kind="stable")[:count])
        drawn, numbers = together.take(pa.array(best)), numbers[best]
    return partition.read_table(partition.entries_to_parquet([]), name="none") if drawn is None else drawn


def compare(table: Any, context: Context) -> Agreement:  # noqa: ANN401
    """Compare our selection of every type of the instrument with the one of `crds`, row by row."""
    names = selection.Names()
    sorted_out = cells.cells(table, cells.edges_of([context], context.instruments()))
    wanted = [_types(header, context) for header in sorted_out.configurations.headers]
    found = selection.select(sorted_out, context, wanted, names)
    comparisons = files = undecided = 0
    differences = []
    for row, entry in enumerate(partition.entries(table)):
        cell = int(sorted_out.of_row[row])
        kinds = wanted[sorted_out.configuration[cell]]
        plain = context.plainly(entry.header, kinds) if kinds else {}
        comparisons += len(kinds)
        files += sum(name is not None for name in plain.values())
        for kind in kinds:
            number = int(found.files[kind][cell])
            if number == selection.UNDECIDED:
                undecided += 1
            elif names.name(number) != plain[kind]:
                differences.append(Difference(_label(entry), kind, names.name(number), plain[kind]))
    return Agreement(context.name, table.num_rows, comparisons, files, undecided, tuple(differences))


def _types(header: Header, context: Context) -> tuple[str, ...]:
    instrument = parameters_of(header)["META.INSTRUMENT.NAME"]
    return context.types(instrument) if context.knows(instrument) else ()


def _label(entry: CatalogueEntry) -> str:
    return entry.dataset or entry.key
