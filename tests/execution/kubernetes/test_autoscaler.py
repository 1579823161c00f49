"""The thread that fits the workers of a run to its work, one look at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from reprocess import errors
from reprocess.execution.executor import Left
from reprocess.execution.inquest import LONGEST_S, Verdict
from reprocess.execution.kubernetes import api
from reprocess.execution.kubernetes import autoscaler as autoscaling
from reprocess.execution.kubernetes.autoscaler import Autoscaler
from reprocess.execution.kubernetes.manifests import Run
from reprocess.execution.kubernetes.run_cluster import RunCluster
from reprocess.execution.scaling import Limits, Work
from tests.execution.kubernetes.toy_cluster import JOB, pod, prepared


@dataclass
class Hand:
    tier: int = 0
    busy_s: float | None = None


@dataclass
class ToyCrew:
    """As an executor is asked."""

    left: dict[int, Work] = field(default_factory=dict)
    hands: dict[str, Hand] = field(default_factory=dict)
    refusals: int = 0
    ended: list[errors.ReprocessError] = field(default_factory=list)

    def work(self):
        return self.left, Left()

    def crew(self):
        return self.hands

    def abandon(self, error):
        self.ended.append(error)


@pytest.fixture
def toys():
    return prepared()


@pytest.fixture
def made(toys):
    """The objects of a run of two tiers."""
    found = RunCluster(toys, Run(toys.name, JOB, "uid", {}), 2)
    found.make("10.0.0.1")
    toys.calls.clear()
    return found


@pytest.fixture
def scaler(made):
    return Autoscaler(made, dict.fromkeys((0, 1), Limits(5, idle_s=0.0, step_s=0.0)), period_s=1.0, start_s=100.0)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [1000.0]
    monkeypatch.setattr(autoscaling.time, "monotonic", lambda: now[0])
    return now


def replicas(toys) -> list[int]:
    return [one["spec"]["replicas"] for one in toys.kept[api.DEPLOYMENTS].values()]


class TestTick:
    def test_from_none_to_none(self, toys, scaler, clock):
        """Workers come with the work of their tier and go with it."""
        crew = ToyCrew({0: Work(50, 5000.0, 0, 0.0)})
        scaler.tick(crew)
        assert replicas(toys) == [5, 0]

        clock[0] += 60
        crew.left = {0: Work(0, 0.0, 0, 0.0)}
        crew.hands = {f"w{number}": Hand() for number in range(5)}
        scaler.tick(crew)
        clock[0] += 60
        scaler.tick(crew)
        assert replicas(toys) == [0, 0]

    def test_nothing_is_asked_for_twice(self, toys, scaler, clock):
        """A decision that changes nothing costs no request that changes anything."""
        crew = ToyCrew({0: Work(50, 5000.0, 0, 0.0)})
        scaler.tick(crew)
        toys.calls.clear()
        clock[0] += 5
        scaler.tick(crew)

        assert {verb for verb, *_ in toys.calls} == {"list"}

    def test_victims(self, toys, scaler, clock):
        """Before a fleet is lowered, its busy pods are marked as dear."""
        crew = ToyCrew({0: Work(50, 5000.0, 0, 0.0)})
        scaler.tick(crew)
        for name in ("busy", "idle"):
            toys.create(api.PODS, pod(name))
        crew.hands = {"busy": Hand(busy_s=40.0), "idle": Hand()}
        crew.left = {0: Work(0, 0.0, 1, 40.0)}
        for _ in range(3):
            clock[0] += 60
            scaler.tick(crew)

        assert replicas(toys)[0] == 1
        assert toys.kept[api.PODS]["busy"]["metadata"]["annotations"] == {
            "controller.kubernetes.io/pod-deletion-cost": "41"
        }
        assert "annotations" not in toys.kept[api.PODS]["idle"]

    def test_no_work_no_requests(self, toys, scaler):
        """An idle run asks nothing of the server."""
        scaler.tick(ToyCrew())

        assert toys.calls == []


class TestObstacles:
    STUCK = pod(
        "w", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]
    )

    def test_told_once(self, toys, scaler, clock, caplog):
        """What keeps workers from starting is logged once, when it has lasted."""
        toys.create(api.PODS, self.STUCK)
        crew = ToyCrew({0: Work(1, 10.0, 0, 0.0)})
        for _ in range(4):
            scaler.tick(crew)
            clock[0] += 15

        assert [record.message.count("0/1 nodes") for record in caplog.records if record.levelname == "WARNING"] == [1]

    def test_passed_on(self, toys, scaler, clock):
        """What was in the way before somebody listens is told too, once."""
        toys.create(api.PODS, self.STUCK)
        crew, early, late = ToyCrew({0: Work(1, 10.0, 0, 0.0)}), [], []
        scaler.tell_obstacles(early.append)
        for _ in range(4):
            scaler.tick(crew)
            clock[0] += 15
        scaler.tell_obstacles(late.append)

        assert early == late
        assert [text.count("0/1 nodes") for text in early] == [1]

    def test_while_others_work(self, toys, scaler, clock):
        """As long as anything runs, work that waits for the first worker of its tier ends nothing."""
        toys.create(api.PODS, self.STUCK)
        crew = ToyCrew({0: Work(5, 50.0, 1, 10.0), 1: Work(1, 10.0, 0, 0.0)}, {"small": Hand(0, 1.0)})
        for _ in range(100):
            scaler.tick(crew)
            clock[0] += 15

        assert not crew.ended

    def test_a_tier_without_a_worker(self, toys, scaler, clock):
        """Work that waits too long for the first worker of its tier ends the run and says why, idle others or not."""
        toys.create(api.PODS, self.STUCK)
        crew = ToyCrew({1: Work(1, 10.0, 0, 0.0)}, {"small": Hand(0, None)})
        for _ in range(8):
            scaler.tick(crew)
            clock[0] += 15

        assert isinstance(crew.ended[0], errors.WorkerLost)
        assert "memory tier 1" in str(crew.ended[0])
        assert "0/1 nodes" in str(crew.ended[0])


class TestInquest:
    def test_before_anybody_looked(self, scaler):
        """Without a look at the pods after a death there is no verdict; if the server is silent, nobody is charged."""
        assert scaler.inquest("w", 1.0) is Verdict.OPEN
        assert scaler.inquest("w", LONGEST_S) is Verdict.SPARED

    def test_a_pod_that_is_gone(self, toys, scaler, clock):
        """A worker whose pod is gone was taken away."""
        scaler.tick(ToyCrew({0: Work(1, 1.0, 0, 0.0)}))
        clock[0] += 1

        assert scaler.inquest("w", 2.0) is Verdict.SPARED

    def test_a_worker_that_is_back(self, toys, scaler, clock):
        """A worker that is there again in the pod that it was in has died of what it did."""
        toys.create(api.PODS, pod("w"))
        crew = ToyCrew({0: Work(1, 1.0, 0, 0.0)})
        scaler.tick(crew)
        assert scaler.inquest("w", 2.0) is Verdict.OPEN

        crew.hands = {"w": Hand()}
        scaler.tick(crew)
        assert scaler.inquest("w", 2.0) is Verdict.CHARGED


class TestThread:
    def run(self, scaler, crew) -> None:
        scaler._period_s = 0.01
        scaler.start(crew)
        scaler._done.wait(0.1)
        scaler.stop()

    def test_a_refusal_ends_the_run(self, toys, scaler):
        """What the cluster does not permit ends the run with its own words."""
        toys.refusal = errors.ClusterError("no patch for you")
        crew = ToyCrew({0: Work(1, 1.0, 0, 0.0)})
        self.run(scaler, crew)

        assert [str(error) for error in crew.ended] == ["no patch for you"]

    def test_silence_does_not(self, toys, scaler, caplog):
        """A server that does not answer is told of once, and the run goes on with the workers that it has."""
        toys.refusal = errors.ClusterUnavailable("no answer")
        crew = ToyCrew({0: Work(1, 1.0, 0, 0.0)})
        self.run(scaler, crew)

        assert crew.ended == []
        assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["no answer"]
