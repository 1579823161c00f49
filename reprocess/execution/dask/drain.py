"""What a worker's pod does before it stops: end what it executes, take nothing more, lose nothing.

The scheduler is asked to retire the worker without closing it. It then sends no more tasks there, moves what only this
worker holds, and takes no notice of what executes: that is waited for here. Afterwards the worker is retired for good
and closes. What still executes at the limit is given back to the scheduler, which counts it against nobody.
"""

# mypy: untyped-calls-exclude="distributed,dask"
from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any

from distributed import Scheduler, Security, Status, Worker, rpc
from distributed.protocol import pickle

CONNECT_S = 5.0
COLLECT_S = 1.0
"""How long the client may take to fetch a result; what it has not fetched then moves to another worker."""
FAREWELL_S = 5.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _State:
    """Of a worker: whether it takes tasks, and how many of them execute, and how many results it holds."""

    taking: bool
    executing: int
    results: int

    @property
    def idle(self) -> bool:
        return not (self.taking or self.executing or self.results)


def drain(address: str, name: str, *, limit_s: float, security: Security | None = None) -> str:
    """Let a worker end what it executes and retire it; return a sentence that says how it went.

    Returns at most `limit_s` and fifteen seconds later, whatever happens, and never raises: the pod stops in any case.

    Parameters
    ----------
    address : str
        Of the scheduler, for example ``tls://reprocess-run.default.svc:8786``.
    name : str
        Of the worker, as the scheduler knows it.
    limit_s : float
        How long to wait for what executes, in seconds.
    security : Security, optional
        With the worker's certificate; None for ``tcp://``.
    """
    try:
        return asyncio.run(_drain(address, name, limit_s, security))
    except OSError as error:
        why = str(error) or "nothing for five seconds"
        return f"The scheduler at {address} does not answer ({why}): worker {name} has nothing to wait for."
    except Exception as error:
        return f"Worker {name} was not drained, and what it executes may run again elsewhere: {error!r}."


async def _drain(address: str, name: str, limit_s: float, security: Security | None) -> str:
    begin = time.monotonic()
    identity = security.get_connection_args("worker") if security else {}
    async with rpc(address, timeout=CONNECT_S, connection_args=identity) as scheduler:
        async with asyncio.timeout(CONNECT_S):
            worker = await _ask_scheduler(scheduler, _address, name)
        if not worker:
            return f"The scheduler at {address} knows no worker {name}: nothing to wait for."
        try:
            async with asyncio.timeout(limit_s):
                await _finish(scheduler, worker)
            how = f"Worker {name} has ended what it executed, {time.monotonic() - begin:.1f} s after it was asked to."
        except TimeoutError:
            how = (
                f"Worker {name} still executes after {limit_s:.0f} s: its unit is given back and runs again elsewhere."
            )
        return how if await _farewell(scheduler, worker) else f"{how} Nobody took its results, which may be made again."


async def _finish(scheduler: Any, worker: str) -> None:  # noqa: ANN401
    """Wait until the worker takes no more, executes nothing, and its results are fetched."""
    until = math.inf
    while True:
        state = await _ask_worker(scheduler, worker)
        until = math.inf if state.executing else min(until, time.monotonic() + COLLECT_S)
        if state.idle or time.monotonic() > until:
            return
        if state.taking:
            # Without others to take its results, it goes on as if it had not been asked; then it is asked again. Where
            # the others are going too, there is no answer.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_S):
                    await scheduler.retire_workers(workers=[worker], close_workers=False, remove=False)
        await asyncio.sleep(POLL_S)


async def _farewell(scheduler: Any, worker: str) -> bool:  # noqa: ANN401
    """Retire the worker for good, and tell whether others took what it held."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(FAREWELL_S):
            if worker in await scheduler.retire_workers(workers=[worker], close_workers=True, remove=True):
                return True
    # Nobody is to blame that it goes, even so.
    with contextlib.suppress(OSError):
        async with asyncio.timeout(FAREWELL_S):
            await scheduler.unregister(address=worker, expected=True, close=True, stimulus_id="reprocess-drain")
    return False


async def _ask_scheduler(scheduler: Any, function: Any, *arguments: Any) -> Any:  # noqa: ANN401
    answer = await scheduler.run_function(
        function=pickle.dumps(function), args=pickle.dumps(arguments), kwargs=pickle.dumps({}), wait=True
    )
    return answer["result"]


async def _ask_worker(scheduler: Any, worker: str) -> _State:  # noqa: ANN401
    """Ask by way of the scheduler: no other connection is needed."""
    message = {"op": "run", "function": pickle.dumps(_state), "args": pickle.dumps(()), "kwargs": pickle.dumps({})}
    answers = await scheduler.broadcast(msg={**message, "wait": True}, workers=[worker])
    state: _State = answers[worker]["result"]
    return state


def _address(name: str, dask_scheduler: Scheduler) -> str:
    """Return the address of a worker, empty if there is none; runs on the scheduler."""
    return next((each.address for each in dask_scheduler.workers.values() if str(each.name) == name), "")


def _state(dask_worker: Worker) -> _State:
    """Look at the worker; runs there."""
    return _State(dask_worker.status == Status.running, dask_worker.state.executing_count, len(dask_worker.data))
