"""What a receiver gets: one event, or the digest of a day."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field

from reprocess.publication.events import Event

LISTED = 1000
"""Most events that a digest lists; with their counts it stays far below what a queue takes (256 kB)."""

_COUNTED = ("kind", "instrument", "program", "outcome_class")


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    id : str
        The same for the same message, however often it is sent: receivers leave out what they have.
    group : str
        Messages of one group should arrive in their order.
    subject : str
        A few words of ASCII.
    body : str
        A JSON object on one line.
    """

    id: str
    group: str
    subject: str
    body: str


def of_event(event: Event, subscription: str) -> Message:
    """Write the message of one event."""
    body = {"type": "event", "subscription": subscription, **asdict(event)}
    return Message(event.id, event.dataset, f"reprocess: {event.kind} {event.dataset}"[:99], _json(body))


@dataclass
class Digest:
    """Counts the events of one day, and remembers the first of them.

    Attributes
    ----------
    day : str
        ``YYYY-MM-DD``.
    """

    day: str
    _seen: set[str] = field(default_factory=set)
    _counts: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in _COUNTED})
    _listed: list[dict[str, str]] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Count an event; one that was told before counts for nothing."""
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        for name, counter in self._counts.items():
            counter[str(getattr(event, name)) or "?"] += 1
        if len(self._listed) < LISTED:
            self._listed.append({name: getattr(event, name) for name in ("id", "kind", "dataset", "version")})

    @property
    def count(self) -> int:
        """How many events there are."""
        return len(self._seen)

    def message(self, subscription: str) -> Message:
        """Write the message; of the same events it is the same, late ones make another."""
        name = json.dumps([subscription, self.day, sorted(self._seen)])
        identity = hashlib.sha256(name.encode()).hexdigest()[:32]
        body = {
            "type": "digest",
            "id": identity,
            "subscription": subscription,
            "day": self.day,
            "count": self.count,
            "counts": {name: dict(sorted(counter.items())) for name, counter in self._counts.items()},
            "events": self._listed,
            "not_listed": self.count - len(self._listed),
        }
        return Message(identity, subscription, f"reprocess: {self.count} events on {self.day}", _json(body))


def _json(body: dict[str, object]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))
