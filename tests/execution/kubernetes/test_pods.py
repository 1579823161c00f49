"""What the pods of workers say of themselves."""

from __future__ import annotations

import datetime

import pytest

from reprocess.execution.inquest import Verdict
from reprocess.execution.kubernetes import pods
from tests.execution.kubernetes.toy_cluster import pod

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
RECENT, LONG_AGO = "2026-11-21T11:59:50Z", "2026-11-21T09:00:00Z"


def ended(reason: str, at: str = RECENT, *, place: str = "lastState") -> list[dict]:
    return [{"name": "worker", place: {"terminated": {"reason": reason, "finishedAt": at, "exitCode": 137}}}]


def waiting(reason: str, message: str = "") -> list[dict]:
    return [{"name": "worker", "image": "reprocess:9", "state": {"waiting": {"reason": reason, "message": message}}}]


def condition(kind: str, status: str, **more) -> list[dict]:
    return [{"type": kind, "status": status, **more}]


class TestVerdict:
    @pytest.mark.parametrize(
        "found",
        [
            None,
            {**pod("w"), "metadata": {"name": "w", "deletionTimestamp": RECENT}},
            pod("w", reason="Evicted", phase="Failed"),
            pod("w", reason="NodeShutdown"),
            pod("w", conditions=condition("DisruptionTarget", "True")),
            pod("w", conditions=condition("Ready", "False")),
        ],
    )
    def test_taken_away(self, found):
        """A pod that is gone, is being deleted, was evicted, or whose node is lost says nothing about its unit."""
        assert pods.verdict(found, NOW) is Verdict.SPARED

    @pytest.mark.parametrize("place", ["state", "lastState"])
    def test_out_of_memory(self, place):
        """A container that the system ended for its memory is told from one that ended otherwise."""
        assert pods.verdict(pod("w", containerStatuses=ended("OOMKilled", place=place)), NOW) is Verdict.STARVED
        assert pods.verdict(pod("w", containerStatuses=ended("Error", place=place)), NOW) is Verdict.CHARGED

    def test_what_ended_long_ago(self):
        """An end of hours ago does not explain a death of now."""
        assert pods.verdict(pod("w", containerStatuses=ended("OOMKilled", LONG_AGO)), NOW) is Verdict.OPEN

    def test_a_pod_that_is_well(self):
        """A pod that goes on as before tells nothing."""
        assert pods.verdict(pod("w"), NOW) is Verdict.OPEN


class TestObstacles:
    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (pod("w", containerStatuses=waiting("ImagePullBackOff", "no such image")), ("reprocess:9", "registry")),
            (pod("w", containerStatuses=waiting("CreateContainerConfigError", "no secret x")), ("no secret x.",)),
            (pod("w", containerStatuses=waiting("CrashLoopBackOff")), ("kubectl logs",)),
            (
                pod("w", conditions=condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")),
                ("No node takes worker w", "0/3 nodes.", "tolerations"),
            ),
        ],
    )
    def test_a_pod(self, found, words):
        """What keeps a pod from starting is one sentence that names it and says what to do."""
        (text,) = pods.obstacles([], [found])

        assert all(word in text for word in words), text

    def test_alike(self):
        """Of many pods with the same trouble one is named; those with another are told apart."""
        stuck = condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes")
        found = [pod("b", conditions=stuck), pod("a", conditions=stuck)]
        found.append(pod("c", containerStatuses=waiting("ErrImagePull", "none")))

        nodes, image = pods.obstacles([], found)

        assert nodes.startswith("No node takes worker a and others: 0/3 nodes. Look at")
        assert image.startswith("Worker c cannot start: image")

    def test_quota(self):
        """A quota that is used up is told, with what to change."""
        refused = condition("ReplicaFailure", "True", message='pods "x" is forbidden: exceeded quota: small')
        (text,) = pods.obstacles([{"metadata": {"name": "d"}, "status": {"conditions": refused}}], [])

        assert "exceeded quota: small." in text
        assert "ResourceQuota" in text

    def test_nothing(self):
        """Pods that run, or start as they should, are in nobody's way."""
        assert not list(pods.obstacles([{"metadata": {"name": "d"}}], [pod("w"), pod("v", phase="Pending")]))


class TestCosts:
    def test_least_loss_first(self):
        """An idle worker goes before a busy one, and of two busy ones the one that began last."""
        found = pods.costs({"idle": None, "new": 3.0, "old": 300.0}, [pod(name) for name in ("idle", "new", "old")])

        assert "idle" not in found
        assert int(found["new"]) < int(found["old"])
        assert int(found["new"]) > 0

    def test_only_what_changes(self):
        """A pod that is marked right is left alone, and one that has become idle is marked anew."""
        marked = pod("w")
        marked["metadata"]["annotations"] = {pods.DELETION_COST: "4"}

        assert pods.costs({"w": 3.5}, [marked]) == {}
        assert pods.costs({"w": None}, [marked]) == {"w": "0"}
