"""Judgement of a catalogue's rows at once: rows that were made alike and are asked for alike get one verdict together.

What decides a verdict is what the target asks for (a few thousand recipes in an archive of millions) and what is known
of the product. Each distinct pair is judged once, by `staleness`; each row takes the verdict of its pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from reprocess import errors
from reprocess.archive import configurations, fingerprint, keys, partition, selection, staleness
from reprocess.archive.cells import Cells, cells
from reprocess.archive.context import Context
from reprocess.archive.later import laters
from reprocess.archive.made import Made, Numbers, places
from reprocess.archive.stage2 import Later
from reprocess.archive.wanted import Wanted
from reprocess.calibration import detector1
from reprocess.calibration.step import Parameter, Step
from reprocess.exposure import CatalogueEntry, Header, Reason, ReferenceFile, Verdict

Parameters = Mapping[str, Mapping[str, Parameter]]
STEP_KEYWORDS = ("EXP_TYPE", "READPATT", "SUBSIZE2", "MSTR_RD1")
"""Keywords that decide which steps an exposure has."""


@dataclass(frozen=True)
class Need:
    """What exposures of one configuration need; or why they cannot be calibrated.

    Attributes
    ----------
    steps : tuple of Step
    types : tuple of str
        Reference types that the steps can read, and types of their parameter files.
    problem, problem_class : str
        Empty when they can be calibrated.
    """

    steps: tuple[Step, ...] = ()
    types: tuple[str, ...] = ()
    problem: str = ""
    problem_class: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What is equal for equal needs; steps are constants of their modules."""
        return tuple(map(id, self.steps)), self.types, self.problem, self.problem_class


