"""Judging: the rows of a catalogue against a target.

This is the only place of the archive that brings rules, reference files and fingerprints together. It reads rules,
parameter files and reference files, and it copies files into the mirror; it reads no pixels.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reprocess import errors
from reprocess.archive import answers, cells, configurations, fingerprint, partition, stage2, staleness, verdicts
from reprocess.archive.chosen import Choice
from reprocess.archive.context import Context
from reprocess.archive.mirror import mirror, payload_of, read_mirrored
from reprocess.archive.partition import Pointer
from reprocess.archive.verdicts import Judged, Question
from reprocess.calibration import detector1
from reprocess.calibration.step import Locality, Parameter, Step
from reprocess.exposure import IMAGE2, SETTLED, CatalogueEntry, Fingerprint, ReferenceFile, Settled, Verdict
from reprocess.formats import level1b, parameter_file
from reprocess.storage.store import Store
from reprocess.target import Target

_COPIES_AT_ONCE = 4  # each holds a whole file

_NOTHING = Locality()

Parameters = Mapping[str, Mapping[str, Parameter]]
Progress = Callable[[int], None]
Tables = tuple[Any, Any]


@dataclass(frozen=True)
class Judgement:
    """What is known of one candidate that something is to be done for, or that fails.

    Attributes
    ----------
    entry : CatalogueEntry
        The Level 1b object.
    verdict : Verdict
    references : tuple of ReferenceFile
        Files that the steps read, sorted by type.
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step: the code's default, the context's parameter file, the target, the later weighs
        more.
    fingerprint : Fingerprint
        What the target gives.
    locality : Locality
        What the steps together must see.
    failure_class, failure : str
        Why it cannot be calibrated: an outcome class and a sentence; empty when it can.
    pointer : Pointer or None
        What we have published.
    """

    entry: CatalogueEntry
    verdict: Verdict
    references: tuple[ReferenceFile, ...] = ()
    parameters: Parameters | None = None
    fingerprint: Fingerprint = ()
    locality: Locality = _NOTHING
    failure_class: str = ""
    failure: str = ""
    pointer: Pointer | None = None


@dataclass(frozen=True)
class Survey:
    """Every candidate, judged.

    Attributes
    ----------
    judgements : tuple of Judgement
        Those that something is to be done for, and those that fail, in the order of the catalogue.
    settled : tuple of Settled
        All others.
    settled_bytes : tuple of int
        Bytes of the Level 1b objects of each of `settled`.
    not_selected : int
        Level 1b objects that nobody asked about.
    """

    judgements: tuple[Judgement, ...]
    settled: tuple[Settled, ...] = field(default=())
    settled_bytes: tuple[int, ...] = field(default=())
    not_selected: int = 0


_Files = Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError]


def survey(
    batches: Iterable[Tables],
    *,
    context: Context,
    references: Store,
    archive: Store,
    target: Target,
    software: str,
    progress: Progress | None = None,
    again: frozenset[str] = frozenset(),
    choice: Choice | None = None,
) -> Survey:
    """Judge candidates: select references, mirror them, compute fingerprints, compare with what is published.

    Parameters
    ----------
    batches : iterable of (objects, pointers)
        Tables of some programs each, see `catalogue.Catalogue.batches`.
    context : Context
        The context that the target names.
    references : Store
        Where reference files come from.
    archive : Store
        The archive root; missing reference files are mirrored into it.
    target : Target
    software : str
        Version of this package.
    progress : callable, optional
        Called with the number of candidates judged so far.
    again : frozenset of str
        Datasets that are described in full even if they are settled.
    choice : Choice, optional
        Which candidates are asked about; all when it is left out.

    Returns
    -------
    Survey
        What is wrong with one candidate fails that one alone.

    Raises
    ------
    TargetError
        The target asks for another software or context, or for a step or parameter that does not exist.
    UsageError
        The choice compares a column with a value of another kind.
    StorageError
        The archive or the store of references does not answer.
    """
    check_target(target, context, software)
    answers.recall(archive, context)
    asked = question(context, references=references, archive=archive, parameters=target.parameters, software=software)
    judgements: list[Judgement] = []
    settled: dict[Settled, list[str]] = defaultdict(list)
    sizes: dict[Settled, int] = defaultdict(int)
    choice = choice or Choice("")
    done = 0
    for every, pointers in batches:
        objects, skipped = choice.before(every)
        judged = verdicts.judge(objects, pointers, asked)
        resting = np.isin(judged.states(), list(SETTLED))
        if again:
            resting &= ~np.isin(judged.table.column("dataset").to_pylist(), list(again))
        found = dict(_judgements(judged, np.flatnonzero(~resting), software))
        chosen = choice.after(judged, {row: one.verdict for row, one in found.items() if one.failure_class})
        resting &= chosen
        for kind, datasets, size in _settled(judged, resting):
            settled[kind].extend(datasets)
            sizes[kind] += size
        judgements += [one for row, one in found.items() if chosen[row]]
        done += judged.table.num_rows + skipped
        if progress:
            progress(done)
    choice.check()
    answers.keep(archive, context)
    named = tuple(replace(kind, datasets=tuple(names)) for kind, names in settled.items())
    return Survey(tuple(judgements), named, tuple(sizes[kind] for kind in settled), choice.left_out)


def _settled(judged: Judged, resting: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[tuple[Settled, list[str], int]]:
    """Yield settled rows that are alike in all that is told of them, with their names and the sum of their bytes."""
    rows = np.flatnonzero(resting)
    found = configurations.configurations(judged.table.take(rows), ("INSTRUME", "EXP_TYPE"))
    code, count = configurations.numbered(judged.group_of_row[rows] * max(1, len(found.headers)) + found.of_row)
    first = configurations.first_of_each(code, count)
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=count))
    datasets = judged.table.column("dataset").take(rows[order]).to_pylist()
    sizes = np.concatenate([[0], np.cumsum(judged.table.column("size").to_numpy()[rows[order]])])
    begin = 0
    for number, end in zip(range(count), map(int, ends), strict=True):
        verdict = judged.verdicts[int(judged.group_of_row[rows[first[number]]])]
        header = found.headers[int(found.of_row[first[number]])]
        instrument, exp_type = (str(header.get(keyword, "")) for keyword in ("INSTRUME", "EXP_TYPE"))
        size = int(sizes[end] - sizes[begin])
        yield Settled(verdict.state, verdict.reasons, instrument, exp_type, ()), datasets[begin:end], size
        begin = end


def _judgements(
    judged: Judged, rows: np.ndarray[Any, np.dtype[np.int64]], software: str
) -> Iterator[tuple[int, Judgement]]:
    """Describe rows one by one, each with its number, in the order of program, dataset and key."""
    entries = partition.entries(judged.table.take(rows))
    places = judged.pointer_of_row[rows]
    known = places[places >= 0]
    pointers = dict(zip(map(int, known), partition.pointers(judged.pointers.take(known)), strict=True))
    each = sorted(zip(entries, map(int, rows), map(int, places), strict=True), key=lambda one: _order(one[0]))
    for entry, row, place in each:
        yield row, _judgement(judged, entry, row, pointers.get(place), software)


def _order(entry: CatalogueEntry) -> tuple[str, str, str]:
    return entry.dataset, entry.location, entry.key


def _judgement(judged: Judged, entry: CatalogueEntry, row: int, pointer: Pointer | None, software: str) -> Judgement:
    recipe, verdict = judged.recipes[int(judged.recipe_of_row[row])], judged.verdict(row)
    problem = _problem(judged, entry, row)
    if problem:
        return Judgement(
            entry, verdicts.undecided(entry.dataset, problem[0]), failure_class=problem[0], failure=problem[1]
        )
    failure_class, failure = _obstacle(verdict, pointer)
    return Judgement(
        entry=entry,
        verdict=verdict,
        failure_class=failure_class,
        failure=failure,
        references=tuple(recipe.files[kind] for kind in sorted(recipe.files)),
        parameters=recipe.parameters,
        fingerprint=recipe.wanted(fingerprint.raw_version(entry), software).fingerprint,
        locality=detector1.locality(recipe.steps, recipe.parameters),
        pointer=pointer,
    )


def _obstacle(verdict: Verdict, pointer: Pointer | None) -> tuple[str, str]:
    """Return why a candidate that could be calibrated is not: a class and a sentence; both empty if it is."""
    if pointer is not None and pointer.error_class == errors.StorageError.outcome_class:
        return errors.StorageError.outcome_class, f"{verdict.dataset}: {pointer.error} Scan again when it can be read."
    if pointer is not None and pointer.error is not None:
        advice = f"Look at it, then delete {pointer.key}: the dataset is published again, without its history."
        return errors.PublicationError.outcome_class, f"{verdict.dataset}: {pointer.error} {advice}"
    if pointer is not None and not pointer.version:
        advice = "`reprocess rollback` shows it again, and then it is made again."
        return errors.OnHold.outcome_class, f"{verdict.dataset} was retired, so it is not made again. {advice}"
    if verdict.restart == IMAGE2:
        return errors.Unsupported.outcome_class, stage2.not_built(verdict.dataset)
    return "", ""


def _problem(judged: Judged, entry: CatalogueEntry, row: int) -> tuple[str, str] | None:
    """Return why a candidate cannot be calibrated: a class and a sentence."""
    if entry.error is not None:
        return entry.error_class or errors.BadData.outcome_class, entry.error
    if judged.twice[row]:
        return errors.UnparsableKey.outcome_class, _twice(judged, entry.dataset)
    recipe = judged.recipes[int(judged.recipe_of_row[row])]
    try:
        if recipe.steps:  # a layout is promised for exposures that could be calibrated
            level1b.check_layout(entry)
    except errors.BadData as error:
        return error.outcome_class, _naming(entry, str(error))
    return (recipe.problem_class, _naming(entry, recipe.problem)) if recipe.problem else None


def _twice(judged: Judged, dataset: str) -> str:
    rows = partition.rows_of(judged.table, dataset)
    places = sorted(f"{row['location']}/{row['key']}" for row in rows.select(["location", "key"]).to_pylist())
    return f"{dataset} is the name of {len(places)} objects: {', '.join(places)}. Keep one of them."


def _naming(entry: CatalogueEntry, text: str) -> str:
    return text if entry.dataset in text else f"{entry.key}: {text}"


def question(context: Context, *, references: Store, archive: Store, parameters: Parameters, software: str) -> Question:
    """Make what the rows of a catalogue are judged by.

    Parameters
    ----------
    context : Context
    references, archive : Store
        Where reference files come from, and where they are mirrored to.
    parameters : mapping
        What the target gives.
    software : str
        Version of this package.
    """
    return Question(
        context=context,
        edges=cells.edges_of([context], context.instruments()),
        parameters=_Parameters(parameters, references, archive).of,
        files=lambda wanted: mirrored(wanted, references, archive),
        software=software,
        payload=functools.cache(lambda kind, name: payload_of(references, archive, type=kind, name=name)),
    )


class _Parameters:
    """Parameters by chain of steps and parameter files: candidates that have both in common share one set."""

    def __init__(self, given: Parameters, references: Store, archive: Store) -> None:
        self._given = given
        self._references = references
        self._archive = archive
        self._read: dict[str, Mapping[str, parameter_file.Values]] = {}
        self._resolved: dict[tuple[Any, ...], Parameters] = {}

    def of(self, steps: Sequence[Step], files: Mapping[str, str | None]) -> Parameters:
        """Return every parameter of every step.

        Raises
        ------
        Unsupported
            A step is asked for that cannot be run, or a file sets what this version does not know.
        ReferenceFileError
            A file is missing or damaged.
        """
        key = tuple(step.name for step in steps), tuple(sorted(name for name in files.values() if name))
        if key not in self._resolved:
            # What a pipeline's file says of a step weighs more than the step's own file.
            order = sorted(files.items(), key=lambda item: item[0] == verdicts.PIPELINE)
            told: dict[str, dict[str, Any]] = {}
            for kind, name in ((kind, name) for kind, name in order if name is not None):
                for step, values in self._file(kind, name).items():
                    told.setdefault(step, {}).update(_known(steps, step, values, name))
            for step, values in self._given.items():
                told.setdefault(step, {}).update(values)
            self._resolved[key] = resolve_parameters(steps, told)
        return self._resolved[key]

    def _file(self, kind: str, name: str) -> Mapping[str, parameter_file.Values]:
        if name not in self._read:
            data = read_mirrored(self._references, self._archive, type=kind, name=name)
            self._read[name] = parameter_file.read_parameters(data, name)
        return self._read[name]


# What steps of the official pipeline have for their surroundings; nothing of it changes a pixel.
_SURROUNDINGS = frozenset(
    {
        "input_dir",
        "output_dir",
        "output_ext",
        "output_file",
        "output_use_index",
        "output_use_model",
        "post_hooks",
        "pre_hooks",
        "save_calibrated_ramp",
        "save_results",
        "search_output_file",
        "suffix",
        "update_hdrtab",
    }
)


def _known(steps: Sequence[Step], step: str, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what a parameter file says of a step that an exposure has."""
    found = next((each for each in steps if each.name == step), None)
    if found is None:
        return {}
    chosen = {key: value for key, value in values.items() if key not in _SURROUNDINGS}
    unknown = sorted(set(chosen) - set(found.parameters))
    if unknown and chosen.get("skip", found.parameters.get("skip")) is not True:
        raise errors.Unsupported(f"{name} sets {step}.{unknown[0]}, which this version does not have. Use a newer one.")
    try:
        return {key: _typed(found, key, value) for key, value in chosen.items() if key in found.parameters}
    except errors.TargetError as error:
        raise errors.DamagedReference(f"{name}: {error} Take another context.") from error


