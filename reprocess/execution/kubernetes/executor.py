"""An executor whose workers are pods that it asks for itself: this process is the driver of a run on Kubernetes."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprocess.execution.dask import certificates, processes
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.execution.executor import Amount, Left
from reprocess.execution.kubernetes import manifests
from reprocess.execution.kubernetes.api import Namespace
from reprocess.execution.kubernetes.autoscaler import Autoscaler
from reprocess.execution.kubernetes.run_cluster import RunCluster, find_run
from reprocess.execution.scaling import Limits


@dataclass(frozen=True, slots=True)
class Place:
    """Where the driver is, and what its cluster is to be like.

    Attributes
    ----------
    namespace, job, address : str
        The Job that the driver belongs to, and the address of its pod.
    limits : mapping of tier to Limits
        One for each memory tier.
    period_s, start_s : float
        See `Autoscaler`.
    cost : str
        See `find_run`.
    """

    namespace: str
    job: str
    address: str
    limits: Mapping[int, Limits]
    period_s: float
    start_s: float
    cost: str = ""


class KubernetesExecutor(DaskExecutor):
    """Runs tasks on pods; from none to as many as the work is worth, to none. See `at`."""

    autoscaler: Autoscaler

    @classmethod
    def at(cls, place: Place) -> KubernetesExecutor:
        """Make or find everything that a run needs, and start its scheduler.

        Raises
        ------
        ClusterError
            The cluster refuses something.
        """
        with contextlib.ExitStack() as scratch:
            namespace = Namespace(place.namespace)
            scratch.callback(namespace.close)
            made = RunCluster(namespace, find_run(namespace, place.job, cost=place.cost), len(place.limits))
            scratch.callback(made.remove)
            directory = Path(scratch.enter_context(tempfile.TemporaryDirectory(prefix="reprocess-")))
            certificates.write(made.make(place.address), directory)
            scratch.enter_context(processes.scheduler(manifests.PORT, directory))
            autoscaler = Autoscaler(made, place.limits, period_s=place.period_s, start_s=place.start_s)
            executor = cls._connected(directory, autoscaler, deserted_s=2 * place.start_s)
            executor._scratch.push(scratch.pop_all())
            return executor

    @classmethod
    def _connected(cls, directory: Path, autoscaler: Autoscaler, **options: Any) -> KubernetesExecutor:  # noqa: ANN401
        address = f"tls://127.0.0.1:{manifests.PORT}"
        security = processes.identity(address, directory, "client")
        executor = cls.connect(address, security=security, inquest=autoscaler.inquest, **options)
        assert isinstance(executor, cls)
        executor.autoscaler = autoscaler
        autoscaler.start(executor)
        return executor

    def expect(self, amounts: Callable[[], Mapping[int, Amount]], *, left: Callable[[], Left] = Left) -> None:
        """See `Executor.expect`."""
        self.backlog.expect(amounts(), left)

    def tell_obstacles(self, note: Callable[[str], None]) -> None:
        """See `Executor.tell_obstacles`."""
        self.autoscaler.tell_obstacles(note)

    def close(self) -> None:
        """Delete the workers and all else that was made for the run."""
        self.autoscaler.stop()
        super().close()