@dataclass(frozen=True)
class Recipe:
    """What the target asks of some exposures, apart from their raw objects.

    Attributes
    ----------
    steps : tuple of Step
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step.
    names : mapping of type to str or None
        File that each type is selected to, of the types that are read.
    files : mapping of type to ReferenceFile
    problem, problem_class : str
        Why it cannot be followed; empty when it can.
    """

    steps: tuple[Step, ...] = ()
    parameters: Parameters = field(default_factory=dict)
    names: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, ReferenceFile] = field(default_factory=dict)
    problem: str = ""
    problem_class: str = ""

    def wanted(self, raw: Mapping[str, str | int], software: str) -> Wanted:
        """Return what is asked of one raw object."""
        chain = fingerprint.fingerprint(raw, self.steps, self.parameters, self.files)
        return Wanted(chain, self.steps, self.names, self.parameters, software)


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
    twice : bool array, (row,)
        Rows that share their dataset's name with another one.
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
    twice: NDArray[np.bool_]
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
    parameters : callable
        Gives every parameter of steps, from the steps and the names of their parameter files.
    files : callable
        Gives the files of types and names: the mirror's record of each, or what is wrong with it.
    software : str
        Version of this package.
    payload : callable
        Gives the payload digest of a file of a type that a product of somebody else was made with, by name; None where
        it is not known.
    names : selection.Names
    """

    context: Context
    edges: tuple[str, ...]
    parameters: Callable[[Sequence[Step], Mapping[str, str | None]], Parameters]
    files: Callable[[Iterable[tuple[str, str]]], Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError]]
    software: str
    payload: Callable[[str, str], str | None] = lambda kind, name: None
    names: selection.Names = field(default_factory=selection.Names)

    def need(self, header: Header) -> Need:
        """Find out what a configuration needs."""
        try:
            steps = detector1.steps_for(header)
        except (errors.BadData, errors.Unsupported) as error:
            return Need(problem=str(error), problem_class=error.outcome_class)
        known = self.context.parameter_types(header) if self.context.knows(str(header.get("INSTRUME", ""))) else ()
        ours = parameter_types(steps)
        return Need(steps, (*detector1.reference_types(steps), *(kind for kind in known if kind in ours)))


PARAMETER_FILE = "pars-"
PIPELINE = "pars-detector1pipeline"


def parameter_types(steps: Sequence[Step]) -> frozenset[str]:
    """Return the types of the parameter files that steps can have."""
    return frozenset({PIPELINE, *(f"{PARAMETER_FILE}{step.name.replace('_', '')}step" for step in steps)})


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
    recipe_of_cell, recipes = recipes_of(found, question)
    recipe_of_row = recipe_of_cell[found.of_row]
    pointer_of_row = places(raw.column("dataset"), pointers.column("dataset"))
    made = Made.of(raw, pointers, pointer_of_row, products)
    later_of_row, known = laters(raw, products, context=question.context, edges=question.edges, names=question.names)
    code, size = recipe_of_row, len(recipes)
    for numbers, count in (*made.numbers(), (later_of_row, len(known))):
        code, size = (configurations.numbered(code)) if size * count >= 1 << 62 else (code, size)
        code, size = code * count + numbers, size * count
    group_of_row, groups = configurations.numbered(code)
    first = configurations.first_of_each(group_of_row, groups)
    bare = Judged(raw, pointers, pointer_of_row, products, recipe_of_row, recipes, made.twice, group_of_row, ())
    verdicts = tuple(_verdict(bare, int(row), made, known[later_of_row[row]], question) for row in first)
    return replace(bare, verdicts=verdicts)


def recipes_of(found: Cells, question: Question) -> tuple[Numbers, tuple[Recipe, ...]]:
    """Return which recipe each cell is asked for, and the recipes."""
    needs = _needs(found, question)
    chosen = selection.select(found, question.context, [need.types for need in needs], question.names)
    numbers = dict[tuple[Any, ...], int]()
    code = np.array([numbers.setdefault(need.key, len(numbers)) for need in needs], np.int64)[found.configuration]
    undecided = [chosen.problems.get(cell) for cell in range(len(code))]
    columns = np.stack([code, *(chosen.files[kind] for kind in sorted(chosen.files))], axis=1)
    numbered: dict[tuple[Any, ...], int] = {}
    of_cell = np.array(
        [
            numbered.setdefault((*row, problem), len(numbered))
            for row, problem in zip(map(tuple, columns.tolist()), undecided, strict=True)
        ],
        np.int64,
    )
    drafts = [
        _draft(needs[int(found.configuration[cell])], chosen, int(cell), question)
        for cell in configurations.first_of_each(of_cell, len(numbered))
    ]
    wanted = {(kind, name) for draft in drafts for kind, name in draft.names.items() if name is not None}
    files = question.files(sorted(wanted))
    return of_cell, tuple(_with_files(draft, files) for draft in drafts)


def _needs(found: Cells, question: Question) -> list[Need]:
    """Find out what each configuration needs, once for those that agree in what decides it."""
    known: dict[tuple[Any, ...], Need] = {}
    needs = []
    for header in found.configurations.headers:
        key = tuple(header.get(keyword) for keyword in ("INSTRUME", *STEP_KEYWORDS))
        if key not in known:
            known[key] = question.need(header)
        needs.append(known[key])
    return needs


def _draft(need: Need, chosen: selection.Selection, cell: int, question: Question) -> Recipe:
    """Make the recipe of a cell, without the records of its files."""
    if need.problem:
        return Recipe(problem=need.problem, problem_class=need.problem_class)
    numbers = {kind: int(chosen.files[kind][cell]) for kind in need.types}
    names = {kind: question.names.name(number) for kind, number in numbers.items()}
    try:
        told = {kind: name for kind, name in names.items() if kind.startswith(PARAMETER_FILE)}
        parameters = question.parameters(need.steps, told)
    except (errors.Unsupported, errors.ReferenceFileError) as error:
        return Recipe(need.steps, problem=str(error), problem_class=error.outcome_class)
    used = fingerprint.used_types(need.steps, parameters)
    # What a skipped step would read does not matter, nor whether it can be told.
    if any(numbers[kind] == selection.UNDECIDED for kind in (*used, *told)):
        problem = chosen.problems[cell]
        return Recipe(need.steps, problem=problem.text, problem_class=problem.outcome_class)
    return Recipe(need.steps, parameters, {kind: names[kind] for kind in used})


def _with_files(draft: Recipe, files: Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError]) -> Recipe:
    """Complete a recipe by the records of its files, or by what is wrong with one of them."""
    found = {kind: files[kind, name] for kind, name in draft.names.items() if name is not None}
    for kind, file in found.items():
        if isinstance(file, errors.ReprocessError):
            outcome_class = errors.ReferenceFileError.outcome_class
            return replace(draft, problem=f"it needs {kind}: {file}", problem_class=outcome_class)
    return replace(draft, files={kind: file for kind, file in found.items() if isinstance(file, ReferenceFile)})


def _verdict(judged: Judged, row: int, made: Made, later: Later, question: Question) -> Verdict:
    """Judge one row for all of its group."""
    entry = _entry(judged.table, row)
    recipe = judged.recipes[judged.recipe_of_row[row]]
    if entry.error is not None:
        return undecided(entry.dataset, entry.error_class or errors.BadData.outcome_class)
    if made.twice[row]:
        return undecided(entry.dataset, errors.UnparsableKey.outcome_class)
    if recipe.problem:
        return undecided(entry.dataset, recipe.problem_class)
    place = int(judged.pointer_of_row[row])
    (pointer,) = partition.pointers(judged.pointers.slice(place, 1)) if place >= 0 else (None,)
    beside = [int(rows[row]) for rows in made.products if rows[row] >= 0]
    products = [entry for each in beside for entry in partition.entries(judged.products.slice(each, 1))]

    def is_same(kind: str, old: str, new: str) -> bool:
        file = recipe.files.get(kind)
        return file is not None and file.name == new and file.payload == question.payload(kind, old)

    bare = recipe.wanted(fingerprint.raw_version(entry), question.software)
    wanted = replace(bare, later=later, is_same=is_same)
    return staleness.judge(entry.dataset, wanted, pointer=pointer, products=products)


def _entry(table: Any, row: int) -> CatalogueEntry:  # noqa: ANN401
    """Return what a verdict needs to know of a raw object; its header was asked already."""
    words = ("dataset", "level", "location", "key", "size", "etag", "error_class", "error")
    return CatalogueEntry(**{word: table.column(word)[row].as_py() for word in words})


def undecided(dataset: str, outcome_class: str) -> Verdict:
    """Make the verdict on what cannot be judged, because of an error of some class."""
    return Verdict(dataset, "unknown", (Reason("undecidable", fingerprint.RAW, old=outcome_class),))
