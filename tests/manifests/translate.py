"""Rendered manifests for Kubernetes 1.20: shipped ones speak to current versions, an old test bench runs them too.

Nothing is made weaker than the old server needs: a field that it does not know is left out, a kind that it serves under
another version is renamed, and what it can do in another way is said in that way.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]

VERSIONS = {
    "CronJob": "batch/v1beta1",
    "PodDisruptionBudget": "policy/v1beta1",
    "HorizontalPodAutoscaler": "autoscaling/v2beta2",
}
"""Kinds that 1.20 serves under another version."""

_CRON = ("timeZone",)
_BUDGET = ("unhealthyPodEvictionPolicy",)
_JOB = (
    "suspend",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "podReplacementPolicy",
    "successPolicy",
    "managedBy",
)
_POD = ("os", "hostUsers", "schedulingGates", "resources")
_SPREAD = ("minDomains", "matchLabelKeys", "nodeTaintsPolicy", "nodeAffinityPolicy")
_CONTAINER = ("resizePolicy", "restartPolicy", "restartPolicyRules")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def translate(documents: Iterable[Document]) -> list[Document]:
    """Say the same to a server of Kubernetes 1.20.

    Parameters
    ----------
    documents : iterable of mapping
        Rendered manifests for a current version. They are not changed.
    """
    return [_translated(copy.deepcopy(document)) for document in documents]


def _translated(document: Document) -> Document:
    kind, spec = document["kind"], document.get("spec") or {}
    document["apiVersion"] = VERSIONS.get(kind, document["apiVersion"])
    if kind == "PodDisruptionBudget":
        _drop(spec, _BUDGET)
    if kind == "CronJob":
        _drop(spec, _CRON)
    for job in jobs(document):
        _drop(job, _JOB)
    for pod in pods(document):
        _pod(pod)
    return document


def jobs(document: Document) -> list[Document]:
    """Give the specifications of Jobs in a manifest: none or one."""
    spec = document.get("spec") or {}
    return {"Job": [spec], "CronJob": [spec.get("jobTemplate", {}).get("spec", {})]}.get(document["kind"], [])


def pods(document: Document) -> list[Document]:
    """Give the specifications of pods in a manifest: none or one."""
    kind, spec = document["kind"], document.get("spec") or {}
    if kind == "Pod":
        return [spec]
    if kind == "PodTemplate":
        return [document["template"]["spec"]]
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return [spec["template"]["spec"]] if "spec" in spec.get("template", {}) else []


def _pod(pod: Document) -> None:
    _drop(pod, _POD)
    for constraint in pod.get("topologySpreadConstraints", []):
        _drop(constraint, _SPREAD)
    for volume in pod.get("volumes", []):
        if volume.pop("ephemeral", None) is not None:
            volume["emptyDir"] = {}
    _sidecars(pod)
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        _container(container)


def _sidecars(pod: Document) -> None:
    """Start sidecars beside the containers: 1.20 would wait for an initial container that never ends."""
    first = pod.get("initContainers", [])
    beside = [container for container in first if container.get("restartPolicy") == "Always"]
    if beside:
        pod["containers"] = [*pod["containers"], *beside]
        pod["initContainers"] = [container for container in first if container not in beside]


def _container(container: Document) -> None:
    _drop(container, _CONTAINER)
    stop = container.get("lifecycle", {}).get("preStop", {})
    if "sleep" in stop:
        stop["exec"] = {"command": ["sleep", str(stop.pop("sleep")["seconds"])]}
    for name in _PROBES:
        probe = container.get(name, {})
        _drop(probe, ("terminationGracePeriodSeconds",))
        if "grpc" in probe:
            probe["tcpSocket"] = {"port": probe.pop("grpc")["port"]}


def _drop(mapping: Document, names: Iterable[str]) -> None:
    for name in names:
        mapping.pop(name, None)
