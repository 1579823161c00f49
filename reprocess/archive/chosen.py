"""Which rows of a catalogue an expression chooses, before they are judged and after it.

Each comparison becomes two masks over the rows: where it is true, and where it is false; a row in neither lacks the
keyword. What only a judgement tells may be either before there is one, so it is in both masks then, and what comes out
as true is what may become true: nothing else is worth a judgement.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reprocess import errors
from reprocess.archive import configurations, keys, partition, where
from reprocess.archive.verdicts import Judged
from reprocess.archive.where import And, Comparison, Expression, Not
from reprocess.exposure import Verdict
from reprocess.formats import keywords

Mask = NDArray[np.bool_]
Masks = tuple[Mask, Mask]
"""Where something is true, and where it is false."""


class Choice:
    """An expression, asked of one batch of rows after the other.

    Rows of one dataset are chosen together, so that two objects with one name are always seen as two.

    Attributes
    ----------
    left_out : int
        Level 1b objects that were not chosen so far.
    """

    def __init__(self, text: str) -> None:
        """Read the expression; an empty one chooses every row.

        Raises
        ------
        UsageError
            It is none, or it compares a column with a value of another kind.
        """
        self._expression = where.parse(text) if text else where.EVERYTHING
        self._every = tuple(where.comparisons(self._expression))
        for one in self._every:
            where.check_words(one)
        self._kinds: dict[Comparison, set[str]] = {
            one: set() if one.name in keywords.KEPT else {"number" if one.name == "size" else "text"}
            for one in self._every
        }
        self._after = any(one.name not in (*where.CATALOGUE, *keywords.KEPT) for one in self._every)
        self.left_out = 0
        self.check()

    def check(self) -> None:
        """Make sure that every comparison was with a value of a kind that its column has, as far as rows were seen.

        Raises
        ------
        UsageError
            One was not.
        """
        for one in self._every:
            kinds = self._kinds[one]
            if one.values and kinds and where.kind_of(one.values[0]) not in kinds:
                asked, there = where.kind_of(one.values[0]), " or ".join(f"a {kind}" for kind in sorted(kinds))
                raise errors.UsageError(
                    f"--where, position {one.position}: {one.name} is {there}, and {one.values[0]!r} is a {asked}. "
                    f"Compare it with {there}."
                )

    def before(self, objects: Any) -> tuple[Any, int]:  # noqa: ANN401 (pyarrow has no types)
        """Return the rows that may be chosen once they are judged, with the products of others beside them.

        Returns
        -------
        pyarrow.Table, int
            The rows, and how many Level 1b objects were left out.
        """
        if not self._every:
            return objects, 0

        def leaf(one: Comparison) -> Masks:
            if one.name in (*where.PUBLISHED, *where.JUDGED):
                return np.ones(objects.num_rows, bool), np.ones(objects.num_rows, bool)
            if one.name not in objects.column_names:
                return compared(pa.nulls(objects.num_rows, pa.string()), one)
            return compared(self._noted(objects, one), one)

        raw = _numpy(pc.equal(objects.column("level"), keys.RAW_LEVEL))
        kept = _with_their_likes(objects, masks(self._expression, leaf)[0] & raw)
        skipped = int(np.count_nonzero(raw & ~kept))
        self.left_out += skipped
        return objects if kept.all() else objects.filter(pa.array(kept)), skipped

    def after(self, judged: Judged, failures: Mapping[int, Verdict]) -> Mask:
        """Return which judged rows are chosen.

        Parameters
        ----------
        judged : Judged
        failures : mapping of row to Verdict
            Rows with another verdict than that of their group.
        """
        if not self._after:
            return np.ones(judged.table.num_rows, bool)
        verdicts = (*judged.verdicts, *failures.values())
        of_row = judged.group_of_row.copy()
        of_row[list(failures)] = np.arange(len(judged.verdicts), len(verdicts))
        place = pa.array(judged.pointer_of_row, mask=judged.pointer_of_row < 0)

        def leaf(one: Comparison) -> Masks:
            if one.name in where.JUDGED:
                true, false = _of_verdicts(verdicts, one)
                return true[of_row], false[of_row]
            if one.name in where.PUBLISHED:
                found = configurations.one_chunk(judged.pointers.column(one.name)).cast(pa.string()).take(place)
                return compared(pc.if_else(pc.equal(found, ""), None, found), one)
            if one.name not in judged.table.column_names:
                return compared(pa.nulls(judged.table.num_rows, pa.string()), one)
            return compared(self._noted(judged.table, one), one)

        kept = _with_their_likes(judged.table, masks(self._expression, leaf)[0])
        self.left_out += int(np.count_nonzero(~kept))
        return kept

    def _noted(self, table: Any, one: Comparison) -> Any:  # noqa: ANN401
        """Return the column that a comparison asks for, and note of what kinds its values are."""
        column, described = table.column(one.name), table.schema.field(one.name)
        found = configurations.one_chunk(column)
        if not partition.is_json(described):
            self._kinds[one].add(_kind(found.type))
            return found
        if not one.values:
            return found
        values = [json.loads(text) for text in found.dictionary.to_pylist()]
        self._kinds[one].update(map(where.kind_of, values))
        return _of_kind(values, where.kind_of(one.values[0])).take(found.indices)


def masks(expression: Expression, leaf: Callable[[Comparison], Masks]) -> Masks:
    """Evaluate an expression in the three-valued logic of SQL.

    Parameters
    ----------
    expression : Expression
    leaf : callable
        Gives the masks of a comparison.
    """
    if isinstance(expression, Comparison):
        return leaf(expression)
    if isinstance(expression, Not):
        true, false = masks(expression.of, leaf)
        return false, true
    trues, falses = zip(*(masks(part, leaf) for part in expression.of), strict=True)
    every, some = np.logical_and.reduce, np.logical_or.reduce
    return (every(trues), some(falses)) if isinstance(expression, And) else (some(trues), every(falses))


def compared(values: Any, comparison: Comparison) -> Masks:  # noqa: ANN401
    """Evaluate one comparison.

    Parameters
    ----------
    values : pyarrow.Array
        Of texts, perhaps with a dictionary, of numbers or of truth values; null where there is none.
    comparison : Comparison
        Where its values are of another kind than the column, it is neither true nor false.
    """
    if comparison.operator == "null":
        missing = _numpy(values.is_null())
        return missing, ~missing
    if pa.types.is_dictionary(values.type):
        true, false = compared(values.dictionary, comparison)
        codes = values.indices.fill_null(len(true)).to_numpy(zero_copy_only=False)
        return np.append(true, False)[codes], np.append(false, False)[codes]
    if _kind(values.type) != where.kind_of(comparison.values[0]):
        nowhere = np.zeros(len(values), bool)
        return nowhere, nowhere
    found = _test(values, comparison.operator, comparison.values)
    return _numpy(pc.fill_null(found, False)), _numpy(pc.fill_null(pc.invert(found), False))


_TESTS = {
    "=": pc.equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def _test(values: Any, operator: str, literals: Sequence[where.Literal]) -> Any:  # noqa: ANN401
    """Ask every value; null stays null."""
    kind = values.type
    if pa.types.is_integer(kind) and not all(isinstance(one, int) for one in literals):
        kind = pa.float64()
    values = values.cast(kind, safe=False)
    if pa.types.is_floating(kind):
        # Added to 0, -0 is 0: a set would tell them apart.
        values, literals = pc.add(values, 0.0), [float(one) + 0.0 for one in literals]
    given = pa.array(literals, kind)
    if operator == "in":
        return pc.if_else(values.is_valid(), pc.is_in(values, value_set=given), None)
    if operator == "like":
        return pc.match_substring_regex(values, _pattern(str(literals[0])))
    return _TESTS[operator](values, given[0])


def _pattern(like: str) -> str:
    """Write a pattern of SQL as a regular expression."""
    signs = {"%": ".*", "_": "."}
    return "(?s)^" + "".join(signs.get(one) or re.escape(one) for one in like) + r"\z"


def _of_verdicts(verdicts: Sequence[Verdict], comparison: Comparison) -> Masks:
    """Ask every verdict; of its reasons one is enough."""
    texts = [_texts(verdict, comparison.name) for verdict in verdicts]
    counts = np.array([len(each) for each in texts], np.int64)
    if comparison.operator == "null":
        return counts == 0, counts > 0
    true, _ = compared(pa.array([text for each in texts for text in each], pa.string()), comparison)
    owners = np.repeat(np.arange(len(texts)), counts)
    fits = np.bincount(owners[true], minlength=len(texts)) > 0
    return fits, ~fits & (counts > 0)


def _texts(verdict: Verdict, name: str) -> Sequence[str]:
    if name == "verdict":
        return (verdict.state,)
    if name == "restart":
        return (verdict.restart,) if verdict.restart else ()
    typed = (f"{one.kind}: {one.reference_type}" for one in verdict.reasons if one.reference_type)
    return (*(one.kind for one in verdict.reasons), *typed)


def _with_their_likes(table: Any, mask: Mask) -> Mask:  # noqa: ANN401
    """Widen a mask to all rows of the datasets in it."""
    if mask.all() or not mask.any():
        return mask
    datasets = configurations.one_chunk(table.column("dataset"))
    return _numpy(pc.is_in(datasets, value_set=datasets.filter(pa.array(mask))))


def _kind(type: Any) -> str:  # noqa: ANN401
    """Say what values of a type are, as `where.kind_of` does of one value."""
    if pa.types.is_dictionary(type):
        return _kind(type.value_type)
    if pa.types.is_boolean(type):
        return "truth value"
    return "number" if pa.types.is_integer(type) or pa.types.is_floating(type) else "text"


def _of_kind(values: Sequence[where.Literal], kind: str) -> Any:  # noqa: ANN401
    """Return values as an array in which those of another kind are null."""
    type, plain = _TYPES[kind]
    return pa.array([plain(value) if where.kind_of(value) == kind else None for value in values], type)


_TYPES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "text": (pa.string(), str),
    "number": (pa.float64(), float),
    "truth value": (pa.bool_(), bool),
}


def _numpy(mask: Any) -> Mask:  # noqa: ANN401
    found: Mask = configurations.one_chunk(mask).to_numpy(zero_copy_only=False)
    return found
