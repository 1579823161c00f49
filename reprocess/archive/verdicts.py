"""Judgement of a catalogue's rows at once: rows that were made alike and are asked for alike get one verdict together.

What decides a verdict is what the target asks for (a few thousand recipes in an archive of millions) and what is known
of the product. Each distinct pair is judged once, by `staleness`; each row takes the verdict of its pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reprocess import errors
from reprocess.archive import configurations, fingerprint, keys, partition, selection, staleness
from reprocess.archive.cells import Cells, cells
from reprocess.archive.context import Context
from reprocess.archive.staleness import Wanted
from reprocess.calibration import detector1
from reprocess.calibration.step import Parameter, Step
from reprocess.exposure import CatalogueEntry, Header, Reason, ReferenceFile, Verdict

Parameters = Mapping[str, Mapping[str, Parameter]]
Numbers = NDArray[np.int64]

STEP_KEYWORDS = ("EXP_TYPE", "READPATT", "SUBARRAY", "MSTR_RD1")
"""Keywords that decide which steps an exposure has."""

_SELF = "RPFPRINT"
_FOREIGN = ("CAL_VER", "CRDS_CTX", "RPVERS")
_NOBODY: Mapping[str, str | int] = {"location": "", "key": "", "size": 0, "etag": ""}


@dataclass(frozen=True)
class Need:
    """What exposures of one configuration need: steps and their parameters; or why they cannot be calibrated."""

    steps: tuple[Step, ...] = ()
    parameters: Parameters = field(default_factory=dict)
    types: tuple[str, ...] = ()
    problem: str = ""
    problem_class: str = ""


@dataclass(frozen=True)
class Recipe:
    """What the target asks of some exposures, apart from their raw objects.

    Attributes
    ----------
    need : Need
    names : mapping of type to str or None
        File that each type is selected to.
    files : mapping of type to ReferenceFile
    problem, problem_class : str
        Why it cannot be followed; empty when it can.
    """

    need: Need
    names: Mapping[str, str | None]
    files: Mapping[str, ReferenceFile]
    problem: str = ""
    problem_class: str = ""

    def wanted(self, raw: Mapping[str, str | int], software: str) -> Wanted:
        """Return what is asked of one raw object."""
        chain = fingerprint.fingerprint(raw, self.need.steps, self.need.parameters, self.files)
        return Wanted(chain, self.need.steps, self.names, self.need.parameters, software)


@dataclass(frozen=True)
class Judged:
    """Rows with their verdicts.

    Attributes
    ----------
    table : pyarrow.Table
        The Level 1b objects, a row each.
    pointers : pyarrow.Table
        Our pointers of the same programs.
    pointer_of_row : int64 array, (row,)
        Row of `pointers`; -1 where we have published nothing.
    products : pyarrow.Table
        Products of somebody else.
    recipe_of_row : int64 array, (row,)
    recipes : tuple of Recipe
    group_of_row : int64 array, (row,)
    verdicts : tuple of Verdict
        Of each group; `dataset` is the one of its first row.
    """

    table: Any
    pointers: Any
    pointer_of_row: Numbers
    products: Any
    recipe_of_row: Numbers
    recipes: tuple[Recipe, ...]
    group_of_row: Numbers
    verdicts: tuple[Verdict, ...]

    def states(self) -> NDArray[Any]:
        """Return the state of each row's verdict."""
        found: NDArray[Any] = np.array([verdict.state for verdict in self.verdicts])[self.group_of_row]
        return found

    def verdict(self, row: int) -> Verdict:
        """Return the verdict of one row."""
        shared = self.verdicts[int(self.group_of_row[row])]
        return Verdict(self.table.column("dataset")[row].as_py(), shared.state, shared.reasons, shared.restart)


