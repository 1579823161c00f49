"""The contract of executors: a function and tasks go in, one final outcome for each task comes out.

The function receives one picklable `Task` and returns an `Outcome`; it is expected to catch its own errors.
What it cannot catch is turned into outcomes here: a process that dies, an exit, an exception that escapes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    tier : int
        Memory tier of the workers that may run it; 0 for any worker.
    deadline_s : float
        How long it may run, where executors have processes to end; 0 for as long as it likes.
    expected_s : float
        How long it is expected to run; binds nobody.
    attempt : int
        1 for the first; set by the executor.
    failures : tuple of str
        Classes of the attempts so far; set by the executor.
    spared : int
        How often it was started again because a worker died without its fault; set by the executor.
    """

    unit: str
    dataset: str
    payload: object = None
    after: tuple[str, ...] = ()
    tier: int = 0
    deadline_s: float = 0.0
    expected_s: float = 0.0
    attempt: int = 1
    failures: tuple[str, ...] = ()
    spared: int = 0


@dataclass(frozen=True, slots=True)
class Again:
    """A unit is to be tried once more, not before `after_s` seconds have passed, and in this memory tier."""

    after_s: float = 0.0
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Amount:
    """So many units, and the seconds that they are expected to run."""

    units: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Left:
    """What a run may still take; None: as much as it likes.

    Attributes
    ----------
    hours : float or None
        Until its deadline.
    core_s : float or None
        Core seconds until its budget ends.
    """

    hours: float | None = None
    core_s: float | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What an executor has to do at one moment, and with whom.

    Attributes
    ----------
    queued, running : int
        Units that wait, as far as the executor was given them or told to expect them, and units that run.
    busy, idle : mapping of tier to int
        Workers that execute something, and workers that do not.
    """

    queued: int
    running: int
    busy: Mapping[int, int]
    idle: Mapping[int, int]


Function = Callable[[Task], Outcome]
Retry = Callable[[Task, Outcome], Again | None]
Stop = Callable[[], bool]
Priority = Callable[[], int]


def up_to(attempts: int) -> Retry:
    """Try whatever calls itself temporary at once and again, so many times in all: the simplest policy."""

    def retry(task: Task, outcome: Outcome) -> Again | None:
        return Again(tier=task.tier) if outcome.temporary and task.attempt < attempts else None

    return retry


DEFAULT_RETRY = up_to(DEFAULT_ATTEMPTS)


def alike() -> int:
    """Prefer no run to another."""
    return 0


def never() -> bool:
    """Do not stop before the last task has ended."""
    return False


def failed(outcome: Outcome) -> bool:
    """Whether a unit that waits for this one must not start: the class is that of an error, or nothing was done."""
    return outcome.outcome_class in errors.FAILURE_CLASSES or outcome.outcome_class in _NOT_DONE


_NOT_DONE = frozenset({"cancelled", "deferred"})


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
    return _of_error(task, errors.WorkerLost(message))


def out_of_memory(task: Task, reason: str) -> Outcome:
    """Make the outcome of a unit whose process was ended because it took more memory than it may."""
    message = (
        f"the worker that executed unit {task.unit} was ended because it took too much memory ({reason}). Give workers "
        "more with --memory-limit, or add a tier of larger ones."
    )
    return _of_error(task, errors.OutOfMemory(message))


def overdue(task: Task, reason: str) -> Outcome:
    """Make the outcome of a unit that did not end in time."""
    message = (
        f"unit {task.unit} was still running after {task.deadline_s:.0f} s, and was ended with its worker "
        f"({reason}). Allow more with deadline_s in [execution], or look at its log."
    )
    return _of_error(task, errors.Overdue(message))


def _of_error(task: Task, error: errors.ReprocessError) -> Outcome:
    return Outcome(task.unit, task.dataset, error.outcome_class, str(error), error.temporary, task.attempt)


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
        retry: Retry = DEFAULT_RETRY,
        stop: Stop = never,
        priority: Priority = alike,
    ) -> Iterator[Outcome]:
        """Run `function` on every task and yield one final outcome for each, in the order they end.

        Parameters
        ----------
        function : callable
            Takes a `Task`, returns an `Outcome`; module-level, so that it can be pickled.
        tasks : iterable of Task
            Read lazily, a window ahead of the work.
        retry : callable
            Says of a task and how it ended whether, when and where it is tried again. It is not asked about a unit that
            was innocent of its worker's death: that one is started again and nothing is charged.
        stop : callable
            Asked often; once true nothing more is started, what has ended is yielded, and the run is over.
            Units without an outcome are the caller's to take up again.
        priority : callable
            Asked as units are submitted: of several runs on the same workers the one with the higher number goes first.

        Notes
        -----
        A unit whose `after` failed ends with the class of that failure and does not run; its attempt is 0.
        A `KeyboardInterrupt` while waiting has the effect of `stop` and is raised again at the end.
        """

    def expect(  # noqa: B027 - most executors are as large as they are
        self, amounts: Callable[[], Mapping[int, Amount]], *, left: Callable[[], Left]
    ) -> None:
        """Take note of what the next run will come to, where the executor fits itself to its work.

        Parameters
        ----------
        amounts : callable
            Says of each memory tier how much all tasks are that will be given; asked where it matters, at once.
        left : callable
            Says what the run may take from now on; asked from another thread.
        """

    def tell_obstacles(self, note: Callable[[str], None]) -> None:  # noqa: B027 - most executors have their workers
        """Have what keeps workers from coming told, a text for each thing, once; `note` is called in another thread."""

    def load(self) -> Load | None:
        """Say what there is to do and who is there; None where nobody counts. May be asked from any thread."""
        return None

    def close(self) -> None:  # noqa: B027 - an executor without processes has nothing to close
        """Stop every process that this executor started."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
