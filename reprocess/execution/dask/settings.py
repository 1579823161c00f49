"""How Dask is set up for units that hold large arrays for minutes; the same for every cluster."""

from __future__ import annotations

from reprocess import heap

CLOSE_TIMEOUT_S = 10

MEMORY_TOPIC = "worker-restart-memory"
"""Under which Dask's nannies tell of the workers that they end for their memory."""

CONFIGURATION = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # Above 1.0, tasks stand in line at a worker and share its fate.
    "distributed.scheduler.worker-saturation": 1.0,
    # A local cluster gives a worker up that is away so long after any of its deaths, be it another one by then. Its
    # nanny starts it again: nobody has to give it up.
    "distributed.deploy.lost-worker-timeout": "365 days",
    # Arrays inside a running task cannot be spilled, and a paused worker never frees them.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Dask has glibc give back every 64 kB: that nearly doubles the time of stage 1, see `heap`.
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in heap.ENVIRONMENT.items()},
}

_TIER = "memory-tier-"


def resources(tier: int) -> dict[str, float] | None:
    """Return what a unit of a memory tier asks of its worker, in the terms of ``dask worker --resources``.

    Units of tier 0 ask for nothing.
    """
    return {f"{_TIER}{tier}": 1} if tier else None


def offered(tier: int) -> dict[str, float]:
    """Return what a worker of a memory tier offers: what any unit up to that tier asks for."""
    return {name: 1 for each in range(1, tier + 1) for name in resources(each) or ()}


def tier_of(offers: dict[str, float]) -> int:
    """Return the memory tier of a worker that offers this."""
    return sum(name.startswith(_TIER) for name in offers)
