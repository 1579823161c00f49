"""Workers asked for by our rule, and by Dask's Adaptive, on the same recorded work.

The cluster is simulated in virtual time, see `tests.execution.scaling_traces`; both policies are the real ones. Dask's
is `distributed.deploy.Adaptive` with its own recommendations, on the scheduler's own `adaptive_target` and
`workers_to_close`, which are given a view of the simulated workers and queue; it learns from durations as the scheduler
does. It decides each second, as it does by default, one for each memory tier, and is favoured in one thing: here, what
it closes ends its unit first. It runs with its own aim of 5 s, and with that of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from distributed import Scheduler
from distributed.deploy import Adaptive
from distributed.scheduler import TaskPrefix

from benchmarks import measurement
from benchmarks.measurement import Result
from reprocess.execution.scaling import Limits
from tests.execution import scaling_traces as traces
from tests.execution.scaling_traces import Cluster, Pod, Policy, Story, Trace, Unit

AIM_S = Limits(1).aim_s
UNKNOWN_S = 0.5
"""What Dask takes a task for before the first has ended."""


class _Task:
    """A task as the scheduler sees it."""

    def __init__(self, prefix: TaskPrefix) -> None:
        self.prefix = prefix


class _Queue:
    """What waits, as the scheduler sees it: it counts all and looks at the first."""

    def __init__(self, units: Collection[Unit], prefixes: Mapping[float, TaskPrefix]) -> None:
        self._units, self._prefixes = units, prefixes

    def __len__(self) -> int:
        return len(self._units)

    def __iter__(self) -> Iterator[_Task]:
        return (_Task(self._prefixes[unit.told_s]) for unit in self._units)


class _Worker:
    """A worker as the scheduler sees it: holding no data."""

    nthreads, memory_limit, nbytes = 1, 4_000_000_000, 0
    long_running: frozenset[str] = frozenset()

    def __init__(self, pod: Pod) -> None:
        self.name = self.address = pod.name
        self.processing = ["unit"] if pod.unit else []


class _View:
    """A tier as `distributed.Scheduler` sees itself, and its own functions on it."""

    UNKNOWN_TASK_DURATION = UNKNOWN_S
    bandwidth, validate = 1e8, False
    _get_prefix_duration = Scheduler._get_prefix_duration
    _calc_occupancy = Scheduler._calc_occupancy

    def __init__(self, cluster: Cluster, tier: int) -> None:
        self._cluster, self._tier = cluster, tier
        self._learned = 0
        kinds = {unit.told_s for unit in cluster.trace.units}
        self.task_prefixes = {told_s: TaskPrefix(f"unit of {told_s} s") for told_s in kinds}
        self.unrunnable: dict[str, float] = {}
        self.plugins: dict[str, object] = {}

    @property
    def queued(self) -> _Queue:
        return _Queue(self._cluster.queues[self._tier], self.task_prefixes)

    @property
    def workers(self) -> dict[int, _Worker]:
        return {pod.name: _Worker(pod) for pod in self._cluster.staying(self._tier) if pod.ready}

    @property
    def total_occupancy(self) -> float:
        busy = Counter(pod.unit.told_s for pod in self._cluster.staying(self._tier) if pod.unit)
        occupancy: float = self._calc_occupancy(busy, 0.0)
        return occupancy

    async def adaptive_target(self, target_duration: float) -> int:
        self._learn()
        target: int = Scheduler.adaptive_target(_Sync(self), target_duration)
        return target

    async def workers_to_close(self, target: int, key: None, attribute: str) -> list[int]:
        return _Sync(self).workers_to_close(target=target, key=key, attribute=attribute)

    async def retire_workers(self, names: list[int], remove: bool, close_workers: bool) -> None:
        """Do nothing: what they hold is not simulated, and Adaptive takes them away next."""

    def _learn(self) -> None:
        taken = self._cluster.taken[self._tier]
        for told_s, seconds in taken[self._learned :]:
            self.task_prefixes[told_s].add_duration("compute", 0.0, seconds)
        self._learned = len(taken)


class _Sync:
    """The same view for the scheduler's own functions, which call each other and do not wait."""

    def __init__(self, view: _View) -> None:
        self._view = view
        self.queued, self.workers = view.queued, view.workers

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._view, name)

    def workers_to_close(self, **options: Any) -> list[int]:  # noqa: ANN401
        closed: list[int] = Scheduler.workers_to_close(self, **options)
        return closed


