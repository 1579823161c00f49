"""Watching a campaign while it is at work, perhaps on another machine: reads what is new, changes nothing."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from reprocess import campaign, closing, errors
from reprocess.campaign import Archive
from reprocess.formats import records
from reprocess.planning import forecast
from reprocess.planning.plan import Plan
from reprocess.publication import control as controls
from reprocess.publication import lease as leases
from reprocess.publication import ledger
from reprocess.publication.control import Control
from reprocess.reporting.ending import RUNNING, Ending
from reprocess.reporting.live import Holder, Live
from reprocess.reporting.running import Books
from reprocess.storage.store import Blob, Store

_NAMED = 200


@dataclass(frozen=True, slots=True)
class Position:
    """Who works off a campaign, what was asked of it, and how its last run ended; None where there is nothing."""

    holder: Holder | None
    control: Control
    ending: Ending | None

    @property
    def state(self) -> Ending:
        """How the campaign stands: at work or cut off (`RUNNING`), or as its last run ended."""
        if self.ending is None or (self.holder is not None and not self.holder.released):
            return Ending(RUNNING)
        return self.ending


def position(archive: Archive, digest: str) -> Position:
    """Read who works off a campaign, what was asked of it, and how its last run ended.

    Raises
    ------
    DamagedRecord
        One of these records cannot be read.
    """
    name = digest[:16]
    return Position(
        _holder(archive.store, name), controls.read(archive.store, name), closing.read_ending(archive, name)
    )


def _get(store: Store, key: str) -> Blob | None:
    try:
        return store.get(key)
    except errors.ObjectMissing:
        return None


def _holder(store: Store, name: str) -> Holder | None:
    key = leases.key(name)
    blob = _get(store, key)
    if blob is None:
        return None
    body = records.loads(blob.data, leases.KIND, name=key, schemas=(leases.SCHEMA,))
    try:
        return Holder(
            place=str(body["place"]),
            epoch=int(body["epoch"]),
            beat=int(body["beat"]),
            silence_s=float(body["silence_s"]),
            released=bool(body["released"]),
            renewed=blob.stamp.modified,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise errors.DamagedRecord(f"{key} is no whole lease: {error!r}. Delete it when nobody is at work.") from error


class Watch:
    """One campaign that is watched; each look reads only what was recorded since the one before.

    Parameters
    ----------
    archive : Archive
    digest : str
        Perhaps shortened.

    Raises
    ------
    PlanError
        There is no such plan.
    """

    def __init__(self, archive: Archive, digest: str) -> None:
        self._archive = archive
        self._plan = campaign.find_plan(archive, digest)
        self._work = sum(item.action != "fail" for item in self._plan.items)
        self._books, self._last = _begin(self._plan), ""
        self._beat: tuple[int, int] | None = None

    def look(self, now: datetime) -> Live:
        """Read what is new, and say how the campaign stands.

        Parameters
        ----------
        now : datetime
            With a time zone; ages are counted up to it.
        """
        place = position(self._archive, self._plan.digest)  # before the ledger, so that an end finds all its outcomes
        self._read()
        beat = (place.holder.epoch, place.holder.beat) if place.holder else None
        moved = None if self._beat is None else beat != self._beat
        self._beat = beat
        return self._live(place, now, moved)

    def _read(self) -> None:
        """Read the batches of outcomes that came since the last time: one listing, and each of them once."""
        store, prefix = self._archive.store, ledger.prefix(self._plan.digest[:16])
        for stamp in store.list(prefix, after=self._last):
            for outcome in ledger.from_bytes(store.get(stamp.key).data, name=stamp.key):
                self._books.add(outcome)
            self._last = stamp.key

    def _live(self, place: Position, now: datetime, moved: bool | None) -> Live:
        made, books, prices = self._plan, self._books, self._archive.settings.prices
        state, classes, to_do = place.state, books.in_order(), self._work - books.ended
        if to_do and state.rest:  # nobody came to them, and the report counts them so
            classes, to_do = {**classes, state.rest: classes.get(state.rest, 0) + to_do}, 0
        return Live(
            archive=self._archive.store.url,
            digest=made.digest,
            candidates=made.candidates,
            not_selected=made.not_selected,
            classes=classes,
            failed=books.failed(),
            to_do=to_do,
            rate=books.pace.rate(),
            newest=books.newest,
            core_seconds=books.core_seconds,
            bytes_written=books.bytes_written,
            money=forecast.cost(books.core_seconds / 3600, books.bytes_written, books.requests, prices),
            forecast=made.forecast,
            state=state,
            holder=place.holder,
            control=place.control,
            moved=moved,
            now=now,
            remainder=self._unended() if to_do and state.is_over else (),
        )

    def _unended(self) -> tuple[str, ...]:
        """Name the first candidates that have no class."""
        names = (item.dataset for item in self._plan.items if item.action != "fail")
        return tuple(itertools.islice((name for name in names if not self._books.has(name)), _NAMED))


def _begin(made: Plan) -> Books:
    books = Books()
    failing = [(item.dataset, item.failure_class, item.failure) for item in made.items if item.action == "fail"]
    books.begin(Counter({"current": sum(len(each.datasets) for each in made.settled)}), failing)
    return books
