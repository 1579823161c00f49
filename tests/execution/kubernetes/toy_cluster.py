"""A namespace in memory, for what does not need a cluster: keeps objects, counts calls, refuses when it is told to."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from pathlib import Path

import yaml

from reprocess import errors
from reprocess.execution.kubernetes import api
from reprocess.execution.kubernetes.api import Kind

ROOT = Path(__file__).parents[3]
JOB = "reprocess-0123456789ab-cdef"


class ToyNamespace:
    """As `api.Namespace`."""

    def __init__(self, name: str = "toys") -> None:
        self.name = name
        self.kept: dict[Kind, dict[str, dict]] = defaultdict(dict)
        self.calls: list[tuple[str, str, str]] = []
        self.refusal: errors.ClusterError | None = None
        self._numbers = itertools.count(1)

    def _called(self, verb: str, kind: Kind, name: str) -> None:
        if self.refusal:
            raise self.refusal
        self.calls.append((verb, kind.plural, name))

    def get(self, kind, name):
        self._called("get", kind, name)
        return copy.deepcopy(self.kept[kind].get(name))

    def list(self, kind, *, selector="", field=""):
        self._called("list", kind, selector or field)
        wanted = dict(term.split("=") for term in selector.split(",") if term)
        return [one for one in self.kept[kind].values() if wanted.items() <= one["metadata"].get("labels", {}).items()]

    def create(self, kind, document):
        name = document["metadata"]["name"]
        self._called("create", kind, name)
        if name in self.kept[kind]:
            self._called("get", kind, name)  # as the real one reads what it could not make
        made = copy.deepcopy(document)
        made["metadata"]["uid"] = f"uid-{next(self._numbers)}"
        return copy.deepcopy(self.kept[kind].setdefault(name, made))

    def patch(self, kind, name, change, *, part=""):
        self._called("patch", kind, f"{name}/{part}" if part else name)
        if name in self.kept[kind]:
            _merge(self.kept[kind][name], change)
        return name in self.kept[kind]

    def delete(self, kind, name):
        self._called("delete", kind, name)
        self.kept[kind].pop(name, None)

    def log(self, pod, *, container, since=""):
        return iter(())


def _merge(kept: dict, change: dict) -> None:
    for name, value in change.items():
        if isinstance(value, dict):
            _merge(kept.setdefault(name, {}), value)
        else:
            kept[name] = value


def prepared(tiers: int = 2) -> ToyNamespace:
    """A namespace with the shipped templates and the Job of a driver."""
    toys = ToyNamespace()
    for tier in range(tiers):
        template = shipped("worker/pod.yaml")
        template["metadata"]["name"] = f"reprocess-worker-{tier}"
        toys.create(api.POD_TEMPLATES, template)
    toys.create(api.CRONJOBS, shipped("base/sweep.yaml"))
    toys.create(api.JOBS, {"metadata": {"name": JOB, "labels": {"reprocess/campaign": "0123456789abcdef"}}})
    toys.calls.clear()
    return toys


def shipped(path: str) -> dict:
    """A manifest as it is shipped."""
    return yaml.safe_load((ROOT / "k8s" / path).read_text())


def pod(name: str, *, tier: int = 0, **status) -> dict:
    """A worker's pod."""
    labels = {
        "reprocess/run": JOB,
        "app.kubernetes.io/component": "worker",
        "reprocess/tier": str(tier),
    }
    return {"metadata": {"name": name, "labels": labels}, "status": {"phase": "Running", **status}}
