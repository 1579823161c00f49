"""Tasks on Dask workers: a local cluster of processes, or a scheduler that exists already.

Dask moves tasks and outcomes and nothing else. It never retries: a worker that dies ends the tasks it held
(``allowed-failures`` 0), and the frontier decides which of them is charged. To tell the one that was executing from
those that stood in line, each task announces itself to the scheduler, and waits for the answer, before it begins; the
scheduler hands the announcement to this process ahead of the news of any death.
"""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker, Scheduler, as_completed
from distributed.protocol import pickle

from reprocess import errors
from reprocess.execution.backlog import Backlog
from reprocess.execution.dask.executing import Unmoved, execute
from reprocess.execution.dask.settings import CLOSE_TIMEOUT_S, CONFIGURATION, MEMORY_TOPIC, resources, tier_of
from reprocess.execution.executor import (
    DEFAULT_RETRY,
    Executor,
    Function,
    Left,
    Load,
    Priority,
    Retry,
    Stop,
    Task,
    alike,
    never,
    own_error,
)
from reprocess.execution.flight import Begun, Dead, Flight
from reprocess.execution.frontier import Frontier
from reprocess.execution.inquest import Inquest
from reprocess.execution.scaling import Work
from reprocess.exposure import Outcome

LEAST_WINDOW = 1000
"""Tasks that are held by the scheduler at most, or four for each slot: enough to keep workers busy with short ones."""

_OutcomeFuture = Future[Outcome]

POLL_S = 0.01
SLOTS_VALID_S = 10
DESERTED_S = 120
"""How long a run goes on without a single worker: a cluster that scales from nothing needs a while."""


@dataclass(frozen=True, slots=True)
class Hand:
    """One worker: its memory tier, and how long it has been executing a unit, in seconds; None for an idle one."""

    tier: int
    busy_s: float | None


