"""The scheduler beside a driver and the worker of a pod, as real processes on the loopback address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import Security

from reprocess import errors
from reprocess.execution.dask import certificates, processes
from reprocess.execution.dask.executor import DaskExecutor
from tests.execution import functions
from tests.execution.executor_contract import task

ROOT = Path(__file__).parents[3]
PROGRAM = "from reprocess.cli import program; program()"


@pytest.fixture
def tls(tmp_path):
    """A directory with the certificates of a run."""
    certificates.write(certificates.issue(["localhost"]), tmp_path / "tls")
    return tmp_path / "tls"


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def start(tls, port, tmp_path):
    """Start a command of a worker's pod."""
    started = []

    def begin(name: str, *more: str) -> subprocess.Popen:
        environment = {
            **os.environ,
            "REPROCESS_SCHEDULER": f"tls://127.0.0.1:{port}",
            "REPROCESS_POD_NAME": "pod-1",
            "REPROCESS_POD_MEMORY_BYTES": str(10**9),
            "TMPDIR": str(tmp_path),
        }
        line = [sys.executable, "-c", PROGRAM, name, "--tls", str(tls), *more]
        started.append(subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE))
        return started[-1]

    yield begin
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


def connected(tls, port) -> DaskExecutor:
    security = Security(**certificates.options(tls, "client"))
    return DaskExecutor.connect(f"tls://127.0.0.1:{port}", security=security)


def until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class TestWorker:
    def test_its_name_and_its_tier(self, start, tls, port):
        """A worker is known by the name of its pod, does the units of its tier and below, and ends when it is told."""
        worker = start("worker", "--tier", "1")
        with processes.scheduler(port, tls), connected(tls, port) as executor:
            (outcome,) = executor.run(functions.act, [task("u")])
            assert outcome.worker == "pod-1"
            assert {name: hand.tier for name, hand in executor.crew().items()} == {"pod-1": 1}

            worker.terminate()
            assert worker.wait(20) == 0

    def test_a_scheduler_that_comes_back(self, start, tls, port):
        """A worker outlives its scheduler, and works for the next one at the same address."""
        worker = start("worker")
        for _ in range(2):
            with processes.scheduler(port, tls), connected(tls, port) as executor:
                assert [one.outcome_class for one in executor.run(functions.act, [task("u")])] == ["published"]

        assert worker.poll() is None

    def test_drained(self, start, tls, port):
        """A worker that is drained does not come back before its pod stops."""
        worker = start("worker")
        with processes.scheduler(port, tls), connected(tls, port) as executor:
            until(executor.crew)
            drained = start("drain", "--limit", "10")

            assert b"has ended what it executed" in drained.communicate(timeout=30)[0]
            time.sleep(2 * processes.AGAIN_S)
            assert not executor.crew()
            assert worker.poll() is None


class TestScheduler:
    def test_it_ends_with_its_driver(self, tls, port, tmp_path):
        """A driver that is killed takes its scheduler along."""
        script = (
            "import sys, time\nfrom pathlib import Path\nfrom reprocess.execution.dask import processes\n"
            f"with processes.scheduler({port}, Path({str(tls)!r})):\n    print('up', flush=True)\n    time.sleep(600)\n"
        )
        driver = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
        assert driver.stdout.readline() == b"up\n"
        driver.send_signal(signal.SIGKILL)
        driver.wait()

        def gone() -> bool:
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) != 0

        until(gone, 20)

    def test_no_port(self, tls, port):
        """A scheduler that cannot have its port is told of."""
        with (
            socket.create_server(("0.0.0.0", port)),
            pytest.raises(errors.WorkerLost, match=f"did not start on port {port}"),
            processes.scheduler(port, tls),
        ):
            pass

    def test_one_that_hangs(self, tls, port, tmp_path, monkeypatch):
        """A scheduler that says nothing, and does not heed its end, is given up and killed."""
        stuck = tmp_path / "python"
        stuck.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
        stuck.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stuck))
        monkeypatch.setattr(processes, "START_S", 0.5)
        monkeypatch.setattr(processes, "CLOSE_S", 0.1)
        with pytest.raises(errors.WorkerLost, match="did not start"), processes.scheduler(port, tls):
            pass

        assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


class TestMemory:
    def test_of_a_pod(self):
        """A worker leaves its nanny room in the pod, and a pod without room is refused."""
        assert processes.worker_memory_bytes(3 * 2**30) == int(0.95 * 3 * 2**30) - 150 * 10**6
        with pytest.raises(errors.UsageError, match="300 MB is too small"):
            processes.worker_memory_bytes(300 * 10**6)
