"""The whole trip on one page: scan, judge, plan, run, publish, report.

Everything durable is in the archive's store; this process may be killed at any moment, and the same call goes on.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from reprocess import __version__, errors, worker
from reprocess.archive import catalogue, debt, headers, judging, keys, partition, root
from reprocess.archive import scan as scanning
from reprocess.archive.chosen import Choice
from reprocess.archive.context import load_context
from reprocess.archive.judging import Judgement
from reprocess.archive.s3_inventory import open_inventory
from reprocess.execution import executors
from reprocess.execution.executor import Executor, Task, is_temporary
from reprocess.exposure import DETECTOR1, IMAGE2, Outcome, Reason, Verdict
from reprocess.planning import indicator, outline, planner, slabs
from reprocess.planning import plan as plans
from reprocess.planning.forecast import Forecast, forecast
from reprocess.planning.plan import Item, Plan
from reprocess.publication import experience, incarnation, kept_plans, ledger, publish
from reprocess.publication import lease as leases
from reprocess.publication import pointer as pointers
from reprocess.publication.lease import Lease
from reprocess.publication.ledger import Ledger
from reprocess.publication.manifest import Manifest
from reprocess.reporting import page, plaintext, report
from reprocess.settings import ExecutionSettings, Settings
from reprocess.storage import open_store
from reprocess.storage.store import Store
from reprocess.target import Target, read_target

Progress = Callable[[int, int | None, str], None]
"""Called with how many are done, how many there are, and a word on the last one."""

_LOG = logging.getLogger(__name__)
_PICTURES = 12
_MEGABYTE = 10**6


@dataclass(frozen=True)
class Archive:
    """An archive that is open: its root, what ``archive.toml`` says, and the stores that it names."""

    store: Store
    root: root.ArchiveRoot
    raw: Mapping[str, Store]
    settings: Settings


def absolute(url: str) -> str:
    """Write a path as an absolute one, so that the record of it holds from everywhere; URLs are left as they are."""
    return url if "://" in url else os.path.abspath(os.path.expanduser(url))


def open_url(url: str, settings: Settings, *, anonymous: bool = False) -> Store:
    """Open a store as the settings say."""
    storage = settings.storage
    return open_store(
        url,
        anonymous=anonymous or storage.anonymous,
        endpoint=storage.endpoint or None,
        profile=storage.profile or None,
        region=storage.region or None,
    )


def init(url: str, made: root.ArchiveRoot, settings: Settings) -> None:
    """Make an archive root, once."""
    root.write(open_url(url, settings), made)


def open_archive(url: str, settings: Settings) -> Archive:
    """Open an archive.

    Raises
    ------
    ArchiveError
        It is none.
    """
    store = open_url(url, settings)
    found = root.read(store)
    raw = (open_url(location.url, settings, anonymous=location.anonymous) for location in found.raw)
    return Archive(store, found, {each.url: each for each in raw}, settings)


def scan(archive: Archive, progress: Progress | None = None, *, inventories: Sequence[str] = ()) -> scanning.Scan:
    """Bring the catalogue up to date; `inventories` are URLs of manifests of S3 Inventory, see `s3_inventory`."""
    opened = [open_inventory(url, lambda each: open_url(each, archive.settings)) for url in inventories]
    pattern = keys.KeyPattern(archive.root.key_pattern)
    raw = tuple(archive.raw.values())
    return scanning.scan(raw, archive.store, pattern=pattern, progress=progress, inventories=opened)


def plan(
    archive: Archive,
    target: Target,
    *,
    references: str | None = None,
    again: Sequence[str] = (),
    where: str = "",
    created: str | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Judge every exposure of the catalogue against a target, forecast what the work costs, and keep the plan.

    Parameters
    ----------
    references : str, optional
        URL of reference files and rules; else the one of the archive.
    again : sequence of str
        Datasets whose published products are damaged: they are made again, whatever their verdict.
    where : str
        Expression that chooses exposures, see `reprocess.archive.where`; all when it is empty.
    created : str, optional
        Time of creation, UTC, ISO 8601 with milliseconds; now when it is left out.

    Raises
    ------
    ArchiveError
        The archive was never scanned, or nothing says where references come from.
    UsageError
        The expression cannot be read or asked.
    """
    choice = Choice(where)
    known = catalogue.open_catalogue(archive.store)
    shown = None if progress is None else lambda done: progress(done, known.rows, "exposures")
    url = references_url(archive, references)
    found = _survey(archive, known.batches(), target, url, again=again, progress=shown, choice=choice)
    made = _plan_of(archive, found, target, url, again=again, created=created)
    made = plans.seal(replace(made, where=where, not_selected=found.not_selected))
    made = kept_plans.keep(archive.store, replace(made, forecast=_forecast(archive, made, known, target)))
    _note(archive, made, found)
    return made


