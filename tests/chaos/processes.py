"""The processes of one campaign on this machine: a Dask scheduler, workers, coordinators; started, killed, replaced.

All of them listen on the loopback address only. Nobody is killed whom this module has not started.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.chaos.nursery import Child, Nursery

PAUSE_S = 0.1
STUCK_S = 20.0
"""How long a worker may outlive its scheduler."""
_LOCAL = "127.0.0.1"
DASK = {
    "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "False",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    "OPENBLAS_NUM_THREADS": "1",
}


class Processes:
    """Keeps a scheduler and some workers alive until it is closed, and kills whom it is told to.

    Parameters
    ----------
    nursery : Nursery
        Starts them.
    directory : Path
        For logs and scratch.
    environment : mapping
        Of every process.
    workers : int
    """

    def __init__(self, nursery: Nursery, directory: Path, environment: Mapping[str, str], workers: int) -> None:
        self._nursery = nursery
        self.directory, self.environment = directory, {**environment, **DASK}
        self.kills: Counter[str] = Counter()
        self.coordinators: list[Child] = []
        self._lock = threading.RLock()
        self._number = 0
        self._port = _free_port()
        self._scheduler = self._start_scheduler()
        self._epoch = 0
        self._workers: dict[int, tuple[Child, int]] = {}
        self._slots = workers
        self._old: list[tuple[Child, float]] = []
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def address(self) -> str:
        """Of the scheduler, which keeps it when it is replaced."""
        return f"tcp://{_LOCAL}:{self._port}"

    def coordinate(self, words: list[str], output: Path) -> Child:
        """Start a program of the product."""
        with self._lock:
            process = self._start(["reprocess", *words], output)
            self.coordinators.append(process)
            return process

    def kill(self, victim: str, port: int, server_port: int) -> bool:
        """Kill -9; true if whoever sent the request from `port` was among them."""
        with self._lock:
            sender = self._sender(port, server_port)
            chosen = self._chosen(victim, sender)
            for role, process in chosen:
                process.kill()
                process.wait()
                self.kills[role] += 1
            return sender is not None and sender[1] in [process for _, process in chosen]

    def _chosen(self, victim: str, sender: tuple[str, Child] | None) -> list[tuple[str, Child]]:
        alive = [(role, process) for role, process in self._everybody() if process.poll() is None]
        if victim == "sender":
            return [sender] if sender else []
        if victim == "all":
            return alive
        return [pair for pair in alive if pair[0] == victim][:1]

    def _everybody(self) -> Iterator[tuple[str, Child]]:
        yield from (("coordinator", process) for process in self.coordinators)
        yield from (("worker", process) for process, _ in self._workers.values())
        # Those that have outlived their scheduler still write.
        yield from (("worker", process) for process, _ in self._old)
        yield "scheduler", self._scheduler

    def _sender(self, port: int, server_port: int) -> tuple[str, Child] | None:
        """Find whose connection it is, by the kernel's tables."""
        inode = _inode(port, server_port)
        for role, process in self._everybody():
            if inode and process.poll() is None and _holds(process.pid, inode):
                return role, process
        return None

    def _keep(self) -> None:
        while not self._done.wait(PAUSE_S):
            with self._lock:
                if self._done.is_set():
                    return
                if self._scheduler.poll() is not None:
                    self._scheduler = self._start_scheduler()
                    self._epoch += 1
                self._keep_workers()

    def _keep_workers(self) -> None:
        for slot in range(self._slots):
            process, epoch = self._workers.get(slot, (None, 0))
            if process is not None and process.poll() is None and epoch == self._epoch:
                continue
            if process is not None and process.poll() is None:
                self._old.append((process, time.monotonic() + STUCK_S))
            self._workers[slot] = (self._start_worker(slot), self._epoch)
        for process, until in self._old:
            if process.poll() is None and time.monotonic() > until:
                process.kill()
                self.kills["worker that outlived its scheduler"] += 1
        self._old = [(process, until) for process, until in self._old if process.poll() is None]

    def _start_scheduler(self) -> Child:
        words = ["--host", _LOCAL, "--port", str(self._port), "--dashboard-address", f"{_LOCAL}:0", "--no-show"]
        return self._start(["scheduler", *words], self.directory / "scheduler.log")

    def _start_worker(self, slot: int) -> Child:
        self._number += 1
        words = ["--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
        words += ["--dashboard-address", f"{_LOCAL}:0", "--host", _LOCAL]
        words += ["--local-directory", str(self.directory / "scratch"), "--name", f"w{self._number}"]
        return self._start(["worker", self.address, *words], self.directory / f"worker-{slot}.log")

    def _start(self, words: list[str], output: Path) -> Child:
        return self._nursery.start(words, environment=self.environment, output=output)

    def close(self) -> None:
        """End whatever still runs."""
        self._done.set()
        with self._lock:
            for _, process in self._everybody():
                if process.poll() is None:
                    process.kill()
                process.wait()
        self._keeper.join()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def environment(cache: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What processes see: the search path and credentials of this one, none of its settings."""
    kept = ("PATH", "HOME", "PYTHONPATH", "LANG", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    here = {name: os.environ[name] for name in kept if name in os.environ}
    settings = {
        "REPROCESS_CACHE_DIRECTORY": str(cache),
        # A holder that was killed is watched for so long before another coordinator takes over.
        "REPROCESS_EXECUTION_LEASE_S": "2",
        # A dozen kills may meet one of some hundred units twice or three times by chance, and no unit as often as this:
        # one that is given up was blamed for its neighbours.
        "REPROCESS_EXECUTION_ATTEMPTS": "6",
    }
    return {**here, **settings, "AWS_EC2_METADATA_DISABLED": "true", **extra}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])


def _inode(port: int, server_port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if int(words[1].split(":")[1], 16) == port and int(words[2].split(":")[1], 16) == server_port:
            return words[9]
    return ""


def _holds(pid: int, inode: str) -> bool:
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(entry.path) == f"socket:[{inode}]":
                    return True
    return False
