"""Looking at an archive: reading back what readers see, one dataset's story, how far campaigns are. Changes nothing."""

from __future__ import annotations

import contextlib
import difflib
from dataclasses import dataclass

from reprocess import campaign, closing, errors, watching
from reprocess.archive import catalogue, debt, keys, partition
from reprocess.archive.catalogue import Catalogue
from reprocess.archive.debt import Debt
from reprocess.campaign import Archive, Progress
from reprocess.exposure import CatalogueEntry
from reprocess.planning import outline
from reprocess.planning import plan as plans
from reprocess.planning.outline import Outline
from reprocess.planning.plan import Item, Plan
from reprocess.publication import ledger, publish
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.reporting import overview, page, report
from reprocess.reporting.ending import RUNNING
from reprocess.reporting.overview import Standing
from reprocess.reporting.wording import plain
from reprocess.storage.store import Stamp
from reprocess.story import Account
from reprocess.target import Target, read_target

_AMONG = 3  # plans whose times of creation are compared: a store's clock may tell whole seconds only
_SHOWN = 200


@dataclass(frozen=True)
class Check:
    """What `verify` found: versions that were read back, and a sentence for each problem."""

    versions: int
    files: int
    problems: tuple[str, ...]


def verify(archive: Archive, progress: Progress | None = None) -> Check:
    """Read back every version that readers see, and compare it with its manifest byte for byte."""
    problems: list[str] = []
    versions = files = 0
    pointed = [stamp.key for stamp in archive.store.list("pointers/")]
    for done, key in enumerate(pointed, 1):
        dataset = key.removeprefix("pointers/").removesuffix(".json")
        try:
            found, _ = pointers.read(archive.store, dataset)
            if found is not None and found.is_tombstone:
                continue
            manifest = publish.read_version(archive.store, dataset, found.version) if found else None
        except (errors.StorageUnavailable, errors.AccessDenied):
            raise  # says nothing of the products
        except errors.ReprocessError as error:
            problems.append(str(error))
            continue
        if found is None or manifest is None:
            problems.append(f"{key} shows a version that has no manifest. Roll back, or publish again.")
            continue
        versions, files = versions + 1, files + len(manifest.files)
        if found.manifest and found.manifest != manifests.digest(manifest):
            problems.append(f"{manifest.key} is not the one that was published: the pointer has another SHA-256.")
        problems += publish.verify_version(archive.store, manifest)
        if progress is not None:
            progress(done, len(pointed), dataset)
    return Check(versions, files, tuple(problems))


def explain(archive: Archive, text: str, target: Target | None = None) -> Account:
    """Find out one dataset's story: against a target, or as the latest plan that has it judged it.

    Parameters
    ----------
    archive : Archive
    text : str
        The dataset; or the name of a file of it, a key or a URL.
    target : Target, optional

    Raises
    ------
    UsageError
        The catalogue has no such dataset, or nothing was planned yet.
    """
    known = catalogue.open_catalogue(archive.store)
    dataset = _dataset(known, text, keys.KeyPattern(archive.root.key_pattern))
    latest = _latest_plan(archive) if target is None else None
    if target is None and latest is None:
        raise errors.UsageError(f"Nothing was planned in {archive.store.url} yet. Plan, or give --target.")
    item = next((item for item in latest.items if item.dataset == dataset), None) if latest else None
    if item is not None and _was_damaged_since(archive, item):
        item = None
    made, kept = latest, item is not None
    if latest is not None and item is None:
        target = read_target(latest.target, name=f"target of plan {latest.digest[:12]}")
    if target is not None:
        made, item = campaign.judge_one(archive, dataset, target)
    if item is None or made is None:
        raise errors.UsageError(f"{dataset} is no longer in the catalogue. Scan again.")
    try:
        pointer, _ = pointers.read(archive.store, dataset)
    except errors.DamagedRecord:
        pointer = None  # the judgement says so
    return Account(item, made, kept, pointer, _elsewhere(known, dataset), archive.store.url)


def _was_damaged_since(archive: Archive, item: Item) -> bool:
    """Whether what a plan made, and readers see, is damaged now."""
    shown = campaign.present(archive, item.dataset)
    return shown is not None and shown.version == item.version and bool(shown.missing or shown.damage)


def _dataset(known: Catalogue, text: str, pattern: keys.KeyPattern) -> str:
    """Return the dataset that is meant by a text."""
    meant = keys.meant(text, pattern)
    for name in meant:
        if name in known.datasets(keys.program(name)):
            return name
    near = _nearest(known, meant[-1] if meant else "")
    more = f" The nearest are {', '.join(near)}." if near else ""
    raise errors.UsageError(
        f"The catalogue of {known.store.url} has no dataset {plain(text[:_SHOWN])!r}.{more} Check the name, or scan."
    )


