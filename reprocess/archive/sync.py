"""Filling the mirror: every file that a target needs for the exposures of a catalogue, before anything is planned.

What is needed is what judging would ask for, found by the same selection; afterwards judging and workers read the
archive and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from reprocess import errors
from reprocess.archive import answers, judging, keys, mirror, verdicts
from reprocess.archive.cells import cells
from reprocess.archive.context import Context
from reprocess.calibration.step import Step
from reprocess.exposure import ReferenceFile
from reprocess.storage.store import Store
from reprocess.target import Target

_COPIES_AT_ONCE = 4

_Found = ReferenceFile | errors.ReprocessError


@dataclass(frozen=True, slots=True)
class Failed:
    """A file or rule that is not in the mirror, and why: `missing` where references come from, or of no use."""

    type: str
    name: str
    missing: bool
    problem: str


@dataclass(frozen=True)
class Synced:
    """What was found and done.

    Attributes
    ----------
    exposures : int
        Level 1b objects that were looked at.
    copied, present : tuple of ReferenceFile
        By this call, and before it or by somebody else meanwhile.
    failed : tuple of Failed
    rules : tuple of Failed
        Mappings of the context that cannot be had, with the type ``rule``.
    """

    exposures: int
    copied: tuple[ReferenceFile, ...]
    present: tuple[ReferenceFile, ...]
    failed: tuple[Failed, ...]
    rules: tuple[Failed, ...] = ()


def sync(
    batches: Iterable[judging.Tables],
    *,
    context: Context,
    references: Store,
    archive: Store,
    target: Target,
    software: str,
    progress: Callable[[int], None] | None = None,
) -> Synced:
    """Mirror the files that a target needs.

    Parameters
    ----------
    batches : iterable of (objects, pointers)
        Tables of some programs each, see `catalogue.Catalogue.batches`.
    context : Context
        The context that the target names.
    references : Store
        A CRDS cache, in a directory or a bucket.
    archive : Store
        The archive root.
    target : Target
    software : str
        Version of this package.
    progress : callable, optional
        Called with the number of exposures looked at so far.

    Raises
    ------
    TargetError
        The target asks for another software or context, or for a step or parameter that does not exist.
    StorageError
        The archive or the store of references does not answer.
    """
    judging.check_target(target, context, software)
    answers.recall(archive, context)
    copies = _Copies(references, archive)
    asked = judging.question(
        context, references=references, archive=archive, parameters=target.parameters, software=software
    )
    asked = replace(asked, files=copies.files, parameters=copies.first(asked.parameters))
    exposures = 0
    for objects, _ in batches:
        raw = objects.filter(pc.equal(objects.column("level"), keys.RAW_LEVEL))
        verdicts.recipes_of(cells(raw, asked.edges, verdicts.STEP_KEYWORDS), asked)
        exposures += raw.num_rows
        if progress:
            progress(exposures)
    answers.keep(archive, context)
    return copies.summary(exposures)


class _Copies:
    """Files as they are asked for, each copied once."""

    def __init__(self, references: Store, archive: Store) -> None:
        self._references = references
        self._archive = archive
        self._held = {stamp.key: stamp.size for stamp in archive.list("references/files/")}
        self._found: dict[tuple[str, str], _Found] = {}
        self._copied: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def files(self, wanted: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], _Found]:
        """Mirror files, given by type and name; what is wrong with a file is kept in its place."""
        files = sorted(wanted)
        new = [file for file in files if file not in self._found]
        if new:
            with ThreadPoolExecutor(_COPIES_AT_ONCE) as pool:
                self._found |= zip(new, pool.map(self._one, new), strict=True)
        return {file: self._found[file] for file in files}

    def first(
        self, parameters: Callable[[Sequence[Step], Mapping[str, str | None]], judging.Parameters]
    ) -> Callable[[Sequence[Step], Mapping[str, str | None]], judging.Parameters]:
        """Mirror parameter files before they are read; without one that fails, other files can still be copied."""

        def of(steps: Sequence[Step], files: Mapping[str, str | None]) -> judging.Parameters:
            named = [(kind, name) for kind, name in files.items() if name is not None]
            told = self.files(named)
            usable = {kind: name for kind, name in named if isinstance(told[kind, name], ReferenceFile)}
            return parameters(steps, usable)

        return of

    def _one(self, file: tuple[str, str]) -> _Found:
        kind, name = file
        try:
            found, copied = mirror.obtain(self._references, self._archive, type=kind, name=name)
            copied = copied or self._mended(found)
        except (errors.ReferenceFileError, errors.DamagedRecord) as error:
            return error
        if copied:
            with self._lock:
                self._copied.add(file)
        return found

    def _mended(self, file: ReferenceFile) -> bool:
        """Copy a file again that the index knows and that somebody has removed."""
        key = mirror.file_key(file.sha256, file.name)
        if key not in self._held:
            try:
                self._held[key] = self._archive.head(key).size
            except errors.ObjectMissing:
                mirror.copy_again(self._references, self._archive, file)
                return True
        if self._held[key] != file.size:
            raise errors.DamagedReference(
                f"{self._archive.url}/{key} has {self._held[key]:,} bytes where the index says {file.size:,}. Delete "
                "it and sync again."
            )
        return False

    def summary(self, exposures: int) -> Synced:
        """Sum up what was asked for."""
        files = sorted(self._found)
        whole = {file: found for file in files if isinstance(found := self._found[file], ReferenceFile)}
        failed = tuple(
            Failed(*file, isinstance(found, errors.MissingReference), str(found))
            for file in files
            if not isinstance(found := self._found[file], ReferenceFile)
        )
        return Synced(
            exposures,
            tuple(found for file, found in whole.items() if file in self._copied),
            tuple(found for file, found in whole.items() if file not in self._copied),
            failed,
        )
