"""What exposures of an archive took in earlier campaigns: outcomes from the ledgers, shapes from the catalogue.

A sample is enough to learn how fast an archive is worked off, so what is read for it is bounded however long the
ledgers and however large the catalogue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from reprocess import errors
from reprocess.archive import catalogue, keys, partition
from reprocess.archive.catalogue import Catalogue
from reprocess.exposure import Outcome
from reprocess.planning.forecast import Learned, Taken
from reprocess.publication import ledger, settlement
from reprocess.storage.store import Store

CAMPAIGNS, BATCHES, PROGRAMS = 5, 8, 20
"""Of how many campaigns the last batches are read, how many of each, and how many partitions of the catalogue."""

_FINISHED = frozenset(("published", "unchanged", "held-back"))
_CPU = "cpu"


def read(store: Store, known: Catalogue) -> tuple[Taken, ...]:
    """Read what exposures took in the latest campaigns.

    Parameters
    ----------
    store : Store
        The archive root.
    known : Catalogue
        Tells the shapes; exposures that it does not have any more count for nothing.

    Returns
    -------
    tuple of Taken
        Sorted by dataset. A ledger or a partition that cannot be used is as good as none: nothing but a forecast
        depends on it.
    """
    found: dict[str, float] = {}
    for campaign in _latest(store):
        try:
            found = dict(_finished(ledger.read(store, campaign, batches=BATCHES))) | found
        except (errors.DamagedRecord, errors.ObjectMissing):
            continue
    programs = Counter(map(keys.program, found)).most_common(PROGRAMS)
    shapes = {dataset: one for program, _ in programs for dataset, one in _shapes(known, program, found)}
    return tuple(Taken(*shapes[dataset], seconds) for dataset, seconds in sorted(found.items()) if dataset in shapes)


def learned(store: Store) -> dict[str, Learned]:
    """Read what the settlements of the latest campaigns teach, by mode; one that cannot be used is as good as none."""
    found = []
    for campaign in _latest(store):
        name = settlement.key(campaign)
        try:
            found.append(settlement.from_bytes(store.get(name).data, name=name))
        except (errors.DamagedRecord, errors.ObjectMissing):
            continue
    return settlement.combine(found)


def _latest(store: Store) -> list[str]:
    """Name the campaigns that outcomes were last written for, the latest first."""
    last: dict[str, str] = {}
    for stamp in store.list("campaigns/"):
        campaign, _, rest = stamp.key.removeprefix("campaigns/").partition("/")
        if rest.startswith("outcomes/"):
            last[campaign] = max(last.get(campaign, ""), stamp.modified)
    return sorted(last, key=lambda campaign: (last[campaign], campaign), reverse=True)[:CAMPAIGNS]


def _finished(outcomes: Mapping[str, Outcome]) -> Iterator[tuple[str, float]]:
    """Yield the core seconds of each exposure that was calibrated to its end, if all of its units are here."""
    taken: Counter[str] = Counter()
    for one in outcomes.values():
        taken[one.dataset] += sum(seconds for stage, seconds in one.seconds.items() if stage != _CPU)  # type: ignore[assignment]
    for unit, one in outcomes.items():
        # The facts of an exposure in slabs are the first that is recorded of it.
        whole = unit == one.dataset or (unit == f"{one.dataset}/assembly" and f"{one.dataset}/facts" in outcomes)
        if whole and one.outcome_class in _FINISHED:
            yield one.dataset, taken[one.dataset]


def _shapes(
    known: Catalogue, program: str, wanted: Mapping[str, float]
) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """Yield instrument and shape of each wanted exposure of a program."""
    part = known.generation.parts[catalogue.OBJECTS].get(program)
    if part is None:
        return
    try:
        table = partition.read_table(known.store.get(part.key).data, name=part.key)
    except (errors.DamagedRecord, errors.ObjectMissing):
        return
    if "INSTRUME" not in table.column_names:
        return
    chosen = pc.and_(
        pc.is_in(table.column("dataset"), value_set=pa.array(list(wanted), pa.string())),
        pc.equal(table.column("level"), keys.RAW_LEVEL),
    )
    for row in table.filter(chosen).select(["dataset", "INSTRUME", "sci_shape"]).to_pylist():
        if row["sci_shape"]:
            yield row["dataset"], (str(row["INSTRUME"]), tuple(row["sci_shape"]))
