"""What a run on Kubernetes makes for itself: certificates, a Service, a Deployment of workers for each memory tier."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from reprocess import errors
from reprocess.execution.dask import certificates
from reprocess.execution.kubernetes import api, manifests, pods
from reprocess.execution.kubernetes.api import Kind, Namespace, patiently
from reprocess.execution.kubernetes.manifests import Document, Run

REMOVE_S = 20.0
"""How long each thing is tried to be removed; it goes with the Job in any case."""
GONE_S = 60.0
"""How long the collector of garbage may take to delete what belongs to a Job that is gone."""
AGAIN_S = 1.0
_LOG = logging.getLogger(__name__)


class RunCluster:
    """The objects of one run; see `make`.

    Parameters
    ----------
    namespace : Namespace
    run : Run
    tiers : int
        Memory tiers, the first included.

    Attributes
    ----------
    asked : dict of tier to int
        Workers that are asked for.
    """

    def __init__(self, namespace: Namespace, run: Run, tiers: int) -> None:
        self._namespace = namespace
        self.run = run
        self.asked = dict.fromkeys(range(tiers), 0)

    def make(self, address: str) -> dict[str, bytes]:
        """Make everything that is not there yet, and return the certificates: a driver may come back.

        Parameters
        ----------
        address : str
            IP address of the scheduler.

        Raises
        ------
        ClusterError
            The cluster refuses something, or has no template of a tier.
        """
        run = self.run
        names = (run.name, f"{run.name}.{run.namespace}.svc", "localhost", "127.0.0.1", address)
        known = self._own(
            api.SECRETS, run.name, lambda: manifests.secret(run, certificates.issue([name for name in names if name]))
        )
        self._own(api.SERVICES, run.name, lambda: manifests.service(run))
        for tier in self.asked:
            made = self._own(api.DEPLOYMENTS, run.deployment(tier), partial(self._deployment, tier))
            self.asked[tier] = int(made["spec"].get("replicas", 0))
        return manifests.files_of(known)

    def _deployment(self, tier: int) -> Document:
        return manifests.deployment(self.run, self._template(tier), tier)

    def _own(self, kind: Kind, name: str, describe: Callable[[], Document]) -> Document:
        """Find or make an object of this run; one of an earlier Job of the same name is about to go: wait for that."""
        until = time.monotonic() + GONE_S
        while True:
            found: Document | None = patiently(self._namespace.get, kind, name)
            if found is None:
                found = patiently(self._namespace.create, kind, describe())
            owners = found["metadata"].get("ownerReferences") or []
            if any(owner.get("uid") == self.run.uid for owner in owners):
                return found
            if time.monotonic() > until:
                raise errors.ClusterError(
                    f"{kind.plural}/{name} in namespace {self.run.namespace} belongs to another Job than this one, "
                    "and does not go. Delete it, or give the Job another name."
                )
            patiently(self._namespace.delete, kind, name)
            time.sleep(AGAIN_S)

    def _template(self, tier: int) -> Document:
        name = manifests.template_name(tier)
        found: Document | None = patiently(self._namespace.get, api.POD_TEMPLATES, name)
        if found is None:
            raise errors.ClusterError(
                f"Namespace {self.run.namespace} has no PodTemplate {name}, which workers of memory tier {tier} are "
                "made from. Apply the manifests, or take that tier out of REPROCESS_EXECUTION_MEMORY_TIERS_MB."
            )
        return found

    def scale(self, tier: int, replicas: int) -> None:
        """Ask for so many workers of a tier."""
        change, name = {"spec": {"replicas": replicas}}, self.run.deployment(tier)
        if not self._namespace.patch(api.DEPLOYMENTS, name, change, part="scale"):
            _LOG.warning("Deployment %s is gone: it is made again.", name)
            self._namespace.create(api.DEPLOYMENTS, self._deployment(tier))
            self._namespace.patch(api.DEPLOYMENTS, name, change, part="scale")
        self.asked[tier] = replicas

    def pods(self) -> list[Document]:
        """Return the pods of all workers."""
        return self._namespace.list(api.PODS, selector=self.run.workers)

    def deployments(self) -> list[Document]:
        """Return the Deployments of the run."""
        return self._namespace.list(api.DEPLOYMENTS, selector=self.run.workers)

    def mark(self, costs: Mapping[str, str]) -> None:
        """Say of pods what it would cost to lose them."""
        for name, cost in costs.items():
            self._namespace.patch(api.PODS, name, {"metadata": {"annotations": {pods.DELETION_COST: cost}}})

    def remove(self) -> None:
        """Delete everything; what cannot be deleted now goes with the Job."""
        for tier in self.asked:
            self._try(self._namespace.delete, api.DEPLOYMENTS, self.run.deployment(tier))
        self._try(self._namespace.delete, api.SERVICES, self.run.name)
        self._try(self._namespace.delete, api.SECRETS, self.run.name)

    def _try(self, call: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
        try:
            patiently(call, *arguments, patience_s=REMOVE_S)
        except errors.ClusterError as error:
            _LOG.warning("%s Left behind; it goes with the Job: kubectl delete job %s", error, self.run.name)


def tidy(namespace: Namespace) -> tuple[str, ...]:
    """Delete the workers of runs that are over, which a driver leaves behind that is killed for good; return them."""
    gone = []
    for found in patiently(namespace.list, api.DEPLOYMENTS, selector=manifests.ALL_WORKERS):
        name, run = found["metadata"]["name"], found["metadata"]["labels"].get(manifests.RUN, "")
        job = patiently(namespace.get, api.JOBS, run) if run else None
        if job is None or manifests.end(job):
            _LOG.warning("Run %s is over, and has left workers behind: Deployment %s is deleted.", run, name)
            patiently(namespace.delete, api.DEPLOYMENTS, name)
            gone.append(name)
    return tuple(gone)


def find_run(namespace: Namespace, job: str, *, cost: str = "") -> Run:
    """Look up the Job that this driver belongs to.

    Parameters
    ----------
    job : str
        Its name.
    cost : str
        Who pays, where the Job does not say it: a label of everything that the run makes.

    Raises
    ------
    ClusterError
        There is no such Job.
    """
    found = patiently(namespace.get, api.JOBS, job)
    if found is None:
        raise errors.ClusterError(f"Namespace {namespace.name} has no Job {job}, which this driver was to belong to.")
    kept = {manifests.COST: manifests.label_value(cost), **(found["metadata"].get("labels") or {})}
    wanted = (manifests.CAMPAIGN, manifests.PROGRAM, manifests.COST)
    labels = {name: kept[name] for name in wanted if kept.get(name)}
    return Run(namespace.name, job, found["metadata"]["uid"], labels)
