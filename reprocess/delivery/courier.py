"""From the log of events to the receivers: what is new for each subscription, at least once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from reprocess import errors
from reprocess.delivery import message
from reprocess.delivery.message import Digest
from reprocess.delivery.transport import Transport
from reprocess.publication import events, subscriptions
from reprocess.publication.events import Batch, Event
from reprocess.publication.subscriptions import Cursor, Subscription
from reprocess.storage.store import Store

_LOG = logging.getLogger(__name__)

Open = Callable[[str], Transport]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one subscription was brought.

    Attributes
    ----------
    subscription : str
    events, messages : int
        How many were taken by the receiver; a digest is one message.
    problem : str
        Why not all was delivered; empty if all was. The rest is delivered the next time.
    """

    subscription: str
    events: int
    messages: int
    problem: str = ""


def deliver(store: Store, open_transport: Open, *, now: datetime | None = None) -> tuple[Delivered, ...]:
    """Bring every subscription what is new for it; one that fails does not hold up the others.

    Parameters
    ----------
    open_transport : callable
        From an address to a transport, such as `transport.open_transport`.
    now : datetime, optional
        With a time zone; a day's digest is sent when the day is over in UTC.

    Raises
    ------
    StorageError
        The archive cannot be read or written.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return tuple(_deliver(store, each, open_transport, moment) for each in subscriptions.every(store))


def after_run(store: Store, open_transport: Open) -> None:
    """Deliver at the end of a run: whatever does not succeed is a warning, and waits for the next time."""
    try:
        done = deliver(store, open_transport)
    except errors.ReprocessError as error:
        _LOG.warning("Events are not delivered: %s", error)
        return
    for each in done:
        if each.problem:
            _LOG.warning("Events for %s are not all delivered: %s", each.subscription, each.problem)


def text(done: Iterable[Delivered]) -> str:
    """Say what was delivered, one line each."""
    lines = (
        f"{each.subscription}: {each.events:,} event(s) in {each.messages:,} message(s)"
        + (f"; {each.problem}" if each.problem else "")
        for each in done
    )
    return "\n".join(lines) or "Nobody has subscribed."


@dataclass
class _Round:
    """One subscription on its way: where its cursor is, and what the receiver took."""

    store: Store
    wanted: Subscription
    transport: Transport
    cursor: Cursor
    etag: str
    events: int = 0
    messages: int = 0

    def save(self, cursor: Cursor) -> None:
        """Move the cursor, if it has moved."""
        if cursor != self.cursor:
            self.cursor, self.etag = subscriptions.move(self.store, self.wanted, cursor, etag=self.etag)


def _deliver(store: Store, wanted: Subscription, open_transport: Open, now: datetime) -> Delivered:
    done: _Round | None = None
    problem = ""
    try:
        cursor, etag = subscriptions.cursor_of(store, wanted)
        done = _Round(store, wanted, open_transport(wanted.to), cursor, etag)
        (_digests if wanted.digest else _one_by_one)(done, now)
    except errors.PreconditionFailed:
        problem = "Somebody else delivers it at the same time. What is left is delivered the next time."
    except (errors.DeliveryError, errors.DamagedRecord, errors.ObjectMissing, errors.UsageError) as error:
        problem = str(error)
    return Delivered(wanted.name, done.events if done else 0, done.messages if done else 0, problem)


def _one_by_one(done: _Round, now: datetime) -> None:
    cursor, last = done.cursor, ""
    try:
        for batch, skipped in subscriptions.pending(done.store, done.cursor):
            found = events.read(done.store, batch.key)
            for position in _send(done, found, skipped):
                cursor = cursor.past(batch, position)
            cursor, last = cursor.past(batch), batch.day
            if any(map(done.wanted.wants, found[skipped:])):
                done.save(cursor)
        if last:
            cursor = cursor.forgetting(last, now.date())
    finally:
        done.save(cursor)


def _send(done: _Round, found: tuple[Event, ...], skipped: int) -> Iterator[int]:
    """Send the events of a batch, and yield after each call how many of them are done."""
    wanted = [at for at in range(skipped, len(found)) if done.wanted.wants(found[at])]
    for start in range(0, len(wanted), done.transport.batch):
        some = wanted[start : start + done.transport.batch]
        done.transport.send([message.of_event(found[at], done.wanted.name) for at in some])
        done.events += len(some)
        done.messages += len(some)
        yield some[-1] + 1


def _digests(done: _Round, now: datetime) -> None:
    today = now.date().isoformat()
    days: dict[str, list[Batch]] = {}
    for batch, _ in subscriptions.pending(done.store, done.cursor):
        if batch.day < today:
            days.setdefault(batch.day, []).append(batch)
    for day, batches in days.items():
        digest = _digest(done, day, batches)
        if digest.count:
            done.transport.send([digest.message(done.wanted.name)])
            done.events += digest.count
            done.messages += 1
        cursor = done.cursor
        for batch in batches:
            cursor = cursor.past(batch)
        done.save(cursor.forgetting(day, now.date()))


def _digest(done: _Round, day: str, batches: Iterable[Batch]) -> Digest:
    digest = Digest(day)
    for batch in batches:
        for event in filter(done.wanted.wants, events.read(done.store, batch.key)):
            digest.add(event)
    return digest
