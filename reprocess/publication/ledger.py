"""What became of every unit, appended to the bucket in batches, and the sum that must close.

Batches are objects that are written once: ``campaigns/<id>/outcomes/<epoch>-<number>.json``. Each run of a plan takes
the next free epoch by writing its batch 0, so two runs never write under the same name; the later epoch, and in it
the higher number, is the later word on a unit.
"""

from __future__ import annotations

import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.formats import records
from reprocess.planning.plan import Item, Plan
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.storage.store import Store

KIND = "outcomes"
SCHEMA = 1
BATCH = 500
FLUSH_AFTER_S = 10.0

_NAME = re.compile(r"(\d{6,})-(\d{8,})\.json")

AGAIN = "again"
"""Class of a unit that failed and is tried again; it counts for nothing in the sum."""

WITHOUT_FAILURE = frozenset({"current", "published", "unchanged", "held-back", "deferred", "cancelled"})
"""The terminal classes that are no failures; the others are those of `reprocess.errors`."""


def prefix(campaign: str) -> str:
    """Where the outcomes of a campaign are."""
    return f"campaigns/{campaign}/outcomes/"


@dataclass
class Ledger:
    """Appends the outcomes of one run; see `begin`. As a context manager it is flushed however the block ends.

    Attributes
    ----------
    epoch : int
        1 for the first run of the campaign.
    batch : int
        Outcomes in a batch at most.
    flush_after_s : float
        A batch is written when its first outcome has waited for so long and another one comes.
    before_batch : callable, optional
        Takes the outcomes of a batch and its number before it is written.
    """

    store: Store
    campaign: str
    epoch: int
    writer: str
    batch: int = BATCH
    flush_after_s: float = FLUSH_AFTER_S
    patience: Patience = PATIENT
    clock: Callable[[], float] = time.monotonic
    before_batch: Callable[[list[Outcome], int], None] | None = None
    _number: int = 1
    _tried: int = 0
    _pending: list[Outcome] = field(default_factory=list)
    _since: float = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def append(self, outcome: Outcome) -> None:
        """Take an outcome, and write a batch when it is full or old."""
        if not self._pending:
            self._since = self.clock()
        self._pending.append(outcome)
        if len(self._pending) >= self.batch or self.clock() - self._since >= self.flush_after_s:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; after a failure it is pending still, and the same batch is written the next time."""
        while self._pending:
            # What was tried may be stored already, so it is tried again as it was, whatever has come since.
            self._tried = self._tried or min(len(self._pending), self.batch)
            pending = self._pending[: self._tried]
            data = _to_bytes(self, pending)
            if self.before_batch is not None:
                self.before_batch(pending, self._number)
            put_once(self.store, _key(self.campaign, self.epoch, self._number), data, patience=self.patience)
            self._number, self._tried = self._number + 1, 0
            del self._pending[: len(pending)]


def begin(store: Store, campaign: str, *, writer: str = "", patience: Patience = PATIENT) -> Ledger:
    """Take the next epoch of a campaign.

    Raises
    ------
    StorageUnavailable
        The store did not answer often enough.
    """
    writer = writer or str(uuid.uuid4())
    epoch = 1 + max((epoch for epoch, _, _ in _batches(store, campaign)), default=0)
    while True:
        ledger = Ledger(store, campaign, epoch, writer, patience=patience)
        try:
            put_once(store, _key(campaign, epoch, 0), _to_bytes(ledger, []), patience=patience)
            return ledger
        except errors.PublicationError:
            epoch += 1


def read(store: Store, campaign: str, *, batches: int = 0) -> dict[str, Outcome]:
    """Read the latest outcome of each unit, in the order of their records; if it is said, of so many last batches.

    Raises
    ------
    DamagedRecord
        A batch is none of ours.
    """
    latest: dict[str, Outcome] = {}
    for _, _, key in sorted(_batches(store, campaign))[-batches:]:
        for outcome in from_bytes(store.get(key).data, name=key):
            latest.pop(outcome.unit, None)
            latest[outcome.unit] = outcome
    return latest


def from_bytes(data: bytes, *, name: str) -> list[Outcome]:
    """Read a batch; `name` is its key, for messages.

    Raises
    ------
    DamagedRecord
        It is none of ours.
    """
    try:
        body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
        return [Outcome(**record) for record in body["outcomes"]]
    except (errors.DamagedRecord, KeyError, TypeError) as error:
        told = str(error) if isinstance(error, errors.DamagedRecord) else f"{name} is no batch of outcomes: {error}."
        raise errors.DamagedRecord(f"{told} Or delete it, and run again: what it told of is looked at anew.") from error


@dataclass(frozen=True)
class Summary:
    """Which class each candidate of a plan ended in.

    Attributes
    ----------
    classes : mapping of dataset to str
    messages : mapping of dataset to str
        For failures and whatever else has something to say.
    pending : tuple of str
        Candidates without a terminal class: an error once a campaign has ended.
    strangers : tuple of str
        Datasets with outcomes that are no candidates of the plan: always an error.
    """

    classes: Mapping[str, str]
    messages: Mapping[str, str]
    pending: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Candidates of each class, sorted by class."""
        return dict(sorted(Counter(self.classes.values()).items()))

    @property
    def candidates(self) -> int:
        """All candidates of the plan."""
        return len(self.classes) + len(self.pending)

    @property
    def closes(self) -> bool:
        """Whether each candidate has exactly one class and nothing else has one."""
        return not self.pending and not self.strangers

    @property
    def failures(self) -> dict[str, str]:
        """Datasets whose class is that of an error."""
        return {dataset: name for dataset, name in self.classes.items() if name not in WITHOUT_FAILURE}


