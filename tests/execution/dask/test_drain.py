"""Real schedulers and workers in processes: what they execute while one of them is drained."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from distributed import Client, Security

from reprocess.execution.dask import certificates
from reprocess.execution.dask.drain import drain
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.execution.executor import up_to
from tests.execution import functions
from tests.execution.dask import dask_processes
from tests.execution.executor_contract import task

LONG_S = 600.0
PATIENCE_S = 60.0


class Place:
    """A scheduler, workers by name, a client, and what began where."""

    def __init__(self, directory, stack, *words):
        self.directory, self._stack = directory, stack
        self.scheduler = stack.enter_context(contextlib.ExitStack())
        self.address = self.scheduler.enter_context(dask_processes.scheduler(directory))
        self.client = stack.enter_context(Client(self.address, set_as_default=False))
        self.workers, self._words = {}, words

    def start(self, *names):
        for name in names:
            process = dask_processes.worker(self.directory, self.address, name, *self._words)
            self.workers[name] = self._stack.enter_context(process)
        self.client.wait_for_workers(len(self.workers), timeout=PATIENCE_S)

    def submit(self, count, seconds):
        """Submit tasks, and wait until each worker has begun one."""
        path = str(self.directory / "begun")
        futures = self.client.map(
            dask_processes.noted, [path] * count, [seconds] * count, range(count), key="noted", pure=False
        )
        wait_until(lambda: len({name for _, name in self.begun()}) == len(self.workers))
        return futures

    def begun(self):
        """Return number and worker of each execution."""
        with contextlib.suppress(FileNotFoundError):
            return [tuple(line.split()) for line in (self.directory / "begun").read_text().splitlines()]
        return []

    def names(self):
        return {each["name"] for each in self.client.scheduler_info()["workers"].values()}


def wait_until(condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def results_of(futures):
    return [future.result(timeout=PATIENCE_S) for future in futures]


def in_time(*arguments, **options) -> str:
    """Drain, in a minute at most."""
    answer: Future[str] = Future()
    thread = threading.Thread(target=lambda: answer.set_result(drain(*arguments, **options)), daemon=True)
    thread.start()
    return answer.result(timeout=PATIENCE_S)


@pytest.fixture(params=["--nanny", "--no-nanny"])
def place(request, tmp_path):
    with contextlib.ExitStack() as stack:
        yield Place(tmp_path, stack, request.param)


@pytest.fixture
def plain(tmp_path):
    with contextlib.ExitStack() as stack:
        yield Place(tmp_path, stack, "--no-nanny")


class TestDrain:
    """A worker that may end what it executes."""

    def test_nothing_runs_twice(self, place):
        """What executes is ended where it is, nothing more begins there, nothing runs twice, and the worker closes."""
        place.start("stays", "goes")
        futures = place.submit(8, 1.0)
        before = place.begun()
        said = in_time(place.address, "goes", limit_s=LONG_S)
        place.workers["goes"].wait(timeout=PATIENCE_S)
        results = results_of(futures)
        begun = Counter(name for _, name in place.begun())

        assert "has ended what it executed" in said
        assert results == list(range(8))
        assert len(place.begun()) == 8
        assert begun["goes"] <= Counter(name for _, name in before)["goes"] + 1
        assert place.names() == {"stays"}

    def test_idle(self, plain):
        """A worker that executes nothing goes at once, and what it held is still there."""
        plain.start("goes")
        (future,) = plain.submit(1, 0.0)
        future.result(timeout=PATIENCE_S)
        plain.start("stays")
        in_time(plain.address, "goes", limit_s=LONG_S)
        plain.workers["goes"].wait(timeout=PATIENCE_S)

        assert future.result(timeout=PATIENCE_S) == 0
        assert len(plain.begun()) == 1

    def test_all_at_once(self, plain):
        """When all go, each ends what it executes, and who comes later does the rest."""
        plain.start("a", "b")
        futures = plain.submit(4, 1.0)
        with ThreadPoolExecutor() as pool:
            said = list(pool.map(lambda name: in_time(plain.address, name, limit_s=LONG_S), ("a", "b")))
        plain.workers.clear()
        plain.start("c")

        assert all("has ended" in each for each in said)
        assert sorted(results_of(futures)) == [0, 1, 2, 3]

    def test_encrypted(self, tmp_path):
        """It comes with the worker's certificate where the scheduler asks for one."""
        certificates.write(certificates.issue(["localhost"]), tmp_path)
        words = dask_processes.tls_words
        security = Security(**certificates.options(tmp_path, "worker", "client"))
        with (
            dask_processes.scheduler(tmp_path, "--protocol=tls", *words(tmp_path, "scheduler")) as address,
            dask_processes.worker(tmp_path, address, "w", "--no-nanny", *words(tmp_path, "worker")) as process,
            Client(address, security=security, set_as_default=False) as client,
        ):
            client.wait_for_workers(1, timeout=PATIENCE_S)
            said = in_time(address, "w", limit_s=LONG_S, security=security)
            process.wait(timeout=PATIENCE_S)

        assert "has ended" in said