def _nearest(known: Catalogue, name: str) -> list[str]:
    programs = difflib.get_close_matches(keys.program(name), known.programs, cutoff=0.0)
    names = [each for program in programs for each in known.datasets(program)]
    return difflib.get_close_matches(name[:_SHOWN], names)


def _elsewhere(known: Catalogue, dataset: str) -> tuple[CatalogueEntry, ...]:
    """Read what the catalogue knows of products that somebody else made."""
    found = [partition.rows_of(objects, dataset) for objects, _ in known.batches([keys.program(dataset)])]
    entries = [entry for rows in found for entry in partition.entries(rows) if entry.level != keys.RAW_LEVEL]
    return tuple(sorted(entries, key=lambda entry: (entry.location, entry.key)))


@dataclass(frozen=True)
class _Campaign:
    """One campaign of an archive: the object of its plan, and whether a run of it has left a report."""

    name: str
    plan: Stamp
    reported: bool

    def ended(self, archive: Archive) -> bool:
        """Whether a run has come to its end; one that was paused has not."""
        ending = closing.read_ending(archive, self.name) if self.reported else None
        return ending.is_over if ending else False

    def outline(self, archive: Archive) -> Outline:
        """Read what its plan comes to; an outline that is not there is made from the whole plan."""
        key = outline.key(self.name)
        try:
            return outline.from_bytes(archive.store.get(key).data, name=key)
        except errors.ObjectMissing:
            return outline.outline(self.read(archive))

    def read(self, archive: Archive) -> Plan:
        """Read its plan."""
        return plans.from_bytes(archive.store.get(self.plan.key).data, name=self.plan.key)


def _campaigns(archive: Archive) -> list[_Campaign]:
    """List all campaigns, the latest first, by the store's clock."""
    stamps = {stamp.key: stamp for stamp in archive.store.list("campaigns/") if stamp.key.count("/") == 2}
    made = sorted(
        (stamp for key, stamp in stamps.items() if key.endswith("/plan.json")),
        key=lambda stamp: stamp.modified,
        reverse=True,
    )
    names = [(stamp.key.split("/")[1], stamp) for stamp in made]
    return [_Campaign(name, stamp, closing.ending_key(name) in stamps) for name, stamp in names]


def _latest_plan(archive: Archive) -> Plan | None:
    """Read the plan that was created last."""
    outlines: list[tuple[str, _Campaign]] = []
    for each in _campaigns(archive)[:_AMONG]:
        with contextlib.suppress(errors.PlanError, errors.DamagedRecord):  # `status` lists it
            outlines.append((each.outline(archive).created, each))
    return max(outlines, key=lambda one: one[0])[1].read(archive) if outlines else None


def standings(archive: Archive, count: int) -> list[Standing]:
    """Sum up the latest plans, the newest first; one that cannot be read has its problem in its place."""
    found = []
    for each in _campaigns(archive)[:count]:
        try:
            outcomes = ledger.read(archive.store, each.name).values()
            found.append(overview.standing(each.outline(archive), outcomes, ended=each.ended(archive)))
        except (errors.PlanError, errors.DamagedRecord) as error:
            found.append(overview.unreadable(each.name, str(error)))
    return sorted(found, key=lambda each: each.created, reverse=True)


def staleness(archive: Archive, count: int) -> tuple[Debt, ...]:
    """Read what the latest judgements of the whole catalogue found, the newest first."""
    return debt.history(archive.store, count)


def status(archive: Archive, digest: str) -> report.Summary:
    """Sum up what a campaign has done so far; changes nothing."""
    made = campaign.find_plan(archive, digest)
    state = watching.position(archive, made.digest).state  # first, so that an end finds all of its outcomes
    outcomes = ledger.read(archive.store, made.digest[:16]).values()
    around = report.Circumstances(archive.store.url, ending=state, prices=archive.settings.prices)
    return report.summarise(made, outcomes, around)


def read_report(archive: Archive, digest: str) -> bytes:
    """Read the HTML report of a campaign; of one that is at work or was cut off, one of what was done so far."""
    made = campaign.find_plan(archive, digest)
    if watching.position(archive, made.digest).state.state != RUNNING:
        with contextlib.suppress(errors.ObjectMissing):
            return archive.store.get(f"campaigns/{made.digest[:16]}/report.html").data
    return page.render(status(archive, digest)).encode()
