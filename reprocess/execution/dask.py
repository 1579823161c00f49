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
import faulthandler
import functools
import itertools
import logging
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from distributed.protocol import pickle
from distributed.utils import sync

from reprocess import errors, heap
from reprocess.execution.executor import (
    DEFAULT_RETRY,
    Executor,
    Function,
    Priority,
    Retry,
    Stop,
    Task,
    alike,
    guarded,
    never,
    out_of_memory,
    overdue,
    own_error,
    worker_lost,
)
from reprocess.execution.frontier import Death, Frontier
from reprocess.exposure import Outcome

LEAST_WINDOW = 1000
"""Tasks that are held by the scheduler at most, or four for each slot: enough to keep workers busy with short ones."""

_OutcomeFuture = Future[Outcome]

POLL_S = 0.01
SLOTS_VALID_S = 10
DESERTED_S = 120
"""How long a run goes on without a single worker: a cluster that scales from nothing needs a while."""
CLOSE_TIMEOUT_S = 10
PUNCTUAL = 0.9
"""Share of its deadline after which a worker that dies has died of it: announcements take a moment."""
MEMORY_TOPIC = "worker-restart-memory"
"""Under which Dask's nannies tell of the workers that they end for their memory."""
WORKER_CLOSE_TIMEOUT_S = 0.5

CONFIGURATION = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # Above 1.0, tasks stand in line at a worker and share its fate.
    "distributed.scheduler.worker-saturation": 1.0,
    # A local cluster gives a worker up that is away so long after any of its deaths, be it another one by then. Its
    # nanny starts it again: nobody has to give it up.
    "distributed.deploy.lost-worker-timeout": "365 days",
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


def _execute(function: Function, topic: str, packed: bytes, token: str) -> Outcome:
    """Announce, then run: this is what a worker executes."""
    worker = get_worker()
    # A scheduler that is out of reach costs this worker its life anyway; the unit then counts as innocent.
    with contextlib.suppress(OSError):
        sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=(token, worker.address))
    task = pickle.loads(packed)
    with _deadline(task):
        outcome = guarded(function, task)
    return outcome if outcome.worker else replace(outcome, worker=str(worker.name))


