"""Commands for runs on Kubernetes: submit, from anywhere; worker and drain, in the pods of workers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from reprocess import errors
from reprocess.cli_options import EXIT_INTERRUPTED, everywhere, logging_options, raise_verbosity, settings_of, with_all

_TLS = Path("/etc/reprocess/tls")
_tls = click.option(
    "--tls",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=_TLS,
    show_default=True,
    help="Directory of the worker's certificate, for tls:// addresses.",
)
_scheduler = click.option(
    "--scheduler",
    envvar="REPROCESS_SCHEDULER",
    show_envvar=True,
    required=True,
    metavar="ADDRESS",
    help="tls://host:port.",
)
_name = click.option(
    "--name", envvar="REPROCESS_POD_NAME", show_envvar=True, required=True, help="Of the worker: that of its pod."
)


@click.command(short_help="Start a run on Kubernetes.")
@click.argument("archive", metavar="ARCHIVE")
@click.argument("digest", metavar="DIGEST")
@click.option("--namespace", default="", help="Where the manifests were applied (else as KUBECONFIG says).")
@click.option("--wait", is_flag=True, help="Wait until the run has ended, and exit as its driver did.")
@click.option("--follow", is_flag=True, help="Show what the driver logs, too.")
@click.option("--program", default="", metavar="NAME", help="For whom: label reprocess/program of all that it makes.")
@click.option("--cost", default="", metavar="NAME", help="Who pays: label reprocess/cost of all that it makes.")
@click.option("--approve", is_flag=True, help="As for `run`.")
@click.option("--release", default="", metavar="NAME", help="As for `run`.")
@click.option("--max-cost", type=click.FloatRange(min=0.0, min_open=True), help="As for `run`.")
@click.option(
    "--max-hours", type=click.FloatRange(min=0.0, min_open=True), help="As for `run`; workers are fitted to it."
)
@click.option("--max-exposures", type=click.IntRange(min=1), metavar="N", help="As for `run`.")
@with_all(logging_options)
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    archive: str,
    digest: str,
    namespace: str,
    wait: bool,
    follow: bool,
    **wish: Any,  # noqa: ANN401
) -> None:
    """Start a run of the plan DIGEST as a Job on the cluster that KUBECONFIG names, and say how to watch and end it.

    ARCHIVE is written as the pods of the cluster see it; where its store is, and by which keys, they know themselves.
    The Job is made from the CronJob `reprocess-sweep` in the same namespace. Killed at any moment, this command changes
    nothing about the run; deleting the Job ends the run and deletes everything that it has made on the cluster. What it
    has done in ARCHIVE is kept.
    """
    from reprocess.execution.kubernetes import submission
    from reprocess.execution.kubernetes.api import Namespace

    chosen = namespace or settings_of(ctx).kubernetes.namespace
    with Namespace(chosen) as place:
        whose = {name: wish.pop(name) for name in ("program", "cost")}
        made = submission.submit(place, digest, _arguments(archive, digest, wish), **whose)
        at = f"kubectl --namespace {made.namespace}"
        click.echo(f"Job {made.job}. Its log: {at} logs --follow job/{made.job}. To end it: {at} delete job {made.job}")
        if wait or follow:
            try:
                sys.exit(submission.follow(place, made, say=_say, lines=click.echo if follow else None))
            except KeyboardInterrupt:
                _say(f"The run goes on. Look again with {at} logs --follow job/{made.job}.")
                sys.exit(EXIT_INTERRUPTED)


def _say(text: str) -> None:
    click.echo(f"reprocess: {text}", err=True)


def _arguments(archive: str, digest: str, wish: Mapping[str, Any]) -> list[str]:
    """Write the command line of the driver."""
    line = ["run", archive, digest, "--cluster", "kubernetes", "--metrics-port", "9090"]
    for name, value in wish.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            line.append(flag)
        elif value:
            line += [flag, f"{value:.12g}" if isinstance(value, float) else str(value)]
    return line


@click.command(short_help="Be a worker in a pod.")
@_scheduler
@_name
@_tls
@click.option(
    "--tier", envvar="REPROCESS_TIER", show_envvar=True, type=click.IntRange(min=0), default=0, help="Memory tier."
)
@click.option(
    "--pod-memory",
    envvar="REPROCESS_POD_MEMORY_BYTES",
    show_envvar=True,
    type=click.IntRange(min=1),
    required=True,
    metavar="BYTES",
    help="Memory limit of the pod; the worker takes 95 % of it less 150 MB.",
)
@with_all(everywhere)
@click.pass_context
def worker(ctx: click.Context, scheduler: str, name: str, directory: Path, tier: int, pod_memory: int) -> None:
    """Be a worker of one thread for the run whose scheduler is at ADDRESS, until told to end.

    A scheduler that goes away is waited for. This is what the pods of workers run; elsewhere `run` starts its own.
    """
    from reprocess.execution.dask import processes

    raise_verbosity(ctx)
    limit = processes.worker_memory_bytes(pod_memory)
    processes.work(
        scheduler, name=name, tier=tier, memory_limit_bytes=limit, security=processes.identity(scheduler, directory)
    )


@click.command(short_help="Let a worker end what it does, before its pod stops.")
@_scheduler
@_name
@_tls
@click.option(
    "--limit",
    "limit_s",
    envvar="REPROCESS_DRAIN_S",
    show_envvar=True,
    type=click.FloatRange(min=0.0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the unit that it executes.",
)
@with_all(everywhere)
@click.pass_context
def drain(ctx: click.Context, scheduler: str, name: str, directory: Path, limit_s: float) -> None:
    """Give the worker of this pod nothing more to do, wait for what it executes, and retire it; for `preStop`.

    Never fails: a pod that stops, stops. What is not ended in time is done again elsewhere, and nobody is blamed.
    """
    from reprocess.execution.dask import drain as draining
    from reprocess.execution.dask import processes

    try:
        processes.DRAINED.touch()
        security = processes.identity(scheduler, directory)
    except (errors.UsageError, OSError) as error:
        click.echo(f"Worker {name} was not drained, and what it executes may run again elsewhere: {error}")
        return
    click.echo(draining.drain(scheduler, name, limit_s=limit_s, security=security))


@click.command(short_help="Delete workers that a run has left behind.")
@click.option("--namespace", default="", help="Where the manifests were applied (else as KUBECONFIG says).")
@with_all(logging_options)
@click.pass_context
def tidy(ctx: click.Context, namespace: str) -> None:
    """Delete the workers of runs whose Job has ended or is gone; for a CronJob of its own.

    A driver deletes its workers at its end. One that is killed for good cannot, and machines are paid by the hour.
    """
    from reprocess.execution.kubernetes import run_cluster
    from reprocess.execution.kubernetes.api import Namespace

    with Namespace(namespace or settings_of(ctx).kubernetes.namespace) as place:
        gone = run_cluster.tidy(place)
        click.echo(f"Deleted in namespace {place.name}, of runs that are over: {', '.join(gone) or 'nothing'}.")


COMMANDS = (submit, worker, drain, tidy)
