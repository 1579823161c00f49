"""The log of what became of datasets: new, reprocessed, retired, failed, held back. Append-only, for whoever listens.

Events are lines of objects that are written once, ``events/<day>/<stream>-<number>.jsonl``. A stream is one epoch of a
campaign, ``<campaign>-<epoch>``, or one command by hand; its numbers only grow. The day is that of the store's clock,
as far as the writer knows.

An event is a function of a plan and an outcome, and its id of campaign, dataset, kind and version: told again after a
crash it is the same event with the same id. So each event is there at least once, and whoever reads leaves out the ids
that he has seen. Outcomes whose events are written first can be lost and made again; see `record` and `catch_up`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta

from reprocess import errors, redaction
from reprocess.archive import keys
from reprocess.exposure import Outcome
from reprocess.planning.plan import Item, Plan
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.storage.store import Store

PREFIX = "events/"
KINDS = ("new", "reprocessed", "retired", "rolled-back", "failed", "held-back")
LONGEST_MESSAGE = 1000
BATCH = 500

_SILENT = frozenset({"unchanged", "current", "deferred", "cancelled", "written", "staged", "again"})
"""Classes of outcomes after which readers see what they saw, and nobody has to do anything."""
_AT_A_TIME = 8
_SKEW = timedelta(days=2)  # a plan's time of creation is one of a machine, the day of an event one of the store
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a dataset.

    Attributes
    ----------
    id : str
        The same for the same event, however often it is told.
    kind : str
        One of `KINDS`.
    time : str
        When the unit ended by the clock of its worker, or the command by its own; UTC, ISO 8601. For people.
    campaign, dataset, version : str
        The version that readers see now, or the one that was held back, failed or retired.
    program, instrument, exp_type : str
    types : tuple of str
        Levels of the products concerned, for example ``rate``; of a failure those that were to be made.
    reasons : tuple of str
        Why the dataset was stale, for example ``reference: dark``.
    outcome_class, message : str
        How the unit ended, and the sentence that says why.
    """

    id: str
    kind: str
    time: str
    campaign: str
    dataset: str
    version: str
    program: str
    instrument: str = ""
    exp_type: str = ""
    types: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    outcome_class: str = ""
    message: str = ""


def of(outcomes: Iterable[Outcome], items: Mapping[str, Item], campaign: str) -> tuple[Event, ...]:
    """Tell what outcomes mean for datasets; most mean one event, some none.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Of units that decide on their dataset; others are left out by their class.
    items : mapping of dataset to Item
        The candidates of the plan.
    campaign : str
    """
    found = (_event(outcome, items, campaign) for outcome in outcomes)
    return tuple({event.id: event for event in found if event is not None}.values())


def by_hand(
    kind: str, dataset: str, version: str, *, campaign: str = "", sequence: int = 0, message: str = ""
) -> Event:
    """Make the event of a command: a retirement, a rollback, the acceptance of what was held back.

    Parameters
    ----------
    sequence : int
        Of the pointer after the command, so that the same move, made twice, is two events.
    """
    return Event(
        id=_id(campaign, dataset, kind, f"{version}#{sequence}"),
        kind=kind,
        time=_now(),
        campaign=campaign,
        dataset=dataset,
        version=version,
        program=keys.program(dataset),
        types=keys.PRODUCT_LEVELS,
        message=redaction.clean(message)[:LONGEST_MESSAGE],
    )


def record(store: Store, found: Sequence[Event], *, campaign: str, epoch: int, number: int) -> None:
    """Append the events of one batch of outcomes; with the same events, doing it again changes nothing.

    Called before the outcomes of the batch are written: whoever dies in between does the units of the batch again, and
    tells the same events again.

    Parameters
    ----------
    number : int
        Grows within an epoch.
    """
    if not found:
        return
    stream = f"{campaign}-{epoch:06d}"
    try:
        append(store, found, stream=stream, number=number)
    except errors.PublicationError:
        # An earlier try of this batch came this far, with fewer outcomes: what it told is told again.
        append(store, found, stream=f"{stream}x{uuid.uuid4().hex[:8]}", number=number)


def tell(store: Store, found: Sequence[Event]) -> None:
    """Append the events of one command."""
    stream = f"by-hand-{uuid.uuid4().hex}"
    for number, start in enumerate(range(0, len(found), BATCH), 1):
        append(store, found[start : start + BATCH], stream=stream, number=number)


def append(store: Store, found: Sequence[Event], *, stream: str, number: int, patience: Patience = PATIENT) -> None:
    """Write one object of a stream.

    Raises
    ------
    StorageUnavailable
        The store did not answer often enough; doing it again is safe.
    """
    data = b"".join(to_line(event) for event in found)
    day = _now()[:10]
    key = _key(day, stream, number)
    put_once(store, key, data, patience=patience)
    stored = patience.insist(lambda: store.head(key)).modified[:10]
    if stored and abs(_day(stored) - _day(day)) > timedelta(days=1):
        # Whoever has read the days up to now would never look at a day of the past.
        _LOG.warning("The clock of this machine is at %s, and that of the store at %s. Set it.", day, stored)
        put_once(store, _key(stored, stream, number), data, patience=patience)