def _forecast(archive: Archive, made: Plan, known: catalogue.Catalogue, target: Target) -> Forecast:
    """Forecast what a plan costs, from what exposures of this archive took before."""
    execution = archive.settings.execution
    workers = execution.workers or (1 if execution.scheduler == "serial" else os.cpu_count() or 1)
    some = any(item.action == "calibrate" for item in made.items)
    taken = experience.read(archive.store, known) if some else ()
    return forecast(made.items, workers=workers, taken=taken, prices=archive.settings.prices, zarr=target.zarr)


def _note(archive: Archive, made: Plan, found: judging.Survey) -> None:
    """Leave a plan's outline and, of a judgement of the whole catalogue, how much is stale."""
    publish.put_once(archive.store, outline.key(made.digest), outline.to_bytes(outline.outline(made)))
    if not made.where:
        previous = debt.history(archive.store, 1, before=made.created)
        debt.keep(archive.store, indicator.measure(made, found, *previous))


def references_url(archive: Archive, given: str | None) -> str:
    """Return where reference files come from: as said now, else as the archive was told.

    Raises
    ------
    ArchiveError
        Nothing says it.
    """
    url = absolute(given) if given else archive.root.references
    if not url:
        raise errors.ArchiveError("Nothing says where reference files come from. Give --references URL.")
    return url


def _survey(
    archive: Archive,
    batches: Iterable[judging.Tables],
    target: Target,
    references: str,
    *,
    again: Sequence[str] = (),
    progress: judging.Progress | None = None,
    choice: Choice | None = None,
) -> judging.Survey:
    source = open_url(references, archive.settings)
    return judging.survey(
        batches,
        context=load_context(source, target.context, archive.settings.cache.path, archive.store),
        references=source,
        archive=archive.store,
        target=target,
        software=__version__,
        progress=progress,
        again=frozenset(again),
        choice=choice,
    )


def _plan_of(
    archive: Archive,
    found: judging.Survey,
    target: Target,
    references: str,
    *,
    again: Sequence[str] = (),
    created: str | None = None,
) -> Plan:
    """Seal what is to be done with candidates."""
    judgements = _made_again(found.judgements, again)
    return planner.plan(
        judgements,
        created=created or _now(),
        software=__version__,
        target=target,
        references=references,
        memory_limit_bytes=_memory_limit_bytes(archive, target),
        incarnations=incarnation.choose_all(archive.store, judgements, again=again),
        settled=found.settled,
    )


def _memory_limit_bytes(archive: Archive, target: Target) -> int:
    return (target.memory_limit_mb or archive.settings.execution.memory_limit_mb) * _MEGABYTE


def _made_again(judgements: Sequence[Judgement], again: Sequence[str]) -> tuple[Judgement, ...]:
    """Have the named datasets made again, where they can be calibrated at all."""
    unknown = sorted(set(again) - {each.entry.dataset for each in judgements})
    if unknown:
        raise errors.UsageError(
            f"The catalogue has no dataset {unknown[0]!r} to make again, or --where leaves it out. "
            "Scan first, or check the name."
        )
    return tuple(_damaged(each) if each.entry.dataset in again and _can_be_made(each) else each for each in judgements)


def _can_be_made(judgement: Judgement) -> bool:
    """Whether stage 1 can be run; that stage 2 cannot does not matter."""
    return not judgement.failure_class or judgement.verdict.restart == IMAGE2


def _damaged(judgement: Judgement) -> Judgement:
    first = judgement.fingerprint[1].step
    reason = Reason("product-damaged", first, old="said by the operator")
    known = judgement.verdict.reasons if judgement.verdict.state == "stale" else ()
    verdict = Verdict(judgement.entry.dataset, "stale", (reason, *known), DETECTOR1)
    return replace(judgement, verdict=verdict, failure_class="", failure="")


def find_plan(archive: Archive, digest: str) -> Plan:
    """Read the plan that a digest, perhaps shortened, names; see `kept_plans.find`."""
    return kept_plans.find(archive.store, digest)