@dataclass(frozen=True)
class Question:
    """What rows are judged by.

    Attributes
    ----------
    context : Context
    edges : tuple of str
        USEAFTER dates of the context's rules, see `cells.edges_of`.
    need : callable
        Tells what a configuration, given by its header, needs.
    files : callable
        Gives the files of types and names: the mirror's record of each, or what is wrong with it.
    software : str
        Version of this package.
    names : selection.Names
    """

    context: Context
    edges: tuple[str, ...]
    need: Callable[[Header], Need]
    files: Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError]]
    software: str
    names: selection.Names = field(default_factory=selection.Names)


def need_of(header: Header, resolve: Callable[[Sequence[Step]], Parameters]) -> Need:
    """Find out what a configuration needs.

    Parameters
    ----------
    header : mapping
    resolve : callable
        Gives every parameter of every step.
    """
    try:
        steps = detector1.steps_for(header)
        parameters = resolve(steps)
        return Need(steps, parameters, fingerprint.used_types(steps, parameters))
    except (errors.BadData, errors.Unsupported) as error:
        return Need(problem=str(error), problem_class=error.outcome_class)


def judge(objects: Any, pointers: Any, question: Question) -> Judged:  # noqa: ANN401 (pyarrow has no types)
    """Judge all Level 1b objects of some programs.

    Parameters
    ----------
    objects, pointers : pyarrow.Table
        Partitions of the catalogue, see `partition.joined`. Rows with an error belong to nobody's group and get the
        verdict ``unknown``.
    question : Question
    """
    raw = objects.filter(pc.equal(objects.column("level"), keys.RAW_LEVEL))
    products = objects.filter(pc.not_equal(objects.column("level"), keys.RAW_LEVEL))
    found = cells(raw, question.edges, STEP_KEYWORDS)
    recipe_of_cell, recipes = _recipes(found, question)
    recipe_of_row = recipe_of_cell[found.of_row]
    pointer_of_row = _places(raw.column("dataset"), pointers.column("dataset"))
    made = _Made.of(raw, pointers, pointer_of_row, products)
    code, size = recipe_of_row, len(recipes)
    for numbers, count in made.numbers():
        code, size = (configurations.numbered(code)) if size * count >= 1 << 62 else (code, size)
        code, size = code * count + numbers, size * count
    group_of_row, groups = configurations.numbered(code)
    first = configurations.first_of_each(group_of_row, groups)
    bare = Judged(raw, pointers, pointer_of_row, products, recipe_of_row, recipes, group_of_row, ())
    verdicts = tuple(_verdict(bare, int(row), made, question.software) for row in first)
    return replace(bare, verdicts=verdicts)


def _recipes(found: Cells, question: Question) -> tuple[Numbers, tuple[Recipe, ...]]:
    """Return which recipe each cell is asked for, and the recipes."""
    needs = [question.need(header) for header in found.configurations.headers]
    chosen = selection.select(found, question.context, [need.types for need in needs], question.names)
    numbered: dict[tuple[Any, ...], int] = {}
    kinds = sorted(chosen.files)
    code = _number_of(needs)[found.configuration]
    columns = np.stack([code, *(chosen.files[kind] for kind in kinds)], axis=1)
    problem = [chosen.problems.get(cell) for cell in range(len(columns))]
    of_cell = np.array(
        [
            numbered.setdefault((*row, text), len(numbered))
            for row, text in zip(map(tuple, columns.tolist()), problem, strict=True)
        ],
        np.int64,
    )
    first = configurations.first_of_each(of_cell, len(numbered))
    some = {number: (needs[int(found.configuration[cell])], int(cell)) for number, cell in enumerate(first)}
    wanted = {
        (kind, name)
        for need, cell in some.values()
        for kind in need.types
        if (name := question.names.name(int(chosen.files[kind][cell]))) is not None
    }
    files = question.files(sorted(wanted))
    return of_cell, tuple(
        _recipe(need, {kind: question.names.name(int(chosen.files[kind][cell])) for kind in need.types}, files, text)
        for (need, cell), text in ((some[n], problem[int(first[n])]) for n in range(len(first)))
    )


