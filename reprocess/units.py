"""From the items of a plan to the units of work that executors run: preparations, whole exposures, slabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reprocess import errors, worker
from reprocess.campaign import Archive
from reprocess.execution.attempts import QUARANTINED
from reprocess.execution.executor import Amount, Task
from reprocess.exposure import Outcome
from reprocess.planning import forecast, pilot, slabs
from reprocess.planning.plan import Item, Plan
from reprocess.target import read_target

_MEGABYTE = 10**6
_PREPARATION_S = 3.0
"""A reference file of a full frame; measured."""


@dataclass(frozen=True)
class Past:
    """What earlier runs of the same plan say of its units.

    Attributes
    ----------
    outcomes : mapping of unit to Outcome
        The last one of each.
    tiers : int
        Memory tiers above the first that there are now.
    kinds : mapping of kind to int
        Tier that exposures of a kind begin in, see `pilot.tiers`.
    """

    outcomes: Mapping[str, Outcome]
    tiers: int
    kinds: Mapping[pilot.Kind, int] = field(default_factory=dict)

    def tier(self, item: Item, unit: str) -> int:
        """Return the memory tier to begin in: the one that a unit came to before, or that others like it needed."""
        last = self.outcomes.get(unit)
        wanted = self.kinds.get(pilot.kind(item), 0) if self.kinds else 0
        return min(max(wanted, last.tier if last else 0), self.tiers)


def last_unit(item: Item) -> str:
    """Name the unit that decides on an exposure: the only one, or the assembly."""
    return f"{item.dataset}/assembly" if item.rows_per_slab else item.dataset


def waiting(archive: Archive, made: Plan, before: Mapping[str, Outcome]) -> list[Item]:
    """Return what of a plan is still to be done.

    Raises
    ------
    PlanError
        Some of it is at a raw location that the archive no longer has.
    """
    found = [item for item in made.items if item.action == "calibrate" and not _is_settled(item, before)]
    lost = sorted({item.entry.location for item in found} - set(archive.raw))
    if lost:
        raise errors.PlanError(
            f"Plan {made.digest[:12]} reads the raw location {lost[0]}, which archive.toml no longer names. Add it, or "
            "scan and plan again."
        )
    return found


def _is_settled(item: Item, before: Mapping[str, Outcome]) -> bool:
    """Whether an earlier run of the same plan ended an item for good."""
    outcome = before.get(last_unit(item))
    return outcome is not None and outcome.outcome_class in _FOR_GOOD


# What the same inputs will give again. Anything else (storage, our own errors) is tried by the next run.
_FOR_GOOD = QUARANTINED | {
    "published",
    "unchanged",
    "held-back",
    "bad-data",
    "raw-replaced",
    "unsupported",
    "cancelled",
}


def tasks(archive: Archive, made: Plan, waiting: Iterable[Item], past: Past) -> Iterator[Task]:
    """Make the units: first the references that are not prepared yet, then the exposures that wait for them."""
    header = replace(made, items=())
    target = read_target(made.target, name=f"target of plan {made.digest[:12]}")
    ready = {stamp.key for stamp in archive.store.list("references/ready/")}
    execution = archive.settings.execution
    shelf = execution.memory_limit_mb * _MEGABYTE // 4
    preparing: dict[str, str] = {}
    slowness = _slowness(made)
    for item in waiting:
        for reference in item.references:
            if worker.ready_key(reference) not in ready and reference.sha256 not in preparing:
                preparing[reference.sha256] = f"reference/{reference.name}"
                work = worker.Preparation(archive.store, reference)
                yield Task(preparing[reference.sha256], "", work, expected_s=_PREPARATION_S)
        after = tuple(sorted({preparing[one.sha256] for one in item.references if one.sha256 in preparing}))
        raw = archive.raw[item.entry.location]
        cache = archive.settings.cache
        each = worker.Work(archive.store, raw, header, item, shelf_bytes=shelf, zarr=target.zarr, cache=cache)
        for task in _units(each, after):
            expected_s = slowness * _share_s(item)
            tier = past.tier(item, task.unit)
            yield replace(task, tier=tier, deadline_s=execution.deadline_s, expected_s=expected_s)


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


def expected(made: Plan, waiting: Iterable[Item], past: Past) -> dict[int, Amount]:
    """Say of each memory tier how many units of some items there will be, and how long they are expected to run.

    Preparations of references are left out: which of them are needed is known when they are.
    """
    slowness = _slowness(made)
    sums: dict[int, Amount] = {}
    for item in waiting:
        count = _count(item)
        for tier, units in ((past.tier(item, last_unit(item)), 1), (past.tier(item, ""), count - 1)):
            before = sums.get(tier, Amount())
            sums[tier] = Amount(before.units + units, before.seconds + units * slowness * _share_s(item))
    return sums


def _slowness(made: Plan) -> float:
    """Return how much longer units take than on the benchmark machine, as the plan was forecast."""
    alone = sum(_seconds(item) for item in made.items if item.action == "calibrate")
    return made.forecast.core_hours.expected * 3600 / alone if made.forecast and alone else 1.0


def _seconds(item: Item) -> float:
    shape = item.entry.sci_shape
    return forecast.seconds(str(item.entry.header.get("INSTRUME", "")), shape) if shape and len(shape) == 4 else 0.0


def _count(item: Item) -> int:
    """Return how many units an item has."""
    if not item.rows_per_slab:
        return 1
    assert item.entry.sci_shape is not None
    return 2 + len(slabs.cut(item.entry.sci_shape[-2], item.rows_per_slab, worker.halo(item)))


def _share_s(item: Item) -> float:
    """Return the seconds of one unit of an item on the benchmark machine: all units of an exposure alike."""
    return _seconds(item) / _count(item)
