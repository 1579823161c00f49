"""Recorded work, and a cluster that is not there: pods that start, end and get lost, in virtual time.

What units take, and what was forecast for them, was measured by `benchmarks.benchmark_forecast`. Each trace draws from
its records, so forecasts err here as they really do; a large exposure of many integrations is a record made longer. The
cluster starts a pod when it is asked for one, and pays for it from then on until it is gone; a pod that has to go
ends its unit first; one that is lost loses its unit and is replaced. Everything follows from the seed.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reprocess.execution import scaling
from reprocess.execution.executor import Left
from reprocess.execution.scaling import Fleet, Limits, Work
from reprocess.planning import forecast

RECORDS = Path(__file__).parents[2] / "benchmarks" / "results" / "forecast.json"
REQUESTS = 20
"""Of one unit to the archive."""
PERIOD_S = 5.0
"""How often the driver decides."""
HORIZON_S = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Unit:
    """When it arrives, what it is forecast to take and what it takes in seconds, and its memory tier."""

    arrives_s: float
    told_s: float
    takes_s: float
    tier: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """Work, and the weather that it meets.

    Attributes
    ----------
    units : tuple of Unit
        By arrival.
    most : mapping of tier to workers
    start_s : float
        From asking for a pod to its first unit, more or less.
    bears : float
        Busy workers that the archive answers at once; above, it refuses requests and everything takes longer.
    losses_per_hour : float
        How often a pod is taken away.
    """

    units: tuple[Unit, ...]
    most: Mapping[int, int] = field(default_factory=lambda: {0: 200})
    start_s: float = 60.0
    bears: float = math.inf
    losses_per_hour: float = 0.0


@dataclass(slots=True, eq=False)
class Pod:
    """A worker, and what it is executing."""

    name: int
    tier: int
    asked_s: float
    ready: bool = False
    leaving: bool = False
    gone: bool = False
    unit: Unit | None = None
    began_s: float = 0.0
    life: int = 0


@dataclass(slots=True)
class Story:
    """What came of a trace, in seconds where it is a time.

    Attributes
    ----------
    makespan_s : float
        When the last unit ended.
    paid_s, busy_s : float
        Time of all pods, and with work that counted.
    ended, again, started : int
        Units that ended, executions that were lost, and pods that were started.
    refused : float
        Requests.
    asked : list of (float, int, int)
        When which tier was asked for how many pods, whenever that changed.
    """

    makespan_s: float = 0.0
    paid_s: float = 0.0
    busy_s: float = 0.0
    ended: int = 0
    again: int = 0
    started: int = 0
    refused: float = 0.0
    asked: list[tuple[float, int, int]] = field(default_factory=list)

    @property
    def idle_share(self) -> float:
        """Part of what was paid that did nothing that counted."""
        return 1 - self.busy_s / self.paid_s if self.paid_s else 0.0

    def turns(self, tier: int = 0) -> int:
        """Return how often a tier was raised after it had been lowered, or the other way round."""
        counts = [0, *(count for _, each, count in self.asked if each == tier)]
        ups = [after > before for before, after in itertools.pairwise(counts)]
        return sum(one != other for one, other in itertools.pairwise(ups))


class Cluster:
    """Pods by tier, those of them that are idle, a queue by tier, forecast and time of its units, and the time."""

    def __init__(self, trace: Trace, *, seed: int = 1) -> None:
        self.trace = trace
        self.now = 0.0
        self.story = Story()
        self.queues: dict[int, deque[Unit]] = {tier: deque() for tier in trace.most}
        self.queued_s = dict.fromkeys(trace.most, 0.0)
        self.pods: dict[int, list[Pod]] = {tier: [] for tier in trace.most}
        self.taken: dict[int, list[tuple[float, float]]] = {tier: [] for tier in trace.most}
        self.idle: dict[int, dict[int, Pod]] = {tier: {} for tier in trace.most}
        self.busy = 0
        self.refused = 0.0
        self._chance = random.Random(seed)
        self._arrivals = deque(sorted(trace.units, key=lambda unit: unit.arrives_s))
        self._names = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def over(self) -> bool:
        """Whether all units have ended and all pods are gone."""
        return self.story.ended == len(self.trace.units) and not any(self.pods.values())

    def staying(self, tier: int) -> list[Pod]:
        """Return the pods of a tier that were not asked to leave."""
        return [pod for pod in self.pods[tier] if not pod.leaving]

    def work(self) -> dict[int, Work]:
        """Tell the work of each tier as its units are forecast."""
        told = {}
        for tier, queue in self.queues.items():
            running = [pod for pods in self.pods.values() for pod in pods if pod.unit and pod.unit.tier == tier]
            left = sum(max(pod.unit.told_s - (self.now - pod.began_s), 0.0) for pod in running if pod.unit)
            told[tier] = Work(len(queue), max(self.queued_s[tier], 0.0), len(running), left)
        return told

    def fleets(self) -> dict[int, Fleet]:
        """Tell the pods of each tier."""
        some = {tier: self.staying(tier) for tier in self.pods}
        return {tier: Fleet(len(pods), sum(pod.ready for pod in pods)) for tier, pods in some.items()}

    def scale(self, tier: int, count: int, victims: Collection[int] = ()) -> None:
        """Ask for so many pods; those that have to go are the victims, then those that would lose least."""
        present = self.staying(tier)
        if count != len(present):
            self.story.asked.append((self.now, tier, count))
        for _ in range(count - len(present)):
            self._start(tier)
        present.sort(key=lambda pod: (pod.name not in victims, pod.ready, pod.unit is not None, -pod.began_s))
        for pod in present[: max(len(present) - count, 0)]:
            pod.leaving = True
            if not pod.unit:
                self._remove(pod)
        self._assign()

    def advance(self, until_s: float) -> None:
        """Let everything happen up to a moment."""
        while True:
            event = self._events[0][0] if self._events else math.inf
            arrival = self._arrivals[0].arrives_s if self._arrivals else math.inf
            if min(event, arrival) > until_s:
                break
            self.now = min(event, arrival)
            if arrival <= event:
                self._queue(self._arrivals.popleft())
            else:
                heapq.heappop(self._events)[2]()
            self._assign()
        self.now = until_s

    def _at(self, when_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), what))

    def _queue(self, unit: Unit) -> None:
        self.queues[unit.tier].append(unit)
        self.queued_s[unit.tier] += unit.told_s

    def _start(self, tier: int) -> None:
        pod = Pod(next(self._names), tier, self.now)
        self.pods[tier].append(pod)
        self.story.started += 1
        self._at(self.now + self.trace.start_s * self._chance.uniform(0.7, 1.3), lambda: self._join(pod))

    def _join(self, pod: Pod) -> None:
        if pod.gone:
            return
        pod.ready = True
        self.idle[pod.tier][pod.name] = pod
        if self.trace.losses_per_hour:
            self._at(self.now + 3600 * self._chance.expovariate(self.trace.losses_per_hour), lambda: self._lose(pod))

    def _assign(self) -> None:
        """Give units to pods: of its own tier first, then of a lower one."""
        for tier in sorted(self.queues, reverse=True):
            for offered in sorted(each for each in self.pods if each >= tier):
                while self.queues[tier] and self.idle[offered]:
                    unit = self.queues[tier].popleft()
                    self.queued_s[tier] -= unit.told_s
                    self._begin(self.idle[offered].popitem()[1], unit)

    def _begin(self, pod: Pod, unit: Unit) -> None:
        pod.unit, pod.began_s = unit, self.now
        self.busy += 1
        crowd = max(self.busy / self.trace.bears, 1.0)
        self.refused += REQUESTS * (1 - 1 / crowd)
        life = pod.life
        self._at(self.now + unit.takes_s * crowd, lambda: self._end(pod, life))

    def _end(self, pod: Pod, life: int) -> None:
        if pod.life != life or not pod.unit:
            return
        self.story.ended += 1
        self.story.busy_s += self.now - pod.began_s
        self.taken[pod.unit.tier].append((pod.unit.told_s, self.now - pod.began_s))
        self.story.makespan_s = self.now
        self._free(pod)
        if pod.leaving:
            self._remove(pod)

    def _lose(self, pod: Pod) -> None:
        if pod.gone:
            return
        if pod.unit:
            self._queue(pod.unit)
            self.story.again += 1
            self._free(pod)
        if not pod.leaving:
            self._start(pod.tier)
        self._remove(pod)

    def _free(self, pod: Pod) -> None:
        pod.unit = None
        pod.life += 1
        self.busy -= 1
        if not pod.leaving:
            self.idle[pod.tier][pod.name] = pod

    def _remove(self, pod: Pod) -> None:
        pod.gone = True
        self.idle[pod.tier].pop(pod.name, None)
        self.pods[pod.tier].remove(pod)
        self.story.paid_s += self.now - pod.asked_s


Policy = Callable[[Cluster], None]


def play(trace: Trace, policy: Policy, *, period_s: float = PERIOD_S, seed: int = 1) -> Story:
    """Let a policy scale a cluster until all is done and nothing is left, two days at most."""
    cluster = Cluster(trace, seed=seed)
    while not cluster.over and cluster.now < HORIZON_S:
        cluster.advance(cluster.now + period_s)
        policy(cluster)
        cluster.story.refused += cluster.refused
        cluster.refused = 0.0
    return cluster.story


class Ours:
    """The driver's policy: `scaling.decide` with what the cluster tells, and with its own memory."""

    def __init__(self, limits: Mapping[int, Limits], *, deadline_s: float | None = None) -> None:
        self._limits = limits
        self._deadline_s = deadline_s
        self._memory = scaling.Memory()
        self.decisions: list[scaling.Decision] = []

    def __call__(self, cluster: Cluster) -> None:
        hours = None if self._deadline_s is None else (self._deadline_s - cluster.now) / 3600
        decision = scaling.decide(
            cluster.now,
            cluster.work(),
            cluster.fleets(),
            limits=self._limits,
            throttled=int(cluster.refused),
            left=Left(hours),
            memory=self._memory,
        )
        self._memory = decision.memory
        self.decisions.append(decision)
        for tier, count in decision.replicas.items():
            cluster.scale(tier, count)


