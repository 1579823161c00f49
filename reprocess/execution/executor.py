"""The contract of executors: a function and tasks go in, one final outcome for each task comes out.

The function receives one picklable `Task` and returns an `Outcome`; it is expected to catch its own errors.
What it cannot catch is turned into outcomes here: a process that dies, an exit, an exception that escapes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from reprocess import errors
from reprocess.exposure import Outcome

DEFAULT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Task:
    """One unit of work as it is sent to a worker.

    Attributes
    ----------
    unit : str
        Identity of the unit; no two tasks of a run share it.
    dataset : str
    payload : object
        Anything that can be pickled; the executor does not look inside.
    after : tuple of str
        Units that must have succeeded before this one may start.
    attempt : int
        1 for the first; set by the executor.
    spared : int
        How often it was started again because a worker died without its fault; set by the executor.
    """

    unit: str
    dataset: str
    payload: object = None
    after: tuple[str, ...] = ()
    attempt: int = 1
    spared: int = 0


Function = Callable[[Task], Outcome]
Retry = Callable[[Outcome], bool]
Stop = Callable[[], bool]


def is_temporary(outcome: Outcome) -> bool:
    """Try again whatever calls itself temporary: the default policy."""
    return outcome.temporary


def never() -> bool:
    """Do not stop before the last task has ended."""
    return False


def failed(outcome: Outcome) -> bool:
    """Whether a unit that waits for this one must not start: the class is that of an error, or nothing was done."""
    return outcome.outcome_class in _failure_classes(errors.ReprocessError) | {"cancelled", "deferred"}


def _failure_classes(kind: type[errors.ReprocessError]) -> set[str]:
    return {kind.outcome_class}.union(*map(_failure_classes, kind.__subclasses__()))


def guarded(function: Function, task: Task) -> Outcome:
    """Call `function` and turn whatever escapes from it into an outcome.

    A `KeyboardInterrupt` passes: it is addressed to the program, not to the unit.
    """
    try:
        outcome = function(task)
    except (Exception, SystemExit, GeneratorExit) as error:
        return own_error(task, f"unit {task.unit} let an exception escape: {error!r}. This is a fault of the program.")
    if not isinstance(outcome, Outcome):
        return own_error(task, f"unit {task.unit} returned {type(outcome).__name__} instead of an outcome.")
    if outcome.unit != task.unit:
        return own_error(task, f"unit {task.unit} returned the outcome of another unit, {outcome.unit}.")
    return outcome


def own_error(task: Task, message: str) -> Outcome:
    """Make the outcome of a unit that the program itself failed."""
    return Outcome(task.unit, task.dataset, "own-error", message, attempt=task.attempt)


def worker_lost(task: Task, reason: str) -> Outcome:
    """Make the outcome of a unit whose process went away while it was executing."""
    message = f"the worker that executed unit {task.unit} went away ({reason}). Look at its memory limit and its node."
    lost = errors.WorkerLost
    return Outcome(task.unit, task.dataset, lost.outcome_class, message, lost.temporary, task.attempt)


class Executor(abc.ABC):
    """Runs tasks somewhere. A context manager: leaving it stops every process that it started."""

    @property
    @abc.abstractmethod
    def slots(self) -> int:
        """How many tasks run at the same time at present."""

    @abc.abstractmethod
    def run(
        self,
        function: Function,
        tasks: Iterable[Task],
        *,
        retry: Retry = is_temporary,
        attempts: int = DEFAULT_ATTEMPTS,
        stop: Stop = never,
    ) -> Iterator[Outcome]:
        """Run `function` on every task and yield one final outcome for each, in the order they end.

        Parameters
        ----------
        function : callable
            Takes a `Task`, returns an `Outcome`; module-level, so that it can be pickled.
        tasks : iterable of Task
            Read lazily, a window ahead of the work.
        retry : callable
            Whether a unit that ended like this is tried again, `attempts` times in all.
        attempts : int
            Most executions of one unit; a unit that was innocent of its worker's death is not charged.
        stop : callable
            Asked often; once true nothing more is started, what has ended is yielded, and the run is over.
            Units without an outcome are the caller's to take up again.

        Notes
        -----
        A unit whose `after` failed ends with the class of that failure and does not run; its attempt is 0.
        A `KeyboardInterrupt` while waiting has the effect of `stop` and is raised again at the end.
        """

    def close(self) -> None:  # noqa: B027 - an executor without processes has nothing to close
        """Stop every process that this executor started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
