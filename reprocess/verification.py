"""Holding the bucket against the manifests, the pointers and the ledger; changes nothing.

What readers see is read back byte for byte. Other versions are compared by names and sizes, or byte for byte if that is
asked for. Files that belong to no version are remains, which `reprocess clean` removes; they are no damage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reprocess import errors
from reprocess.campaign import Archive, Progress
from reprocess.exposure import Outcome
from reprocess.planning import plan as plans
from reprocess.planning.plan import Plan
from reprocess.publication import control as controls
from reprocess.publication import ledger, liveness, publish
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication.alongside import alongside
from reprocess.publication.manifest import Manifest
from reprocess.publication.pointer import Pointer
from reprocess.publication.stored import Stored, listed
from reprocess.storage.store import Store

_SHOWN = 5
_AT_ONCE = 4  # datasets that are read back at a time, each in pieces of 8 MiB


@dataclass(frozen=True)
class Sum:
    """The closing sum of one campaign.

    Attributes
    ----------
    campaign : str
    created : str
        When its plan was made.
    state : str
        ``ended``, ``running``, ``cut off`` or ``not run``.
    candidates : int
    classes : mapping of str to int
        Candidates by terminal class.
    pending : tuple of str
        Candidates without one.
    problems : tuple of str
        What the ledger says and the bucket does not have.
    """

    campaign: str
    created: str
    state: str
    candidates: int = 0
    classes: Mapping[str, int] = field(default_factory=dict)
    pending: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def remainder(self) -> int:
        """Candidates that should have a class and have none."""
        return len(self.pending) if self.state in ("ended", "cut off") else 0


@dataclass
class Verified:
    """What was found.

    Attributes
    ----------
    versions, files : int
        What was read back byte for byte.
    older : int
        Other versions whose files were compared by name and size.
    retired : int
        Datasets of which readers see no version.
    problems : list of str
        A sentence for each thing that is damaged.
    remains : list of str
        Where files are that belong to no version.
    campaigns : list of Sum
        The latest first.
    """

    versions: int = 0
    files: int = 0
    older: int = 0
    retired: int = 0
    problems: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)
    campaigns: list[Sum] = field(default_factory=list)

    def add(self, part: Verified) -> None:
        """Add what was found of one dataset."""
        self.versions += part.versions
        self.files += part.files
        self.older += part.older
        self.retired += part.retired
        self.problems += part.problems
        self.remains += part.remains

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged and all sums close."""
        return not self.problems and not any(each.remainder or each.problems for each in self.campaigns)


@dataclass(frozen=True)
class _Known:
    """Versions of one dataset: whole ones, and those that readers saw or that were removed."""

    whole: frozenset[str]
    seen: frozenset[str]


