"""Who is told of which events, and how far each was told: records of the archive.

``subscriptions/<name>/subscription.json`` says what somebody wants; ``cursor-<id>.json`` beside it how far that was
delivered. A cursor moves by compare-and-swap, and only after the receiver has taken what it passes: so each event is
delivered at least once, and two programs that deliver at the same time never skip one.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from reprocess import errors
from reprocess.archive import keys
from reprocess.formats import records
from reprocess.publication import events
from reprocess.publication.events import Batch, Event
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.storage.store import Store

PREFIX = "subscriptions/"
DIGESTS = ("", "daily")
REMEMBERED = timedelta(days=7)
"""How many days of the log a cursor looks back: a batch is written under a day that is nearly today's."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_KIND, _CURSOR, _SCHEMA = "subscription", "cursor", 1


@dataclass(frozen=True)
class Subscription:
    """What somebody wants to be told, and where.

    Attributes
    ----------
    name : str
        Lower-case letters, digits, dots, dashes and underscores.
    to : str
        Address of the receiver, see `reprocess.delivery`; parts of it may be secret.
    programs, instruments, types, kinds : tuple of str
        What an event must have one of; none: anything.
    digest : str
        ``daily`` for one message a day; empty for one an event.
    id : str
        Random; another subscription of the same name has another one.
    created : str
        UTC, ISO 8601.
    """

    name: str
    to: str
    programs: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    digest: str = ""
    id: str = ""
    created: str = ""

    def wants(self, event: Event) -> bool:
        """Whether an event is one of those; what it does not say of itself leaves it in."""
        return all(
            not chosen or not any(values) or any(value in chosen for value in values)
            for chosen, values in (
                (self.programs, (event.program,)),
                (self.instruments, (event.instrument,)),
                (self.types, event.types),
                (self.kinds, (event.kind,)),
            )
        )


@dataclass(frozen=True)
class Cursor:
    """How far a subscription was delivered.

    Attributes
    ----------
    sequence : int
        Grows by one with each move, so that no two cursors have the same bytes.
    since : str
        First day that is looked at.
    done : mapping of str to (int, int)
        Of each ``<day>/<stream>``: the number of the first batch that is not done, and how many of its events are.
    """

    sequence: int = 0
    since: str = ""
    done: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def position(self, batch: Batch) -> int | None:
        """Return how many events of a batch are done; None if all are."""
        number, lines = self.done.get(f"{batch.day}/{batch.stream}", (-1, 0))
        if batch.day < self.since or batch.number < number:
            return None
        return lines if batch.number == number else 0

    def past(self, batch: Batch, lines: int | None = None) -> Cursor:
        """Return the cursor after so many events of a batch, or after all of them."""
        place = (batch.number + 1, 0) if lines is None else (batch.number, lines)
        return replace(self, done={**self.done, f"{batch.day}/{batch.stream}": place})

    def forgetting(self, newest: str, today: date) -> Cursor:
        """Drop the days that no batch is written for any more, whichever of two clocks is behind."""
        begin = (min(date.fromisoformat(newest), today) - REMEMBERED).isoformat()
        if begin <= self.since:
            return self
        return replace(self, since=begin, done={name: at for name, at in self.done.items() if name >= begin})


def add(store: Store, wanted: Subscription, *, since: str = "") -> Subscription:
    """Make a subscription, to what happens from now on, or from a day (``YYYY-MM-DD``) on.

    Raises
    ------
    UsageError
        Its name is none or taken, or it asks for what there is not.
    """
    _check(wanted)
    check_day(since)
    made = replace(wanted, id=uuid.uuid4().hex, created=_now())
    cursor = Cursor(since=since)
    if not since:
        for batch in events.objects(store):
            cursor = cursor.past(batch)
        if cursor.done:
            cursor = cursor.forgetting(max(cursor.done)[:10], datetime.now(UTC).date())
    # The cursor first: a subscription without one would begin at the beginning of the log.
    store.put(_cursor_key(made), _cursor_bytes(cursor))
    try:
        put_once(store, _key(made.name), to_bytes(made))
    except errors.PublicationError as error:
        store.delete(_cursor_key(made))
        raise errors.UsageError(
            f"There is a subscription {made.name!r} already. Take another name, or unsubscribe first."
        ) from error
    return made


