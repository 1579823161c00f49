"""Cleaning an archive: remains and old versions by a retention rule, staging of ended campaigns, replaced partitions.

Raw exposures are in other stores, which nothing here opens. What may go is decided in `publication.retention`, how it
goes in `publication.removal`.
"""

from __future__ import annotations

import datetime
import itertools
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from reprocess import errors
from reprocess.archive import catalogue
from reprocess.campaign import Archive, Progress
from reprocess.publication import (
    assemble,
    holds,
    kept_plans,
    liveness,
    moves,
    publish,
    releases,
    removal,
    retention,
    store_clock,
)
from reprocess.publication import lease as leases
from reprocess.publication import pointer as pointers
from reprocess.publication.alongside import alongside
from reprocess.publication.pointer import Pointer
from reprocess.publication.removed import Removed
from reprocess.publication.retention import Rule, Superfluous
from reprocess.publication.stored import MANIFEST, Stored, listed
from reprocess.reporting.wording import size_text
from reprocess.storage.store import Store

OLDER_THAN_DAYS = 30.0

_SHOWN = 5
_MONTHS = 12
_GB = 10**9


@dataclass(frozen=True, slots=True)
class Gone:
    """One thing that goes: a version or what is left of one, the staging of a campaign, partitions of the catalogue.

    Attributes
    ----------
    dataset : str
        Empty for staging and partitions.
    name : str
        The version, the campaign, or ``catalogue``.
    why : str
    files, size_bytes : int
        How much it is.
    """

    dataset: str
    name: str
    why: str
    files: int
    size_bytes: int


@dataclass
class Cleaned:
    """What a clean-up found, and did if it was told to act.

    Attributes
    ----------
    acted : bool
    versions : int
        Whole versions that were there.
    bytes_before : int
        Bytes of products, staging and replaced partitions that were there.
    gone : list of Gone
    problems : list of str
        Datasets that were left alone because something is wrong with them.
    gb_month : float
        Price of a GB for a month; 0 if it is not known.
    """

    acted: bool
    gb_month: float = 0.0
    versions: int = 0
    bytes_before: int = 0
    gone: list[Gone] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, part: Cleaned) -> None:
        """Add what was found of one dataset."""
        self.versions += part.versions
        self.bytes_before += part.bytes_before
        self.gone += part.gone
        self.problems += part.problems

    @property
    def bytes_freed(self) -> int:
        """Bytes of all that goes."""
        return sum(each.size_bytes for each in self.gone)

    def year_cost(self, size_bytes: int) -> float:
        """What so many bytes cost in a year."""
        return size_bytes / _GB * self.gb_month * _MONTHS


@dataclass(frozen=True)
class _Sweep:
    """What one clean-up goes by."""

    store: Store
    rule: Rule
    act: bool
    protected: Mapping[str, frozenset[str]]
    held: Mapping[str, holds.Hold]
    live: frozenset[str]