def _number_of(needs: Sequence[Need]) -> Numbers:
    """Number needs so that equal ones have one number."""
    numbers: dict[tuple[Any, ...], int] = {}
    told = []
    for need in needs:
        what = (tuple((step.name, step.revision) for step in need.steps), id(need.parameters), need.problem)
        told.append(numbers.setdefault(what, len(numbers)))
    return np.array(told, np.int64)


def _recipe(
    need: Need,
    names: Mapping[str, str | None],
    files: Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError],
    problem: selection.Problem | None,
) -> Recipe:
    if need.problem:
        return Recipe(need, names, {}, need.problem, need.problem_class)
    if problem is not None:
        return Recipe(need, names, {}, problem.text, problem.outcome_class)
    found = {kind: files[kind, name] for kind, name in names.items() if name is not None}
    for kind, file in found.items():
        if isinstance(file, errors.ReprocessError):
            return Recipe(need, names, {}, f"{kind}: {file}", errors.ReferenceFileError.outcome_class)
    read = {kind: file for kind, file in found.items() if isinstance(file, ReferenceFile)}
    return Recipe(need, names, read)


def _places(wanted: Any, among: Any) -> Numbers:  # noqa: ANN401
    """Return where each value is in a column; -1 where it is not."""
    place = pc.index_in(wanted, value_set=configurations.one_chunk(among))
    found: Numbers = configurations.one_chunk(place).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


@dataclass(frozen=True)
class _Made:
    """What is known of the products of each row, as numbers that are equal where a verdict has to be.

    A number that counts rows makes a group of each: of damaged pointers, replaced raw objects and products that carry
    a fingerprint of ours, because their reasons tell what only they have.
    """

    recipe: tuple[Numbers, int]
    equivalents: tuple[Numbers, int]
    alone: tuple[Numbers, int]
    foreign: tuple[Numbers, int]
    products: tuple[Numbers, ...]
    twice: NDArray[np.bool_]

    def numbers(self) -> Iterator[tuple[Numbers, int]]:
        yield from (self.recipe, self.equivalents, self.alone, self.foreign)

    @classmethod
    def of(cls, raw: Any, pointers: Any, place: Numbers, products: Any) -> _Made:  # noqa: ANN401
        published = place >= 0
        recipe, recipes = _column_numbers(pointers.column("recipe"))
        equals, equal = _column_numbers(_as_text(pointers.column("equivalents")))
        alone = published.copy()
        alone[published] = _differs(raw, pointers, place, published)
        which = tuple(_places(raw.column("dataset"), _of_level(products, level)) for level in keys.PRODUCT_LEVELS)
        code, count, own = _foreign(products)
        foreign, total = np.zeros(raw.num_rows, np.int64), 1
        for rows, level in zip(which, keys.PRODUCT_LEVELS, strict=True):
            index = np.flatnonzero(pc.equal(products.column("level"), level).to_numpy(zero_copy_only=False))
            there = (rows >= 0) & ~published
            mine = np.full(raw.num_rows, 0, np.int64)
            mine[there] = code[index[rows[there]]] + 1
            alone[there] |= own[index[rows[there]]]
            foreign, total = foreign * (count + 1) + mine, total * (count + 1)
        twice = _twice(raw.column("dataset"))
        alone |= twice | pc.is_valid(raw.column("error")).to_numpy(zero_copy_only=False)
        serial = np.where(alone, np.arange(1, raw.num_rows + 1), 0)
        return cls(
            _at(place, recipe, recipes),
            _at(place, equals, equal),
            (serial, raw.num_rows + 1),
            (foreign, total),
            tuple(_absolute(products, rows, level) for rows, level in zip(which, keys.PRODUCT_LEVELS, strict=True)),
            twice,
        )