def resolve_parameters(steps: Sequence[Step], given: Parameters) -> Parameters:
    """Return every parameter of every step: what the target gives, else the default of the code.

    A number takes the type of its default, so that 5 and 5.0 are the same wish. Steps that an exposure does not have
    are left out.

    Raises
    ------
    TargetError
        A step has no such parameter, or the value is of another type.
    Unsupported
        A step is asked for that cannot be run.
    """
    chosen = {
        step.name: {name: _typed(step, name, value) for name, value in given.get(step.name, {}).items()}
        for step in steps
    }
    return detector1.resolve(steps, chosen)


def _typed(step: Step, name: str, value: Parameter) -> Parameter:
    if name not in step.parameters:
        known = ", ".join(sorted(step.parameters))
        raise errors.TargetError(f"[parameters.{step.name}] has no parameter {name!r}. There are {known}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise errors.TargetError(f"[parameters.{step.name}] {name} = {value!r}; it must be finite.")
    default = step.parameters[name]
    if default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise errors.TargetError(
        f"[parameters.{step.name}] {name} = {value!r}; it must be of type {type(default).__name__}, as {default!r} is."
    )


def check_target(target: Target, context: Context, software: str) -> None:
    """Refuse a target that nothing can be judged by.

    Raises
    ------
    TargetError
        It asks for another software or context, or for a step or parameter that does not exist.
    """
    if not staleness.satisfies(software, target.software):
        raise errors.TargetError(
            f"The target asks for software {target.software}, and this is {software}. Install it, or mend the target."
        )
    if target.context != context.name:
        raise errors.TargetError(f"The target asks for {target.context}, and {context.name} is loaded. Load that one.")
    unknown = sorted(set(target.parameters) - {step.name for step in detector1.STEPS})
    if unknown:
        known = ", ".join(step.name for step in detector1.STEPS)
        raise errors.TargetError(f"[parameters.{unknown[0]}]: there is no such step. There are {known}.")
    for step in detector1.STEPS:
        for name, value in target.parameters.get(step.name, {}).items():
            _typed(step, name, value)


def mirrored(wanted: Iterable[tuple[str, str]], references: Store, archive: Store) -> _Files:
    """Mirror files, given by type and name, each once; what is wrong with a file is kept in its place."""
    files = sorted(wanted)

    def one(file: tuple[str, str]) -> ReferenceFile | errors.ReprocessError:
        try:
            return mirror(references, archive, type=file[0], name=file[1])
        except (errors.ReferenceFileError, errors.DamagedRecord) as error:
            return error

    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        return dict(zip(files, pool.map(one, files), strict=True))