class _Tier:
    """A tier as Adaptive sees a cluster."""

    def __init__(self, cluster: Cluster, tier: int) -> None:
        self._cluster, self._tier = cluster, tier
        self.scheduler_comm = _View(cluster, tier)

    @property
    def plan(self) -> set[int]:
        return {pod.name for pod in self._cluster.staying(self._tier)}

    requested = plan

    @property
    def observed(self) -> set[int]:
        return {pod.name for pod in self._cluster.staying(self._tier) if pod.ready}

    def scale(self, count: int) -> None:
        self._cluster.scale(self._tier, count)

    def scale_down(self, names: Collection[int]) -> None:
        self._cluster.scale(self._tier, len(self.plan) - len(names), victims=set(names))


def adaptive(trace: Trace, target_s: float) -> Policy:
    """Return Dask's policy, one for each tier."""
    each: list[Adaptive] = []
    loop = asyncio.new_event_loop()

    def policy(cluster: Cluster) -> None:
        if not each:
            each.extend(_adaptive(cluster, tier, most, target_s) for tier, most in trace.most.items())
        for one in each:
            loop.run_until_complete(one.adapt())

    return policy


def _adaptive(cluster: Cluster, tier: int, most: int, target_s: float) -> Adaptive:
    return Adaptive(_Tier(cluster, tier), interval=0, minimum=0, maximum=most, target_duration=target_s)


POLICIES: Mapping[str, tuple[Callable[[Trace], Policy], float]] = {
    "ours": (traces.ours, traces.PERIOD_S),
    "Adaptive, 5 s": (lambda trace: adaptive(trace, 5.0), 1.0),
    "Adaptive, 15 min": (lambda trace: adaptive(trace, AIM_S), 1.0),
}
"""Policy of a trace, and how often it decides, in seconds."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_scaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the traces with few units only")
    wanted = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    logging.getLogger("distributed").setLevel(logging.WARNING)
    names = [name for name in traces.TRACES if not wanted.quick or name in ("large burst", "short queue")]
    found = {name: {policy: run(name, policy) for policy in POLICIES} for name in names}
    _show(found)
    if not wanted.quick:
        measurement.write(measurement.record("scaling", {"arguments": vars(wanted), "traces": found}, load))


def run(name: str, policy: str) -> Result:
    """Let a policy work off a trace."""
    trace = traces.TRACES[name]()
    make, period_s = POLICIES[policy]
    story = traces.play(trace, make(trace), period_s=period_s)
    assert story.ended == len(trace.units), f"{policy} ended {story.ended} of {len(trace.units)} units of {name}"
    return _told(story, trace)


def _told(story: Story, trace: Trace) -> Result:
    return {
        "units": len(trace.units),
        "makespan_s": story.makespan_s,
        "paid_s": story.paid_s,
        "idle_share": story.idle_share,
        "most": max(count for _, _, count in story.asked),
        "started": story.started,
        "changes": len(story.asked),
        "turns": sum(story.turns(tier) for tier in trace.most),
        "again": story.again,
        "refused": story.refused,
    }


def _show(found: Mapping[str, Mapping[str, Result]]) -> None:
    title = ("trace", "policy", "makespan, min", "worker hours paid", "idle, %", "workers at most", "pods started")
    rows = [
        (
            f"{name}, {one['units']:,} units",
            policy,
            one["makespan_s"] / 60,
            one["paid_s"] / 3600,
            100 * one["idle_share"],
            one["most"],
            one["started"],
            one["changes"],
            one["turns"],
            round(one["refused"]),
        )
        for name, policies in found.items()
        for policy, one in policies.items()
    ]
    print(measurement.table((*title, "changes", "turns", "refused requests"), rows))


if __name__ == "__main__":
    main()
