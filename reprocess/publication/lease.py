"""The lease of a campaign: of several coordinators one works, and whoever has lost it stops.

``campaigns/<id>/lease.json`` is changed by compare-and-swap only. Clocks of different machines are not compared: the
record tells how long its holder may be silent, and whoever wants to take it over watches it for so long by a clock of
his own. A holder that could not renew it for as long has lost it, whether or not anybody else has come.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

from reprocess import errors
from reprocess.formats import records
from reprocess.storage.store import Store

KIND, SCHEMA = "lease", 1
SILENCE_S = 30.0
"""How long a coordinator may be silent before another one takes over."""
LOOKS = 10  # while one watches a lease for as long as its holder may be silent

Clock = Callable[[], float]

_OVERTAKEN = (errors.AlreadyExists, errors.PreconditionFailed, errors.CommitConflict)


def key(campaign: str) -> str:
    """Key of a campaign's lease below the archive root."""
    return f"campaigns/{campaign}/lease.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored.

    Attributes
    ----------
    holder : str
        UUID of one run of one process.
    place : str
        Where that is, for people: host and process.
    epoch : int
        Rises with each holder.
    beat : int
        Rises with each renewal.
    silence_s : float
        How long the holder may be silent.
    released : bool
        Whether the holder has ended, and anybody may take it at once.
    """

    holder: str
    place: str
    epoch: int
    beat: int
    silence_s: float
    released: bool = False


class Lease:
    """A lease that this process holds; see `acquire`."""

    def __init__(self, store: Store, campaign: str, record: Record, etag: str, *, asked: float, clock: Clock) -> None:
        self._store, self._campaign, self._clock = store, campaign, clock
        self._record, self._etag = record, etag
        self._renewed = asked
        self._taken = ""
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """Number of the holder: 1 for the first of the campaign."""
        return self._record.epoch

    @property
    def is_lost(self) -> bool:
        """Whether another coordinator may be at work."""
        return bool(self._taken) or self._clock() - self._renewed >= self._record.silence_s

    def check(self) -> None:
        """Refuse to go on without the lease.

        Raises
        ------
        LeaseHeld
            It is lost.
        """
        if self.is_lost:
            by = self._taken or f"nobody, after {self._record.silence_s:.0f} s in which the store did not answer"
            raise (errors.LeaseHeld if self._taken else errors.LeaseLapsed)(
                f"This coordinator of campaign {self._campaign} has lost its lease; it was taken by {by}. What was "
                "done so far is kept: run the plan again when that one has ended."
            )

    def renew(self) -> None:
        """Tell that the holder is alive; a store that does not answer is asked again by the next call.

        Raises
        ------
        LeaseHeld
            Another coordinator has taken the lease.
        """
        with self._lock:
            self.check()
            self._write()
            self.check()

    def release(self) -> None:
        """Let others have the lease at once; without effect if it is lost."""
        with self._lock, contextlib.suppress(errors.StorageError):
            if not self.is_lost:
                self._write(released=True)

    def _write(self, *, released: bool = False) -> None:
        for _ in range(2):
            asked, record = self._clock(), replace(self._record, beat=self._record.beat + 1, released=released)
            try:
                stamp = self._store.compare_and_swap(key(self._campaign), _dumps(record), etag=self._etag)
                self._record, self._etag, self._renewed = record, stamp.etag, asked
                return
            except (*_OVERTAKEN, errors.ObjectMissing):
                # An earlier write whose answer was lost may have been made: it counts from then, so a new one is due.
                if not self._is_still_mine():
                    return
            except errors.StorageUnavailable:
                return  # if it was made all the same, the next write meets another ETag

    def _is_still_mine(self) -> bool:
        """Read back what a refused write has met, and go on from it if this holder wrote it."""
        try:
            found, etag = _read(self._store, self._campaign)
        except errors.StorageUnavailable:
            return False
        if found is None or found.holder != self._record.holder:
            self._taken = found.place if found else "somebody who deleted it"
            return False
        self._record, self._etag = found, etag
        return True

    @contextlib.contextmanager
    def kept(self) -> Iterator[Lease]:
        """Renew the lease in a thread of its own, and release it at the end."""
        done = threading.Event()
        thread = threading.Thread(target=self._keep, args=(done,), name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()
            self.release()

    def _keep(self, done: threading.Event) -> None:
        while not done.wait(self._record.silence_s / LOOKS) and not self.is_lost:
            with contextlib.suppress(errors.ReprocessError):
                self.renew()


@dataclass
class Candidate:
    """Somebody who wants a lease, and watches it if somebody else has it."""

    store: Store
    campaign: str
    silence_s: float = SILENCE_S
    holder: str = field(default_factory=lambda: str(uuid.uuid4()))
    place: str = field(default_factory=lambda: f"{socket.gethostname()}, process {os.getpid()}")
    clock: Clock = time.monotonic
    _seen: Record | None = None
    _since: float = 0.0

    def look(self) -> Lease | None:
        """Take the lease if it is free; None if its holder may still be alive.

        Raises
        ------
        LeaseHeld
            Its holder is alive: it was renewed, or has passed to another, since this began to watch.
        """
        now = self.clock()
        found, etag = _read(self.store, self.campaign)
        if found is not None and found.holder == self.holder:
            return Lease(self.store, self.campaign, found, etag, asked=self._since, clock=self.clock)
        if found is None or found.released or self._is_silent(found, now):
            return self._take(found, etag, now)
        if self._seen is None:
            self._seen, self._since = found, now
        elif found != self._seen:
            raise errors.LeaseHeld(
                f"Campaign {self.campaign} is being worked off by {found.place}. Wait until that has ended; "
                f"`reprocess status` says how far it is."
            )
        return None

    def _is_silent(self, found: Record, now: float) -> bool:
        return found == self._seen and now - self._since >= found.silence_s

    def _take(self, found: Record | None, etag: str, now: float) -> Lease | None:
        record = Record(self.holder, self.place, 1 + (found.epoch if found else 0), 0, self.silence_s)
        place, data = key(self.campaign), _dumps(record)
        self._since = now
        try:
            if found is None:
                stamp = self.store.put_if_absent(place, data, content_type="application/json")
            else:
                stamp = self.store.compare_and_swap(place, data, etag=etag)
        except (*_OVERTAKEN, errors.ObjectMissing, errors.StorageUnavailable):
            # Somebody was faster, or the answer was lost: the next look tells.
            self._seen = None
            return None
        return Lease(self.store, self.campaign, record, stamp.etag, asked=now, clock=self.clock)


def acquire(
    store: Store,
    campaign: str,
    *,
    silence_s: float = SILENCE_S,
    sleep: Callable[[float], None] = time.sleep,
    waiting: Callable[[str], None] | None = None,
) -> Lease:
    """Take the lease of a campaign, after watching it if its last holder did not release it.

    Parameters
    ----------
    store : Store
        The archive root.
    campaign : str
    silence_s : float
        How long the new holder may be silent.
    sleep : callable
        Takes seconds.
    waiting : callable, optional
        Called once with a sentence if the lease has to be watched.

    Raises
    ------
    LeaseHeld
        Another coordinator is alive.
    StorageUnavailable
        The store does not answer.
    """
    candidate = Candidate(store, campaign, silence_s)
    while (lease := candidate.look()) is None:
        seen = candidate._seen
        if waiting is not None and seen is not None:
            waiting(
                f"The last coordinator of this campaign ({seen.place}) did not end in order. Looking for "
                f"{seen.silence_s:.0f} s whether it is alive."
            )
            waiting = None
        sleep((seen.silence_s if seen else silence_s) / LOOKS)
    return lease


def _dumps(record: Record) -> bytes:
    return records.dumps(KIND, SCHEMA, asdict(record))


def _read(store: Store, campaign: str) -> tuple[Record | None, str]:
    """Read what is stored.

    Raises
    ------
    DamagedRecord
        It is no lease.
    """
    place = key(campaign)
    try:
        blob = store.get(place)
    except errors.ObjectMissing:
        return None, ""
    body = records.loads(blob.data, KIND, name=place, schemas=(SCHEMA,))
    try:
        return Record(**{name: body[name] for name in Record.__dataclass_fields__}), blob.stamp.etag
    except KeyError as error:
        raise errors.DamagedRecord(f"{place} lacks {error}. Delete it when no coordinator is at work.") from error