def verify(
    archive: Archive,
    progress: Progress | None = None,
    *,
    everything: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Verified:
    """Hold the bucket against its records.

    Parameters
    ----------
    everything : bool
        Read back older versions byte for byte, too.
    sleep : callable
        Takes seconds; the lease of a campaign that may still be running is watched.
    """
    store, found = archive.store, Verified()
    known: dict[str, _Known] = {}
    pointed = {stamp.key.removeprefix("pointers/").removesuffix(".json") for stamp in store.list("pointers/")}
    total = len(pointed)

    def check(one: tuple[str, list[Stored]]) -> tuple[str, Verified, _Known]:
        part = Verified()
        return one[0], part, _check(store, *one, part, everything=everything)

    def every() -> Iterator[tuple[str, list[Stored]]]:
        for dataset, stored in listed(store):
            pointed.discard(dataset)
            yield dataset, stored
        yield from ((dataset, []) for dataset in sorted(pointed))

    for number, (dataset, part, versions) in enumerate(alongside(check, every(), at_once=_AT_ONCE), 1):
        known[dataset] = versions
        found.add(part)
        if progress is not None:
            progress(min(number, total), total, dataset)
    found.campaigns = sorted(_sums(store, known, sleep), key=lambda each: each.created, reverse=True)
    return found


def _check(store: Store, dataset: str, stored: list[Stored], found: Verified, *, everything: bool) -> _Known:
    """Check one dataset, and note what is wrong with it."""
    pointer: Pointer | None = None
    try:
        pointer, _ = pointers.read(store, dataset)
    except errors.DamagedRecord as error:
        found.problems.append(str(error))
    shown = pointer.version if pointer else ""
    found.retired += bool(pointer and pointer.is_tombstone)
    if shown and shown not in {each.version for each in stored if each.is_whole}:
        # Published since the listing, or gone.
        stored = [*stored, Stored(shown, tuple(store.list(manifests.prefix(dataset, shown))))]
        if not stored[-1].is_whole:
            place = pointers.key(dataset)
            found.problems.append(f"{place} shows a version that has no manifest. Roll back, or publish again.")
    for each in stored:
        if each.is_whole:
            _check_version(store, dataset, each, found, back=everything or each.version == shown)
        elif each.files:
            found.remains.append(f"products/{dataset}/{each.version}/")
    seen = {commit.version for commit in pointer.chain} | set(pointer.removed) if pointer else set()
    return _Known(frozenset(each.version for each in stored if each.is_whole), frozenset(seen))


def _check_version(store: Store, dataset: str, one: Stored, found: Verified, *, back: bool) -> None:
    try:
        manifest = publish.read_version(store, dataset, one.version)
    except errors.DamagedRecord as error:
        found.problems.append(str(error))
        return
    if manifest is None:
        return  # cleaned away since it was listed
    problems = publish.verify_version(store, manifest) if back else tuple(_differences(manifest, one))
    found.problems += problems
    found.remains += _strangers(manifest, one)
    if back:
        found.versions, found.files = found.versions + 1, found.files + len(manifest.files)
    else:
        found.older += 1


def _differences(manifest: Manifest, one: Stored) -> Iterator[str]:
    """Say which files of a version are not there, or are of another size."""
    sizes = {stamp.key: stamp.size for stamp in one.stamps}
    for file in manifest.files:
        key = manifest.prefix + file.name
        if key not in sizes:
            yield f"{key} is missing."
        elif sizes[key] != file.size:
            yield f"{key} has {sizes[key]} bytes, not {file.size}."


def _strangers(manifest: Manifest, one: Stored) -> list[str]:
    """Return the files beside a version that its manifest does not name."""
    names = {manifest.prefix + file.name for file in manifest.files}
    return [stamp.key for stamp in one.files if stamp.key not in names]


def _sums(store: Store, known: Mapping[str, _Known], sleep: Callable[[float], None]) -> Iterator[Sum]:
    """Close the sum of every campaign."""
    there = {tuple(stamp.key.split("/")[1:3]) for stamp in store.list("campaigns/")}
    names = sorted(name for name, what in there if what == "plan.json")
    open_ = [name for name in names if (name, "report.html") not in there]
    live = liveness.live(store, open_, sleep=sleep)
    for name in names:
        try:
            key = f"campaigns/{name}/plan.json"
            made = plans.from_bytes(store.get(key).data, name=key)
            outcomes = tuple(ledger.read(store, name).values())
        except (errors.DamagedRecord, errors.PlanError) as error:
            yield Sum(name, "", "ended", problems=(str(error),))
            continue
        begun = "cut off" if (name, "outcomes") in there else "not run"
        control = controls.read(store, name)
        state = "running" if name in live else "ended" if name not in open_ else begun
        state = "paused" if control.state == controls.PAUSE else state
        yield _sum(made, outcomes, state, known, rest=_RESTS.get(control.state, ""))


_RESTS = {controls.CANCEL: "cancelled", controls.DEFER: "deferred"}
"""Class of the candidates that nothing was done about, by what the campaign was told to do."""


def _sum(made: Plan, outcomes: Iterable[Outcome], state: str, known: Mapping[str, _Known], *, rest: str) -> Sum:
    """Close one sum, and hold what the ledger calls published against what is there."""
    outcomes = tuple(outcomes)
    closed = ledger.close(made, outcomes, rest=rest)
    problems = [f"{dataset}: there are outcomes of it, but it is no candidate." for dataset in closed.strangers]
    problems += _unfounded(outcomes, known)
    return Sum(made.digest[:16], made.created, state, closed.candidates, closed.counts, closed.pending, tuple(problems))


def _unfounded(outcomes: Iterable[Outcome], known: Mapping[str, _Known]) -> Iterator[str]:
    """Say which versions the ledger calls published and the bucket does not have."""
    nothing = _Known(frozenset(), frozenset())
    for outcome in outcomes:
        if outcome.outcome_class != "published" or not outcome.version:
            continue
        there = known.get(outcome.dataset, nothing)
        if outcome.version not in there.seen:
            yield f"{outcome.dataset}: version {outcome.version} was published, says the ledger; no pointer had it."


def record(found: Verified) -> dict[str, Any]:
    """Put what was found into JSON values."""
    sums = [{**asdict(each), "remainder": each.remainder} for each in found.campaigns]
    return {**asdict(found), "campaigns": sums, "sound": found.is_sound}


def text(found: Verified) -> str:
    """Say what was found."""
    if not found.versions and not found.problems and not found.campaigns:
        return "Nothing is published yet."
    state = f"{len(found.problems):,} problem(s)" if found.problems else "all as their manifests say"
    lines = [f"{found.versions:,} versions, {found.files:,} files: {state}", *found.problems]
    if found.older:
        lines.append(f"{found.older:,} older versions: names and sizes compared; --all reads them back")
    if found.retired:
        lines.append(f"{found.retired:,} datasets are retired: readers see no version of them")
    if found.remains:
        lines.append(f"{len(found.remains):,} places with files of no version; `reprocess clean` removes old ones:")
        lines += [f"  {place}" for place in found.remains[:_SHOWN]]
    lines += [line for each in found.campaigns for line in _sum_lines(each)]
    return "\n".join(lines)


def _sum_lines(one: Sum) -> Iterator[str]:
    parts = " + ".join(f"{count:,} {name}" for name, count in one.classes.items()) or "0"
    total = f"{sum(one.classes.values()):,} of {one.candidates:,} candidates"
    yield f"campaign {one.campaign}, {one.state}: {parts} = {total}"
    if one.pending:
        what = "a remainder" if one.remainder else "still to be done"
        yield f"  {len(one.pending):,} without a class ({what}), for example {', '.join(one.pending[:_SHOWN])}"
        if one.remainder:
            yield f"  They are worked on by: reprocess run ARCHIVE {one.campaign}"
    yield from (f"  {problem}" for problem in one.problems)
