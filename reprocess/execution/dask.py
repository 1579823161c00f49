"""Tasks on Dask workers: a local cluster of processes, or a scheduler that exists already.

Dask moves tasks and outcomes and nothing else. It never retries: a worker that dies ends the tasks it held
(``allowed-failures`` 0), and the frontier decides which of them is charged. To tell the one that was executing from
those that stood in line, each task announces itself to the scheduler, and waits for the answer, before it begins; the
scheduler hands the announcement to this process ahead of the news of any death.
"""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import dask
from distributed import (
    Client,
    Future,
    KilledWorker,
    LocalCluster,
    Scheduler,
    Status,
    Worker,
    WorkerPlugin,
    as_completed,
    get_worker,
)
from distributed.utils import sync

from reprocess import errors, heap
from reprocess.execution.executor import (
    DEFAULT_ATTEMPTS,
    Executor,
    Function,
    Retry,
    Stop,
    Task,
    guarded,
    is_temporary,
    never,
    own_error,
)
from reprocess.execution.frontier import Frontier
from reprocess.exposure import Outcome

LEAST_WINDOW = 1000
"""Tasks that are held by the scheduler at most, or four for each slot: enough to keep workers busy with short ones."""

_OutcomeFuture = Future[Outcome]

POLL_S = 0.01
SLOTS_VALID_S = 10
DESERTED_S = 120
"""How long a run goes on without a single worker: a cluster that scales from nothing needs a while."""
CLOSE_TIMEOUT_S = 10
WORKER_CLOSE_TIMEOUT_S = 0.5

CONFIGURATION = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # Above 1.0, tasks stand in line at a worker and share its fate.
    "distributed.scheduler.worker-saturation": 1.0,
    # Arrays inside a running task cannot be spilled, and a paused worker never frees them.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": 0.95,
    # Dask has glibc give back every 64 kB: that nearly doubles the time of stage 1, see `heap`.
    **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in heap.ENVIRONMENT.items()},
}


class _Unmoved(WorkerPlugin):
    """Leaves an interrupt from the terminal, which reaches the whole process group, to the program that was started."""

    name = "reprocess-unmoved"

    def setup(self, worker: Worker) -> None:
        """Ignore the signal; runs in the main thread of the worker's process."""
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _execute(function: Function, topic: str, task: Task, token: str) -> Outcome:
    """Announce, then run: this is what a worker executes."""
    worker = get_worker()
    # A scheduler that is out of reach costs this worker its life anyway; the unit then counts as innocent.
    with contextlib.suppress(OSError):
        sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=token)
    outcome = guarded(function, task)
    return outcome if outcome.worker else replace(outcome, worker=str(worker.name))


def _scratch_directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="reprocess-", ignore_cleanup_errors=True)


def _close(cluster: LocalCluster) -> None:
    """Close a local cluster without waiting for what its workers are executing."""

    async def close_workers() -> None:
        nannies = cluster.workers.values()
        await asyncio.gather(*(nanny.close(timeout=WORKER_CLOSE_TIMEOUT_S) for nanny in nannies))

    if cluster.status is Status.running:
        cluster.sync(close_workers)
    cluster.close(timeout=CLOSE_TIMEOUT_S)


def _forbid_retries(dask_scheduler: Scheduler) -> None:
    dask_scheduler.allowed_failures = CONFIGURATION["distributed.scheduler.allowed-failures"]


@dataclass
class _Flight:
    """What is submitted and has not ended, and which of it is known to have begun."""

    run: int
    topic: str
    tasks: dict[_OutcomeFuture, tuple[Task, str]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)

    def announce(self, event: tuple[float, str]) -> None:
        """Take an announcement; called in the client's own thread."""
        self.begun.add(event[1])


