"""From settings to an executor."""

from __future__ import annotations

import os
from collections.abc import Sequence

from reprocess import errors
from reprocess.execution.executor import Executor

LEAST_MEMORY_BYTES = 400 * 10**6
"""The libraries take 200 MB of it."""


def open_executor(
    *, scheduler: str, workers: int, memory_limit_bytes: int, tiers_bytes: Sequence[int] = ()
) -> Executor:
    """Open the executor that a word names.

    Parameters
    ----------
    scheduler : str
        Empty for a Dask cluster on this machine, ``serial`` for this process, else the address of a Dask scheduler.
    workers : int
        Processes of a cluster on this machine; 0 for one per core.
    memory_limit_bytes : int
        Of one process of a cluster on this machine.
    tiers_bytes : sequence of int
        Memory limits of the higher tiers of such a cluster.

    Raises
    ------
    UsageError
        The scheduler is none of these.
    """
    if scheduler == "serial":
        from reprocess.execution.serial import SerialExecutor

        return SerialExecutor()
    if scheduler and not scheduler.startswith(("tcp://", "tls://")):
        raise errors.UsageError(f"The scheduler {scheduler!r} is no address. Write tcp://host:port, or serial.")
    from reprocess.execution.dask.executor import DaskExecutor

    if scheduler:
        return DaskExecutor.connect(scheduler)
    if memory_limit_bytes < LEAST_MEMORY_BYTES:
        raise errors.UsageError(
            f"A worker of {memory_limit_bytes / 1e6:.0f} MB cannot even start. "
            f"Give it {LEAST_MEMORY_BYTES / 1e6:.0f} MB or more with --memory-limit."
        )
    processes = workers or os.cpu_count() or 1
    return DaskExecutor.local(processes, memory_limit_bytes=memory_limit_bytes, tiers_bytes=tiers_bytes)
