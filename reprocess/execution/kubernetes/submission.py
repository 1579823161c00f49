"""Starting a run on Kubernetes from anywhere, and watching its driver until it has ended."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reprocess import errors
from reprocess.execution.kubernetes import api, manifests, pods
from reprocess.execution.kubernetes.api import Namespace, patiently
from reprocess.execution.kubernetes.manifests import Document

LOOK_S = 2.0
START_S = 600.0
"""How long a driver may take to start; nodes take minutes to come."""
DRIVER = "driver"
_DIGEST, _CAMPAIGN = 12, 16
_UNKNOWN = 1

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that was asked for: its Job."""

    namespace: str
    job: str


def submit(
    namespace: Namespace, digest: str, arguments: Sequence[str], *, program: str = "", cost: str = ""
) -> Submitted:
    """Make the Job of a run, from the template of the sweep in the same namespace.

    Parameters
    ----------
    namespace : Namespace
    digest : str
        Of the plan, perhaps shortened.
    arguments : sequence of str
        Of the command line in the driver.
    program, cost : str
        For whom the run is, and who pays: labels of all that it makes.

    Raises
    ------
    ClusterError
        The namespace has no such template, or the Job is refused.
    """
    name = f"reprocess-{manifests.label_value(digest[:_DIGEST].lower())}-{secrets.token_hex(2)}"
    campaign = digest[:_CAMPAIGN] if len(digest) >= _CAMPAIGN else ""
    said = {manifests.CAMPAIGN: campaign, manifests.PROGRAM: program, manifests.COST: cost}
    labels = {label: manifests.label_value(text) for label, text in said.items() if text}
    made = patiently(
        namespace.create, api.JOBS, manifests.driver_job(_template(namespace), arguments, name=name, labels=labels)
    )
    return Submitted(namespace.name, str(made["metadata"]["name"]))


def _template(namespace: Namespace) -> Document:
    for kind in (api.CRONJOBS, api.OLD_CRONJOBS):
        found: Document | None = patiently(namespace.get, kind, manifests.SWEEP)
        if found is not None:
            return found
    raise errors.ClusterError(
        f"Namespace {namespace.name} has no CronJob {manifests.SWEEP}, or does not exist. Name another one with "
        "--namespace, or apply the manifests there first."
    )


def follow(namespace: Namespace, submitted: Submitted, *, say: Say, lines: Say | None = None) -> int:
    """Wait until a run has ended; returns the exit code of its driver.

    Parameters
    ----------
    namespace : Namespace
    submitted : Submitted
    say : callable
        Takes what is in the way of the run, and what becomes of it.
    lines : callable, optional
        Takes the lines that the driver logs, as they come.

    Raises
    ------
    ClusterError
        No driver has started for long, or the Job was deleted.
    ClusterUnavailable
        The API server has not answered for long. The run goes on.
    """
    log = _Log(namespace, lines) if lines else None
    until = time.monotonic() + START_S
    told: set[str] = set()
    lasting = pods.Lasting()
    while True:
        job = patiently(namespace.get, api.JOBS, submitted.job)
        if job is None:
            raise errors.ClusterError(
                f"Job {submitted.job} was deleted. What the run has done is kept; submit it again."
            )
        found = _drivers(namespace, submitted)
        started = [pod for pod in found if pod["status"].get("phase") not in (None, "Pending")]
        if log is not None and started:
            log.read(started[-1])
        if ended := _end(job):
            say(f"{ended}{_last_words(found)}")
            return _exit_code(found)
        for text in lasting.of(_obstacles(namespace, submitted, found, started), time.monotonic()):
            if text not in told:
                told.add(text)
                say(text)
        if not started and time.monotonic() > until:
            raise errors.ClusterError(
                f"No driver of Job {submitted.job} has started for {START_S:.0f} s. {' '.join(sorted(told))} Look at "
                f"it: kubectl --namespace {namespace.name} describe job {submitted.job}."
            )
        time.sleep(LOOK_S)


def _drivers(namespace: Namespace, submitted: Submitted) -> list[Document]:
    """Return the pods that the Job has had, the latest last."""
    found: list[Document] = patiently(namespace.list, api.PODS, selector=f"job-name={submitted.job}")
    return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def _end(job: Document) -> str:
    """Say how a Job has ended; empty while it goes on."""
    how = manifests.end(job)
    why = next((one.get("message") for one in job.get("status", {}).get("conditions") or [] if one["type"] == how), "")
    words = {"Complete": "has ended well", "Failed": "has failed"}
    return f"Job {job['metadata']['name']} {words[how]}{f': {why}' if why else ''}." if how else ""


def _exit_code(found: Sequence[Document]) -> int:
    """Return the exit code of the last driver that has one."""
    for pod in reversed(found):
        for container in pod["status"].get("containerStatuses") or []:
            if container["name"] == DRIVER and (ended := container["state"].get("terminated")):
                return int(ended["exitCode"])
    return _UNKNOWN


def _last_words(found: Sequence[Document]) -> str:
    """Return what the last driver said at its end, if it failed: the kubelet keeps the end of its log."""
    for pod in reversed(found):
        for container in pod["status"].get("containerStatuses") or []:
            if container["name"] == DRIVER and (ended := container["state"].get("terminated")):
                lines = str(ended.get("message") or "").strip().splitlines()
                return f" {lines[-1]}" if lines and ended["exitCode"] else ""
    return ""


def _obstacles(
    namespace: Namespace, submitted: Submitted, found: Sequence[Document], started: Sequence[Document]
) -> Iterator[str]:
    """Say what keeps a driver from starting, or its workers.

    A Job tells in its events alone what keeps a pod from being made.
    """
    if started:
        yield from pods.obstacles([], patiently(namespace.list, api.PODS, selector=manifests.workers_of(submitted.job)))
        return
    yield from pods.obstacles([], found, what=DRIVER)
    if not found:
        try:
            events = namespace.list(api.EVENTS, field=f"involvedObject.name={submitted.job},type=Warning")
        except errors.ClusterError:
            return
        for event in events:
            yield f"No driver can be made: {event.get('message', '')}"


class _Log:
    """Reads what a container logs, each line once."""

    def __init__(self, namespace: Namespace, lines: Say) -> None:
        self._namespace, self._lines = namespace, lines
        self._pod, self._since, self._seen = "", "", set[tuple[str, str]]()

    def read(self, pod: Document) -> None:
        """Pass on what is new; what cannot be read now is read later."""
        name = pod["metadata"]["name"]
        if name != self._pod:
            self._pod, self._since, self._seen = name, "", set()
        try:
            found = list(self._namespace.log(name, container=DRIVER, since=self._since))
        except errors.ClusterError:
            return
        for at, text in found:
            if (at, text) not in self._seen:
                self._lines(text)
        if found:
            # The server goes by whole seconds: of the last one, lines come again.
            self._since = f"{found[-1][0][:19]}Z"
            self._seen = {(at, text) for at, text in found if at >= self._since[:19]}
