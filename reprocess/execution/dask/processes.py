"""The processes of a Dask cluster that spans machines: a scheduler beside the driver, and one worker in each pod."""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
from distributed import Nanny, Scheduler, Security

from reprocess import errors
from reprocess.execution.dask import certificates
from reprocess.execution.dask.settings import CONFIGURATION, MEMORY_TOPIC, offered

START_S = 60.0
"""How long the scheduler may take to start."""
AGAIN_S = 2.0
WATCH_S = 0.2
CLOSE_S = 5.0
DRAINED = Path(tempfile.gettempdir()) / "reprocess-drained"
"""Says that this pod is about to stop: its worker must not come back."""
_OWN_BYTES = 150 * 10**6
_SHARE = 0.95
_READY = "ready"
_UNSEEN: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Neither serves pages to other machines: those would need no certificate."""
_COUNTS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
_LOG = logging.getLogger(__name__)


def worker_memory_bytes(pod_bytes: int) -> int:
    """Return the memory limit of a worker in a pod: what its nanny takes, and slips of the system, come besides.

    Raises
    ------
    UsageError
        The pod is too small for any worker.
    """
    left = int(_SHARE * pod_bytes) - _OWN_BYTES
    if left <= _OWN_BYTES:
        raise errors.UsageError(
            f"A pod of {pod_bytes / 1e6:.0f} MB is too small for a worker. Give it 1 GB or more in its PodTemplate."
        )
    return left


def identity(address: str, directory: Path, role: str = "worker") -> Security | None:
    """Return how a process proves that it belongs to the run, if the address of the scheduler asks for that.

    Raises
    ------
    UsageError
        The certificate is not there.
    """
    return Security(**certificates.options(directory, role)) if address.startswith("tls://") else None


@contextlib.contextmanager
def scheduler(port: int, directory: Path) -> Iterator[None]:
    """Run a scheduler for other machines while a block runs; it ends with this process, however that ends.

    Parameters
    ----------
    port : int
    directory : Path
        Has the certificates of the run.

    Raises
    ------
    WorkerLost
        It did not start.
    """
    command = [sys.executable, "-m", __name__, str(port), str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert process.stdout is not None
        heard, _, _ = select.select([process.stdout], [], [], START_S)
        if not heard or process.stdout.readline().decode().strip() != _READY:
            raise errors.WorkerLost(
                f"The Dask scheduler did not start on port {port}; its own words stand above. Run the plan again."
            )
        yield
    finally:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            process.communicate(timeout=CLOSE_S)
        process.kill()
        process.wait()


async def _serve_scheduler(port: int, directory: Path) -> None:
    """Serve until nobody holds the other end of the standard input."""
    security = Security(**certificates.options(directory, "scheduler", "client"))
    loop, parent_gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), parent_gone.set)
    async with Scheduler(host="", port=port, protocol="tls", security=security, **_UNSEEN):
        print(_READY, flush=True)
        await parent_gone.wait()


def work(address: str, *, name: str, tier: int, memory_limit_bytes: int, security: Security | None) -> None:
    """Be a worker of one thread, until this process is told to end: a scheduler that goes away may come back.

    Parameters
    ----------
    address : str
        Of the scheduler.
    name : str
    tier : int
        Memory tier.
    memory_limit_bytes : int
        At 95 % of it a unit is ended for lack of memory.
    security : Security, optional
        With the worker's certificate; None for ``tcp://``.
    """
    with tempfile.TemporaryDirectory(prefix="reprocess-", ignore_cleanup_errors=True) as directory:
        options = {
            "name": name,
            "nthreads": 1,
            "memory_limit": memory_limit_bytes,
            "resources": offered(tier),
            "security": security,
            "local_directory": directory,
            **_UNSEEN,
        }
        with dask.config.set(CONFIGURATION):
            asyncio.run(_work(address, options))


async def _work(address: str, options: dict[str, Any]) -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await _first(told.wait(), _serve_worker(address, options))


async def _serve_worker(address: str, options: dict[str, Any]) -> None:
    """Work for whoever is at the address, one scheduler after the other, until this is cancelled."""
    while True:
        async with contextlib.AsyncExitStack() as scratch:
            try:
                nanny = Nanny(address, **options)
                scratch.push_async_callback(nanny.close, timeout=CLOSE_S)
                await nanny
                await _first(nanny.finished(), _watch(nanny))
            except (OSError, TimeoutError, RuntimeError) as error:
                _LOG.warning("No scheduler at %s yet (%s); asking again.", address, type(error).__name__)
        if DRAINED.exists():
            await asyncio.Event().wait()
        await asyncio.sleep(AGAIN_S)


async def _first(*coroutines: object) -> None:
    """Wait for one of several, and give up the others."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]  # type: ignore[call-overload]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(nanny: Nanny) -> None:
    """Tell the scheduler when the system ended a process for its memory, as a nanny tells when she did."""
    before = kills()
    while True:
        await asyncio.sleep(WATCH_S)
        if (now := kills()) > before:
            nanny.log_event(MEMORY_TOPIC, {"worker": nanny.worker_address})
            before = now


def kills() -> int:
    """Return how many processes of this container the system has ended for lack of memory; 0 where it does not say."""
    for path in _COUNTS:
        with contextlib.suppress(OSError, ValueError):
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def main() -> None:
    """Be the scheduler: the arguments are its port and the directory of its certificates."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with dask.config.set(CONFIGURATION):
        asyncio.run(_serve_scheduler(int(sys.argv[1]), Path(sys.argv[2])))


if __name__ == "__main__":
    main()
