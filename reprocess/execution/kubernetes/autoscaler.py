"""Fits the workers of a run to its work while it goes on, in a thread: looks, decides, and asks for so many."""

from __future__ import annotations

import contextlib
import datetime
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from reprocess import errors
from reprocess.execution import scaling
from reprocess.execution.executor import Left
from reprocess.execution.inquest import LONGEST_S, Verdict
from reprocess.execution.kubernetes import pods
from reprocess.execution.kubernetes.manifests import Document
from reprocess.execution.kubernetes.pods import Lasting
from reprocess.execution.kubernetes.run_cluster import RunCluster
from reprocess.execution.scaling import Fleet, Limits, Memory, Work

_LOG = logging.getLogger(__name__)


class Hand(Protocol):
    """One worker, as the scheduler knows it."""

    @property
    def tier(self) -> int:
        """Memory tier."""

    @property
    def busy_s(self) -> float | None:
        """How long it has been executing a unit; None for an idle one."""


class Crew(Protocol):
    """Workers and their work, as an executor knows them."""

    refusals: int

    def work(self) -> tuple[dict[int, Work], Left]:
        """Return what is left of each tier, and what may be taken for it."""

    def crew(self) -> Mapping[str, Hand]:
        """Return the workers by name."""

    def abandon(self, error: errors.ReprocessError) -> None:
        """Have the run end with this error."""


class Autoscaler:
    """Decides every few seconds; see the module.

    Parameters
    ----------
    cluster : RunCluster
    limits : mapping of tier to Limits
    period_s : float
    start_s : float
        How long work waits without a single worker before the run is given up.
    """

    def __init__(self, cluster: RunCluster, limits: Mapping[int, Limits], *, period_s: float, start_s: float) -> None:
        self._cluster, self._limits = cluster, limits
        self._period_s, self._start_s = period_s, start_s
        self._memory, self._refusals = Memory(), 0
        self._pods: dict[str, Document] = {}
        self._names: frozenset[str] = frozenset()
        self._looked = -float("inf")
        self._alive: dict[int, float] = {}
        self._lasting = Lasting()
        self._told: list[str] = []
        self._note: Callable[[str], None] | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, crew: Crew) -> None:
        """Begin to fit the workers of a run to its work."""
        self._thread = threading.Thread(target=self._keep, args=(crew,), name="autoscaler", daemon=True)
        self._thread.start()

    def tell_obstacles(self, note: Callable[[str], None]) -> None:
        """Have what is in the way told, what was in it before too."""
        self._note = note
        for text in tuple(self._told):
            note(text)

    def stop(self) -> None:
        """Leave the workers as they are from now on."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def inquest(self, name: str, ago_s: float) -> Verdict:
        """Say why a worker went away so many seconds ago; see `inquest.Inquest`."""
        if time.monotonic() - self._looked > ago_s:
            # The server has not answered for a while: whatever is the matter, the unit is not.
            return Verdict.SPARED if ago_s >= LONGEST_S else Verdict.OPEN
        found = pods.verdict(self._pods.get(name), datetime.datetime.now(datetime.UTC))
        if found is Verdict.OPEN and name in self._names:
            return Verdict.CHARGED  # its nanny has started it again: the pod is well
        return found

    def _keep(self, crew: Crew) -> None:
        while not self._done.is_set():
            try:
                self.tick(crew)
            except errors.ClusterUnavailable as error:
                self._tell(str(error))
            except errors.ReprocessError as error:
                crew.abandon(error)
                return
            except Exception:
                if not self._done.is_set():
                    _LOG.exception("The number of workers could not be decided; trying again.")
            self._done.wait(self._period_s)

    def tick(self, crew: Crew) -> None:
        """Look once, decide, and ask for as many workers as were decided on."""
        begin = time.monotonic()
        hands = crew.crew()
        work, left = crew.work()
        refusals, self._refusals = crew.refusals - self._refusals, crew.refusals
        decision = scaling.decide(
            begin,
            work,
            {tier: Fleet(asked, _count(hands, tier)) for tier, asked in self._cluster.asked.items()},
            limits=self._limits,
            throttled=refusals,
            left=left,
            memory=self._memory,
        )
        self._memory = decision.memory
        if any(one.queued or one.running for one in work.values()) or self._pods or any(self._cluster.asked.values()):
            self._pods = {pod["metadata"]["name"]: pod for pod in self._cluster.pods()}
        self._names, self._looked = frozenset(hands), begin
        for tier, replicas in decision.replicas.items():
            asked = self._cluster.asked[tier]
            if replicas != asked:
                if 0 < replicas < asked:
                    self._mark(tier, hands)
                self._cluster.scale(tier, replicas)
                _LOG.info("Workers of tier %d: %d, were %d: %s.", tier, replicas, asked, decision.reasons[tier])
        self._mind(crew, hands, work)

    def _mark(self, tier: int, hands: Mapping[str, Hand]) -> None:
        """Have the pods go first that have the least to lose; that is a wish, and its failure no harm."""
        some = [
            pod for pod in self._pods.values() if pod["metadata"].get("labels", {}).get("reprocess/tier") == str(tier)
        ]
        with contextlib.suppress(errors.ClusterUnavailable):
            self._cluster.mark(pods.costs({name: hand.busy_s for name, hand in hands.items()}, some))

    def _mind(self, crew: Crew, hands: Mapping[str, Hand], work: Mapping[int, Work]) -> None:
        """Tell what keeps workers from starting, and give up when a tier has had work and no worker for long."""
        now = time.monotonic()
        missing = any(asked > _count(hands, tier) for tier, asked in self._cluster.asked.items())
        found = list(pods.obstacles(self._cluster.deployments(), self._pods.values())) if missing else []
        for text in self._lasting.of(found, now):
            self._tell(text)
        waiting = [tier for tier, one in work.items() if one.queued and not any(h.tier >= tier for h in hands.values())]
        if any(one.running for one in work.values()):
            waiting = []  # machines of a kind may be scarce: what others can do is done first
        self._alive = {tier: self._alive.get(tier, now) for tier in waiting}
        for tier, since in self._alive.items():
            if now - since > self._start_s:
                why = " ".join(found[:3]) or "Look at the pods of its workers: kubectl describe pods."
                text = f"Work of memory tier {tier} has waited {self._start_s:.0f} s for a first worker. {why}"
                # Machines may be scarce for an hour: the Job tries again, later each time.
                crew.abandon(errors.WorkerLost(f"{text} Outcomes so far are kept: run the plan again."))

    def _tell(self, text: str) -> None:
        """Log what is in the way, once, and pass it on."""
        if text not in self._told:
            self._told.append(text)
            _LOG.warning("%s", text)
            if self._note is not None:
                self._note(text)


def _count(hands: Mapping[str, Hand], tier: int) -> int:
    return sum(hand.tier == tier for hand in hands.values())