class TestUnits:
    """Units of an executor that allows one attempt: whoever is charged with a lost worker fails."""

    def run(self, place, count, seconds, meanwhile):
        """Run units, do something as soon as both workers have begun, and return outcomes and what was begun."""
        path = place.directory / "units"
        tasks = [task(f"u{number}", "note_and_sleep", (str(path), seconds)) for number in range(count)]
        with DaskExecutor.connect(place.address) as executor, ThreadPoolExecutor() as pool:
            outcomes = pool.submit(lambda: list(executor.run(functions.act, tasks, retry=up_to(1))))
            wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= 2)
            meanwhile()
            return outcomes.result(timeout=PATIENCE_S), path.read_text().splitlines()

    def test_drained(self, plain):
        """A drain in the middle of a campaign costs not one execution."""
        plain.start("stays", "goes")
        outcomes, begun = self.run(plain, 8, 1.0, lambda: in_time(plain.address, "goes", limit_s=LONG_S))

        assert [one.outcome_class for one in outcomes] == ["published"] * 8
        assert len(begun) == 8

    def test_cut(self, plain):
        """A unit that is cut after the limit is executed again, and is not charged."""
        plain.start("stays", "goes")

        def cut():
            in_time(plain.address, "goes", limit_s=0.5)
            plain.workers["goes"].kill()

        outcomes, begun = self.run(plain, 2, 5.0, cut)

        assert [(one.outcome_class, one.attempt) for one in outcomes] == [("published", 1)] * 2
        assert len(begun) == 3


class TestInTime:
    """What it does when it cannot."""

    def test_a_long_task(self, plain):
        """What is not over at the limit is given back, runs again elsewhere, and counts against nobody."""
        plain.start("stays", "goes")
        futures = plain.submit(2, 5.0)
        said = in_time(plain.address, "goes", limit_s=0.5)
        plain.workers["goes"].kill()

        assert "still executes after" in said
        assert results_of(futures) == [0, 1]
        assert sorted(Counter(number for number, _ in plain.begun()).values()) == [1, 2]

    def test_no_scheduler(self):
        """Where no scheduler is, there is nothing to wait for."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]

        assert "does not answer" in in_time(f"tcp://127.0.0.1:{port}", "w", limit_s=LONG_S)

    def test_a_silent_scheduler(self):
        """A scheduler that takes the connection and says nothing is not waited for."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            said = in_time(f"tcp://127.0.0.1:{server.getsockname()[1]}", "w", limit_s=LONG_S)

        assert "does not answer" in said

    def test_no_address(self):
        """A name that nobody knows ends the drain, and so does an address that is none."""
        assert "does not answer" in in_time("tcp://nobody.invalid:8786", "w", limit_s=LONG_S)
        assert "was not drained" in in_time("nothing at all", "w", limit_s=LONG_S)

    def test_no_such_worker(self, plain):
        """A worker that the scheduler does not know has nothing to wait for."""
        assert "knows no worker w" in in_time(plain.address, "w", limit_s=LONG_S)

    def test_the_scheduler_goes_away(self, plain):
        """A scheduler that dies meanwhile ends the waiting."""
        plain.start("goes")
        plain.submit(1, LONG_S)
        with ThreadPoolExecutor() as pool:
            said = pool.submit(in_time, plain.address, "goes", limit_s=LONG_S)
            time.sleep(1.0)
            plain.scheduler.close()

            assert "does not answer" in said.result(timeout=PATIENCE_S)

    def test_the_last(self, plain):
        """The last worker cannot leave its results to anybody, and says so."""
        plain.start("goes")
        (future,) = plain.submit(1, 0.0)
        future.result(timeout=PATIENCE_S)

        assert "Nobody took its results" in in_time(plain.address, "goes", limit_s=LONG_S)