def ours(trace: Trace, *, deadline_s: float | None = None, **limits: float) -> Ours:
    """Return the driver's policy with the limits of a trace, and others by name."""
    options = {"start_s": trace.start_s, **limits}
    return Ours({tier: Limits(most, **options) for tier, most in trace.most.items()}, deadline_s=deadline_s)


def records() -> list[tuple[float, float]]:
    """Return what exposures were forecast to take, and what they took, in seconds."""
    taken = json.loads(RECORDS.read_text())["taken"]
    return [(forecast.seconds(one["instrument"], one["shape"]), one["seconds"]) for one in taken]


def drawn(count: int, *, seed: int = 1, times: float = 1.0, tier: int = 0) -> Iterator[Unit]:
    """Draw units that are there from the beginning, and take so many times what was recorded."""
    some = random.Random(seed).choices(records(), k=count)
    return (Unit(0.0, told * times, takes * times, tier) for told, takes in some)


def burst(count: int = 40_000) -> Trace:
    """A campaign of small and full frames, all at once."""
    return Trace(tuple(drawn(count)))


def large_burst(count: int = 600) -> Trace:
    """Exposures of many integrations, of a few minutes each, all at once."""
    return Trace(tuple(drawn(count, times=150)))


def short_queue(count: int = 60) -> Trace:
    """A night with little to do: it takes longer to start a pod than to work it off."""
    return Trace(tuple(drawn(count)))


