"""What the coordinator itself costs: processor time per unit that does nothing, memory, and taking a campaign up again.

Units go the way that a campaign's go: made lazily from a plan with the payloads that workers get, through
`DaskExecutor.run` with its frontier, and into a ledger in a store in memory. Nothing is calibrated, no version is read
back and no pointer is moved: those are requests of the store, which the benchmark of exposures counts. Beside it, in
a process of its own on the same machine, Dask alone: a window of as many plain tasks of the same number.

The scheduler has a process of its own, so that its share can be told apart; ``--local`` measures both in one process,
as `DaskExecutor.local` has them. Two workers do the nothing. Processor time is that of the kernel's account.

Taking up again is reading a plan and the ledger of all of its units, as `coordinator.run` does before it begins: from
a store in memory or from S3, where AWS_ENDPOINT_URL names one.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import distributed

from benchmarks import campaigns, endpoint, measurement
from benchmarks.measurement import Result
from reprocess import worker
from reprocess.execution.dask import executor as executors
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.execution.executor import Task
from reprocess.exposure import Outcome
from reprocess.planning.plan import Plan
from reprocess.publication import kept_plans, ledger
from reprocess.storage import open_store
from reprocess.storage.counting import CountingStore
from reprocess.storage.store import Store

_WORKERS = 2
_WORKER_BYTES = 10**9
_WINDOW = executors.LEAST_WINDOW
_TICKS = os.sysconf("SC_CLK_TCK")
_WARM = 500  # units before the measurement, so that what is imported at first use is not counted
_PAGE = 1000
"""Objects that one request of a listing tells of."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_coordinator", description=__doc__)
    parser.add_argument("--units", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--local", action="store_true", help="scheduler and coordinator in one process")
    parser.add_argument("--only", choices=["units", "resume"], help="one half")
    parser.add_argument("--quick", action="store_true", help="1,000 and 3,000 units")
    wanted = parser.parse_args(arguments)
    units = [1_000, 3_000] if wanted.quick else wanted.units
    load = os.getloadavg()[0]
    content: Result = {"arguments": vars(wanted)}
    if wanted.only != "resume":
        content["units"] = [
            measurement.apart(f"benchmarks.benchmark_coordinator:{way}", units=count, local=wanted.local)
            for count in units
            for way in ("bare", "campaign")
        ]
        _show_units(content["units"])
    if wanted.only != "units":
        content["resume"] = list(_resumes(units))
        _show_resumes(content["resume"])
    if not wanted.only:
        measurement.write(measurement.record("coordinator", content, load))


def campaign(units: int, *, local: bool) -> Result:
    """Work off units that do nothing, and keep a ledger of them."""
    made, store = campaigns.plan(units), CountingStore(open_store(f"memory://{uuid.uuid4()}"))
    with _executor(local) as (executor, meter):
        for _ in executor.run(nothing, itertools.islice(_tasks(campaigns.plan(_WARM), store), _WARM)):
            pass
        tasks = _tasks(made, store)
        with meter, ledger.begin(store, made.digest[:16]) as book:
            for outcome in executor.run(nothing, tasks):
                book.append(replace(outcome, outcome_class="published"))
        found = ledger.read(store, made.digest[:16])
        assert len(found) == units, f"{len(found)} of {units} units are in the ledger"
        return {"way": "campaign", "units": units, "batches": store.requests["put_if_absent"], **meter.result(units)}


def bare(units: int, *, local: bool) -> Result:
    """Let Dask alone do as many tasks, with the same window."""
    with _executor(local) as (executor, meter):
        _map(executor._client, range(-_WARM, 0))
        with meter:
            _map(executor._client, range(units))
        return {"way": "bare", "units": units, **meter.result(units)}


def _map(client: distributed.Client, numbers: range) -> None:
    """Have Dask do tasks, a window at a time."""
    rest, flying = iter(numbers), 0
    done = distributed.as_completed(loop=client.loop, with_results=True)
    while True:
        batch = list(itertools.islice(rest, _WINDOW - flying)) if flying <= _WINDOW // 2 else []
        if batch:
            done.update(client.map(_number, batch, key=[("unit", str(n)) for n in batch], pure=False))
            flying += len(batch)
        if not flying:
            return
        flying -= len(list(done.next_batch(block=True)))


def nothing(task: Task) -> Outcome:
    """Say what a worker says."""
    return replace(campaigns.ended(task.dataset), outcome_class=worker.WRITTEN)


def _number(number: int) -> int:
    return number


def _tasks(made: Plan, store: Store) -> Iterator[Task]:
    """Make units as the coordinator does."""
    header = replace(made, items=())
    for item in made.items:
        yield Task(item.dataset, item.dataset, worker.Work(store, store, header, item, shelf_bytes=10**8))


class _Meter:
    """Processor seconds and memory of this process and of the scheduler, from begin to end of a block."""

    def __init__(self, scheduler: int) -> None:
        self._pids = {"client": os.getpid()} | ({"scheduler": scheduler} if scheduler else {})
        self._before: dict[str, float] = {}
        self._wall = 0.0
        self._memory: dict[str, int] = {}

    def __enter__(self) -> None:
        self._memory = {name: _memory(pid) for name, pid in self._pids.items()}
        self._before = {name: _cpu(pid) for name, pid in self._pids.items()}
        self._wall = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._wall = time.perf_counter() - self._wall
        self._before = {name: _cpu(pid) - self._before[name] for name, pid in self._pids.items()}
        self._memory = {name: _memory(pid) - self._memory[name] for name, pid in self._pids.items()}

    def result(self, units: int) -> Result:
        return {
            "cpu_ms": {name: 1000 * seconds / units for name, seconds in self._before.items()},
            "grown_bytes": self._memory,
            "memory_bytes": {name: _memory(pid) for name, pid in self._pids.items()},
            "units_per_s": units / self._wall,
        }


def _cpu(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(pid: int) -> int:
    """Resident memory of a process."""
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def _executor(local: bool) -> Iterator[tuple[DaskExecutor, _Meter]]:
    if local:
        with DaskExecutor.local(_WORKERS, memory_limit_bytes=_WORKER_BYTES) as executor:
            yield executor, _Meter(0)
        return
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        scheduler, address = _scheduler(stack)
        for _ in range(_WORKERS):
            _start(stack, ["worker", address, "--nthreads", "1", "--no-dashboard", "--local-directory", directory])
        executor = stack.enter_context(DaskExecutor.connect(address))
        executor._client.wait_for_workers(_WORKERS, timeout=60)
        yield executor, _Meter(scheduler)


def _scheduler(stack: contextlib.ExitStack) -> tuple[int, str]:
    """Start a scheduler, and wait for its address."""
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(path)]
    started = _start(stack, ["scheduler", *options])
    for _ in range(600):
        with contextlib.suppress(OSError, ValueError):
            return started.pid, str(json.loads(path.read_text())["address"])
        time.sleep(0.1)
    raise SystemExit("the scheduler did not start")


def _start(stack: contextlib.ExitStack, words: Sequence[str]) -> subprocess.Popen[bytes]:
    settings = {f"DASK_{name.upper().replace('.', '__')}": repr(value) for name, value in _settings().items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]],
        env={**os.environ, **settings, "PYTHONPATH": str(measurement.ROOT)},
        cwd=measurement.ROOT,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