class DaskExecutor(Executor):
    """Runs tasks on the workers of one scheduler; see `local` and `connect`.

    Parameters
    ----------
    client : distributed.Client
        Owned: closed with the executor.
    window : int
        Most tasks that are submitted and have not ended.
    """

    def __init__(self, client: Client, *, window: int = 0) -> None:
        self._client = client
        self._window = window
        self._deserted_s = DESERTED_S
        self._slots_known = 0
        self._slots_until = 0.0
        self._scratch = contextlib.ExitStack()
        self._runs = itertools.count(1)
        client.register_plugin(_Unmoved())
        client.run_on_scheduler(_forbid_retries)

    @classmethod
    def local(cls, workers: int, *, memory_limit_bytes: int, dashboard: bool = False, window: int = 0) -> DaskExecutor:
        """Start `workers` processes of one thread each on this machine, reachable from it alone.

        Parameters
        ----------
        workers : int
        memory_limit_bytes : int
            Of each worker; one that reaches 95 % of it is ended and its unit counts as lost.
        dashboard : bool
            Serve Dask's dashboard on a free port of the loopback address.
        window : int
            0 for the default.
        """
        with contextlib.ExitStack() as scratch:
            directory = scratch.enter_context(
                tempfile.TemporaryDirectory(prefix="reprocess-", ignore_cleanup_errors=True)
            )
            scratch.enter_context(dask.config.set(CONFIGURATION))
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=memory_limit_bytes,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": dashboard},
                worker_dashboard_address=None,
                local_directory=directory,
                silence_logs=logging.CRITICAL,
            )
            scratch.callback(_close, cluster)
            executor = cls(Client(cluster, set_as_default=False), window=window)
            executor._scratch = scratch.pop_all()
            return executor

    @classmethod
    def connect(cls, address: str, *, timeout_s: float = 30, window: int = 0) -> DaskExecutor:
        """Use the scheduler at `address`, for example ``tcp://127.0.0.1:8786``, and the workers it has or will have.

        The scheduler is told to allow no failures: it must not be shared with other programs.

        Raises
        ------
        UsageError
            Nothing answers there.
        """
        try:
            return cls(Client(address, timeout=timeout_s, set_as_default=False), window=window)
        except (OSError, ValueError) as error:
            raise errors.UsageError(f"No Dask scheduler answers at {address}: {error}. Check --scheduler.") from error

    @property
    def slots(self) -> int:
        """Threads of all workers that the scheduler has at present."""
        return sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())

    @property
    def dashboard(self) -> str:
        """URL of the dashboard; empty if there is none."""
        return str(self._client.dashboard_link or "")

    def run(
        self,
        function: Function,
        tasks: Iterable[Task],
        *,
        retry: Retry = is_temporary,
        attempts: int = DEFAULT_ATTEMPTS,
        stop: Stop = never,
    ) -> Iterator[Outcome]:
        """See `Executor.run`."""
        frontier = Frontier(tasks, retry=retry, attempts=attempts)
        done = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        run = next(self._runs)
        with self._flight(run) as flight:
            try:
                while not stop():
                    self._fill(flight, frontier, done, function)
                    yield from frontier.ended()
                    if not flight.tasks:
                        frontier.finish()
                        break
                    self._await(done, stop)
                    self._collect(flight, frontier, done)
            except KeyboardInterrupt:
                self._collect(flight, frontier, done)
                yield from frontier.ended()
                raise
            self._collect(flight, frontier, done)
            yield from frontier.ended()

    @contextlib.contextmanager
    def _flight(self, run: int) -> Iterator[_Flight]:
        flight = _Flight(run, f"reprocess-begun-{self._client.id}-{run}")
        self._client.subscribe_topic(flight.topic, flight.announce)
        try:
            yield flight
        finally:
            # A run that is given up after the executor was closed has nothing left to tidy.
            if self._client.status == "running":
                self._client.unsubscribe_topic(flight.topic)
                self._client.cancel(list(flight.tasks), force=True)
            flight.tasks.clear()

    def _fill(self, flight: _Flight, frontier: Frontier, done: as_completed, function: Function) -> None:
        """Submit at once what was begun before, and fresh tasks when half of the window is free."""
        window = self._window or max(4 * self._present_slots(), LEAST_WINDOW)
        for fresh in (False, len(flight.tasks) <= window // 2):
            batch = _taken(frontier, window - len(flight.tasks), fresh=fresh)
            try:
                futures = self._submit(flight, function, batch, priority=int(not fresh))
            except Exception:
                futures = self._submit_singly(flight, frontier, function, batch)
            done.update(futures)

    def _submit(self, flight: _Flight, function: Function, batch: list[Task], *, priority: int) -> list[_OutcomeFuture]:
        if not batch:
            return []
        tokens = [f"{task.unit}|{flight.run}.{task.attempt}.{task.spared}" for task in batch]
        futures = self._client.map(
            functools.partial(_execute, function, flight.topic),
            batch,
            tokens,
            # The common first part makes them one group, which the scheduler keeps in its own queue.
            key=[("unit", token) for token in tokens],
            priority=priority,
            pure=False,
            retries=0,
        )
        flight.tasks.update(zip(futures, zip(batch, tokens, strict=True), strict=True))
        return list(futures)

    def _submit_singly(
        self, flight: _Flight, frontier: Frontier, function: Function, batch: list[Task]
    ) -> list[_OutcomeFuture]:
        """Find the tasks that cannot be sent, and send the others."""
        futures = []
        for task in batch:
            try:
                futures += self._submit(flight, function, [task], priority=0)
            except Exception as error:
                frontier.settle(own_error(task, f"unit {task.unit} cannot be sent to a worker: {error!r}."))
        return futures

    def _present_slots(self) -> int:
        """Number of slots, asked of the scheduler every few seconds."""
        if time.monotonic() > self._slots_until:
            self._slots_known = self.slots
            self._slots_until = time.monotonic() + SLOTS_VALID_S
        return self._slots_known

    def _await(self, done: as_completed, stop: Stop) -> None:
        alive = time.monotonic()
        while not done.has_ready() and not stop():
            time.sleep(POLL_S)
            if self._present_slots():
                alive = time.monotonic()
            elif time.monotonic() - alive > self._deserted_s:
                raise errors.WorkerLost(
                    f"No worker has been alive for {self._deserted_s:.0f} s. Give workers more memory, or look at the "
                    "cluster; then run the plan again: outcomes so far are kept."
                )

    def _collect(self, flight: _Flight, frontier: Frontier, done: as_completed) -> None:
        """Pass what has arrived to the frontier and forget its futures."""
        for future, result in done.next_batch(block=False):
            task, token = flight.tasks.pop(future)
            began = token in flight.begun
            flight.begun.discard(token)
            if isinstance(result, Outcome):
                frontier.settle(result)
            elif future.cancelled():
                self._check_connection()
                frontier.lost(task.unit, executing=False, reason="cancelled by somebody else")
            elif isinstance(error := future.exception(), KilledWorker):
                frontier.lost(task.unit, executing=began, reason=f"attempt {task.attempt} on {error.last_worker.name}")
            else:
                frontier.settle(own_error(task, f"unit {task.unit} was not executed: {error!r}."))

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise errors.WorkerLost("The Dask scheduler went away. Outcomes so far are kept: run the plan again.")

    def close(self) -> None:
        """Close the client, and the local cluster with all its processes."""
        self._client.close(timeout=CLOSE_TIMEOUT_S)
        self._scratch.close()


def _taken(frontier: Frontier, most: int, *, fresh: bool) -> list[Task]:
    return list(itertools.islice(iter(functools.partial(frontier.take, fresh=fresh), None), max(most, 0)))
