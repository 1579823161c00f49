"""What the pods of workers say of themselves: why one has died, why others do not start, which should go first.

Pure functions of what the API server answers.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reprocess.execution.inquest import Verdict

Document = dict[str, Any]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""Of two pods the one with the lower number goes first, where the controller knows of it (since 1.22)."""

CONFIRMED_S = 20.0
"""What keeps pods from starting for so long is told; much passes by itself."""

_TAKEN = frozenset(
    {"Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "UnexpectedAdmissionError"}
)
"""Reasons of pods that are over because of their machine."""
_NO_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_RECENT_S = 180.0
_LONGEST_COST = 2**31 - 1


def verdict(pod: Document | None, now: datetime.datetime) -> Verdict:
    """Say why the worker in a pod went away a moment ago.

    Parameters
    ----------
    pod : mapping or None
        As it is now; None when it is gone.
    now : datetime
        With a time zone.

    Returns
    -------
    Verdict
        ``OPEN`` when the pod tells nothing, or nothing yet.
    """
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return Verdict.SPARED
    status = pod.get("status", {})
    if status.get("reason") in _TAKEN or _condition(status, "DisruptionTarget", "True"):
        return Verdict.SPARED
    ended = [one for one in _terminated(status) if _is_recent(one, now)]
    if any(one.get("reason") == "OOMKilled" for one in ended):
        return Verdict.STARVED
    if ended:
        return Verdict.CHARGED
    return Verdict.SPARED if _condition(status, "Ready", "False") else Verdict.OPEN


def obstacles(deployments: Iterable[Document], pods: Iterable[Document], *, what: str = "worker") -> Iterator[str]:
    """Say, a sentence for each reason, what keeps pods from starting; `what` they are."""
    for deployment in deployments:
        refused = _condition(deployment.get("status", {}), "ReplicaFailure", "True")
        if refused:
            yield f"No worker can be made: {_sentence(refused.get('message', ''))} {_advice(refused)}"
    alike: dict[tuple[str, str], list[str]] = {}
    for pod in pods:
        for reason in _reasons(pod.get("status", {})):
            alike.setdefault(reason, []).append(pod["metadata"]["name"])
    for (before, after), names in alike.items():
        others = " and others" if len(names) > 1 else ""
        text = f"{before.format(f'{what} {min(names)}{others}')}: {after}"
        yield text[0].upper() + text[1:]


class Lasting:
    """Of texts that are found again and again, tells those that have been there for long enough."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def of(self, texts: Iterable[str], now_s: float) -> list[str]:
        """Take what is found now; returns what has lasted, again and again."""
        self._since = {text: self._since.get(text, now_s) for text in texts}
        return [text for text, since in self._since.items() if now_s - since >= CONFIRMED_S]


def costs(busy_s: Mapping[str, float | None], pods: Iterable[Document]) -> dict[str, str]:
    """Return which pods have to be marked anew, so that those with the least to lose go first.

    Parameters
    ----------
    busy_s : mapping of pod to float or None
        For how many seconds each worker has been executing a unit: what would be lost with it. None: it is idle.
    pods : iterable of mapping
        As they are now.
    """
    found = {}
    for pod in pods:
        name, marks = pod["metadata"]["name"], pod["metadata"].get("annotations") or {}
        lost_s = busy_s.get(name)
        cost = 0 if lost_s is None else min(int(lost_s) + 1, _LONGEST_COST)
        if marks.get(DELETION_COST, "0") != str(cost):
            found[name] = str(cost)
    return found


def _condition(status: Document, kind: str, value: str) -> Document | None:
    conditions: list[Document] = status.get("conditions") or []
    return next((one for one in conditions if one.get("type") == kind and one.get("status") == value), None)


def _terminated(status: Document) -> Iterator[Document]:
    for container in status.get("containerStatuses") or []:
        for state in ("state", "lastState"):
            if ended := (container.get(state) or {}).get("terminated"):
                yield ended


def _is_recent(ended: Document, now: datetime.datetime) -> bool:
    try:
        at = datetime.datetime.fromisoformat(ended["finishedAt"])
    except (KeyError, ValueError, TypeError):
        return True
    return abs((now - at).total_seconds()) <= _RECENT_S


def _reasons(status: Document) -> Iterator[tuple[str, str]]:
    """Say why a pod does not start: what is the matter with whom, and the details."""
    unschedulable = _condition(status, "PodScheduled", "False")
    if unschedulable and unschedulable.get("reason") == "Unschedulable":
        yield (
            "No node takes {}",
            f"{_sentence(unschedulable.get('message', ''))} Look at the requests, the node selectors and the "
            "tolerations of its template, and at the limits of the node group.",
        )
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), _sentence(waiting.get("message", ""))
        why = ""
        if reason in _NO_IMAGE:
            image = container.get("image")
            why = f"image {image} cannot be had ({reason}). {message} Check its name and its registry."
        elif reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
            why = f"the container cannot be made ({reason}). {message} Check its ConfigMap and Secrets."
        elif reason == "CrashLoopBackOff":
            ended = (container.get("lastState") or {}).get("terminated") or {}
            how = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', 'unknown')}"
            why = f"the container ends again and again ({how}). Its log says why: kubectl logs --previous."
        if why:
            yield "{} cannot start", why


def _advice(refused: Document) -> str:
    message = refused.get("message", "")
    if "exceeded quota" in message:
        return "Raise the ResourceQuota of the namespace, or ask for fewer workers with REPROCESS_CLUSTER_MOST_WORKERS."
    return "Look at what admits pods to the namespace."


def _sentence(message: str) -> str:
    message = " ".join(message.split())
    return message if not message or message.endswith(".") else f"{message}."
