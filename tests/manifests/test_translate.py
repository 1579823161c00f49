"""What an old test bench is told says the same as what is shipped."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.manifests.rendering import every_kind_of, needs_kubectl, overlay_of
from tests.manifests.translate import pods, translate


def pod_of(kind: str, pod: dict[str, Any]) -> dict[str, Any]:
    """A manifest of a kind around the specification of a pod."""
    template = {"template": {"spec": pod}}
    shapes: dict[str, dict[str, Any]] = {
        "Pod": {"apiVersion": "v1", "spec": pod},
        "PodTemplate": {"apiVersion": "v1", **template},
        "Deployment": {"apiVersion": "apps/v1", "spec": template},
        "Job": {"apiVersion": "batch/v1", "spec": template},
        "CronJob": {"apiVersion": "batch/v1", "spec": {"jobTemplate": {"spec": template}}},
    }
    return {"kind": kind, "metadata": {"name": "x"}, **shapes[kind]}


KINDS = ("Pod", "PodTemplate", "Deployment", "Job", "CronJob")


def through(pod: dict[str, Any], kind: str = "Pod") -> dict[str, Any]:
    return pods(translate([pod_of(kind, pod)])[0])[0]


def test_versions():
    """Kinds that moved are named as the old server names them; the others keep their version."""
    kinds = {
        "CronJob": ("batch/v1", "batch/v1beta1"),
        "PodDisruptionBudget": ("policy/v1", "policy/v1beta1"),
        "HorizontalPodAutoscaler": ("autoscaling/v2", "autoscaling/v2beta2"),
        "Job": ("batch/v1", "batch/v1"),
        "Deployment": ("apps/v1", "apps/v1"),
    }
    for kind, (new, old) in kinds.items():
        spec = {"jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}}} if kind == "CronJob" else {}
        assert translate([{"kind": kind, "apiVersion": new, "spec": spec}])[0]["apiVersion"] == old


def test_schedule_and_job():
    """A schedule loses its time zone and a Job the policies that came later; deadlines and limits stay."""
    job = {
        "backoffLimit": 3,
        "activeDeadlineSeconds": 9,
        "ttlSecondsAfterFinished": 7,
        "suspend": False,
        "completionMode": "NonIndexed",
        "podFailurePolicy": {"rules": []},
        "podReplacementPolicy": "Failed",
        "template": {"spec": {"containers": []}},
    }
    cron = {
        "kind": "CronJob",
        "apiVersion": "batch/v1",
        "spec": {"schedule": "0 3 * * *", "timeZone": "Etc/UTC", "suspend": True, "jobTemplate": {"spec": job}},
    }
    spec = translate([cron])[0]["spec"]
    assert spec.keys() == {"schedule", "suspend", "jobTemplate"}
    kept = {"backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "template"}
    assert spec["jobTemplate"]["spec"].keys() == kept


@needs_kubectl
def test_every_schedule():
    """Each schedule that is shipped keeps its hour, its deadlines and how many of its Jobs are kept."""
    kept = ("schedule", "concurrencyPolicy", "startingDeadlineSeconds", "failedJobsHistoryLimit")
    shipped = every_kind_of(overlay_of("s3"), "CronJob")
    assert shipped.keys() == {"reprocess-sweep", "reprocess-tidy"}
    for before in shipped.values():
        (after,) = translate([before])
        assert after["apiVersion"] == "batch/v1beta1"
        assert [after["spec"][name] for name in kept] == [before["spec"][name] for name in kept]
        job = before["spec"]["jobTemplate"]["spec"]
        assert after["spec"]["jobTemplate"]["spec"].items() <= job.items()
        assert pods(after) == pods(before)


def test_disruption_budget():
    """A disruption budget keeps its selector and its number."""
    spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"a": "b"}}, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    found = translate([{"kind": "PodDisruptionBudget", "apiVersion": "policy/v1", "spec": spec}])[0]["spec"]
    assert found == {"maxUnavailable": 0, "selector": {"matchLabels": {"a": "b"}}}


@pytest.mark.parametrize("kind", KINDS)
def test_pods_are_found_everywhere(kind: str):
    """Whatever holds a pod, its fields of later versions are left out."""
    pod = {
        "containers": [{"name": "a", "resizePolicy": [], "livenessProbe": {"terminationGracePeriodSeconds": 3}}],
        "topologySpreadConstraints": [{"maxSkew": 1, "matchLabelKeys": ["x"], "nodeTaintsPolicy": "Honor"}],
        "os": {"name": "linux"},
    }
    assert through(pod, kind) == {
        "containers": [{"name": "a", "livenessProbe": {}}],
        "topologySpreadConstraints": [{"maxSkew": 1}],
    }


def test_other_ways():
    """What the old server can do in another way is said in that way."""
    pod = {
        "volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}],
        "containers": [
            {
                "name": "a",
                "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                "readinessProbe": {"grpc": {"port": 80}},
            }
        ],
        "initContainers": [{"name": "first"}, {"name": "beside", "restartPolicy": "Always"}],
    }
    found = through(pod)
    assert found["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert found["containers"][0]["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}
    assert found["containers"][0]["readinessProbe"] == {"tcpSocket": {"port": 80}}
    assert [container["name"] for container in found["containers"]] == ["a", "beside"]
    assert found["initContainers"] == [{"name": "first"}]


def test_nothing_is_changed_in_place():
    """The documents that are shipped are left as they are."""
    cron = pod_of("CronJob", {"containers": [{"name": "a", "resizePolicy": []}]})
    before = copy.deepcopy(cron)
    translate([cron])
    assert cron == before


def test_twice_is_once():
    """What was translated is translated no further."""
    once = translate(
        [pod_of("CronJob", {"containers": [{"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}]})]
    )
    assert translate(once) == once


def test_what_holds_no_pod_is_left_alone():
    """A document without anything new comes out as it went in."""
    settings = {"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"}}
    assert translate([settings]) == [settings]