def clean(
    archive: Archive,
    *,
    keep: int | None = None,
    older_than_days: float = OLDER_THAN_DAYS,
    act: bool = False,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Cleaned:
    """Find what may go, and remove it if told to.

    Parameters
    ----------
    keep : int, optional
        Versions of each dataset that stay, the one that readers see included; else as ``archive.toml`` says.
    older_than_days : float
        By the store's clock: what was written, or left by readers, after that stays.
    act : bool
        Whether to remove it; else nothing is changed.
    sleep : callable
        Takes seconds; a lease that was not released is watched.

    Raises
    ------
    DamagedRecord
        A hold or a release cannot be read, so nobody knows what has to stay.
    StorageError
        The store refused, or did not answer.
    """
    store = archive.store
    cutoff = store_clock.now(store) - datetime.timedelta(days=older_than_days)
    places = [place.split("/")[1] for place in store.prefixes("campaigns/", limit=10**9)]
    campaigns = [name for name in places if set(name) <= _HEXADECIMAL]  # a sweep has a lease and no plan
    live = liveness.live(store, campaigns, sleep=sleep)
    sweep = _Sweep(
        store,
        Rule(keep or archive.root.keep_versions, cutoff),
        act,
        _protected(store, live),
        holds.read(store),
        live,
    )
    found = Cleaned(act, archive.settings.prices.gb_month)
    cleaned = alongside(lambda each: (each[0], _clean_dataset(sweep, *each)), listed(store))
    for number, (dataset, part) in enumerate(cleaned, 1):
        found.add(part)
        if progress is not None:
            progress(number, None, dataset)
    _clean_staging(sweep, found)
    _clean_catalogue(sweep, found)
    return found


_HEXADECIMAL = frozenset("0123456789abcdef")


def _protected(store: Store, live: frozenset[str]) -> Mapping[str, frozenset[str]]:
    """Return the versions that releases name and that living campaigns may write, by dataset."""
    found = dict(releases.named(store))
    for campaign in live:
        for item in kept_plans.find(store, campaign).items:
            found[item.dataset] = found.get(item.dataset, frozenset()) | {item.version}
    return found


def _clean_dataset(sweep: _Sweep, dataset: str, stored: list[Stored]) -> Cleaned:
    """Find and remove what may go of one dataset; whatever is wrong with it leaves it alone."""
    found = Cleaned(sweep.act)
    found.versions = sum(each.is_whole for each in stored)
    found.bytes_before = sum(each.size_bytes for each in stored)
    if dataset in sweep.held or (len(stored) == 1 and stored[0].is_whole):
        return found
    try:
        pointer, _ = pointers.read(sweep.store, dataset)
        chosen = _chosen(sweep, dataset, stored, pointer)
        for each in chosen:
            freed = _remove(sweep, dataset, each, stored) if sweep.act else each.stored.size_bytes
            if freed or not each.stored.size_bytes:
                found.gone.append(Gone(dataset, each.stored.version, each.why, len(each.stored.files), freed))
    except (errors.DamagedRecord, errors.PublicationError) as error:
        found.problems.append(str(error))
    return found


def _chosen(sweep: _Sweep, dataset: str, stored: list[Stored], pointer: Pointer | None) -> list[Superfluous]:
    """Choose what may go, as a pointer stands."""
    created = []
    for version in retention.never_shown(stored, pointer):
        if (manifest := publish.read_version(sweep.store, dataset, version)) is not None:
            created.append((version, manifest.created))
    protected = sweep.protected.get(dataset, frozenset())
    return list(retention.superfluous(stored, pointer, sweep.rule, protected=protected, created=created))


def _remove(sweep: _Sweep, dataset: str, one: Superfluous, stored: list[Stored]) -> int:
    """Remove one version or what is left of one; returns the bytes that were freed."""
    version, given_up = one.stored.version, False
    if holds.find(sweep.store, dataset) is not None:
        return 0  # held since the clean-up began

    def still(present: Pointer) -> list[str]:
        chosen = {each.stored.version for each in _chosen(sweep, dataset, stored, present)}
        return [version] if version in chosen and (one.stored.is_whole or version in present.removed) else []

    if MANIFEST in one.stored.names and pointers.read(sweep.store, dataset)[0] is not None:
        given_up = version in moves.give_up(sweep.store, dataset, still, why=one.why)
        if one.stored.is_whole and not given_up:
            return 0  # somebody went back to it meanwhile
    record = Removed(dataset, version, one.why, str(uuid.uuid4()))
    return removal.remove(sweep.store, record, one.stored, given_up=given_up)


def _clean_staging(sweep: _Sweep, found: Cleaned) -> None:
    """Remove what campaigns staged that nobody works off; their leases are held meanwhile."""
    stamps = sweep.store.list("staging/")
    for campaign, staged in itertools.groupby(stamps, key=lambda stamp: stamp.key.split("/")[1]):
        those = list(staged)
        size = sum(stamp.size for stamp in those)
        found.bytes_before += size
        newest = max(store_clock.moment(stamp.modified) for stamp in those)
        if campaign in sweep.live or newest > sweep.rule.cutoff:
            continue
        if sweep.act:
            try:
                with leases.acquire(sweep.store, campaign).kept():
                    assemble.clear_staging(sweep.store, f"staging/{campaign}/")
            except errors.LeaseHeld as error:
                found.problems.append(str(error))
                continue
        found.gone.append(Gone("", campaign, "staging of a campaign that nobody works off", len(those), size))


def _clean_catalogue(sweep: _Sweep, found: Cleaned) -> None:
    """Remove the partitions that later scans have replaced, but for those that a plan at work may still read."""
    unused = catalogue.superseded(sweep.store)
    found.bytes_before += sum(stamp.size for stamp, _ in unused)
    old = [stamp for stamp, until in unused if store_clock.moment(until) <= sweep.rule.cutoff]
    if not old:
        return
    if sweep.act:
        catalogue.remove(sweep.store, old)
    size = sum(stamp.size for stamp in old)
    found.gone.append(Gone("", "catalogue", "what a later scan has replaced", len(old), size))


def record(found: Cleaned) -> dict[str, Any]:
    """Put what a clean-up found into JSON values."""
    after = found.bytes_before - found.bytes_freed
    return {
        "acted": found.acted,
        "versions": found.versions,
        "bytes_before": found.bytes_before,
        "bytes_freed": found.bytes_freed,
        "bytes_after": after,
        "year_cost_before": found.year_cost(found.bytes_before),
        "year_cost_after": found.year_cost(after),
        "gone": [asdict(each) for each in found.gone],
        "problems": found.problems,
    }


def text(found: Cleaned) -> str:
    """Say what a clean-up found, by rule, and what storage costs before and after."""
    would = "gone" if found.acted else "would go"
    after = found.bytes_before - found.bytes_freed
    lines = [f"{found.versions:,} versions, {size_text(found.bytes_before)} with all remains, staging and old scans"]
    for why in sorted({each.why for each in found.gone}):
        those = [each for each in found.gone if each.why == why]
        files, size = sum(each.files for each in those), sum(each.size_bytes for each in those)
        lines.append(f"  {len(those):,} {would}: {why} ({files:,} files, {size_text(size)})")
        lines += [f"    {each.dataset}  {each.name}".replace("      ", "    ") for each in those[:_SHOWN]]
        lines += [f"    ... and {len(those) - _SHOWN:,} more; --json lists all"] if len(those) > _SHOWN else []
    lines.append(
        f"{size_text(found.bytes_freed)} {'freed' if found.acted else 'would be freed'}, {size_text(after)} stay"
    )
    if found.gb_month:
        before, then = found.year_cost(found.bytes_before), found.year_cost(after)
        lines.append(f"A year of storage costs {before:,.2f} as it was, {then:,.2f} after it")
    if not found.acted and found.gone:
        lines.append("Nothing was changed. --yes does it.")
    return "\n".join([*lines, *(f"Left alone: {problem}" for problem in found.problems)])