def _settings() -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in executors.CONFIGURATION.items() if "environ" not in name}


def _resumes(units: Sequence[int]) -> Iterator[Result]:
    function = "benchmarks.benchmark_coordinator:resume"
    for count in units:
        yield measurement.apart(function, url=f"memory://{uuid.uuid4()}", units=count)
    if os.environ.get("AWS_ENDPOINT_URL"):
        with endpoint.bucket() as bucket:
            for count in units:
                url = f"s3://{bucket.name}/{count}"
                yield measurement.apart(function, environment=bucket.environment, url=url, units=count)


def resume(url: str, units: int) -> Result:
    """Leave a campaign all of whose units have ended, and read it as a coordinator does that takes it up again."""
    inner = open_store(url)
    made = kept_plans.keep(inner, campaigns.plan(units))
    with ledger.begin(inner, made.digest[:16]) as book:
        for outcome in campaigns.outcomes(made):
            book.append(outcome)
    digest, batches = made.digest, sum(1 for _ in inner.list(ledger.prefix(made.digest[:16])))
    del made, book
    store, before = CountingStore(inner), measurement.peak_bytes()
    start, cpu = time.perf_counter(), time.process_time()
    plan = kept_plans.find(store, digest[:16])
    read = time.perf_counter()
    found = ledger.read(store, digest[:16])
    seconds = time.perf_counter() - start
    assert len(found) == len(plan.items) == units
    return {
        "store": url.partition("://")[0],
        "units": units,
        "seconds": seconds,
        "plan_seconds": read - start,
        "cpu_seconds": time.process_time() - cpu,
        # A listing is asked page by page: one of the plan's campaign and one of the ledger, each with all its pages.
        "lists": sum(-(-objects // _PAGE) for objects in (batches + 1, batches)),
        "gets": store.requests["get"],
        "bytes": store.bytes_read.total(),
        "batches": batches,
        "peak_grown_bytes": measurement.peak_bytes() - before,
    }


def _show_units(found: Sequence[Result]) -> None:
    print("\nprocessor milliseconds per unit that does nothing")
    rows = [
        (
            f"{one['units']:,}",
            {"bare": "Dask alone", "campaign": "campaign"}[one["way"]],
            one["cpu_ms"].get("scheduler"),
            one["cpu_ms"]["client"],
            sum(one["cpu_ms"].values()),
            *(one["memory_bytes"].get(name, 0) / 1e6 for name in ("scheduler", "client")),
            *(one["grown_bytes"].get(name, 0) / 1e6 for name in ("scheduler", "client")),
            one["units_per_s"],
        )
        for one in found
    ]
    memory = ("scheduler MB", "client MB", "of these grown MB", "and MB")
    print(measurement.table(("units", "way", "scheduler", "client", "**both**", *memory, "units/s"), rows))


def _show_resumes(found: Sequence[Result]) -> None:
    print("\ntaking up a campaign all of whose units have ended")
    names = ("store", "units", "seconds", "plan_seconds", "cpu_seconds", "lists", "gets")
    rows = [(*(one[name] for name in names), one["bytes"] / 1e6, one["peak_grown_bytes"] / 1e6) for one in found]
    head = ("store", "units", "s", "of it the plan", "CPU s", "LIST", "GET", "MB read", "peak memory grown MB")
    print(measurement.table(head, rows))


if __name__ == "__main__":
    main()
