"""A campaign over full frames of ten groups in S3, all in: ranged read, stage 1, FITS, digests, publication.

The endpoint is that of AWS_ENDPOINT_URL, where a bucket is made and removed, or else moto on this machine. The table
has the client's CPU seconds per exposure: by stage, for exposures whose worker had the references already; for the
first one of a worker, which reads them; and for the whole process tree, with start and coordinator. A campaign before
these has published a version of each exposure, so all of them are compared with one. Requests are counted in a
campaign of their own, on the way to the server.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from benchmarks import endpoint, exposures, measurement
from benchmarks.measurement import Clock, Result
from reprocess import campaign, coordinator, worker
from reprocess.archive import root
from reprocess.calibration import detector1
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.execution.executor import (
    DEFAULT_RETRY,
    Executor,
    Function,
    Priority,
    Retry,
    Stop,
    Task,
    alike,
    never,
)
from reprocess.execution.serial import SerialExecutor
from reprocess.exposure import Outcome
from reprocess.formats import level1b, product, region, tail
from reprocess.formats.reference_cache import ReferenceCache
from reprocess.publication import publish
from reprocess.settings import CacheSettings, ExecutionSettings, Settings
from reprocess.storage import open_store
from reprocess.target import read_target

GROUPS = 10
STAGES = ("look up", "read", "references", "calibrate", "quick look", "write and upload", "compare")
FITS = "of which FITS"
_MEGABYTE = 10**6


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_exposure", description=__doc__)
    parser.add_argument("--exposures", type=int, default=5, help="per campaign")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--quick", action="store_true", help="three exposures, one worker")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.exposures, wanted.workers = 3, [1]
    if wanted.exposures <= max(wanted.workers):
        parser.error("there must be more exposures than workers: the first one of each is told apart")
    load = os.getloadavg()[0]
    with endpoint.bucket() as bucket:
        _write_data(bucket.name, wanted.exposures)
        # The first campaign prepares the references, and publishes what the others compare with.
        _apart(bucket, number=0, workers=0)
        counted = _apart(bucket, number=9, workers=0)
        found = {count: _apart(bucket, number=count, workers=count) for count in wanted.workers}
    _show(found, counted["requests"], bucket.server, wanted.exposures)
    content = {"arguments": vars(wanted), "server": bucket.server, "workers": found, "requests": counted["requests"]}
    measurement.write(measurement.record(f"exposure{bucket.suffix}", content, load))


def run(bucket: str, number: int, workers: int) -> Result:
    """Plan and run one campaign in a process of its own; without workers in this process, counting requests."""
    with ExitStack() as stack:
        traffic = None
        if not workers:
            url, traffic = stack.enter_context(endpoint.relay(os.environ["AWS_ENDPOINT_URL"]))
            os.environ["AWS_ENDPOINT_URL"] = url
        cache = CacheSettings(directory=stack.enter_context(tempfile.TemporaryDirectory()))
        # Without a pilot each exposure is published as it ends.
        settings = Settings(cache=cache, execution=ExecutionSettings(canary=0))
        archive = campaign.open_archive(f"s3://{bucket}/archive", settings)
        if not number:
            campaign.scan(archive)
        # Another threshold makes every product stale and the work the same.
        threshold = f"[parameters.jump]\nrejection_threshold = 4.0{number}\n"
        text = f'context = "{exposures.CONTEXT}"\nsoftware = ">=0.1"\n{threshold}'
        made = campaign.plan(archive, read_target(text, name="benchmark.toml"))
        assert all(item.action == "calibrate" and not item.rows_per_slab for item in made.items)
        begin = time.perf_counter(), _cpu()
        limit = settings.execution.memory_limit_mb * _MEGABYTE
        inner = DaskExecutor.local(workers, memory_limit_bytes=limit) if workers else SerialExecutor()
        with _Observed(inner, traffic) as executor:
            coordinator.run(archive, made.digest, executor=executor)
        wall = time.perf_counter() - begin[0]
        return _result(executor, wall, _cpu() - begin[1])


class _Observed(Executor):
    """Another executor, whose outcomes are kept, each with the requests counted up to then."""

    def __init__(self, inner: Executor, traffic: endpoint.Traffic | None) -> None:
        self._inner = inner
        self._traffic = traffic
        self.outcomes: list[Outcome] = []
        self.requests: list[Counter[str]] = []

    @property
    def slots(self) -> int:
        return self._inner.slots

    def run(
        self,
        function: Function,
        tasks: Iterable[Task],
        *,
        retry: Retry = DEFAULT_RETRY,
        stop: Stop = never,
        priority: Priority = alike,
    ) -> Iterator[Outcome]:
        assert function is worker.run
        for outcome in self._inner.run(metered, tasks, retry=retry, stop=stop, priority=priority):
            if outcome.dataset:
                assert outcome.outcome_class == worker.WRITTEN, outcome
                self.outcomes.append(outcome)
                self.requests.append(Counter(self._traffic.kinds) if self._traffic else Counter())
            yield outcome

    def close(self) -> None:
        self._inner.close()


_CLOCKS: list[Clock] = []


def metered(task: Task) -> Outcome:
    """Do a unit as workers do, and add the CPU seconds of its stages to those that it tells."""
    if not _CLOCKS:
        _CLOCKS.extend(_clocks())
    for clock in _CLOCKS:
        clock.seconds.clear()
    outcome = worker.run(task)
    stages = {f"cpu {name}": seconds for clock in _CLOCKS for name, seconds in clock.seconds.items()}
    return replace(outcome, seconds={**outcome.seconds, **stages})


def _clocks() -> tuple[Clock, Clock]:
    process, thread = Clock(), Clock(time.thread_time)
    process.watch(level1b, "read", "read_whole")
    process.watch(tail, "read", "read_tail")
    process.watch(region, "references", "read_region")
    process.watch(ReferenceCache, "references", "read_region")
    process.watch(worker, "look up", "_exists")
    process.watch(worker, "compare", "_compare")
    process.watch(detector1, "calibrate", "calibrate")
    process.watch(worker, "quick look", "picture")
    process.watch(publish, "write and upload", "write_version")
    # Parts are uploaded by other threads while the next ones are made.
    thread.watch(product, FITS, "write_rate", "write_rateints")
    return process, thread


def _cpu() -> float:
    """Seconds of this process and of all that it has seen end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _result(executor: _Observed, wall: float, cpu: float) -> Result:
    """Sum up a campaign; the first exposure of each worker is cold."""
    outcomes = executor.outcomes
    first = {outcome.worker: outcome for outcome in reversed(outcomes)}
    cold = list(first.values())
    warm = [outcome for outcome in outcomes if outcome not in cold]
    steps = [after - before for before, after in zip(executor.requests, executor.requests[1:], strict=False)]
    return {
        "wall": wall / len(outcomes),
        "cpu_all": cpu / len(outcomes),
        "warm": measurement.median(dict(outcome.seconds) for outcome in warm),
        "cold": measurement.median(dict(outcome.seconds) for outcome in cold),
        "every_warm_cpu": [round(outcome.seconds["cpu"], 2) for outcome in warm],
        "bytes_read": max(outcome.bytes_read for outcome in warm),
        "bytes_written": max(outcome.bytes_written for outcome in warm),
        "peak_bytes": max(outcome.peak_bytes for outcome in outcomes),
        "requests": measurement.median(steps) if steps else {},
    }


