"""Staleness as an indicator: how much of an archive is not what a target asks for, from judgement to judgement.

Each plan of a whole catalogue leaves one immutable record, ``catalogue/debt/<time of creation>-<digest of the plan>``.
A plan of a part of it (``--where``) leaves none: its counts could not be compared.

Age. A product is stale because of something old that it was made with: a reference file, a revision of a step, a
parameter. A record tells of each such old thing *since* when exposures have been stale because of it: the creation of
the earliest of the records, without interruption up to this one, that found any. So `since` needs nothing but the
record before, and no exposure can have been seen stale for longer. It is exact for the old thing as a whole; for a
single exposure it is an upper limit, because others may have been stale before it. Reasons that tell nothing old that
many have in common (a replaced raw object, a missing or damaged product) count as one old thing for each kind and
type. A judgement against another target counts as any other: what that target does not call stale is interrupted. The
second limit of the age is the creation of the oldest stale product of ours; products of others do not tell theirs.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from reprocess import errors
from reprocess.archive.once import write_once
from reprocess.exposure import SETTLED, Reason, Settled, Verdict
from reprocess.formats import records
from reprocess.storage.store import Store

KIND, SCHEMA = "debt", 1
PREFIX = "catalogue/debt/"
STATES = ("stale", "missing", "unknown", "stale-in-name-only", "current")

_LOG = logging.getLogger(__name__)
_SHARED = frozenset({"reference", "software", "parameter"})
"""Kinds of reasons whose old thing many exposures have in common."""


@dataclass(frozen=True, slots=True)
class Amount:
    """How many exposures, and the bytes of their Level 1b objects."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.count + other.count, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An exposure that is not settled.

    Attributes
    ----------
    verdict : Verdict
    instrument : str
    size : int
        Bytes of its Level 1b object.
    made : str
        When its product was made; empty where it has none of ours.
    """

    verdict: Verdict
    instrument: str
    size: int
    made: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """One kind of reason, and the exposures in one state that have it.

    Attributes
    ----------
    state, kind, type : str
        State of the verdict; kind and reference type of the reason, `type` empty for other kinds.
    amount : Amount
        An exposure with several reasons counts in several causes, and once in each.
    since : mapping of str to str
        Since when (see the module) exposures have been so because of each old thing; the key is empty for kinds that
        have none in common.
    """

    state: str
    kind: str
    type: str
    amount: Amount
    since: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other causes."""
        return self.state, self.kind, self.type

    @property
    def oldest(self) -> str:
        """Since when there have been exposures of the oldest of its old things."""
        return min(self.since.values())


@dataclass(frozen=True, slots=True)
class Debt:
    """What one judgement of a whole catalogue found.

    Attributes
    ----------
    created : str
        Creation of the plan (UTC, ISO 8601 with milliseconds and no zone).
    plan : str
        Its digest.
    context, software : str
        What was asked for.
    amounts : mapping of instrument to mapping of state to Amount
    causes : tuple of Cause
        Of all states that ask for work, the largest first.
    oldest_product : str
        Creation of the oldest stale product of ours; empty where there is none.
    """

    created: str
    plan: str
    context: str
    software: str
    amounts: Mapping[str, Mapping[str, Amount]]
    causes: tuple[Cause, ...] = ()
    oldest_product: str = ""

    def of_state(self, state: str) -> Amount:
        """Return how much is in one state."""
        return sum((some.get(state, Amount()) for some in self.amounts.values()), Amount())

    @property
    def total(self) -> Amount:
        """Everything that was judged."""
        return sum(map(self.of_state, STATES), Amount())

    @property
    def stale_since(self) -> str:
        """Since when there have been exposures that are stale because of the oldest cause; empty if none is stale."""
        return min((cause.oldest for cause in self.causes if cause.state == "stale"), default="")


@dataclass(slots=True)
class _Found:
    amount: Amount = field(default_factory=Amount)
    old: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Alike:
    """Candidates of one instrument in one state that share their reasons."""

    reasons: tuple[Reason, ...]
    count: int = 0
    bytes: int = 0


def measure(
    candidates: Iterable[Candidate],
    settled: Iterable[tuple[Settled, int]],
    *,
    plan: str,
    created: str,
    context: str,
    software: str,
    previous: Debt | None = None,
) -> Debt:
    """Add up what a judgement found.

    Parameters
    ----------
    candidates : iterable of Candidate
        Exposures that something is to be done for, or that cannot be calibrated.
    settled : iterable of (Settled, int)
        All others, with the bytes of their Level 1b objects.
    plan, created, context, software : str
        See `Debt`.
    previous : Debt, optional
        What the judgement before found.
    """
    amounts: defaultdict[str, defaultdict[str, Amount]] = defaultdict(lambda: defaultdict(Amount))
    found: defaultdict[tuple[str, str, str], _Found] = defaultdict(_Found)
    groups, oldest = _alike(candidates)
    for (_, state, instrument), some in groups.items():
        amount = Amount(some.count, some.bytes)
        amounts[instrument][state] += amount
        for key, old in _by_cause(state, some.reasons):
            found[key].amount += amount
            found[key].old.update(old)
    for kind, size in settled:
        amounts[kind.instrument][kind.state] += Amount(len(kind.datasets), size)
    return Debt(
        created=created,
        plan=plan,
        context=context,
        software=software,
        amounts={instrument: dict(sorted(some.items())) for instrument, some in sorted(amounts.items())},
        causes=_causes(found, created, previous),
        oldest_product=oldest,
    )