def run(
    archive: Archive,
    digest: str,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> report.Summary:
    """Do what a plan says: work off its units, move pointers, write the report.

    Parameters
    ----------
    executor : Executor, optional
        Stays open; without it one is opened as the settings say, and closed.

    Raises
    ------
    PlanError
        There is no such plan, or it was made for another version of this package.
    LeaseHeld
        Another coordinator works off the same plan, or has taken over from this one.
    """
    made = find_plan(archive, digest)
    if made.software != __version__:
        raise errors.PlanError(
            f"Plan {made.digest[:12]} is for reprocess {made.software}, and this is {__version__}. Plan again."
        )
    start = time.monotonic()
    before = ledger.read(archive.store, made.digest[:16])
    if _waiting(archive, made, before):
        with _lease(archive, made).kept() as lease:
            # Whoever held it before has perhaps done some of the work.
            waiting = _waiting(archive, made, ledger.read(archive.store, made.digest[:16]))
            book = ledger.begin(archive.store, made.digest[:16])
            try:
                with nullcontext(executor) if executor else _executor(archive.settings.execution) as running:
                    _work_off(archive, made, waiting, running, book=book, lease=lease, progress=progress)
            finally:
                book.flush()
    # The time of this run says nothing of what earlier runs did.
    return write_report(archive, made, wall_seconds=None if before else time.monotonic() - start)


def _waiting(archive: Archive, made: Plan, before: Mapping[str, Outcome]) -> list[Item]:
    """Return what is still to be done."""
    waiting = [item for item in made.items if item.action == "calibrate" and not _is_settled(item, before)]
    lost = sorted({item.entry.location for item in waiting} - set(archive.raw))
    if lost:
        raise errors.PlanError(
            f"Plan {made.digest[:12]} reads the raw location {lost[0]}, which archive.toml no longer names. Add it, or "
            "scan and plan again."
        )
    return waiting


def _lease(archive: Archive, made: Plan) -> Lease:
    silence_s = archive.settings.execution.lease_s
    return leases.acquire(archive.store, made.digest[:16], silence_s=silence_s, waiting=_LOG.warning)


def _executor(settings: ExecutionSettings) -> Executor:
    return executors.open_executor(
        scheduler=settings.scheduler,
        workers=settings.workers,
        memory_limit_bytes=settings.memory_limit_mb * _MEGABYTE,
    )


def _work_off(
    archive: Archive,
    made: Plan,
    waiting: list[Item],
    executor: Executor,
    *,
    book: Ledger,
    lease: Lease,
    progress: Progress | None,
) -> None:
    """Run the units of `waiting`, publish what they wrote, and note how each ended, as long as the lease holds."""
    items = {item.dataset: item for item in waiting}
    writer, done = str(uuid.uuid4()), 0
    attempts = archive.settings.execution.attempts
    tasks = _tasks(archive, made, waiting)
    for outcome in executor.run(worker.run, tasks, retry=is_temporary, attempts=attempts, stop=lambda: lease.is_lost):
        lease.check()
        if outcome.dataset not in items:
            _LOG.log(logging.INFO if outcome.outcome_class == worker.STAGED else logging.WARNING, "%s", outcome)
            continue
        ended = _publish(archive, made, items[outcome.dataset], outcome, writer)
        book.append(ended)
        _LOG.info("%s: %s %s", ended.unit, ended.outcome_class, ended.message)
        if ended.outcome_class != worker.STAGED:
            done += _is_last_unit(ended)
            if progress is not None:
                progress(done, len(waiting), f"{ended.dataset} {ended.outcome_class}")
    lease.check()


def _is_last_unit(outcome: Outcome) -> bool:
    """Whether this unit decides on its dataset: the only one, or the assembly."""
    return outcome.unit in (outcome.dataset, f"{outcome.dataset}/assembly")


def _publish(archive: Archive, made: Plan, item: Item, outcome: Outcome, writer: str) -> Outcome:
    """Move the pointer to a version that a unit has written."""
    if outcome.outcome_class != worker.WRITTEN:
        return outcome
    start = time.perf_counter()
    try:
        manifest = publish.read_version(archive.store, item.dataset, item.version)
        if manifest is None:
            raise errors.PublicationError(f"{item.dataset}: version {item.version} has no manifest. Run again.")
        publish.move_pointer(archive.store, manifest, writer=writer)
    except errors.ReprocessError as error:
        return replace(outcome, outcome_class=error.outcome_class, message=str(error), temporary=error.temporary)
    seconds = {**outcome.seconds, "publish": time.perf_counter() - start}
    return replace(outcome, outcome_class="published", seconds=seconds)


def _tasks(archive: Archive, made: Plan, waiting: list[Item]) -> Iterator[Task]:
    """Make the units: first the references that are not prepared yet, then the exposures that wait for them."""
    header = replace(made, items=())
    target = read_target(made.target, name=f"target of plan {made.digest[:12]}")
    ready = {stamp.key for stamp in archive.store.list("references/ready/")}
    preparing = {}
    for item in waiting:
        for reference in item.references:
            if worker.ready_key(reference) not in ready and reference.sha256 not in preparing:
                preparing[reference.sha256] = f"reference/{reference.name}"
                yield Task(preparing[reference.sha256], "", worker.Preparation(archive.store, reference))
    shelf = archive.settings.execution.memory_limit_mb * _MEGABYTE // 4
    for item in waiting:
        after = tuple(sorted({preparing[one.sha256] for one in item.references if one.sha256 in preparing}))
        raw = archive.raw[item.entry.location]
        yield from _units(worker.Work(archive.store, raw, header, item, shelf_bytes=shelf, zarr=target.zarr), after)


def _units(work: worker.Work, after: tuple[str, ...]) -> Iterator[Task]:
    """Make the units of one exposure: one; or facts, slabs and assembly."""
    item = work.item
    if not item.rows_per_slab:
        yield Task(item.dataset, item.dataset, work, after)
        return
    facts = f"{item.dataset}/facts"
    yield Task(facts, item.dataset, replace(work, part="facts"), after)
    names = []
    assert item.entry.sci_shape is not None
    for slab in slabs.cut(item.entry.sci_shape[-2], item.rows_per_slab, worker.halo(item)):
        names.append(f"{item.dataset}/rows-{slab.core.start:05d}-{slab.core.stop:05d}")
        yield Task(names[-1], item.dataset, replace(work, part="slab", slab=slab), (facts,))
    yield Task(f"{item.dataset}/assembly", item.dataset, replace(work, part="assembly"), (facts, *names))


def _is_settled(item: Item, before: Mapping[str, Outcome]) -> bool:
    """Whether an earlier run of the same plan ended an item for good."""
    outcome = before.get(f"{item.dataset}/assembly" if item.rows_per_slab else item.dataset)
    return outcome is not None and outcome.outcome_class in _FOR_GOOD


# What the same inputs will give again. Anything else (storage, lost workers, our own errors) is tried by the next run.
_FOR_GOOD = frozenset({"published", "unchanged", "held-back", "bad-data", "raw-replaced", "unsupported", "cancelled"})


def write_report(archive: Archive, made: Plan, *, wall_seconds: float | None = None) -> report.Summary:
    """Sum up a campaign, and keep the report as text and as one HTML file beside its plan."""
    outcomes = tuple(ledger.read(archive.store, made.digest[:16]).values())
    summary = report.summarise(
        made,
        outcomes,
        archive=archive.store.url,
        products={item.dataset: manifest.files for item, manifest in _published(archive, made, outcomes)},
        wall_seconds=wall_seconds,
    )
    pictures = tuple(_pictures(archive, made, outcomes))
    place = f"campaigns/{made.digest[:16]}/report"
    archive.store.put(f"{place}.txt", plaintext.render(summary).encode())
    archive.store.put(f"{place}.html", page.render(summary, pictures=pictures).encode())
    return summary


def _published(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[tuple[Item, Manifest]]:
    """Read the manifests of what a campaign published, as many as a report lists."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    for item in [item for item in made.items if item.dataset in datasets][:_LISTED]:
        manifest = publish.read_version(archive.store, item.dataset, item.version)
        if manifest is not None:
            yield item, manifest


_LISTED = 200


def _pictures(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[page.Picture]:
    """Read the quick looks of published exposures, evenly over the instruments."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    kinds: dict[str, list[Item]] = {}
    for item in made.items:
        if item.dataset in datasets:
            kinds.setdefault(f"{item.entry.header.get('DETECTOR')}", []).append(item)
    turns = [item for turn in range(_PICTURES) for each in kinds.values() for item in each[turn : turn + 1]]
    for item in turns[:_PICTURES]:
        key = f"products/{item.dataset}/{item.version}/{item.dataset}_quicklook.png"
        try:
            yield page.Picture(item.dataset, worker.title(item), archive.store.get(key).data)
        except errors.ObjectMissing:
            _LOG.warning("%s is missing; run `reprocess verify`", key)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def judge_one(archive: Archive, dataset: str, target: Target) -> tuple[Plan, Item | None]:
    """Judge a dataset as it is now, and describe it in full even if there is nothing to do."""
    known = catalogue.open_catalogue(archive.store)
    batches = known.batches([keys.program(dataset)])
    objects = [rows for objects, _ in batches if (rows := partition.rows_of(objects, dataset)).num_rows]
    present = _present(archive, dataset) if objects else None
    fresh = partition.pointer_table([present] if present else [])
    tables = [(rows, fresh) for rows in objects]
    source = references_url(archive, None)
    found = _survey(archive, tables, target, source, again=(dataset,))
    plan = _plan_of(archive, replace(found, judgements=()), target, source)
    limit = _memory_limit_bytes(archive, target)
    return plan, next((planner.item(one, limit) for one in found.judgements), None)


def _present(archive: Archive, dataset: str) -> partition.Pointer | None:
    """Read what readers see now; the catalogue says what they saw at the last scan."""
    try:
        blob = archive.store.get(pointers.key(dataset))
    except errors.ObjectMissing:
        return None
    return headers.read_pointer(blob, dataset=dataset, location=archive.store.url)
