"""The API of a Kubernetes cluster, as far as a run needs it: one namespace, plain documents, and a time limit on all.

The only module that knows the client library. Its exceptions end here: what the cluster refuses is a `ClusterError`
that says what to do, what it does not answer is a `ClusterUnavailable`.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from reprocess import errors
from reprocess.execution.kubernetes.manifests import Document

CALL_S = 10.0
"""How long one call may take."""
PATIENCE_S = 60.0
"""How long a call is tried again that matters for the whole run."""
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 8.0
_FIELD_MANAGER = "reprocess"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: group and version, and its name in URLs."""

    version: str
    plural: str


CRONJOBS = Kind("batch/v1", "cronjobs")
OLD_CRONJOBS = Kind("batch/v1beta1", "cronjobs")
"""Before Kubernetes 1.21."""
DEPLOYMENTS = Kind("apps/v1", "deployments")
EVENTS = Kind("v1", "events")
JOBS = Kind("batch/v1", "jobs")
PODS = Kind("v1", "pods")
POD_TEMPLATES = Kind("v1", "podtemplates")
SECRETS = Kind("v1", "secrets")
SERVICES = Kind("v1", "services")


class Namespace:
    """One namespace of the cluster that this pod is in, or else that KUBECONFIG names. Several threads may use it.

    Parameters
    ----------
    name : str
        Empty for the one that the configuration names.

    Raises
    ------
    ClusterError
        The client library is not installed, or nothing says where the cluster is.
    ClusterUnavailable
        The API server does not answer.
    """

    def __init__(self, name: str = "") -> None:
        _forbid_files()
        try:
            import kr8s.asyncio
        except ImportError as error:
            raise errors.ClusterError(
                "The client of Kubernetes is not installed. In a checkout: pip install '.[kubernetes]'."
            ) from error
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubernetes", daemon=True)
        self._thread.start()
        self._errors = kr8s
        try:
            self._api = self._wait(kr8s.asyncio.api(namespace=name or None))
        except errors.ClusterError:
            self.close()
            raise
        self._api.timeout = CALL_S
        self.name = name or str(self._api.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread that speaks to the server."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)

    def get(self, kind: Kind, name: str) -> Document | None:
        """Return an object, None if there is none."""
        return self._found("GET", kind, name)

    def list(self, kind: Kind, *, selector: str = "", field: str = "") -> list[Document]:
        """Return the objects that a selector of labels, or of fields, chooses."""
        parameters = {name: text for name, text in (("labelSelector", selector), ("fieldSelector", field)) if text}
        found = self._request("GET", kind, params=parameters)
        return list(json.loads(found).get("items") or [])

    def create(self, kind: Kind, document: Document) -> Document:
        """Make an object, and return it as it is kept; one of that name that exists already is returned as it is."""
        try:
            made: Document = json.loads(self._request("POST", kind, content=json.dumps(document)))
        except _Exists:
            found = self.get(kind, document["metadata"]["name"])
            if found is None:
                raise
            return found
        return made

    def patch(self, kind: Kind, name: str, change: Mapping[str, Any], *, part: str = "") -> bool:
        """Merge a change into an object, or into a part of it such as ``scale``; tells whether it is there."""
        path = f"{name}/{part}" if part else name
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._found("PATCH", kind, path, content=json.dumps(change), headers=headers) is not None

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object and what it owns; one that is gone stays so."""
        self._found("DELETE", kind, name, content=json.dumps({"propagationPolicy": "Background"}))

    def log(self, pod: str, *, container: str, since: str = "") -> Iterator[tuple[str, str]]:
        """Give the lines of a container's log so far, each with its time; if a second is given, only those since."""
        parameters = {"container": container, "timestamps": "true", **({"sinceTime": since} if since else {})}
        for line in self._request("GET", PODS, f"{pod}/log", params=parameters).splitlines():
            at, _, text = line.partition(" ")
            yield at, text

    def _found(self, method: str, kind: Kind, path: str, **options: Any) -> Document | None:  # noqa: ANN401
        try:
            found: Document = json.loads(self._request(method, kind, path, **options))
        except _Missing:
            return None
        return found

    def _request(self, method: str, kind: Kind, path: str = "", **options: Any) -> str:  # noqa: ANN401
        """Make one call, and turn what goes wrong into errors of ours."""
        what = f"{method} {kind.plural}{'/' if path else ''}{path} in namespace {self.name}"

        async def call() -> str:
            url = f"{kind.plural}/{path}" if path else kind.plural
            headers = {"Content-Type": "application/json", **options.pop("headers", {})}
            async with self._api.call_api(
                method, version=kind.version, namespace=self.name, url=url, headers=headers, **options
            ) as answer:
                return str(answer.text)

        try:
            return self._wait(call())
        except self._errors.ServerError as error:
            raise _refusal(what, error) from error

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a call, for no longer than it may take."""
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, CALL_S), self._loop)
        try:
            return future.result(CALL_S + 1)
        except self._errors.ServerError:
            raise
        except (TimeoutError, FutureTimeoutError, OSError, self._errors.APITimeoutError) as error:
            future.cancel()
            raise errors.ClusterUnavailable(_UNAVAILABLE.format(repr(error))) from error
        except ValueError as error:
            raise errors.ClusterError(
                f"Nothing says where the cluster is ({error}). Set KUBECONFIG, or run this in a pod."
            ) from error
        except Exception as error:  # the library below has a tree of its own for what happens to connections
            raise errors.ClusterUnavailable(_UNAVAILABLE.format(repr(error))) from error


_UNAVAILABLE = "The API server of the cluster did not answer ({}). Look at the network and at KUBECONFIG; then again."


class _Missing(errors.ClusterError):
    """There is no such object, or no such namespace."""


class _Exists(errors.ClusterError):
    """An object of this name exists."""


def patiently(call: Any, *arguments: Any, patience_s: float = PATIENCE_S, **options: Any) -> Any:  # noqa: ANN401
    """Make a call again while the server does not answer, for so many seconds; for calls that may be made twice."""
    until, pause_s = time.monotonic() + patience_s, _PAUSE_S
    while True:
        try:
            return call(*arguments, **options)
        except errors.ClusterUnavailable:
            if time.monotonic() + pause_s >= until:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _refusal(what: str, error: Any) -> errors.ClusterError:  # noqa: ANN401
    """Turn an answer of the server into an error."""
    code = error.response.status_code if error.response is not None else 0
    said = str(error)
    if code in (401, 403) and "exceeded quota" not in said:
        return errors.ClusterError(
            f"The cluster does not permit {what}: {said}. Give that verb to the service account or user, as the Roles "
            "in k8s/base do."
        )
    if code == 404:
        return _Missing(f"{what}: {said}. Check the namespace, and apply the manifests there first.")
    if code == 409 and "already exists" in said:
        return _Exists(f"{what}: {said}.")
    if code in (408, 409, 429) or code >= 500:
        return errors.ClusterUnavailable(f"The API server could not do {what} now ({code}): {said}.")
    return errors.ClusterError(f"The cluster refuses {what}: {said}. Mend that in its manifests.")


def _forbid_files() -> None:
    """Let the client library keep its notes where a container may write."""
    os.environ.setdefault("KUBECACHEDIR", os.path.join(tempfile.gettempdir(), "reprocess-kubernetes"))
    warnings.filterwarnings("ignore", message="Kubernetes version", category=UserWarning)