@contextlib.contextmanager
def _deadline(task: Task) -> Iterator[None]:
    """End this process if the block is not over in time: a thread cannot be ended alone, and may not let go of the GIL.

    The last words of the process on its standard error are where every thread was.
    """
    if not task.deadline_s:
        yield
        return
    faulthandler.dump_traceback_later(task.deadline_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


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


def _started(**options: Any) -> LocalCluster:  # noqa: ANN401
    """Start a cluster of processes.

    Raises
    ------
    WorkerLost
        They did not start.
    """
    try:
        return LocalCluster(**options)
    except (TimeoutError, RuntimeError, OSError) as error:
        raise errors.WorkerLost(
            f"The worker processes did not start ({error!r}). Look at the load and the memory of this machine, then "
            "run again."
        ) from error


def _add_tiers(cluster: LocalCluster, tiers_bytes: Sequence[int]) -> None:
    """Start one worker of each higher memory tier."""
    plain = cluster.new_spec
    for tier, limit in enumerate(tiers_bytes, start=1):
        offered = {name: 1 for each in range(1, tier + 1) for name in resources(each) or ()}
        options = {**plain["options"], "memory_limit": limit, "resources": offered}
        cluster.new_spec = {**plain, "options": options}
        cluster.scale(len(cluster.worker_spec) + 1)
    cluster.new_spec = plain


def _forbid_retries(dask_scheduler: Scheduler) -> None:
    dask_scheduler.allowed_failures = CONFIGURATION["distributed.scheduler.allowed-failures"]


@dataclass(frozen=True, slots=True)
class _Begun:
    """Where an execution runs, and since when by the clock of this process."""

    worker: str
    since: float


@dataclass
class _Flight:
    """What is submitted and has not ended, and which of it is known to have begun.

    Attributes
    ----------
    run : int
    topic : str
        Under which the executions announce themselves.
    priority : callable
    tasks : mapping of future to task and token
    begun : mapping of token to where and since when
    overfull : set of str
        Addresses of workers that were ended because they took too much memory.
    """

    run: int
    topic: str
    priority: Priority
    tasks: dict[_OutcomeFuture, tuple[Task, str]] = field(default_factory=dict)
    begun: dict[str, _Begun] = field(default_factory=dict)
    overfull: set[str] = field(default_factory=set)

    def announce(self, event: tuple[float, tuple[str, str]]) -> None:
        """Take an announcement; called in the client's own thread."""
        token, worker = event[1]
        self.begun[token] = _Begun(worker, time.monotonic())

    def restarted(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """Take note of a worker that its nanny ends for the memory it takes; called in the client's own thread."""
        self.overfull.add(str(event[1].get("worker", "")))

    def cause(self, task: Task, begun: _Begun | None) -> Death:
        """Tell why the worker of a task went away."""
        if begun and begun.worker in self.overfull:
            return out_of_memory
        late = begun and task.deadline_s and time.monotonic() - begun.since >= PUNCTUAL * task.deadline_s
        return overdue if late else worker_lost


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
    def local(
        cls,
        workers: int,
        *,
        memory_limit_bytes: int,
        tiers_bytes: Sequence[int] = (),
        dashboard: bool = False,
        window: int = 0,
    ) -> DaskExecutor:
        """Start `workers` processes of one thread each on this machine, reachable from it alone.

        Parameters
        ----------
        workers : int
        memory_limit_bytes : int
            Of each worker; one that reaches 95 % of it is ended and its unit goes to the next memory tier.
        tiers_bytes : sequence of int
            Memory limits of higher tiers, ascending: there is one worker of each, and `workers` of the first kind less
            one for each, but at least one.
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
            cluster = _started(
                n_workers=max(workers - len(tiers_bytes), 1),
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
            _add_tiers(cluster, tiers_bytes)
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
        retry: Retry = DEFAULT_RETRY,
        stop: Stop = never,
        priority: Priority = alike,
    ) -> Iterator[Outcome]:
        """See `Executor.run`."""
        frontier = Frontier(tasks, retry=retry)
        done = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        run = next(self._runs)
        with self._flight(run, priority) as flight:
            try:
                while not stop():
                    self._fill(flight, frontier, done, function)
                    yield from frontier.ended()
                    if not flight.tasks and frontier.wait_s is None:
                        frontier.finish()
                        break
                    self._await(flight, frontier, done, stop)
                    self._collect(flight, frontier, done)
            except KeyboardInterrupt:
                self._collect(flight, frontier, done)
                yield from frontier.ended()
                raise
            self._collect(flight, frontier, done)
            yield from frontier.ended()

    @contextlib.contextmanager
    def _flight(self, run: int, priority: Priority) -> Iterator[_Flight]:
        flight = _Flight(run, f"reprocess-begun-{self._client.id}-{run}", priority)
        self._client.subscribe_topic(flight.topic, flight.announce)
        self._client.subscribe_topic(MEMORY_TOPIC, flight.restarted)
        try:
            yield flight
        finally:
            # A run that is given up after the executor was closed has nothing left to tidy.
            if self._client.status == "running":
                self._client.unsubscribe_topic(flight.topic)
                self._client.unsubscribe_topic(MEMORY_TOPIC)
                self._client.cancel(list(flight.tasks), force=True)
            flight.tasks.clear()

    def _fill(self, flight: _Flight, frontier: Frontier, done: as_completed, function: Function) -> None:
        """Submit at once what was begun before, and fresh tasks when half of the window is free."""
        window = self._window or max(4 * self._present_slots(), LEAST_WINDOW)
        for fresh in (False, len(flight.tasks) <= window // 2):
            # What was begun before goes in a full window too: waiting for room would be waiting without a pause.
            batch = _taken(frontier, window - len(flight.tasks) if fresh else window, fresh=fresh)
            try:
                futures = self._submit(flight, function, batch, priority=int(not fresh))
            except Exception:
                futures = self._submit_singly(flight, frontier, function, batch)
            done.update(futures)

    def _submit(self, flight: _Flight, function: Function, batch: list[Task], *, priority: int) -> list[_OutcomeFuture]:
        if not batch:
            return []
        tokens = [f"{task.unit}|{flight.run}.{task.attempt}.{task.spared}" for task in batch]
        futures: list[_OutcomeFuture] = []
        for tier, tasks in itertools.groupby(sorted(zip(batch, tokens, strict=True), key=_tier), key=_tier):
            some, names = zip(*tasks, strict=True)
            futures += self._client.map(
                functools.partial(_execute, function, flight.topic),
                # Bytes pass through the scheduler as they are; anything else it would unpack and pack again.
                [pickle.dumps(task) for task in some],
                names,
                # The common first part makes them one group, which the scheduler keeps in its own queue.
                key=[("unit", token) for token in names],
                priority=2 * flight.priority() + priority,
                resources=resources(tier),
                pure=False,
                retries=0,
            )
            flight.tasks.update(zip(futures[-len(some) :], zip(some, names, strict=True), strict=True))
        return futures

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

    def _await(self, flight: _Flight, frontier: Frontier, done: as_completed, stop: Stop) -> None:
        """Wait until something has arrived or may start."""
        alive = time.monotonic()
        while not done.has_ready() and not stop() and frontier.wait_s != 0:
            time.sleep(POLL_S)
            if self._present_slots() or not flight.tasks:
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
            begun = flight.begun.pop(token, None)
            if isinstance(result, Outcome):
                frontier.settle(result)
            elif future.cancelled():
                self._check_connection()
                frontier.lost(task.unit, executing=False, reason="cancelled by somebody else")
            elif isinstance(error := future.exception(), KilledWorker):
                why = flight.cause(task, begun)
                reason = f"attempt {task.attempt} on {error.last_worker.name}"
                frontier.lost(task.unit, executing=begun is not None, reason=reason, why=why)
            else:
                frontier.settle(own_error(task, f"unit {task.unit} was not executed: {error!r}."))

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise errors.WorkerLost("The Dask scheduler went away. Outcomes so far are kept: run the plan again.")

    def close(self) -> None:
        """Close the client, and the local cluster with all its processes."""
        self._client.close(timeout=CLOSE_TIMEOUT_S)
        self._scratch.close()


def _tier(pair: tuple[Task, str]) -> int:
    return pair[0].tier


def resources(tier: int) -> dict[str, float] | None:
    """Return what a unit of a memory tier asks of its worker, in the terms of ``dask worker --resources``.

    A worker of tier n offers one ``memory-tier-m`` for each m from 1 to n. Units of tier 0 ask for nothing.
    """
    return {f"memory-tier-{tier}": 1} if tier else None


def _taken(frontier: Frontier, most: int, *, fresh: bool) -> list[Task]:
    return list(itertools.islice(iter(functools.partial(frontier.take, fresh=fresh), None), max(most, 0)))
