"""One thread of this process that runs an event loop for requests that overlap."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="reprocess-s3", daemon=True).start()
    return loop


def run(coroutine: Coroutine[Any, Any, Out]) -> Out:
    """Run a coroutine on the loop's thread and wait for it; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def gather(calls: Iterable[Callable[[], Awaitable[Out]]], *, concurrency: int) -> list[Out]:
    """Await all, at most `concurrency` at a time, and give the results in order; the first failure cancels the rest."""
    free = asyncio.Semaphore(concurrency)

    async def one(call: Callable[[], Awaitable[Out]]) -> Out:
        async with free:
            return await call()

    tasks = [asyncio.ensure_future(one(call)) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def stream(call: Callable[[In], Awaitable[Out]], items: Iterable[In], *, concurrency: int) -> Iterator[tuple[In, Out]]:
    """Await `call` of each item, at most `concurrency` at a time, and give results as they come.

    `items` is drawn on the caller's thread, never faster than results are taken. `call` must not raise.
    """
    loop = _loop()
    done: queue.SimpleQueue[tuple[In, Out]] = queue.SimpleQueue()
    tasks: set[asyncio.Task[None]] = set()

    async def one(item: In) -> None:
        done.put((item, await call(item)))

    def start(batch: list[In]) -> None:
        for item in batch:
            task = loop.create_task(one(item))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def stop() -> None:
        for task in tuple(tasks):
            task.cancel()

    source, flying = iter(items), 0
    try:
        while True:
            batch = list(islice(source, concurrency - flying))
            flying += len(batch)
            if not flying:
                return
            if batch:
                loop.call_soon_threadsafe(start, batch)
            for result in _drain(done):
                flying -= 1
                yield result
    finally:
        loop.call_soon_threadsafe(stop)


def _drain(done: queue.SimpleQueue[Out]) -> list[Out]:
    """Wait for one result and take those that are there as well."""
    results = [done.get()]
    try:
        while True:
            results.append(done.get_nowait())
    except queue.Empty:
        return results
