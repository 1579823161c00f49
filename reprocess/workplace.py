"""Where the units of a campaign run, as the settings say."""

from __future__ import annotations

from reprocess import errors
from reprocess.execution import executors
from reprocess.execution.executor import Executor
from reprocess.execution.scaling import Limits
from reprocess.settings import Settings

KUBERNETES = "kubernetes"
_MEGABYTE = 10**6


def open_executor(settings: Settings) -> Executor:
    """Open the executor that the settings name.

    Raises
    ------
    UsageError
        They name none that there is.
    ClusterError
        The cluster refuses what a run needs there.
    """
    execution = settings.execution
    if execution.cluster:
        return _on_cluster(settings)
    return executors.open_executor(
        scheduler=execution.scheduler,
        workers=execution.workers,
        memory_limit_bytes=execution.memory_limit_mb * _MEGABYTE,
        tiers_bytes=[size * _MEGABYTE for size in execution.memory_tiers_mb],
    )


def _on_cluster(settings: Settings) -> Executor:
    execution, here, wanted = settings.execution, settings.kubernetes, settings.cluster
    if execution.cluster != KUBERNETES:
        raise errors.UsageError(f"There is no cluster {execution.cluster!r}. Write {KUBERNETES}, or leave it out.")
    if execution.scheduler:
        raise errors.UsageError("A run on Kubernetes has a scheduler of its own. Leave out --scheduler.")
    if not (here.namespace and here.job and here.address):
        raise errors.UsageError(
            "This is no pod of a run on Kubernetes: --cluster kubernetes is for its driver. From anywhere else start "
            "one with `reprocess submit`."
        )
    from reprocess.execution.kubernetes.executor import KubernetesExecutor, Place

    first = Limits(most=wanted.most_workers, aim_s=wanted.aim_s, idle_s=wanted.idle_s)
    large = Limits(most=wanted.most_large_workers, aim_s=wanted.aim_s, idle_s=wanted.idle_s)
    limits = {tier: large if tier else first for tier in range(1 + len(execution.memory_tiers_mb))}
    place = Place(here.namespace, here.job, here.address, limits, wanted.period_s, wanted.start_s, wanted.cost)
    return KubernetesExecutor.at(place)
