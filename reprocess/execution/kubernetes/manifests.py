"""What a run on Kubernetes makes, as documents for its API: pure functions of the templates that the owner keeps.

Everything is owned by the run's Job, so that deleting the Job deletes it all.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reprocess import errors

Document = dict[str, Any]

PORT = 8786
TLS_DIRECTORY = "/etc/reprocess/tls"
WORKER_FILES = ("ca.pem", "worker.pem", "worker.key")
"""Of the run's certificates, what workers see."""
RUN, TIER = "reprocess/run", "reprocess/tier"
CAMPAIGN, PROGRAM, COST = "reprocess/campaign", "reprocess/program", "reprocess/cost"
"""Labels of all that a run makes, as its Job has them."""
COMPONENT = "app.kubernetes.io/component"
ALL_WORKERS = f"app.kubernetes.io/name=reprocess,{COMPONENT}=worker"
"""Selector of what belongs to the workers of any run."""
SWEEP = "reprocess-sweep"
"""The CronJob whose template all driver Jobs are made from."""
_NAME = {"app.kubernetes.io/name": "reprocess"}
_COMMON = {**_NAME, "app.kubernetes.io/part-of": "reprocess"}
_LONGEST = 63


@dataclass(frozen=True, slots=True)
class Run:
    """The Job of a run, as the driver in its pod knows it.

    Attributes
    ----------
    namespace, name, uid : str
        Of the Job.
    labels : mapping
        That everything of the run gets besides.
    """

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]

    @property
    def address(self) -> str:
        """Where workers find the scheduler."""
        return f"tls://{self.name}.{self.namespace}.svc:{PORT}"

    @property
    def workers(self) -> str:
        """Selector of the pods of all workers."""
        return workers_of(self.name)

    def deployment(self, tier: int) -> str:
        """Name of the Deployment of a tier."""
        return f"{self.name}-worker-{tier}"


def end(job: Document) -> str:
    """Return how a Job has ended, ``Complete`` or ``Failed``; empty while it goes on."""
    conditions = job.get("status", {}).get("conditions") or []
    found = (one["type"] for one in conditions if one.get("status") == "True")
    return next((kind for kind in found if kind in ("Complete", "Failed")), "")


def workers_of(job: str) -> str:
    """Return the selector of the pods of all workers of a run."""
    return f"{RUN}={job},{COMPONENT}=worker"


def template_name(tier: int) -> str:
    """Name of the PodTemplate that workers of a tier are made from."""
    return f"reprocess-worker-{tier}"


def label_value(text: str) -> str:
    """Make a text fit for a label: what must not stand there becomes a dash."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:_LONGEST].strip("-_.")


def service(run: Run) -> Document:
    """Describe the address of the scheduler, which is in whatever pod the Job has at present."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(run, run.name, "scheduler"),
        "spec": {
            # Some network plugins let workers reach a Service only if the labels that their policy names stand here.
            "selector": {"job-name": run.name, COMPONENT: "driver", **_NAME},
            "ports": [{"name": "scheduler", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def secret(run: Run, files: Mapping[str, bytes]) -> Document:
    """Describe the certificates of a run."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(run, run.name, "scheduler"),
        "type": "Opaque",
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def files_of(found: Document) -> dict[str, bytes]:
    """Read what `secret` keeps."""
    return {name: base64.b64decode(content) for name, content in (found.get("data") or {}).items()}


def deployment(run: Run, template: Document, tier: int) -> Document:
    """Describe the workers of a tier, none of them at first.

    Parameters
    ----------
    template : mapping
        The PodTemplate of the tier.

    Raises
    ------
    ClusterError
        It has no container called ``worker``.
    """
    pod = copy.deepcopy(template["template"])
    labels = {**_labels(run, "worker"), TIER: str(tier)}
    pod["metadata"] = {**pod.get("metadata", {}), "labels": {**pod.get("metadata", {}).get("labels", {}), **labels}}
    spec = pod["spec"]
    container = _container(spec, "worker", f"PodTemplate {template['metadata']['name']}")
    added = {"REPROCESS_SCHEDULER": run.address, "REPROCESS_TIER": str(tier)}
    known = [one for one in container.get("env", []) if one["name"] not in added]
    container["env"] = [*known, *({"name": name, "value": value} for name, value in added.items())]
    mount = {"name": "tls", "mountPath": TLS_DIRECTORY, "readOnly": True}
    container["volumeMounts"] = [*container.get("volumeMounts", []), mount]
    items = [{"key": name, "path": name} for name in WORKER_FILES]
    volume = {"name": "tls", "secret": {"secretName": run.name, "items": items, "defaultMode": 0o440}}
    spec["volumes"] = [*spec.get("volumes", []), volume]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(run, run.deployment(tier), "worker", {TIER: str(tier)}),
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": {RUN: run.name, COMPONENT: "worker", TIER: str(tier)}},
            "template": pod,
        },
    }


def driver_job(
    cronjob: Document, arguments: Sequence[str], *, name: str, labels: Mapping[str, str] | None = None
) -> Document:
    """Describe the Job of a run that is submitted, from the template of the sweep.

    Parameters
    ----------
    cronjob : mapping
    arguments : sequence of str
        Of the command line in the driver.
    name : str
    labels : mapping, optional
        Besides those of the template.

    Raises
    ------
    ClusterError
        The template has no container called ``driver``.
    """
    template = copy.deepcopy(cronjob["spec"]["jobTemplate"])
    spec, metadata = template["spec"], template.get("metadata", {})
    # The night of a sweep ends; a campaign goes on for as long as it takes.
    spec.pop("activeDeadlineSeconds", None)
    pod = spec["template"]
    _container(pod["spec"], "driver", f"CronJob {cronjob['metadata']['name']}")["args"] = list(arguments)
    added = {**_COMMON, COMPONENT: "driver", **(labels or {})}
    pod["metadata"] = {**pod.get("metadata", {}), "labels": {**pod.get("metadata", {}).get("labels", {}), **added}}
    kept = {"labels": {**metadata.get("labels", {}), **added}, "annotations": metadata.get("annotations", {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, **kept}, "spec": spec}


def _metadata(run: Run, name: str, component: str, more: Mapping[str, str] | None = None) -> Document:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": run.name, "uid": run.uid}
    return {
        "name": name,
        "namespace": run.namespace,
        "labels": {**_labels(run, component), **(more or {})},
        "ownerReferences": [owner],
    }


def _labels(run: Run, component: str) -> dict[str, str]:
    return {**_COMMON, **run.labels, COMPONENT: component, RUN: run.name}


def _container(spec: Document, name: str, where: str) -> Document:
    containers: list[Document] = spec["containers"]
    for container in containers:
        if container["name"] == name:
            return container
    raise errors.ClusterError(f"{where} has no container {name!r}. Apply the manifests of this version again.")