def close(plan: Plan, outcomes: Iterable[Outcome], *, rest: str = "") -> Summary:
    """Sum up a campaign.

    Parameters
    ----------
    outcomes : iterable of Outcome
        In the order in which they were recorded, such as the values of `read`. Of several outcomes of one dataset the
        last one of a terminal class counts; classes that only say how far a unit came count for nothing.
    rest : str
        Class of the candidates that have no outcome: of a campaign that was cancelled, or stopped at a limit.
    """
    terminal = terminal_classes()
    last: dict[str, Outcome] = {}
    seen = set()
    for outcome in outcomes:
        # The units that prepare references are of no dataset.
        if outcome.dataset:
            seen.add(outcome.dataset)
        if outcome.outcome_class in terminal:
            last[outcome.dataset] = outcome
    classes, messages = {}, {}
    for item in plan.items:
        name, message = _end_of(item, last.get(item.dataset))
        name = name or rest
        if name:
            classes[item.dataset] = name
        if message:
            messages[item.dataset] = message
    datasets = {item.dataset for item in plan.items}
    settled = {dataset for each in plan.settled for dataset in each.datasets}
    pending = tuple(sorted(datasets - set(classes)))
    classes |= dict.fromkeys(settled, "current")
    return Summary(classes, messages, pending, tuple(sorted(seen - datasets)))


def terminal_classes() -> frozenset[str]:
    """All classes that a candidate can end in."""
    return WITHOUT_FAILURE | _classes(errors.ReprocessError)


def _classes(kind: type[errors.ReprocessError]) -> frozenset[str]:
    return frozenset({kind.outcome_class}).union(*map(_classes, kind.__subclasses__()))


def _end_of(item: Item, outcome: Outcome | None) -> tuple[str, str]:
    if item.action == "fail":
        return item.failure_class, item.failure
    return (outcome.outcome_class, outcome.message) if outcome else ("", "")


def _key(campaign: str, epoch: int, number: int) -> str:
    return f"{prefix(campaign)}{epoch:06d}-{number:08d}.json"


def _batches(store: Store, campaign: str) -> Iterator[tuple[int, int, str]]:
    """Epoch, number and key of every batch."""
    for stamp in store.list(prefix(campaign)):
        if match := _NAME.fullmatch(stamp.key.rpartition("/")[2]):
            yield int(match[1]), int(match[2]), stamp.key


def _to_bytes(ledger: Ledger, outcomes: list[Outcome]) -> bytes:
    payload = {"campaign": ledger.campaign, "epoch": ledger.epoch, "writer": ledger.writer}
    return records.dumps(KIND, SCHEMA, {**payload, "outcomes": [_record(outcome) for outcome in outcomes]})


def _record(outcome: Outcome) -> dict[str, Any]:
    """Write an outcome without what it logged, which is kept beside the ledger."""
    return {name: getattr(outcome, name) for name in _RECORDED}


_RECORDED = tuple(each.name for each in fields(Outcome) if each.name != "log")