def _twice(datasets: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    """Tell which rows share their dataset's name with another row."""
    numbers, count = _column_numbers(datasets)
    found: NDArray[np.bool_] = np.bincount(numbers, minlength=count)[numbers] > 1
    return found


def _absolute(products: Any, rows: Numbers, level: str) -> Numbers:  # noqa: ANN401
    """Turn places among the products of one level into places among all."""
    index = np.flatnonzero(pc.equal(products.column("level"), level).to_numpy(zero_copy_only=False))
    return np.where(rows >= 0, np.append(index, -1)[rows], -1)


def _of_level(products: Any, level: str) -> Any:  # noqa: ANN401
    return products.filter(pc.equal(products.column("level"), level)).column("dataset")


def _at(place: Numbers, numbers: Numbers, count: int) -> tuple[Numbers, int]:
    """Return the number of each row's pointer, from 1; 0 without a pointer."""
    return np.append(numbers + 1, 0)[place], count + 1


def _column_numbers(column: Any) -> tuple[Numbers, int]:  # noqa: ANN401
    array = configurations.one_chunk(column)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    count = len(encoded.dictionary) + 1
    return encoded.indices.fill_null(count - 1).to_numpy(zero_copy_only=False).astype(np.int64), count


def _as_text(column: Any) -> Any:  # noqa: ANN401
    return pc.binary_join(column.cast(pa.list_(pa.string())), " ")


def _differs(raw: Any, pointers: Any, place: Numbers, published: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ANN401
    """Tell which published rows have to be judged each for itself: an error, or another raw object than it was."""
    rows, theirs = pa.array(np.flatnonzero(published)), pa.array(place[published])
    differs = pc.is_valid(pointers.column("error").take(theirs))
    for name in ("location", "key", "size", "etag"):
        now, then = raw.column(name).take(rows), pointers.column(f"raw_{name}").take(theirs)
        differs = pc.or_(differs, pc.fill_null(pc.not_equal(_plain(now), _plain(then)), True))
    found: NDArray[np.bool_] = configurations.one_chunk(differs).to_numpy(zero_copy_only=False)
    return found


def _plain(column: Any) -> Any:  # noqa: ANN401
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _foreign(products: Any) -> tuple[Numbers, int, NDArray[np.bool_]]:  # noqa: ANN401
    """Number the products of somebody else by what they say; tell which have to be judged each for itself."""
    words = [word for word in products.column_names if word[:2] in ("R_", "S_") or word in _FOREIGN]
    found = configurations.configurations(products, words)
    own = pc.is_valid(products.column("error")).to_numpy(zero_copy_only=False).copy()
    if _SELF in products.column_names:
        own |= pc.is_valid(products.column(_SELF)).to_numpy(zero_copy_only=False)
    return found.of_row.astype(np.int64), len(found.headers), own


def _verdict(judged: Judged, row: int, made: _Made, software: str) -> Verdict:
    """Judge one row for all of its group."""
    entry = _entry(judged.table, row)
    recipe = judged.recipes[judged.recipe_of_row[row]]
    if entry.error is not None:
        return _undecided(entry, entry.error_class or errors.BadData.outcome_class)
    if made.twice[row]:
        return _undecided(entry, errors.UnparsableKey.outcome_class)
    if recipe.problem:
        return _undecided(entry, recipe.problem_class)
    place = int(judged.pointer_of_row[row])
    (pointer,) = partition.pointers(judged.pointers.slice(place, 1)) if place >= 0 else (None,)
    beside = [int(rows[row]) for rows in made.products if rows[row] >= 0]
    products = [entry for each in beside for entry in partition.entries(judged.products.slice(each, 1))]
    wanted = recipe.wanted(fingerprint.raw_version(entry), software)
    return staleness.judge(entry.dataset, wanted, pointer=pointer, products=products)


def _entry(table: Any, row: int) -> CatalogueEntry:  # noqa: ANN401
    """Return what a verdict needs to know of a raw object; its header was asked already."""
    words = ("dataset", "level", "location", "key", "size", "etag", "error_class", "error")
    return CatalogueEntry(**{word: table.column(word)[row].as_py() for word in words})


def _undecided(entry: CatalogueEntry, outcome_class: str) -> Verdict:
    return Verdict(entry.dataset, "unknown", (Reason("undecidable", fingerprint.RAW, old=outcome_class),))