def remove(store: Store, name: str) -> None:
    """Remove a subscription.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    stamps = list(store.list(f"{PREFIX}{name}/")) if _NAME.fullmatch(name) else []
    if not any(stamp.key == _key(name) for stamp in stamps):
        raise errors.UsageError(f"There is no subscription {name[:80]!r}. `reprocess subscriptions` lists them.")
    for stamp in sorted(stamps, key=lambda stamp: stamp.key != _key(name)):
        store.delete(stamp.key)


def every(store: Store) -> tuple[Subscription, ...]:
    """Read all subscriptions, by name."""
    names = [stamp.key for stamp in store.list(PREFIX) if stamp.key.endswith("/subscription.json")]
    return tuple(from_bytes(store.get(key).data, name=key) for key in names)


def cursor_of(store: Store, subscription: Subscription) -> tuple[Cursor, str]:
    """Read how far a subscription was delivered, and the ETag to move it by.

    Raises
    ------
    DamagedRecord
        It cannot be read.
    """
    key = _cursor_key(subscription)
    blob = store.get(key)
    body = records.loads(blob.data, _CURSOR, name=key, schemas=(_SCHEMA,))
    try:
        done = {str(name): (int(number), int(lines)) for name, (number, lines) in body["done"].items()}
        cursor = Cursor(int(body["sequence"]), str(body["since"]), done)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.DamagedRecord(f"{key} is no whole cursor: {error!r}. Unsubscribe, and subscribe again.") from error
    return cursor, blob.stamp.etag


def move(
    store: Store, wanted: Subscription, cursor: Cursor, *, etag: str, patience: Patience = PATIENT
) -> tuple[Cursor, str]:
    """Keep how far a subscription was delivered.

    Raises
    ------
    PreconditionFailed
        Somebody else delivers it at the same time, or it was removed.
    """
    moved = replace(cursor, sequence=cursor.sequence + 1)
    data, key = _cursor_bytes(moved), _cursor_key(wanted)
    for number in patience.rounds():
        try:
            return moved, store.compare_and_swap(key, data, etag=etag).etag
        except errors.ObjectMissing as error:
            raise errors.PreconditionFailed(f"{key} is gone: somebody has unsubscribed.") from error
        except (errors.StorageUnavailable, errors.CommitConflict, errors.PreconditionFailed):
            # It may be that the answer was lost and our own swap is there.
            blob = patience.insist(lambda: store.get(key))
            if blob.data == data:
                return moved, blob.stamp.etag
            if blob.stamp.etag != etag or number == patience.tries:
                raise
    raise errors.StorageUnavailable(f"{key}: not moved. Deliver again.")


def pending(store: Store, cursor: Cursor) -> Iterator[tuple[Batch, int]]:
    """List the batches that are not done, and how many events of each are."""
    for batch in events.objects(store, cursor.since):
        position = cursor.position(batch)
        if position is not None:
            yield batch, position


def to_bytes(subscription: Subscription) -> bytes:
    """Write a subscription as canonical JSON."""
    return records.dumps(_KIND, _SCHEMA, asdict(subscription))


def from_bytes(data: bytes, *, name: str) -> Subscription:
    """Read a subscription.

    Raises
    ------
    DamagedRecord
        The bytes are none.
    """
    body = records.loads(data, _KIND, name=name, schemas=(_SCHEMA,))
    told: dict[str, Any] = {key: value for key, value in body.items() if key not in ("kind", "schema")}
    try:
        lists = {key: tuple(told[key]) for key in ("programs", "instruments", "types", "kinds")}
        return Subscription(**{**told, **lists})
    except (KeyError, TypeError) as error:
        raise errors.DamagedRecord(f"{name} is no whole subscription: {error!r}. Unsubscribe, and again.") from error


def _check(wanted: Subscription) -> None:
    if not _NAME.fullmatch(wanted.name):
        raise errors.UsageError(
            f"{wanted.name[:80]!r} is no name of a subscription. Take up to 64 of a-z, 0-9, dot, dash, underscore."
        )
    known = {"types": (*keys.PRODUCT_LEVELS, *keys.LATER_LEVELS), "kinds": events.KINDS}
    for word, values in known.items():
        check_values(word, getattr(wanted, word), values)
    check_values("digest", (wanted.digest,), DIGESTS)


def check_day(since: str) -> None:
    """Raise `UsageError` unless a text is empty or a day."""
    if since and not (_DAY.fullmatch(since) and _is_day(since)):
        raise errors.UsageError(f"{since!r} is no day. Write YYYY-MM-DD.")


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def check_values(word: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `UsageError` for what is given and not known; `word` says what they are."""
    strange = sorted(set(given) - set(known))
    if strange:
        raise errors.UsageError(f"{strange[0]!r} is none of the {word}. There are {', '.join(filter(None, known))}.")


def _key(name: str) -> str:
    return f"{PREFIX}{name}/subscription.json"


def _cursor_key(subscription: Subscription) -> str:
    return f"{PREFIX}{subscription.name}/cursor-{subscription.id}.json"


def _cursor_bytes(cursor: Cursor) -> bytes:
    return records.dumps(_CURSOR, _SCHEMA, asdict(cursor))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