def _forbid_retries(dask_scheduler: Scheduler) -> None:
    dask_scheduler.allowed_failures = CONFIGURATION["distributed.scheduler.allowed-failures"]


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
        self._deserted_s: float = DESERTED_S
        self._slots_known = 0
        self._slots_until = 0.0
        self._scratch = contextlib.ExitStack()
        self._runs = itertools.count(1)
        self._flights: list[Flight] = []
        self.backlog = Backlog()
        self._inquest: Inquest | None = None
        self._abandoned: errors.ReprocessError | None = None
        self.refusals = 0
        client.register_plugin(Unmoved())
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
        from reprocess.execution.dask import local_cluster

        with contextlib.ExitStack() as scratch:
            cluster = scratch.enter_context(
                local_cluster.started(
                    workers, memory_limit_bytes=memory_limit_bytes, tiers_bytes=tiers_bytes, dashboard=dashboard
                )
            )
            executor = cls(Client(cluster, set_as_default=False), window=window)
            executor._scratch = scratch.pop_all()
            return executor

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        timeout_s: float = 30,
        window: int = 0,
        security: Any = None,  # noqa: ANN401
        inquest: Inquest | None = None,
        deserted_s: float = 0.0,
    ) -> DaskExecutor:
        """Use the scheduler at `address`, for example ``tcp://127.0.0.1:8786``, and the workers it has or will have.

        The scheduler is told to allow no failures: it must not be shared with other programs.

        Parameters
        ----------
        address : str
        timeout_s : float
            How long to wait for it, in seconds.
        window : int
            0 for the default.
        security : distributed.Security, optional
            What TLS needs, for ``tls://``.
        inquest : callable, optional
            Says why a worker went away; without one, whatever was executing there is charged.
        deserted_s : float
            How long a run goes on without a single worker, in seconds; 0 for the default.

        Raises
        ------
        UsageError
            Nothing answers there.
        """
        try:
            executor = cls(Client(address, timeout=timeout_s, set_as_default=False, security=security), window=window)
        except (OSError, ValueError) as error:
            raise errors.UsageError(f"No Dask scheduler answers at {address}: {error}. Check --scheduler.") from error
        executor._inquest, executor._deserted_s = inquest, deserted_s or DESERTED_S
        return executor

    @property
    def slots(self) -> int:
        """Threads of all workers that the scheduler has at present."""
        return sum(worker["nthreads"] for worker in self._client.scheduler_info(n_workers=-1)["workers"].values())

    @property
    def dashboard(self) -> str:
        """URL of the dashboard; empty if there is none."""
        return str(self._client.dashboard_link or "")

    def work(self) -> tuple[dict[int, Work], Left]:
        """Return what is left of each tier, and what may be taken for it; may be asked from any thread."""
        now = time.monotonic()
        running = {
            unit: now - begun.since for flight in tuple(self._flights) for unit, begun in flight.running().items()
        }
        return self.backlog.work(running), self.backlog.left()

    def crew(self) -> dict[str, Hand]:
        """Return the workers that the scheduler has at present, by name; may be asked from any thread."""
        now = time.monotonic()
        since = {one.worker: one.since for flight in tuple(self._flights) for one in flight.running().values()}
        return {
            str(worker["name"]): Hand(tier_of(worker["resources"]), now - since[address] if address in since else None)
            for address, worker in self._client.scheduler_info(n_workers=-1)["workers"].items()
        }

    def load(self) -> Load:
        """See `Executor.load`."""
        work, hands = self.work()[0].values(), self.crew().values()
        return Load(
            sum(one.queued for one in work),
            sum(one.running for one in work),
            Counter(hand.tier for hand in hands if hand.busy_s is not None),
            Counter(hand.tier for hand in hands if hand.busy_s is None),
        )

    def abandon(self, error: errors.ReprocessError) -> None:
        """Have the run that is under way end with this error; may be called from any thread."""
        self._abandoned = error

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
        frontier = Frontier(self.backlog.draw(tasks), retry=retry)
        done = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        run = next(self._runs)
        with self._flight(run, priority) as flight:
            try:
                while not stop():
                    self._fill(flight, frontier, done, function)
                    yield from self._ended(frontier)
                    if not flight.tasks and not flight.dead and frontier.wait_s is None:
                        frontier.finish()
                        break
                    self._await(flight, frontier, done, stop)
                    self._collect(flight, frontier, done)
            except KeyboardInterrupt:
                self._collect(flight, frontier, done)
                yield from self._ended(frontier)
                raise
            self._collect(flight, frontier, done)
            yield from self._ended(frontier)

    @contextlib.contextmanager
    def _flight(self, run: int, priority: Priority) -> Iterator[Flight]:
        flight = Flight(run, f"reprocess-begun-{self._client.id}-{run}", priority)
        self._client.subscribe_topic(flight.topic, flight.announce)
        self._client.subscribe_topic(MEMORY_TOPIC, flight.restarted)
        self._flights.append(flight)
        try:
            yield flight
        finally:
            self._flights.remove(flight)
            self.backlog.clear()
            # A run that is given up after the executor was closed has nothing left to tidy.
            if self._client.status == "running":
                self._client.unsubscribe_topic(flight.topic)
                self._client.unsubscribe_topic(MEMORY_TOPIC)
                self._client.cancel(list(flight.tasks), force=True)
            flight.tasks.clear()

    def _ended(self, frontier: Frontier) -> Iterator[Outcome]:
        for outcome in frontier.ended():
            self.backlog.ended(outcome.unit)
            yield outcome

    def _fill(self, flight: Flight, frontier: Frontier, done: as_completed, function: Function) -> None:
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

    def _submit(self, flight: Flight, function: Function, batch: list[Task], *, priority: int) -> list[_OutcomeFuture]:
        if not batch:
            return []
        tokens = [f"{task.unit}|{flight.run}.{task.attempt}.{task.spared}" for task in batch]
        futures: list[_OutcomeFuture] = []
        for tier, tasks in itertools.groupby(sorted(zip(batch, tokens, strict=True), key=_tier), key=_tier):
            some, names = zip(*tasks, strict=True)
            futures += self._client.map(
                functools.partial(execute, function, flight.topic),
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
            for task in some:
                self.backlog.handed_out(task)
        return futures

    def _submit_singly(
        self, flight: Flight, frontier: Frontier, function: Function, batch: list[Task]
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

    def _await(self, flight: Flight, frontier: Frontier, done: as_completed, stop: Stop) -> None:
        """Wait until something has arrived or may start."""
        alive = time.monotonic()
        while not done.has_ready() and not stop() and frontier.wait_s != 0 and not flight.is_due():
            time.sleep(POLL_S)
            if self._abandoned is not None:
                raise self._abandoned
            if self._present_slots() or not flight.tasks:
                alive = time.monotonic()
            elif time.monotonic() - alive > self._deserted_s:
                raise errors.WorkerLost(
                    f"No worker has been alive for {self._deserted_s:.0f} s. Give workers more memory, or look at the "
                    "cluster; then run the plan again: outcomes so far are kept."
                )

    def _collect(self, flight: Flight, frontier: Frontier, done: as_completed) -> None:
        """Pass what has arrived to the frontier and forget its futures."""
        for future, result in done.next_batch(block=False):
            task, token = flight.tasks.pop(future)
            begun = flight.begun.pop(token, None)
            if isinstance(result, Outcome):
                self._note(task, begun, result)
                frontier.settle(result)
            elif future.cancelled():
                self._check_connection()
                frontier.lost(task.unit, executing=False, reason="cancelled by somebody else")
            elif isinstance(error := future.exception(), KilledWorker):
                name = str(error.last_worker.name)
                if begun is None:
                    frontier.lost(task.unit, executing=False, reason=f"attempt {task.attempt} on {name}")
                else:
                    flight.dead.append(Dead(task, begun, name, time.monotonic()))
            else:
                frontier.settle(own_error(task, f"unit {task.unit} was not executed: {error!r}."))
        flight.bury(frontier, self._inquest)

    def _note(self, task: Task, begun: Begun | None, outcome: Outcome) -> None:
        """Learn from an execution how long units take, and whether the store refuses."""
        if begun is not None:
            self.backlog.executed(task, time.monotonic() - begun.since)
        self.refusals += outcome.throttled

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise errors.WorkerLost("The Dask scheduler went away. Outcomes so far are kept: run the plan again.")

    def close(self) -> None:
        """Close the client, and all processes that were started for it."""
        self._client.close(timeout=CLOSE_TIMEOUT_S)
        self._scratch.close()


def _tier(pair: tuple[Task, str]) -> int:
    return pair[0].tier


def _taken(frontier: Frontier, most: int, *, fresh: bool) -> list[Task]:
    return list(itertools.islice(iter(functools.partial(frontier.take, fresh=fresh), None), max(most, 0)))