def trickle(count: int = 720, hours: float = 6.0) -> Trace:
    """Exposures that arrive in small groups, as a telescope delivers them."""
    chance = random.Random(2)
    units = [
        Unit(3600 * hours * (number // 12 * 12) / count + chance.uniform(0, 60), each.told_s, each.takes_s)
        for number, each in enumerate(drawn(count, times=8))
    ]
    return Trace(tuple(sorted(units, key=lambda unit: unit.arrives_s)))


def long_tail(count: int = 20_000) -> Trace:
    """A burst of which a few units take a quarter of an hour and more, which no forecast told."""
    units = [
        Unit(0.0, each.told_s, each.takes_s * (400 if number % 500 == 499 else 1))
        for number, each in enumerate(drawn(count))
    ]
    return Trace(tuple(units))


def throttled(count: int = 40_000) -> Trace:
    """A burst against an archive that bears forty workers."""
    return Trace(tuple(drawn(count)), bears=40.0)


def spot_losses(count: int = 600) -> Trace:
    """Long units on pods that are taken away after half an hour on average."""
    return Trace(tuple(drawn(count, times=150)), losses_per_hour=2.0)


def two_tiers(count: int = 20_000) -> Trace:
    """A burst of which a few units need much memory, and are found out bit by bit."""
    chance = random.Random(3)
    large = [Unit(chance.uniform(0, 1800), one.told_s, one.takes_s, 1) for one in drawn(40, times=60, tier=1)]
    return Trace((*drawn(count), *large), most={0: 200, 1: 10})


TRACES: Mapping[str, Callable[[], Trace]] = {
    "burst": burst,
    "large burst": large_burst,
    "short queue": short_queue,
    "trickle": trickle,
    "long tail": long_tail,
    "throttled": throttled,
    "spot losses": spot_losses,
    "two tiers": two_tiers,
}