def _apart(bucket: endpoint.Bucket, *, number: int, workers: int) -> Result:
    function = "benchmarks.benchmark_exposure:run"
    return measurement.apart(
        function, environment=bucket.environment, bucket=bucket.name, number=number, workers=workers
    )


def _write_data(bucket: str, count: int) -> None:
    """Write exposures, references and rules, and make an archive root."""
    scene, store = exposures.Scene(GROUPS), open_store(f"s3://{bucket}")
    for exposure in scene.exposures(count, GROUPS):
        store.put(exposure.key, scene.level1b(exposure))
    for _, key, data in scene.references(GROUPS):
        store.put(key, data)
    for key, text in scene.rules(GROUPS).items():
        store.put(key, text)
    location = root.RawLocation(f"s3://{bucket}/raw")
    made = root.ArchiveRoot(raw=(location,), references=f"s3://{bucket}/crds")
    campaign.init(f"s3://{bucket}/archive", made, Settings())


def _show(found: dict[int, Result], requests: dict[str, float], server: str, count: int) -> None:
    print(f"\n{count} exposures of {GROUPS} x 2048 x 2048 on {server}, CPU seconds per exposure, medians")
    every = list(found.values())
    rows: list[Sequence[object]] = [
        (name, *(one["warm"].get(f"cpu {name}", 0.0) for one in every)) for name in (*STAGES, FITS)
    ]
    rows.append(("**unit**, references at hand", *(one["warm"]["cpu"] for one in every)))
    rows.append(("first unit of a worker", *(one["cold"]["cpu"] for one in every)))
    rows.append(("**all in**: start, coordinator, first units", *(one["cpu_all"] for one in every)))
    rows.append(("wall s, all in", *(one["wall"] for one in every)))
    rows.append(("peak memory of a worker, MB", *(one["peak_bytes"] / 1e6 for one in every)))
    heads = (f"{workers} worker{'s' * (workers > 1)}" for workers in found)
    print(measurement.table(("stage", *heads), rows))
    kinds = ", ".join(f"{value:g} {name}" for name, value in sorted(requests.items()) if value)
    print(f"requests per exposure: {sum(requests.values()):g} ({kinds})")
    print(f"MB per exposure: {every[0]['bytes_read'] / 1e6:.0f} read, {every[0]['bytes_written'] / 1e6:.0f} written")


if __name__ == "__main__":
    main()
