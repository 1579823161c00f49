"""Judging: every candidate of a catalogue against a target, each distinct question asked once.

This is the only place of the archive that brings rules, reference files and fingerprints together. It reads rules and
reference files, and it copies files into the mirror; it reads no pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from reprocess import errors
from reprocess.archive import fingerprint, staleness, verdicts
from reprocess.archive.catalogue import Candidate
from reprocess.archive.context import Context
from reprocess.archive.mirror import mirror
from reprocess.archive.staleness import Wanted
from reprocess.archive.verdicts import Question
from reprocess.calibration import detector1
from reprocess.calibration.step import Locality, Parameter, Step
from reprocess.exposure import CatalogueEntry, Fingerprint, Reason, ReferenceFile, Verdict
from reprocess.formats import level1b
from reprocess.storage.store import Store
from reprocess.target import Target

_COPIES_AT_ONCE = 4  # each holds a whole file

_NOTHING = Locality()

Parameters = Mapping[str, Mapping[str, Parameter]]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Judgement:
    """What is known of one candidate before anything is planned.

    Attributes
    ----------
    entry : CatalogueEntry
        The Level 1b object.
    verdict : Verdict
    references : tuple of ReferenceFile
        Files that the steps read, sorted by type.
    parameters : mapping of step to mapping of parameter to value
        Every parameter of every step.
    fingerprint : Fingerprint
        What the target gives.
    locality : Locality
        What the steps together must see.
    failure_class, failure : str
        Why it cannot be calibrated: an outcome class and a sentence; empty when it can.
    parameter_files : tuple of str
        Parameter files (``pars-...``) that the context selects for these steps. They are told and not applied:
        parameters are the defaults of the code and what the target says.
    """

    entry: CatalogueEntry
    verdict: Verdict
    references: tuple[ReferenceFile, ...] = ()
    parameters: Parameters | None = None
    fingerprint: Fingerprint = ()
    locality: Locality = _NOTHING
    failure_class: str = ""
    failure: str = ""
    parameter_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Need:
    """What one candidate needs, as far as its header tells: steps, their parameters, a file name for each type."""

    steps: tuple[Step, ...]
    parameters: Parameters
    names: Mapping[str, str | None]
    parameter_files: tuple[str, ...]


@dataclass(frozen=True)
class _Failure:
    """Why a candidate cannot be calibrated."""

    outcome_class: str
    text: str


_Files = Mapping[tuple[str, str], ReferenceFile | errors.ReprocessError]


def judge_archive(
    candidates: Iterable[Candidate],
    *,
    context: Context,
    references: Store,
    archive: Store,
    target: Target,
    software: str,
    progress: Progress | None = None,
) -> tuple[Judgement, ...]:
    """Judge candidates: select references, mirror them, compute fingerprints, compare with what is published.

    Parameters
    ----------
    candidates : iterable of Candidate
        Usually ``catalogue.candidates()``, or those of them that somebody chose.
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

    Returns
    -------
    tuple of Judgement
        One for each candidate, in their order. What is wrong with one candidate fails that one alone.

    Raises
    ------
    TargetError
        The target asks for another software or context, or for a step or parameter that does not exist.
    StorageError
        The archive or the store of references does not answer.
    """
    _check(target, context, software)
    parameters = _Parameters(target.parameters)
    needs = [(candidate, _need(candidate.raw, context, parameters)) for candidate in candidates]
    files = _mirror_all((need for _, need in needs if isinstance(need, _Need)), references, archive)
    judgements = []
    for candidate, need in needs:
        judgements.append(_judge(candidate, need, files, software))
        if progress:
            progress(len(judgements))
    return tuple(judgements)


class _Parameters:
    """Parameters by chain of steps: candidates with the same steps share one set."""

    def __init__(self, given: Parameters) -> None:
        self._given = given
        self._resolved: dict[tuple[str, ...], Parameters] = {}

    def of(self, steps: Sequence[Step]) -> Parameters:
        chain = tuple(step.name for step in steps)
        if chain not in self._resolved:
            self._resolved[chain] = resolve_parameters(steps, self._given)
        return self._resolved[chain]


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


def question(
    context: Context,
    edges: tuple[str, ...],
    *,
    references: Store,
    archive: Store,
    parameters: Parameters,
    software: str,
) -> Question:
    """Make what the rows of a catalogue are judged by.

    Parameters
    ----------
    context : Context
    edges : tuple of str
        USEAFTER dates of its rules, see `cells.edges_of`.
    references, archive : Store
        Where reference files come from, and where they are mirrored to.
    parameters : mapping
        What the target gives.
    software : str
        Version of this package.
    """
    resolved = _Parameters(parameters)
    return Question(
        context=context,
        edges=edges,
        need=lambda header: verdicts.need_of(header, resolved.of),
        files=lambda wanted: _mirrored(wanted, references, archive),
        software=software,
    )


def _check(target: Target, context: Context, software: str) -> None:
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


def _need(entry: CatalogueEntry, context: Context, parameters: _Parameters) -> _Need | _Failure:
    """Find out what a candidate needs from its header alone, or why it cannot be calibrated."""
    if entry.error is not None:
        return _Failure(entry.error_class or errors.BadData.outcome_class, entry.error)
    try:
        steps = detector1.steps_for(entry.header)
        level1b.check_layout(entry)
        resolved = parameters.of(steps)
        names = context.best_references(entry.header, fingerprint.used_types(steps, resolved))
        return _Need(steps, resolved, names, _parameter_files(entry, context, steps))
    except (errors.BadData, errors.Unsupported, errors.ReferenceFileError) as error:
        return _Failure(error.outcome_class, _naming(entry, error))


def _parameter_files(entry: CatalogueEntry, context: Context, steps: Sequence[Step]) -> tuple[str, ...]:
    ours = {f"pars-{step.name.replace('_', '')}step" for step in steps} | {"pars-detector1pipeline"}
    types = [kind for kind in context.parameter_types(entry.header) if kind in ours]
    selected = context.best_references(entry.header, types) if types else {}
    return tuple(sorted(name for name in selected.values() if name is not None))


def _naming(entry: CatalogueEntry, error: Exception) -> str:
    return str(error) if entry.dataset in str(error) else f"{entry.key}: {error}"


def _mirror_all(needs: Iterable[_Need], references: Store, archive: Store) -> _Files:
    """Mirror each file that anybody needs, once; what is wrong with a file is kept in its place."""
    return _mirrored({(kind, name) for need in needs for kind, name in need.names.items() if name}, references, archive)


def _mirrored(wanted: Iterable[tuple[str, str]], references: Store, archive: Store) -> _Files:
    """Mirror files, each once; what is wrong with a file is kept in its place."""
    files = sorted(wanted)

    def one(file: tuple[str, str]) -> ReferenceFile | errors.ReprocessError:
        try:
            return mirror(references, archive, type=file[0], name=file[1])
        except (errors.ReferenceFileError, errors.DamagedRecord) as error:
            return error

    with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
        return dict(zip(files, pool.map(one, files), strict=True))


def _judge(candidate: Candidate, need: _Need | _Failure, files: _Files, software: str) -> Judgement:
    entry = candidate.raw
    if isinstance(need, _Failure):
        return _failed(entry, need)
    chosen = {kind: files[kind, name] for kind, name in need.names.items() if name is not None}
    for kind, file in chosen.items():
        if isinstance(file, errors.ReprocessError):
            return _failed(
                entry, _Failure(errors.ReferenceFileError.outcome_class, f"{entry.dataset} needs {kind}: {file}")
            )
    read = {kind: file for kind, file in chosen.items() if isinstance(file, ReferenceFile)}
    chain = fingerprint.fingerprint(fingerprint.raw_version(entry), need.steps, need.parameters, read)
    wanted = Wanted(chain, need.steps, need.names, need.parameters, software)
    return Judgement(
        entry=entry,
        verdict=staleness.judge(entry.dataset, wanted, pointer=candidate.pointer, products=candidate.products),
        references=tuple(read[kind] for kind in sorted(read)),
        parameters=need.parameters,
        fingerprint=chain,
        locality=detector1.locality(need.steps, need.parameters),
        parameter_files=need.parameter_files,
    )


def _failed(entry: CatalogueEntry, failure: _Failure) -> Judgement:
    verdict = Verdict(entry.dataset, "unknown", (Reason("undecidable", fingerprint.RAW, old=failure.outcome_class),))
    return Judgement(entry, verdict, failure_class=failure.outcome_class, failure=failure.text)
