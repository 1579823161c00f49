"""The cluster that KUBECONFIG names, with the shipped manifests in a namespace of it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.manifests import rendering
from tests.manifests.translate import pods, translate

ROOT = Path(__file__).parents[2]
NAMESPACE = "reprocess"
PROGRAM = (sys.executable, "-c", "from reprocess.cli import program; program()")

Document = dict[str, Any]


def kubectl(*arguments: str, text: str | None = None, check: bool = True, timeout_s: float = 90) -> str:
    """Run kubectl; its output, with what it complained of if it failed and that is allowed."""
    told = subprocess.run(
        ["kubectl", *arguments], input=text, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check:
        assert told.returncode == 0, f"kubectl {' '.join(arguments)}: {told.stderr}"
    return told.stdout if told.returncode == 0 else told.stdout + told.stderr


def until(condition: Callable[[], Any], seconds: float = 60, what: str = "") -> Any:
    """Wait for something; what it was."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what or condition}"
        time.sleep(0.2)
    return found


def server_version() -> tuple[int, int]:
    found = json.loads(kubectl("version", "--output", "json"))["serverVersion"]
    return int(found["major"]), int(found["minor"].rstrip("+"))


def fitting(documents: tuple[Document, ...]) -> list[Document]:
    """The documents as this server takes them."""
    return translate(documents) if server_version() < (1, 25) else copy.deepcopy(list(documents))


@dataclass
class Bench:
    """The overlay `local` as it is applied for tests.

    Attributes
    ----------
    image : str
    environment : dict
        Of all pods, over what the overlay says.
    credentials : dict
        Of the store.
    target : str
        Text of the target of sweeps.
    """

    image: str
    environment: dict[str, str]
    credentials: dict[str, str]
    target: str = ""
    namespace: str = NAMESPACE
    changed: dict[str, str] = field(default_factory=dict)
    retries: int = 2

    def documents(self) -> list[Document]:
        """What is applied."""
        found = fitting(rendering.overlay_of("local"))
        for document in found:
            name = document["metadata"]["name"]
            for pod in pods(document):
                for container in pod["containers"]:
                    container["image"] = self.image
            if document["kind"] == "ConfigMap" and name == "reprocess-settings":
                document["data"] |= self.environment | self.changed
            if document["kind"] == "ConfigMap" and name == "reprocess-target" and self.target:
                document["data"]["target.toml"] = self.target
            if document["kind"] == "CronJob":
                document["spec"]["suspend"] = True
                # Old servers know no podFailurePolicy, and try what cannot succeed so often.
                document["spec"]["jobTemplate"]["spec"]["backoffLimit"] = self.retries
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "reprocess-s3", "namespace": self.namespace},
        }
        return [*found, {**secret, "stringData": self.credentials}]

    def apply(self, **changed: str) -> None:
        """Apply everything, with some variables of the environment changed."""
        self.changed = changed
        kubectl("apply", "-f", "-", text=yaml.safe_dump_all(self.documents()))

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return kubectl("--namespace", self.namespace, *arguments, **options)

    def list(self, kind: str, selector: str = "") -> list[Document]:
        return json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))["items"]

    def names(self, kind: str, selector: str = "") -> list[str]:
        return [one["metadata"]["name"] for one in self.list(kind, selector)]

    def workers(self, job: str, *, ready: bool = False) -> list[Document]:
        """The pods of workers that are not about to stop."""
        found = self.list("pods", f"reprocess/run={job},app.kubernetes.io/component=worker")
        found = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return [pod for pod in found if pod["status"].get("phase") == "Running"] if ready else found

    def drivers(self, job: str) -> list[Document]:
        found = self.list("pods", f"job-name={job}")
        return sorted(found, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def log(self, job: str) -> str:
        """What all drivers of a run have logged, each line with its time."""
        names = [pod["metadata"]["name"] for pod in self.drivers(job)]
        return "".join(self.kubectl("logs", name, "--timestamps", check=False) for name in names)

    def made_by(self, job: str) -> list[str]:
        """Whatever a run has made and is still there."""
        kinds = ("deployments", "replicasets", "services", "secrets", "pods")
        return [f"{kind}/{name}" for kind in kinds for name in self.names(kind, f"reprocess/run={job}")]

    def submit(self, archive: str, digest: str, *more: str, check: bool = True) -> Run:
        """Start a run as an operator does."""
        line = [*PROGRAM, "submit", archive, digest, "--namespace", self.namespace, *more]
        told = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, env=self.outside())
        if check:
            assert told.returncode == 0, told.stderr
        return Run(self, told.stdout.removeprefix("Job ").partition(".")[0], told)

    def fire(self, cronjob: str) -> Run:
        """Make a Job of a CronJob now: `kubectl create job --from`, which does not know the CronJobs of old servers."""
        found = json.loads(self.kubectl("get", "cronjob", cronjob, "--output", "json"))
        name = f"{cronjob}-{time.time_ns() // 10**6}"
        metadata = {**found["spec"]["jobTemplate"].get("metadata", {}), "name": name}
        job = {"apiVersion": "batch/v1", "kind": "Job", **found["spec"]["jobTemplate"], "metadata": metadata}
        self.kubectl("create", "--filename", "-", text=json.dumps(job))
        return Run(self, name, None)

    def outside(self) -> dict[str, str]:
        """The environment of an operator: no credentials of any store."""
        return {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "REPROCESS_"))}


@dataclass
class Run:
    """One run that was submitted."""

    bench: Bench
    job: str
    told: subprocess.CompletedProcess[str] | None

    def wait(self, seconds: float = 240) -> str:
        """Wait for the end of the Job: its condition."""

        def ended() -> str:
            (job,) = [one for one in self.bench.list("jobs") if one["metadata"]["name"] == self.job]
            found = [one["type"] for one in job.get("status", {}).get("conditions", []) if one["status"] == "True"]
            return next((one for one in found if one in ("Complete", "Failed")), "")

        try:
            return until(ended, seconds, f"the end of {self.job}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.bench.log(self.job)}") from error

    def until(self, text: str, seconds: float = 120) -> None:
        """Wait until the driver has logged something."""
        try:
            until(lambda: text in self.bench.log(self.job), seconds, text)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.bench.log(self.job)}") from error

    def until_busy(self, workers: int = 1) -> list[str]:
        """Wait until so many workers are there and units run; the names of their pods."""
        self.until("The first unit begins")
        until(lambda: len(self.bench.workers(self.job, ready=True)) >= workers, 60, f"{workers} workers")
        return [pod["metadata"]["name"] for pod in self.bench.workers(self.job, ready=True)]

    def delete(self) -> None:
        self.bench.kubectl("delete", "job", self.job, "--wait=false", check=False)
