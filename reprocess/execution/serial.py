"""One task after the other in this process: for debugging, and the model that other executors are held to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from reprocess.execution.executor import (
    DEFAULT_RETRY,
    Executor,
    Function,
    Priority,
    Retry,
    Stop,
    Task,
    alike,
    guarded,
    never,
)
from reprocess.execution.frontier import Frontier
from reprocess.exposure import Outcome

POLL_S = 0.1


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
        retry: Retry = DEFAULT_RETRY,
        stop: Stop = never,
        priority: Priority = alike,
    ) -> Iterator[Outcome]:
        """See `Executor.run`."""
        frontier = Frontier(tasks, retry=retry)
        while not stop():
            if (task := frontier.take()) is not None:
                frontier.settle(guarded(function, task))
                yield from frontier.ended()
            elif (wait_s := frontier.wait_s) is not None:
                time.sleep(min(wait_s, POLL_S))
            else:
                frontier.finish()
                break
        yield from frontier.ended()
