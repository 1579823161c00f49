"""What a worker does with a task: announce it, run it, end it in time."""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import contextlib
import faulthandler
import signal
from collections.abc import Iterator
from dataclasses import replace

from distributed import Worker, WorkerPlugin, get_worker
from distributed.protocol import pickle
from distributed.utils import sync

from reprocess.execution.executor import Function, Task, guarded
from reprocess.exposure import Outcome


class Unmoved(WorkerPlugin):
    """Leaves an interrupt from the terminal, which reaches the whole process group, to the program that was started."""

    name = "reprocess-unmoved"

    def setup(self, worker: Worker) -> None:
        """Ignore the signal; runs in the main thread of the worker's process."""
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def execute(function: Function, topic: str, packed: bytes, token: str) -> Outcome:
    """Announce, then run: this is what a worker executes."""
    worker = get_worker()
    # A scheduler that is out of reach costs this worker its life anyway; the unit then counts as innocent.
    with contextlib.suppress(OSError):
        sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=(token, worker.address))
    task = pickle.loads(packed)
    with _deadline(task):
        outcome = guarded(function, task)
    return outcome if outcome.worker else replace(outcome, worker=str(worker.name))


@contextlib.contextmanager
def _deadline(task: Task) -> Iterator[None]:
    """End this process if the block is not over in time: a thread cannot be ended alone, and may not let go of the GIL.

    The last words of the process on its standard error are where every thread was.
    """
    if not task.deadline_s:
        yield
        return
    faulthandler.dump_traceback_later(task.deadline_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