def _alike(candidates: Iterable[Candidate]) -> tuple[dict[tuple[int, str, str], _Alike], str]:
    """Put candidates together that share their reasons, for millions of them share few; find the oldest product."""
    groups: dict[tuple[int, str, str], _Alike] = {}
    oldest = ""
    for each in candidates:
        verdict = each.verdict
        # The group holds the reasons, so that nothing else can have their identity.
        key = id(verdict.reasons), verdict.state, each.instrument
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Alike(verdict.reasons)
        group.count += 1
        group.bytes += each.size
        if each.made and verdict.state == "stale" and (not oldest or each.made < oldest):
            oldest = each.made
    return groups, oldest


def _by_cause(state: str, reasons: Iterable[Reason]) -> Iterator[tuple[tuple[str, str, str], set[str]]]:
    """Yield each cause of a verdict once, with its old things."""
    if state in SETTLED:
        return
    found: dict[tuple[str, str, str], set[str]] = {}
    for reason in reasons:
        found.setdefault((state, reason.kind, reason.reference_type or ""), set()).add(_old(reason))
    yield from found.items()


def _old(reason: Reason) -> str:
    return (reason.old or "") if reason.kind in _SHARED else ""


def _causes(found: Mapping[tuple[str, str, str], _Found], created: str, previous: Debt | None) -> tuple[Cause, ...]:
    before = {cause.key: cause.since for cause in previous.causes} if previous else {}
    causes = [
        Cause(*key, some.amount, {old: before.get(key, {}).get(old, created) for old in sorted(some.old)})
        for key, some in found.items()
    ]
    return tuple(sorted(causes, key=lambda cause: (-cause.amount.count, cause.key)))


def key(debt: Debt) -> str:
    """Name the record of a judgement: names sort by time."""
    return f"{PREFIX}{_compact(debt.created)}-{debt.plan[:12]}.json"


def _compact(created: str) -> str:
    return created.replace("-", "").replace(":", "")


def keep(store: Store, debt: Debt) -> None:
    """Write the record of a judgement, once; the same plan again leaves the record as it is."""
    write_once(store, key(debt), to_bytes(debt))


def history(store: Store, count: int, *, before: str = "") -> tuple[Debt, ...]:
    """Read the last records, the newest first; what cannot be read is left out, and logged.

    Parameters
    ----------
    store : Store
        The archive.
    count : int
        How many at most.
    before : str, optional
        Only records that were created before this time.
    """
    names = [stamp.key for stamp in store.list(PREFIX) if not before or stamp.key < PREFIX + _compact(before)]
    return tuple(islice(_readable(store, reversed(names)), count))


def _readable(store: Store, names: Iterable[str]) -> Iterator[Debt]:
    for name in names:
        try:
            yield from_bytes(store.get(name).data, name=name)
        except (errors.DamagedRecord, errors.ObjectMissing) as error:
            _LOG.warning("%s", error)


def to_bytes(debt: Debt) -> bytes:
    """Write a record as canonical JSON."""
    return records.dumps(KIND, SCHEMA, record(debt))


def record(debt: Debt) -> dict[str, Any]:
    """Put a record into JSON values."""
    return {
        "created": debt.created,
        "plan": debt.plan,
        "context": debt.context,
        "software": debt.software,
        "oldest_product": debt.oldest_product,
        "instruments": {
            instrument: {state: _amount(amount) for state, amount in some.items()}
            for instrument, some in debt.amounts.items()
        },
        "causes": [
            {"state": one.state, "kind": one.kind, "type": one.type, "since": dict(one.since), **_amount(one.amount)}
            for one in debt.causes
        ],
    }


def _amount(amount: Amount) -> dict[str, int]:
    return {"count": amount.count, "bytes": amount.bytes}


def from_bytes(data: bytes, *, name: str) -> Debt:
    """Read a record.

    Raises
    ------
    DamagedRecord
        The bytes are no record of a known schema.
    """
    body = records.loads(data, KIND, name=name, schemas=(SCHEMA,))
    try:
        return Debt(
            created=str(body["created"]),
            plan=str(body["plan"]),
            context=str(body["context"]),
            software=str(body["software"]),
            amounts={
                instrument: {state: Amount(**amount) for state, amount in some.items()}
                for instrument, some in body["instruments"].items()
            },
            causes=tuple(_cause(each) for each in body["causes"]),
            oldest_product=str(body["oldest_product"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise errors.DamagedRecord(f"{name} lacks {error}. Delete it; the next plan writes another.") from error


def _cause(body: Mapping[str, Any]) -> Cause:
    amount = Amount(body["count"], body["bytes"])
    return Cause(body["state"], body["kind"], body["type"], amount, dict(body["since"]))
