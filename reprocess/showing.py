"""From a version that is written to what readers see: the gate, then the pointer; several datasets at a time."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Self

from reprocess import errors, worker
from reprocess.archive import recipe
from reprocess.exposure import Outcome
from reprocess.planning.plan import Item
from reprocess.publication import publish
from reprocess.publication.holds import Hold
from reprocess.storage.store import Store

AT_ONCE = 32
"""A commit takes a few answers of the store. One after the other they would hold up a thousand workers."""

_BACKLOG = 8 * AT_ONCE


def gated(item: Item, outcome: Outcome, held: Mapping[str, Hold]) -> Outcome:
    """Hold a written version back if it differs too much from what readers see, or if the dataset is held."""
    if outcome.outcome_class != worker.WRITTEN:
        return outcome
    if item.dataset in held:
        return replace(outcome, outcome_class="deferred", message=str(held[item.dataset]))
    if outcome.difference.get("verdict") == "outside":
        reasons = " ".join(outcome.difference["reasons"])
        told = f"{item.dataset}: version {item.version} is held back. {reasons}"
        return replace(outcome, outcome_class="held-back", message=told)
    return outcome


def show(store: Store, item: Item, outcome: Outcome, *, writer: str) -> Outcome:
    """Let readers see a version that a unit has written, or note that it is what they see already."""
    start = time.perf_counter()
    try:
        ended = _moved(store, item, outcome, writer)
    except errors.ReprocessError as error:
        return replace(outcome, outcome_class=error.outcome_class, message=str(error), temporary=error.temporary)
    seconds = {**outcome.seconds, "publish": time.perf_counter() - start}
    return replace(outcome, outcome_class=ended, seconds=seconds)


def _moved(store: Store, item: Item, outcome: Outcome, writer: str) -> str:
    against = str(outcome.difference.get("against", ""))
    if outcome.difference.get("verdict") == "identical":
        shown = publish.need_version(store, item.dataset, against)
        same = [recipe.digest(item.fingerprint)]
        publish.move_pointer(store, shown, writer=writer, equivalents=same, instead_of=against)
        return "unchanged"
    manifest = publish.need_version(store, item.dataset, item.version)
    # Without a difference nothing was published when the unit looked, or this very version was.
    publish.move_pointer(store, manifest, writer=writer, instead_of=against or None)
    return "published"


class Showing:
    """Moves pointers in threads of its own. A context manager: at its end nothing is under way.

    Parameters
    ----------
    store : Store
        The archive root.
    writer : str
        UUID of this program.
    check : callable
        Raises when this program may not publish any more; called before each pointer.
    at_once : int
        Threads; with 1 a pointer is moved in `give`.
    """

    def __init__(self, store: Store, *, writer: str, check: Callable[[], None], at_once: int = AT_ONCE) -> None:
        self._store, self._writer, self._check = store, writer, check
        self._pool = ThreadPoolExecutor(at_once) if at_once > 1 else None
        self._answers: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
        self._ready: deque[Outcome] = deque()
        self._open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=kind is not None)

    def give(self, item: Item, outcome: Outcome) -> None:
        """Have a version shown; how that ended comes out of `ended`."""
        if self._pool is None:
            self._check()
            self._ready.append(show(self._store, item, outcome, writer=self._writer))
            return
        while self._open >= _BACKLOG:
            self._take(wait=True)
        self._open += 1
        self._pool.submit(self._work, item, outcome)

    def _work(self, item: Item, outcome: Outcome) -> None:
        try:
            self._check()
            self._answers.put(show(self._store, item, outcome, writer=self._writer))
        except BaseException as error:
            self._answers.put(error)

    def ended(self, *, wait: bool = False) -> Iterator[Outcome]:
        """Give out what has come to an end; with `wait` everything that was given."""
        while self._open and (wait or not self._answers.empty()):
            self._take(wait=wait)
        while self._ready:
            yield self._ready.popleft()

    def _take(self, *, wait: bool) -> None:
        answer = self._answers.get(block=wait)
        self._open -= 1
        if isinstance(answer, BaseException):
            raise answer
        self._ready.append(answer)
