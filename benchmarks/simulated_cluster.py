"""A cluster that is not there: the contract of executors, in virtual time, as a simulation of discrete events.

The frontier is the real one and is driven as `execution.dask` drives it: a window of submitted tasks that is filled up
when half of it is free, urgent ones first; one task at a time on a worker; a death of a worker charged to the task that
was executing, and to none that was only assigned. What is made up is what Dask and the machines would do: the scheduler
and the client's process take so long for each task, one after the other; a task takes a sampled time; nodes are taken
away at random with all of their workers and come back after a while; some tasks fail, for good or for a time, and some
take more memory than a small worker has. The function is not called. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from reprocess.execution.dask.executor import LEAST_WINDOW
from reprocess.execution.executor import (
    DEFAULT_RETRY,
    Executor,
    Function,
    Priority,
    Retry,
    Stop,
    Task,
    alike,
    never,
    out_of_memory,
    worker_lost,
)
from reprocess.execution.frontier import Death, Frontier
from reprocess.exposure import Outcome

EPOCH = datetime(2026, 11, 21, tzinfo=UTC)
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Weather:
    """What goes wrong.

    Attributes
    ----------
    losses_per_hour : float
        How often a node is taken away, on average.
    away_s : float
        How long it takes to replace it.
    storage, bad, large, deadly : float
        Part of the attempts that the store fails for a time; and of the units that have bad data, that a worker of the
        first memory tier is too small for, and that end any worker.
    """

    losses_per_hour: float = 0.0
    away_s: float = 120.0
    storage: float = 0.0
    bad: float = 0.0
    large: float = 0.0
    deadly: float = 0.0


@dataclass(frozen=True, slots=True)
class Machines:
    """What there is to run on.

    Attributes
    ----------
    nodes, workers_per_node : int
    large_nodes : int
        How many of the nodes are of the higher memory tier.
    schedule_s, client_s : float
        What the scheduler, and the client's process, take for a task.
    latency_s : float
        From the scheduler's decision to the begin of the work.
    """

    nodes: int = 125
    workers_per_node: int = 8
    large_nodes: int = 5
    schedule_s: float = 0.0014
    client_s: float = 0.0014
    latency_s: float = 0.005


@dataclass(slots=True)
class _Worker:
    node: int
    tier: int
    task: Task | None = None
    begin: float = 0.0
    life: int = 0
    alive: bool = True


@dataclass(slots=True)
class Tally:
    """What happened, in virtual seconds where it is a time.

    Attributes
    ----------
    useful_s, wasted_s : float
        Work of attempts that ended, and of those whose worker went away.
    available_s : float
        Time of all workers that were there.
    lost, charged, spared : int
        Nodes that were taken away; units whose worker died and that were charged for it, and that were not.
    most_held : int
        Most tasks that were submitted and had not ended.
    classes : Counter
        Attempts by how they ended.
    cpu_s : float
        Real processor seconds in the frontier and in the policy of retries.
    """

    useful_s: float = 0.0
    wasted_s: float = 0.0
    available_s: float = 0.0
    lost: int = 0
    charged: int = 0
    spared: int = 0
    most_held: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0


class SimulatedExecutor(Executor):
    """Runs tasks in virtual time.

    Parameters
    ----------
    duration : callable
        Seconds that a task takes when nothing comes between.
    """

    def __init__(
        self,
        duration: Callable[[Task], float],
        *,
        machines: Machines | None = None,
        weather: Weather | None = None,
        seed: int = 1,
    ) -> None:
        self._machines, self._weather = machines or Machines(), weather or Weather()
        self._duration = duration
        self._chance = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = itertools.count()
        self._queues: dict[int, tuple[deque[Task], deque[Task]]] = {tier: (deque(), deque()) for tier in (0, 1)}
        self._arrived: list[tuple[Task, Outcome | None, bool, Death]] = []
        self._scheduler_free = 0.0
        self._held = 0
        self.now = 0.0
        self.tally = Tally()
        self._workers = [
            _Worker(node, int(node < self._machines.large_nodes))
            for node in range(self._machines.nodes)
            for _ in range(self._machines.workers_per_node)
        ]
        self._idle: dict[int, deque[_Worker]] = {tier: deque() for tier in (0, 1)}
        for worker in self._workers:
            self._idle[worker.tier].append(worker)
        for node in range(self._machines.nodes):
            self._expect_loss(node, 0.0)

    @property
    def slots(self) -> int:
        """Workers that are there."""
        return sum(worker.alive for worker in self._workers)

    def clock(self) -> float:
        """Return the virtual time of the coordinator in seconds."""
        return self.now

    def spend(self, seconds: float) -> None:
        """Let the coordinator be busy with something; the cluster goes on meanwhile."""
        self.now += seconds

    def run(
        self,
        function: Function,
        tasks: Iterable[Task],
        *,
        retry: Retry = DEFAULT_RETRY,
        stop: Stop = never,
        priority: Priority = alike,
    ) -> Iterator[Outcome]:
        """See `Executor.run`; `function` is not called, and `priority` is not asked."""
        frontier = Frontier(tasks, retry=retry, clock=self.clock)
        while not stop():
            self._fill(frontier)
            yield from frontier.ended()
            if not self._held and frontier.wait_s is None:
                with self._measured():
                    frontier.finish()
                break
            self._await(frontier)
            self._collect(frontier)
        yield from frontier.ended()

    def close(self) -> None:
        """Add up the time of the workers."""
        alive = len(self._workers) * self.now
        self.tally.available_s = max(
            alive - self.tally.lost * self._machines.workers_per_node * self._weather.away_s, 0
        )

    # The coordinator's side, at its own time.

    def _fill(self, frontier: Frontier) -> None:
        window = max(4 * len(self._workers), LEAST_WINDOW)
        for fresh in (False, self._held <= window // 2):
            room = window - self._held if fresh else window
            with self._measured():
                batch = list(itertools.islice(iter(lambda: frontier.take(fresh=fresh), None), room))  # noqa: B023
            self._held += len(batch)
            for task in batch:
                self._queues[min(task.tier, 1)][int(fresh)].append(task)
            if batch:
                self._at(self.now, self._assign)
        self.tally.most_held = max(self.tally.most_held, self._held)

    def _await(self, frontier: Frontier) -> None:
        """Let the cluster come to the coordinator's time, and further if nothing has arrived by then."""
        self._run_until(self.now)
        wait_s = frontier.wait_s
        due = self.now + wait_s if wait_s is not None else float("inf")
        while not self._arrived and self._events and self._events[0][0] <= due:
            self._run_until(self._events[0][0])
        if not self._arrived:
            assert due < float("inf"), "tasks are held, and nothing will ever happen"
            self.now = max(self.now, due)

    def _collect(self, frontier: Frontier) -> None:
        arrived, self._arrived = self._arrived, []
        self._held -= len(arrived)
        self.spend(self._machines.client_s * len(arrived))
        with self._measured():
            for task, outcome, executing, why in arrived:
                if outcome is not None:
                    frontier.settle(outcome)
                else:
                    frontier.lost(task.unit, executing=executing, reason="its node was taken away", why=why)

    def _measured(self) -> _Stopwatch:
        return _Stopwatch(self.tally)

    # The cluster's side, at the time of its events.

    def _at(self, moment: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._number), what))

    def _run_until(self, moment: float) -> None:
        while self._events and self._events[0][0] <= moment:
            at, _, what = heapq.heappop(self._events)
            what(at)
        self.now = max(self.now, moment)

    def _assign(self, now: float) -> None:
        """Give tasks to workers that are idle, one after the other as fast as the scheduler can."""
        while (found := self._next()) is not None:
            task, worker = found
            self._scheduler_free = max(now, self._scheduler_free) + self._machines.schedule_s
            worker.task, worker.begin = task, self._scheduler_free + self._machines.latency_s
            outcome, seconds, why = self._fate(task)
            life = worker.life
            if outcome is None:
                self._at(worker.begin + seconds, lambda at, w=worker, n=life, y=why: self._crash(at, w, n, y))  # type: ignore[misc]
            else:
                self._at(worker.begin + seconds, lambda at, w=worker, n=life, o=outcome: self._end(at, w, n, o))  # type: ignore[misc]

    def _next(self) -> tuple[Task, _Worker] | None:
        """Find a task and a worker for it; urgent tasks and large ones first."""
        for tier in (1, 0):
            queue = next((queue for queue in self._queues[tier] if queue), None)
            idle = next((self._idle[each] for each in range(tier, 2) if self._idle[each]), None)
            if queue and idle:
                return queue.popleft(), idle.popleft()
        return None

    def _fate(self, task: Task) -> tuple[Outcome | None, float, Death]:
        """Say how an attempt will end, after how long, and what its worker dies of if it does."""
        seconds, weather, own = self._duration(task), self._weather, zlib.crc32(task.unit.encode()) / 2**32
        part = self._chance.random()
        if own < weather.deadly:
            return None, part * seconds, worker_lost
        own -= weather.deadly
        if own < weather.large and task.tier == 0:
            return None, part * seconds, out_of_memory
        if 0 <= own - weather.large < weather.bad:
            return Outcome(task.unit, task.dataset, "bad-data", "made up"), 0.1 * seconds, worker_lost
        if self._chance.random() < weather.storage:
            return Outcome(task.unit, task.dataset, "storage", "made up", temporary=True), part * seconds, worker_lost
        return Outcome(task.unit, task.dataset, "published", seconds={"calibrate": seconds}), seconds, worker_lost

    def _end(self, now: float, worker: _Worker, life: int, outcome: Outcome) -> None:
        if worker.life != life:
            return  # of an attempt that was lost
        task = self._free(worker)
        self.tally.useful_s += now - worker.begin
        self.tally.classes[outcome.outcome_class] += 1
        ended = (EPOCH + timedelta(seconds=now)).replace(tzinfo=None).isoformat(timespec="milliseconds")
        object.__setattr__(outcome, "ended", ended)  # made here a moment ago: nobody else has it
        self._arrived.append((task, outcome, True, worker_lost))
        worker.life += 1
        self._idle[worker.tier].append(worker)
        self._assign(now)

    def _crash(self, now: float, worker: _Worker, life: int, why: Death) -> None:
        """End one worker by what it executes; its nanny starts it again at once."""
        if worker.life != life:
            return
        self._drop(now, worker, why)
        self._idle[worker.tier].append(worker)
        self._assign(now)

    def _drop(self, now: float, worker: _Worker, why: Death) -> None:
        """Lose what a worker had."""
        executing = now >= worker.begin
        task = self._free(worker)
        worker.life += 1
        self.tally.wasted_s += max(now - worker.begin, 0.0)
        self.tally.classes["died"] += 1
        self.tally.charged += executing
        self.tally.spared += not executing
        self._arrived.append((task, None, executing, why))

    def _free(self, worker: _Worker) -> Task:
        task, worker.task = worker.task, None
        assert task is not None
        return task

    def _expect_loss(self, node: int, now: float) -> None:
        if self._weather.losses_per_hour:
            after = self._chance.expovariate(self._weather.losses_per_hour / _HOUR)
            self._at(now + after, lambda at: self._lose(at, node))

    def _lose(self, now: float, node: int) -> None:
        """Take a node away."""
        self.tally.lost += 1
        for worker in self._of(node):
            worker.alive = False
            if worker.task is not None:
                self._drop(now, worker, worker_lost)
            else:
                self._idle[worker.tier].remove(worker)
        self._at(now + self._weather.away_s, lambda at: self._return(at, node))

    def _return(self, now: float, node: int) -> None:
        for worker in self._of(node):
            worker.alive = True
            self._idle[worker.tier].append(worker)
        self._expect_loss(node, now)
        self._assign(now)

    def _of(self, node: int) -> list[_Worker]:
        each = self._machines.workers_per_node
        return self._workers[node * each : (node + 1) * each]


class _Stopwatch:
    """Adds the real processor time of a block."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __enter__(self) -> None:
        self._begin = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._tally.cpu_s += time.thread_time() - self._begin
