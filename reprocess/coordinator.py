"""The coordinator: works off a plan's units, moves pointers, and notes how each unit ended.

Everything durable is in the archive's store; this process may be killed at any moment, and the same call goes on.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace

from reprocess import __version__, closing, errors, worker
from reprocess.campaign import Archive, find_plan
from reprocess.execution import executors
from reprocess.execution.executor import Executor, Task, is_temporary
from reprocess.exposure import Outcome
from reprocess.planning import slabs
from reprocess.planning.plan import Item, Plan
from reprocess.publication import lease as leases
from reprocess.publication import ledger, publish
from reprocess.publication.lease import Lease
from reprocess.publication.ledger import Ledger
from reprocess.reporting import report
from reprocess.settings import ExecutionSettings
from reprocess.target import read_target

Progress = Callable[[int, int | None, str], None]
"""Called with how many are done, how many there are, and a word on the last one."""

_LOG = logging.getLogger(__name__)
_MEGABYTE = 10**6


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
    return closing.write_report(archive, made, wall_seconds=None if before else time.monotonic() - start)


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
