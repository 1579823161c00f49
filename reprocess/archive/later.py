"""What stage 2 would read under a context, of rows that have its products; an archive without them pays nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from reprocess.archive import keys, selection, stage2
from reprocess.archive.cells import cells
from reprocess.archive.context import Context
from reprocess.archive.made import Numbers, places
from reprocess.archive.stage2 import Later
from reprocess.calibration.step import Step
from reprocess.exposure import Header

NOTHING = Later()


def laters(
    raw: Any,  # noqa: ANN401 (pyarrow has no types)
    products: Any,  # noqa: ANN401
    *,
    context: Context,
    edges: tuple[str, ...],
    names: selection.Names,
) -> tuple[Numbers, tuple[Later, ...]]:
    """Select what stage 2 reads.

    Parameters
    ----------
    raw, products : pyarrow.Table
        Level 1b objects, and products of somebody else.
    context : Context
    edges : tuple of str
        USEAFTER dates of the context's rules.
    names : selection.Names

    Returns
    -------
    of_row : int64 array, (row,)
        Which of them each row of `raw` has; 0 is nothing.
    laters : tuple of Later
        Distinct ones.
    """
    of_row = np.zeros(raw.num_rows, np.int64)
    rows = _with_products(raw, products)
    if not len(rows):
        return of_row, (NOTHING,)
    found = cells(raw.take(rows), edges, ("EXP_TYPE",))
    headers = found.configurations.headers
    steps = [stage2.steps_for(header) if _is_known(context, header) else () for header in headers]
    chosen = selection.select(found, context, [stage2.types_of(some) for some in steps], names)
    numbers = {NOTHING.key: (0, NOTHING)}
    of_cell = np.empty(len(found.configuration), np.int64)
    for cell, configuration in enumerate(found.configuration.tolist()):
        one = _later(steps[configuration], chosen, cell, names)
        of_cell[cell], _ = numbers.setdefault(one.key, (len(numbers), one))
    of_row[rows] = of_cell[found.of_row]
    return of_row, tuple(one for _, one in numbers.values())


def _with_products(raw: Any, products: Any) -> Numbers:  # noqa: ANN401
    """Return the rows that have a product of stage 2."""
    level = products.column("level")
    wanted = [pc.equal(level, each) for each in keys.LATER_LEVELS]
    made = products.filter(pc.or_(*wanted)).column("dataset")
    return np.flatnonzero(places(raw.column("dataset"), made) >= 0)


def _is_known(context: Context, header: Header) -> bool:
    return context.knows(str(header.get("INSTRUME", "")))


def _later(steps: tuple[Step, ...], chosen: selection.Selection, cell: int, names: selection.Names) -> Later:
    found = {kind: int(chosen.files[kind][cell]) for kind in stage2.types_of(steps)}
    undecided = {kind: chosen.problems[cell].text for kind, number in found.items() if number == selection.UNDECIDED}
    return Later(steps, {kind: names.name(number) for kind, number in found.items()}, undecided)
