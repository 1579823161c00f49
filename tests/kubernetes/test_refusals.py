"""What a cluster refuses, and what an operator gets to read."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.archives import kept_text
from tests.kubernetes.bench import PROGRAM, kubectl, until

IMPATIENT = {"REPROCESS_CLUSTER_START_S": "30"}


def submit(bench, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [*PROGRAM, "submit", "s3://b/a", "0123456789abcdef", *arguments]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=120, check=False, env={**bench.outside(), **environment}
    )


def somebody(bench, account: str, path: Path) -> Path:
    """A KUBECONFIG of a service account."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    token = bench.kubectl("create", "token", account, check=False).strip()
    if " " in token:  # before 1.24 each account has a Secret with one
        (found,) = [one for one in bench.list("secrets") if one["metadata"]["name"].startswith(f"{account}-token")]
        token = base64.b64decode(found["data"]["token"]).decode()
    for user in config["users"]:
        user["user"] = {"token": token}
    path.write_text(yaml.safe_dump(config))
    return path


class TestSubmit:
    def test_no_namespace(self, bench):
        """A namespace that does not exist is named."""
        told = submit(bench, "--namespace", "nowhere")

        assert told.returncode == 2
        assert "Namespace nowhere has no CronJob reprocess-sweep, or does not exist" in told.stderr

    def test_no_server(self, bench, tmp_path):
        """An API server that does not answer is told of, not waited for without an end."""
        config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
        for one in config["clusters"]:
            one["cluster"]["server"] = "https://127.0.0.1:9"
        (tmp_path / "config").write_text(yaml.safe_dump(config))

        told = submit(bench, "--namespace", bench.namespace, KUBECONFIG=str(tmp_path / "config"))

        assert told.returncode == 7
        assert "did not answer" in told.stderr

    def test_no_configuration(self, bench, tmp_path):
        """Without a configuration the message says which variable to set."""
        told = submit(bench, KUBECONFIG=str(tmp_path / "none"))

        assert told.returncode == 2
        assert "Set KUBECONFIG" in told.stderr

    def test_no_permission(self, bench, tmp_path):
        """Who may not submit is told which verb is missing; no Job is made."""
        path = somebody(bench, "reprocess-worker", tmp_path / "config")

        told = submit(bench, "--namespace", bench.namespace, KUBECONFIG=str(path))

        assert told.returncode == 2
        assert "does not permit GET cronjobs/reprocess-sweep" in told.stderr
        assert not bench.names("jobs")

    def test_an_operator(self, bench, planned, tmp_path):
        """The service account of operators may submit, follow and delete a run, and needs nothing else."""
        path = somebody(bench, "reprocess-operator", tmp_path / "config")
        cluster = planned()
        line = [*PROGRAM, "submit", cluster.url, "0" * 64, "--namespace", bench.namespace, "--follow"]
        told = subprocess.run(
            line,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env={**bench.outside(), "KUBECONFIG": str(path)},
        )

        assert told.returncode == 2, told.stderr
        assert "no plan" in told.stdout.lower() + told.stderr.lower()


class TestWorkers:
    """Runs whose workers cannot be had: the driver says why and ends, and nothing is left."""

    def check(self, bench, planned, *words: str) -> None:
        cluster = planned()
        run = bench.submit(cluster.url, cluster.plan.digest)
        for word in words:
            run.until(word, 150)
        report = f"campaigns/{cluster.plan.digest[:16]}/report.txt"
        until(
            lambda: all(word in kept_text(cluster.archive.store, report) for word in words),
            30,
            f"{words} in the report",
        )
        run.delete()
        until(lambda: not bench.made_by(run.job) and not bench.drivers(run.job), 120, "what is left behind")

    def test_no_image(self, bench, planned):
        """An image that cannot be had is named with its registry."""
        bench.apply(**IMPATIENT)
        self.change(bench, "containers/0/image", "nowhere.invalid/reprocess:9")

        self.check(bench, planned, "nowhere.invalid/reprocess:9 cannot be had", "has waited 30 s for a first worker")

    def test_no_node(self, bench, planned):
        """A tier that no node takes is told with what the scheduler says."""
        bench.apply(**IMPATIENT)
        self.change(bench, "nodeSelector", {"kind-of-node": "none"})

        self.check(bench, planned, "No node takes worker", "has waited 30 s for a first worker")

    def test_an_operator_who_waits(self, bench, planned):
        """Who only waits for a run is told what keeps its workers from starting, and why it has failed."""
        bench.retries = 0
        bench.apply(**IMPATIENT)
        self.change(bench, "nodeSelector", {"kind-of-node": "none"})
        cluster = planned()
        line = [*PROGRAM, "submit", cluster.url, cluster.plan.digest, "--namespace", bench.namespace, "--wait"]
        told = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False, env=bench.outside())

        assert told.returncode == 7
        first, last = told.stderr.splitlines()
        assert first.startswith("reprocess: No node takes worker")
        assert "has failed" in last
        assert "has waited 30 s for a first worker" in last

    def test_quota(self, bench, planned):
        """A quota that is used up is told."""
        bench.apply(**IMPATIENT)
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "spec": {"hard": {"pods": "1"}},
        }
        with applied(bench, quota):
            self.check(bench, planned, "exceeded quota", "has waited 30 s for a first worker")

    @pytest.mark.parametrize(
        ("resource", "verb", "words"),
        [
            ("deployments", "create", "does not permit POST deployments"),
            ("deployments/scale", "patch", "does not permit PATCH deployments"),
            ("secrets", "create", "does not permit POST secrets"),
            ("pods", "list", "does not permit GET pods"),
        ],
    )
    def test_one_verb_is_missing(self, bench, planned, resource, verb, words):
        """A driver that lacks one verb says which, and ends."""
        role = json.loads(bench.kubectl("get", "role", "reprocess-driver", "--output", "json"))
        for rule in role["rules"]:
            if resource in rule["resources"]:
                rule["verbs"].remove(verb)
        rules = [rule for rule in role["rules"] if rule["verbs"]]
        bench.kubectl("patch", "role", "reprocess-driver", "--type=merge", "-p", json.dumps({"rules": rules}))
        bench.changed = {"": ""}  # to be applied again

        self.check(bench, planned, words)

    @staticmethod
    def change(bench, path: str, value: object) -> None:
        operation = [{"op": "add", "path": f"/template/spec/{path}", "value": value}]
        bench.kubectl("patch", "podtemplate", "reprocess-worker-0", "--type=json", "-p", json.dumps(operation))


@contextlib.contextmanager
def applied(bench, document):
    """Something more in the namespace, for a while."""
    bench.kubectl("apply", "-f", "-", text=yaml.safe_dump(document))
    try:
        yield
    finally:
        kubectl("--namespace", bench.namespace, "delete", document["kind"].lower(), document["metadata"]["name"])
