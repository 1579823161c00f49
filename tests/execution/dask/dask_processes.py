"""A scheduler and workers in processes of their own, as pods have them, on the loopback address."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from distributed import get_worker

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
}
START_S = 60.0


def noted(path: str, seconds: float, number: int) -> int:
    """Write down which worker begins this execution, and take some time."""
    with Path(path).open("a") as file:
        file.write(f"{number} {get_worker().name}\n")
    time.sleep(seconds)
    return number


@contextlib.contextmanager
def _process(directory: Path, name: str, words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env={**os.environ, **ENVIRONMENT},
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def tls_words(directory: Path, role: str) -> list[str]:
    """Return how a program of Dask is told its certificate."""
    return [
        f"--tls-ca-file={directory / 'ca.pem'}",
        f"--tls-cert={directory / f'{role}.pem'}",
        f"--tls-key={directory / f'{role}.key'}",
    ]


@contextlib.contextmanager
def scheduler(directory: Path, *words: str) -> Iterator[str]:
    """Start a scheduler and tell its address."""
    file = directory / "scheduler.json"
    options = ["--host=127.0.0.1", "--port=0", "--no-dashboard", f"--scheduler-file={file}", *words]
    with _process(directory, "scheduler", ["distributed.cli.dask_scheduler", *options]) as process:
        until = time.monotonic() + START_S
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(file.read_text())["address"]
                return
            time.sleep(0.05)
        raise AssertionError((directory / "scheduler.log").read_text())


@contextlib.contextmanager
def worker(directory: Path, address: str, name: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a worker of one thread, with a nanny unless the words say otherwise."""
    options = [address, f"--name={name}", "--nthreads=1", "--no-dashboard", "--memory-limit=1GB", *words]
    local = f"--local-directory={directory / name}"
    with _process(directory, name, ["distributed.cli.dask_worker", *options, local]) as process:
        yield process
