"""Which tasks may start, which wait for others, and what an outcome changes about it; no I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from reprocess import errors
from reprocess.execution.executor import Retry, Task, failed, own_error, worker_lost
from reprocess.exposure import Outcome

SPARED_LIMIT = 20
"""So many deaths of its workers a unit may be innocent of; then one is counted, so that a run always ends."""


class Frontier:
    """The edge between what has ended and what has not begun.

    Parameters
    ----------
    tasks : iterable of Task
        Read one by one, only as far as `take` asks. A task may come before or after those it waits for.
    retry, attempts
        See `Executor.run`.
    """

    def __init__(self, tasks: Iterable[Task], *, retry: Retry, attempts: int) -> None:
        self._source = iter(tasks)
        self._retry = retry
        self._attempts = attempts
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
        task = self._urgent.popleft() if self._urgent else self._pull() if fresh else None
        if task is not None:
            self._running[task.unit] = task
        return task

    def settle(self, outcome: Outcome) -> None:
        """Take note of how an execution ended: try again, or end the unit and whatever waits for it."""
        task = self._running.pop(outcome.unit)
        outcome = replace(outcome, attempt=task.attempt)
        if task.attempt < self._attempts and self._retry(outcome):
            self._urgent.append(replace(task, attempt=task.attempt + 1))
        else:
            self._end(outcome)

    def lost(self, unit: str, *, executing: bool, reason: str) -> None:
        """Take note that a worker died: a unit that was executing is charged, another one just goes again."""
        task = self._running[unit]
        if executing or task.spared >= SPARED_LIMIT:
            self.settle(worker_lost(task, reason))
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
