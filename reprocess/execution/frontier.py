"""Which tasks may start, which wait for others or for their time, and what an outcome changes about it; no I/O."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from reprocess import errors
from reprocess.execution.executor import Retry, Task, failed, own_error, worker_lost
from reprocess.exposure import Outcome

Death = Callable[[Task, str], Outcome]

SPARED_LIMIT = 20
"""So many deaths of its workers a unit may be innocent of; then one is counted, so that a run always ends."""


class Frontier:
    """The edge between what has ended and what has not begun.

    Parameters
    ----------
    tasks : iterable of Task
        Read one by one, only as far as `take` asks. A task may come before or after those it waits for.
    retry : callable
        See `Executor.run`.
    clock : callable
        Gives seconds; tells when a unit that is to wait before it is tried again has waited.
    """

    def __init__(self, tasks: Iterable[Task], *, retry: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = iter(tasks)
        self._retry = retry
        self._clock = clock
        self._later: list[tuple[float, int, Task]] = []
        self._number = itertools.count()
        self._urgent: deque[Task] = deque()
        self._running: dict[str, Task] = {}
        self._waiting: dict[str, Task] = {}
        self._waited_for: dict[str, list[str]] = {}
        self._open: dict[str, set[str]] = {}
        self._succeeded: set[str] = set()
        self._failures: dict[str, Outcome] = {}
        self._ended: deque[Outcome] = deque()

    def take(self, *, fresh: bool = True) -> Task | None:
        """Give out the next task that may start, or None; without `fresh` only what was begun before."""
        while self._later and self._later[0][0] <= self._clock():
            self._urgent.append(heapq.heappop(self._later)[-1])
        task = self._urgent.popleft() if self._urgent else self._pull() if fresh else None
        if task is not None:
            self._running[task.unit] = task
        return task

    def settle(self, outcome: Outcome) -> None:
        """Take note of how an execution ended: try again, or end the unit and whatever waits for it."""
        task = self._running.pop(outcome.unit)
        outcome = replace(outcome, attempt=task.attempt, tier=task.tier)
        again = self._retry(task, outcome) if failed(outcome) else None
        if again is None:
            self._end(outcome)
            return
        failures = (*task.failures, outcome.outcome_class)
        due = self._clock() + again.after_s
        task = replace(task, attempt=task.attempt + 1, failures=failures, tier=again.tier)
        heapq.heappush(self._later, (due, next(self._number), task))

    @property
    def wait_s(self) -> float | None:
        """How long until a unit that waits to be tried again may start; None if none does."""
        return max(self._later[0][0] - self._clock(), 0.0) if self._later else None

    def lost(self, unit: str, *, executing: bool, reason: str, why: Death = worker_lost) -> None:
        """Take note that a worker died: a unit that was executing is charged, another one just goes again."""
        task = self._running[unit]
        if executing or task.spared >= SPARED_LIMIT:
            self.settle(why(task, reason))
        else:
            del self._running[unit]
            self._urgent.append(replace(task, spared=task.spared + 1))

    def ended(self) -> Iterator[Outcome]:
        """Give out, once each, the final outcomes that there are by now."""
        while self._ended:
            yield self._ended.popleft()

    def finish(self) -> None:
        """End the tasks that wait for units which were never given: the source is exhausted and nothing runs."""
        for unit, missing in list(self._open.items()):
            names = ", ".join(sorted(missing))
            if task := self._waiting.pop(unit, None):
                self._end(own_error(replace(task, attempt=0), f"unit {unit} waits for {names}, which will never end."))

    def _pull(self) -> Task | None:
        for task in self._source:
            if self._seen(task.unit):
                raise errors.PlanError(
                    f"Two tasks are called {task.unit}; identities of units must differ. Plan again."
                )
            if failure := next((self._failures[unit] for unit in task.after if unit in self._failures), None):
                self._end(_not_started(task, failure))
            elif missing := set(task.after) - self._succeeded:
                self._park(task, missing)
            else:
                return task
        return None

    def _seen(self, unit: str) -> bool:
        return unit in self._running or unit in self._waiting or unit in self._succeeded or unit in self._failures

    def _park(self, task: Task, missing: set[str]) -> None:
        self._waiting[task.unit] = task
        self._open[task.unit] = missing
        for unit in missing:
            self._waited_for.setdefault(unit, []).append(task.unit)

    def _end(self, outcome: Outcome) -> None:
        self._ended.append(outcome)
        if failed(outcome):
            self._failures[outcome.unit] = outcome
        else:
            self._succeeded.add(outcome.unit)
        for waiting in self._waited_for.pop(outcome.unit, ()):
            self._notify(waiting, outcome)

    def _notify(self, waiting: str, outcome: Outcome) -> None:
        if waiting not in self._waiting:
            return
        self._open[waiting].discard(outcome.unit)
        if failed(outcome):
            del self._open[waiting]
            self._end(_not_started(self._waiting.pop(waiting), outcome))
        elif not self._open[waiting]:
            del self._open[waiting]
            self._urgent.append(self._waiting.pop(waiting))


def _not_started(task: Task, failure: Outcome) -> Outcome:
    message = (
        f"unit {task.unit} was not started because {failure.unit} ended {failure.outcome_class}: {failure.message}"
    )
    return Outcome(task.unit, task.dataset, failure.outcome_class, message, failure.temporary, attempt=0)
