"""One task after the other in this process: for debugging, and the model that other executors are held to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from reprocess.execution.executor import (
    DEFAULT_ATTEMPTS,
    Executor,
    Function,
    Retry,
    Stop,
    Task,
    guarded,
    is_temporary,
    never,
)
from reprocess.execution.frontier import Frontier
from reprocess.exposure import Outcome


class SerialExecutor(Executor):
    """Runs each task in the calling thread. A task that kills its process kills the program."""

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def run(
        self,
        function: Function,
        tasks: Iterable[Task],
        *,
        retry: Retry = is_temporary,
        attempts: int = DEFAULT_ATTEMPTS,
        stop: Stop = never,
    ) -> Iterator[Outcome]:
        """See `Executor.run`."""
        frontier = Frontier(tasks, retry=retry, attempts=attempts)
        while not stop() and (task := frontier.take()) is not None:
            frontier.settle(guarded(function, task))
            yield from frontier.ended()
        if not stop():
            frontier.finish()
        yield from frontier.ended()