def catch_up(store: Store, plan: Plan, outcomes: Iterable[Outcome], *, epoch: int) -> int:
    """Append the events that outcomes of the ledger mean and that are not in the log; returns how many those were.

    For the begin of a run of a campaign that has outcomes already. They become batch 0 of the epoch.
    """
    campaign, items = plan.digest[:16], {item.dataset: item for item in plan.items}
    kinds = ((outcome, _kind(outcome, items)) for outcome in outcomes)
    told = {_id_of(outcome, items[outcome.dataset], campaign, kind): outcome for outcome, kind in kinds if kind}
    if not told:
        return 0
    begin = (_day(plan.created) - _SKEW).date().isoformat()
    names = [each.key for each in objects(store, begin) if each.stream.rpartition("-")[0] == campaign]
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for known in pool.map(lambda key: _ids(store.get(key).data), names):
            for each in known:
                told.pop(each, None)
    missing = of(told.values(), items, campaign)
    record(store, missing, campaign=campaign, epoch=epoch, number=0)
    return len(missing)


def _ids(data: bytes) -> list[str]:
    """Return the ids of an object's events, without reading what else they say: there may be very many."""
    return [found.decode() for found in _ID.findall(data)]


_ID = re.compile(rb'"id":"([0-9a-f]{32})"')  # inside a text the quotes would be escaped


@dataclass(frozen=True, slots=True)
class Batch:
    """One object of the log: its day, its stream and its number in it."""

    day: str
    stream: str
    number: int

    @property
    def key(self) -> str:
        """Where it is."""
        return _key(self.day, self.stream, self.number)


def objects(store: Store, since: str = "") -> Iterator[Batch]:
    """List the objects of the log from a day on, day by day, each stream in its order."""
    for stamp in store.list(PREFIX, after=f"{PREFIX}{since}" if since else ""):
        day, _, name = stamp.key.removeprefix(PREFIX).partition("/")
        stream, _, number = name.removesuffix(".jsonl").rpartition("-")
        if stream and number.isdigit():
            yield Batch(day, stream, int(number))


def read(store: Store, key: str) -> tuple[Event, ...]:
    """Read one object of the log.

    Raises
    ------
    DamagedRecord
        A line of it is no event.
    """
    return tuple(from_line(line, name=key) for line in store.get(key).data.splitlines())


def to_line(event: Event) -> bytes:
    """Write an event as a line of JSON."""
    return json.dumps(asdict(event), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes, *, name: str) -> Event:
    """Read what `to_line` wrote; what a later version of this package adds is left out."""
    try:
        told = {key: value for key, value in json.loads(line).items() if key in _NAMES}
        return Event(**{**told, "types": tuple(told["types"]), "reasons": tuple(told["reasons"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.DamagedRecord(f"{name} has a line that is no event: {error!r}. Remove the object.") from error


_NAMES = frozenset(each.name for each in fields(Event))


def _event(outcome: Outcome, items: Mapping[str, Item], campaign: str) -> Event | None:
    kind = _kind(outcome, items)
    if not kind:
        return None
    item = items[outcome.dataset]
    header = item.entry.header
    return Event(
        id=_id_of(outcome, item, campaign, kind),
        kind=kind,
        time=f"{outcome.ended}Z" if outcome.ended else "",
        campaign=campaign,
        dataset=item.dataset,
        version=outcome.version or item.version,
        program=keys.program(item.dataset),
        instrument=str(header.get("INSTRUME", "")),
        exp_type=str(header.get("EXP_TYPE", "")),
        types=keys.PRODUCT_LEVELS,
        reasons=tuple(dict.fromkeys(_reason(each.kind, each.reference_type) for each in item.verdict.reasons)),
        outcome_class=outcome.outcome_class,
        message=redaction.clean(outcome.message)[:LONGEST_MESSAGE],
    )


def _kind(outcome: Outcome, items: Mapping[str, Item]) -> str:
    """Return what an outcome means for its dataset; empty for nothing."""
    item = items.get(outcome.dataset)
    if item is None or outcome.outcome_class in _SILENT:
        return ""
    if outcome.outcome_class == "published":
        # The catalogue may be older than what was compared.
        before = item.verdict.state != "missing" or outcome.difference.get("against")
        return "reprocessed" if before else "new"
    return "held-back" if outcome.outcome_class == "held-back" else "failed"


def _id_of(outcome: Outcome, item: Item, campaign: str, kind: str) -> str:
    return _id(campaign, item.dataset, kind, outcome.version or item.version)


def _reason(kind: str, reference_type: str | None) -> str:
    return f"{kind}: {reference_type}" if reference_type else kind


def _id(campaign: str, dataset: str, kind: str, version: str) -> str:
    return hashlib.sha256(json.dumps([campaign, dataset, kind, version]).encode()).hexdigest()[:32]


def _key(day: str, stream: str, number: int) -> str:
    return f"{PREFIX}{day}/{stream}-{number:08d}.jsonl"


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
