"""Selection for many rows at once: the best reference of each type, cell by cell, each distinct question asked once."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.archive.cells import NO_DATE, Cells
from reprocess.archive.context import DATE, TIME, UNDEFINED, Context, Rule, date_text, parameters_of

NO_FILE, UNDECIDED, NOT_ASKED = -1, -2, -3

Codes = NDArray[np.int32]

_NO_INSTRUMENT = "INSTRUME is not in the primary header, so no reference file can be selected."


class Names:
    """Numbers for file names, shared by whatever is to be compared."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def number(self, name: str | None) -> int:
        """Return the number of a name, `NO_FILE` for None."""
        if name is None:
            return NO_FILE
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def name(self, number: int) -> str | None:
        """Return the name of a number; None for what is no file."""
        return self._names[number] if number >= 0 else None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing can be selected: an outcome class and a sentence."""

    outcome_class: str
    text: str

    @classmethod
    def of(cls, error: errors.ReprocessError) -> Problem:
        """Put an error into words."""
        return cls(error.outcome_class, str(error))


@dataclass(frozen=True)
class Selection:
    """What a context selects for cells.

    Attributes
    ----------
    files : mapping of type to int32 array, (cell,)
        Numbers of names; `NO_FILE`, `UNDECIDED` (see `problems`), or `NOT_ASKED` where the cell does not need the type.
    problems : mapping of cell to Problem
        Why a cell could not be decided.
    """

    files: Mapping[str, Codes]
    problems: Mapping[int, Problem] = field(default_factory=dict)


def select(
    cells: Cells,
    context: Context,
    wanted: Sequence[Sequence[str]],
    names: Names,
    *,
    like: tuple[Context, Selection] | None = None,
) -> Selection:
    """Select the reference of each type for each cell.

    Parameters
    ----------
    cells : Cells
        With all the edges of the context's rules.
    context : Context
    wanted : sequence of sequence of str, (configuration,)
        The types that each configuration needs.
    names : Names
    like : (Context, Selection), optional
        What another context selected for the same cells and types; where both have the same rule, nothing is looked at
        again, because the answer is the same by definition.

    Returns
    -------
    Selection
        What cannot be decided for one cell is told for that one.
    """
    parameters = [parameters_of(header) for header in cells.configurations.headers]
    asked = _Asked(cells, context, names, parameters, like)
    needs: dict[str, list[int]] = {}
    for configuration, kinds in enumerate(wanted):
        for kind in kinds:
            needs.setdefault(kind, []).append(configuration)
    files = {kind: asked.files(kind, np.array(some, np.int64)) for kind, some in sorted(needs.items())}
    return Selection(files, asked.problems)


class _Asked:
    """One context asked about some cells."""

    def __init__(
        self,
        cells: Cells,
        context: Context,
        names: Names,
        parameters: Sequence[Mapping[str, str]],
        like: tuple[Context, Selection] | None = None,
    ) -> None:
        self._like = like
        self.problems: dict[int, Problem] = {}
        self._cells = cells
        self._context = context
        self._names = names
        self._parameters = parameters
        self._instruments = np.array([each["META.INSTRUMENT.NAME"] for each in parameters])

    def files(self, kind: str, configurations: NDArray[np.int64]) -> Codes:
        """Return the file of one type for each cell of some configurations."""
        found = np.full(len(self._cells.first_row), NOT_ASKED, np.int32)
        for rule, some in self._by_rule(kind, configurations):
            mine = np.flatnonzero(np.isin(self._cells.configuration, some))
            if isinstance(rule, Problem):
                self.problems |= dict.fromkeys(map(int, mine), rule)
                found[mine] = UNDECIDED
                continue
            other = self._same(rule, str(self._instruments[some[0]]), kind)
            if other is not None:
                found[mine] = other.files[kind][mine]
                told = map(int, mine[found[mine] == UNDECIDED])
                self.problems |= {cell: other.problems[cell] for cell in told if cell not in self.problems}
                continue
            undated = self._cells.period[mine] == NO_DATE
            found[mine[undated]] = UNDECIDED
            for cell in map(int, mine[undated]):
                self.problems.setdefault(cell, self._dateless(cell))
            mine = mine[~undated]
            found[mine] = NO_FILE if rule is None else self._answers(rule, some, mine)
        return found

    def _by_rule(
        self, kind: str, configurations: NDArray[np.int64]
    ) -> list[tuple[Rule | Problem | None, NDArray[np.int64]]]:
        """Sort configurations by the rule that applies, or by why there is none."""
        instruments = self._instruments[configurations]
        sorted_out: list[tuple[Rule | Problem | None, NDArray[np.int64]]] = []
        for instrument in np.unique(instruments):
            try:
                rule: Rule | Problem | None = self._context.rule(str(instrument), kind)
            except errors.ContextError as error:
                rule = Problem.of(error if instrument != UNDEFINED else errors.MissingKeyword(_NO_INSTRUMENT))
            sorted_out.append((rule, configurations[instruments == instrument]))
        return sorted_out

    def _same(self, rule: Rule | None, instrument: str, kind: str) -> Selection | None:
        """Return what another context selected if it did so by the same rule."""
        if self._like is None or rule is None:
            return None
        context, selected = self._like
        try:
            return selected if rule.is_same(context.rule(instrument, kind)) else None
        except errors.ContextError:  # the other context does not know the instrument, or cannot use its rule
            return None

    def _answers(self, rule: Rule, configurations: NDArray[np.int64], mine: NDArray[np.int64]) -> Codes:
        """Ask a rule once for each distinct question of some cells."""
        cells, tuples = self._cells, dict[tuple[str, ...], int]()
        of_configuration = np.zeros(len(self._parameters), np.int64)
        for one in configurations:
            values = tuple(self._parameters[one].get(name, "UNDEFINED") for name in rule.parameters)
            of_configuration[one] = tuples.setdefault(values, len(tuples))
        of_period = np.array([0, *(bisect.bisect_right(rule.edges, edge) for edge in cells.edges)], np.int64)
        question = of_configuration[cells.configuration[mine]] * (len(rule.edges) + 1) + of_period[cells.period[mine]]
        _, first, inverse = np.unique(question, return_index=True, return_inverse=True)
        answers = np.empty(len(first), np.int32)
        for number, cell in enumerate(map(int, mine[first])):
            try:
                answers[number] = self._names.number(self._ask(rule, cell))
            except (errors.ContextError, errors.MissingKeyword) as error:
                answers[number] = UNDECIDED
                self.problems |= dict.fromkeys(map(int, mine[inverse == number]), Problem.of(error))
        found: Codes = answers[inverse]
        return found

    def _ask(self, rule: Rule, cell: int) -> str | None:
        row, began = int(self._cells.first_row[cell]), self._cells.instants
        dated = parameters_of({"DATE-OBS": began.days[row].as_py(), "TIME-OBS": began.times[row].as_py()})
        parameters = {
            **self._parameters[self._cells.configuration[cell]],
            DATE: dated[DATE],
            TIME: dated[TIME],
        }
        return self._context.best(parameters, date_text(dated[DATE], dated[TIME]), rule)

    def _dateless(self, cell: int) -> Problem:
        try:
            self._cells.instants.text(int(self._cells.first_row[cell]))
        except errors.MissingKeyword as error:
            return Problem.of(error)
        text = "The date of the exposure cannot be read, so no reference file can be selected."
        return Problem(errors.MissingKeyword.outcome_class, text)
