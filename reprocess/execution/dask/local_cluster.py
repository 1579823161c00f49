"""A Dask cluster of processes on this machine, reachable from it alone."""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import dask
from distributed import LocalCluster, Status

from reprocess import errors
from reprocess.execution.dask.settings import CLOSE_TIMEOUT_S, CONFIGURATION, offered

WORKER_CLOSE_TIMEOUT_S = 0.5


@contextlib.contextmanager
def started(
    workers: int, *, memory_limit_bytes: int, tiers_bytes: Sequence[int] = (), dashboard: bool = False
) -> Iterator[LocalCluster]:
    """Run a cluster while a block runs; for the parameters see `DaskExecutor.local`.

    Raises
    ------
    WorkerLost
        The processes did not start.
    """
    with contextlib.ExitStack() as scratch:
        directory = scratch.enter_context(tempfile.TemporaryDirectory(prefix="reprocess-", ignore_cleanup_errors=True))
        scratch.enter_context(dask.config.set(CONFIGURATION))
        cluster = _started(
            n_workers=max(workers - len(tiers_bytes), 1),
            threads_per_worker=1,
            processes=True,
            memory_limit=memory_limit_bytes,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": dashboard},
            worker_dashboard_address=None,
            local_directory=directory,
            silence_logs=logging.CRITICAL,
        )
        scratch.callback(_close, cluster)
        _add_tiers(cluster, tiers_bytes)
        yield cluster


def _started(**options: Any) -> LocalCluster:  # noqa: ANN401
    try:
        return LocalCluster(**options)
    except (TimeoutError, RuntimeError, OSError) as error:
        raise errors.WorkerLost(
            f"The worker processes did not start ({error!r}). Look at the load and the memory of this machine, then "
            "run again."
        ) from error


def _close(cluster: LocalCluster) -> None:
    """Close a local cluster without waiting for what its workers are executing."""

    async def close_workers() -> None:
        nannies = cluster.workers.values()
        await asyncio.gather(*(nanny.close(timeout=WORKER_CLOSE_TIMEOUT_S) for nanny in nannies))

    if cluster.status is Status.running:
        cluster.sync(close_workers)
    cluster.close(timeout=CLOSE_TIMEOUT_S)


def _add_tiers(cluster: LocalCluster, tiers_bytes: Sequence[int]) -> None:
    """Start one worker of each higher memory tier."""
    plain = cluster.new_spec
    for tier, limit in enumerate(tiers_bytes, start=1):
        options = {**plain["options"], "memory_limit": limit, "resources": offered(tier)}
        cluster.new_spec = {**plain, "options": options}
        cluster.scale(len(cluster.worker_spec) + 1)
    cluster.new_spec = plain
