"""From an archive to a plan: open, scan, judge, plan. What a plan says is done by the `coordinator`."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reprocess import __version__, errors
from reprocess.archive import catalogue, debt, headers, judging, keys, partition, promised, root
from reprocess.archive import scan as scanning
from reprocess.archive.chosen import Choice
from reprocess.archive.context import load_context
from reprocess.archive.judging import Judgement
from reprocess.archive.s3_inventory import open_inventory
from reprocess.exposure import DETECTOR1, IMAGE2, Reason, Verdict
from reprocess.planning import indicator, outline, planner
from reprocess.planning import plan as plans
from reprocess.planning.forecast import Forecast, forecast
from reprocess.planning.plan import Item, Plan
from reprocess.publication import experience, incarnation, kept_plans, publish, refusals
from reprocess.publication import pointer as pointers
from reprocess.publication.refusals import Refusal
from reprocess.settings import Settings
from reprocess.storage import open_store
from reprocess.storage.store import Store
from reprocess.target import Target

Progress = Callable[[int, int | None, str], None]
"""Called with how many are done, how many there are, and a word on the last one."""

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
    items = _refused(made.items, refusals.read(archive.store), again) if made.items else ()
    made = plans.seal(replace(made, items=items, where=where, not_selected=found.not_selected))
    made = kept_plans.keep(archive.store, replace(made, forecast=_forecast(archive, made, known, target)))
    _note(archive, made, found)
    return made


def _refused(
    items: Sequence[Item], refused: Mapping[tuple[str, str], Refusal], again: Sequence[str]
) -> tuple[Item, ...]:
    """Leave alone what ended for good already, with the same raw object and the same fingerprint."""
    return tuple(
        replace(item, action="fail", failure_class=one.outcome_class, failure=_told(one))
        if (one := refused.get((item.dataset, refusals.run_key(item.version)))) and item.dataset not in again
        else item
        for item in items
    )


def _told(one: Refusal) -> str:
    return (
        f"{one.dataset} ended {one.outcome_class} in campaign {one.campaign} and nothing has changed since: "
        f"{one.message} `reprocess retry` has it tried again."
    )


def _forecast(archive: Archive, made: Plan, known: catalogue.Catalogue, target: Target) -> Forecast:
    """Forecast what a plan costs, from what exposures of this archive took before."""
    execution = archive.settings.execution
    workers = execution.workers or (1 if execution.scheduler == "serial" else os.cpu_count() or 1)
    some = any(item.action == "calibrate" for item in made.items)
    taken = experience.read(archive.store, known) if some else ()
    learned = experience.learned(archive.store) if some else {}
    prices = archive.settings.prices
    return forecast(made.items, workers=workers, taken=taken, learned=learned, prices=prices, zarr=target.zarr)


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


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def judge_one(archive: Archive, dataset: str, target: Target) -> tuple[Plan, Item | None]:
    """Judge a dataset as it is now, and describe it in full even if there is nothing to do."""
    known = catalogue.open_catalogue(archive.store)
    batches = known.batches([keys.program(dataset)])
    objects = [rows for objects, _ in batches if (rows := partition.rows_of(objects, dataset)).num_rows]
    shown = present(archive, dataset) if objects else None
    fresh = partition.pointer_table([shown] if shown else [])
    tables = [(rows, fresh) for rows in objects]
    source = references_url(archive, None)
    found = _survey(archive, tables, target, source, again=(dataset,))
    plan = _plan_of(archive, replace(found, judgements=()), target, source)
    limit = _memory_limit_bytes(archive, target)
    chosen = incarnation.choose_all(archive.store, found.judgements)
    return plan, next((planner.item(one, limit, chosen.get(dataset, 1)) for one in found.judgements), None)


def present(archive: Archive, dataset: str) -> partition.Pointer | None:
    """Read what readers see now, and whether it is whole; the catalogue says what they saw at the last scan."""
    try:
        blob = archive.store.get(pointers.key(dataset))
    except errors.ObjectMissing:
        return None
    pointer = headers.read_pointer(blob, dataset=dataset, location=archive.store.url)
    return promised.look(archive.store, pointer)
