"""A million units on a thousand workers, simulated: how long, how well used, and what the coordinator takes.

Nothing is calibrated and Dask does not run. `benchmarks.simulated_cluster` plays scheduler, workers and the loss of
nodes in virtual time, as discrete events; the frontier, the policy of retries and the ledger (in a store in memory,
with the clock of the simulation) are the real ones and do all that they do in a campaign. Units take what the forecast
says of exposures of several shapes, times a lognormal factor; one in a thousand takes twenty times as long. The
scheduler and the client's process take for a task what `benchmark_coordinator` measured of them. The coordinator's own
publication of a version, read back and pointer moved, is given in seconds, and how many are in flight at a time.

Processor time and memory are real: of the frontier, the policy and the ledger, without what Dask's client would take.
"""

from __future__ import annotations

import argparse
import os
import random
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks import measurement
from benchmarks.measurement import Result
from benchmarks.simulated_cluster import Machines, SimulatedExecutor, Weather
from reprocess.execution.attempts import policy
from reprocess.execution.executor import Again, Task
from reprocess.exposure import Outcome
from reprocess.planning import forecast
from reprocess.publication import ledger
from reprocess.storage import open_store
from reprocess.storage.counting import CountingStore

SHAPES = (
    (50, "NIRCAM", (1, 10, 2048, 2048)),
    (20, "NIRCAM", (1, 5, 2048, 2048)),
    (15, "MIRI", (1, 40, 1024, 1032)),
    (10, "NIRSPEC", (1, 20, 2048, 2048)),
    (5, "NIRISS", (20, 8, 256, 2048)),
)
"""Part in a hundred, instrument and shape."""

SPREAD, LONG, TIMES = 0.3, 0.001, 20.0
TRIES, TIERS = 3, 1
STORM = Weather(losses_per_hour=0.2, storage=0.01, bad=0.001, large=0.002, deadly=0.00002)
SCENARIOS = {
    "calm": (Weather(), 0.0),
    "storm": (STORM, 0.0),
    "storm, 5 ms each to publish": (STORM, 0.005),
    "storm, 50 ms each to publish": (STORM, 0.05),
}
"""Weather, and seconds of the coordinator for each publication, one after the other."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_cluster", description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="20,000 units on 200 workers")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.units, wanted.workers = 20_000, 200
    load = os.getloadavg()[0]
    function = "benchmarks.benchmark_cluster:run"
    found = {
        name: measurement.apart(function, scenario=name, units=wanted.units, workers=wanted.workers)
        for name in SCENARIOS
    }
    _show(found, wanted.units, wanted.workers)
    if not wanted.quick:
        measurement.write(measurement.record("cluster", {"arguments": vars(wanted), "scenarios": found}, load))


def run(scenario: str, units: int, workers: int) -> Result:
    """Simulate one campaign."""
    weather, publish_s = SCENARIOS[scenario]
    each = Machines().workers_per_node
    machines = Machines(nodes=-(-workers // each), large_nodes=max(1, workers // each // 25))
    store, before = CountingStore(open_store(f"memory://{uuid.uuid4()}")), measurement.peak_bytes()
    executor = SimulatedExecutor(seconds, machines=machines, weather=weather)
    classes: Counter[str] = Counter()
    retried = [0]
    innocent, held, wall, spent = 0, 0, time.perf_counter(), 0.0
    with executor, ledger.begin(store, "c" * 16) as book:
        book.clock = executor.clock

        def note(outcome: Outcome, again: Again) -> None:
            retried[0] += 1
            book.append(outcome)

        for outcome in executor.run(seconds, tasks(units), retry=policy(TRIES, TIERS, note=note)):
            begin = time.thread_time()
            book.append(replace(outcome, worker="worker-17", version="v"))
            spent += time.thread_time() - begin
            executor.spend(publish_s)
            classes[outcome.outcome_class] += 1
            innocent += outcome.outcome_class == "worker-lost" and not _is_deadly(outcome, weather)
            held += 1
    assert held == units, f"{held} outcomes of {units} units"
    tally = executor.tally
    return {
        "makespan_s": executor.now,
        "least_s": tally.useful_s / (machines.nodes * each),
        "utilisation": tally.useful_s / tally.available_s,
        "wasted": tally.wasted_s / (tally.useful_s + tally.wasted_s),
        "nodes_lost": tally.lost,
        "charged": tally.charged,
        "spared": tally.spared,
        "retried": retried[0],
        "innocent_given_up": innocent,
        "classes": dict(classes),
        "batches": store.requests["put_if_absent"],
        "ledger_bytes": store.bytes_written.total(),
        "most_held": tally.most_held,
        "cpu_us": 1e6 * (tally.cpu_s + spent) / units,
        "peak_grown_bytes": measurement.peak_bytes() - before,
        "ledger_in_memory_bytes": store.bytes_written.total(),
        "real_seconds": time.perf_counter() - wall,
    }


def tasks(units: int) -> Iterator[Task]:
    """Make so many units, lazily."""
    for number in range(units):
        name = f"jw{10_000 + number // 5000:05d}001001_02101_{number % 5000:05d}_nrca1"
        yield Task(name, name)


def seconds(task: Task) -> float:
    """Return what a unit takes, always the same."""
    chance = random.Random(zlib.crc32(task.unit.encode()) + 1)
    ((_, instrument, shape),) = chance.choices(SHAPES, [part for part, _, _ in SHAPES])
    long = TIMES if chance.random() < LONG else 1.0
    return _told(instrument, shape) * chance.lognormvariate(0.0, SPREAD) * long


_TOLD: dict[tuple[int, ...], float] = {}


def _told(instrument: str, shape: tuple[int, ...]) -> float:
    if shape not in _TOLD:
        _TOLD[shape] = forecast.seconds(instrument, shape)
    return _TOLD[shape]


def _is_deadly(outcome: Outcome, weather: Weather) -> bool:
    return zlib.crc32(outcome.unit.encode()) / 2**32 < weather.deadly


def _show(found: dict[str, Result], units: int, workers: int) -> None:
    print(f"\n{units:,} units on {workers:,} workers, simulated")
    rows: list[Sequence[object]] = [
        ("makespan, h", *(one["makespan_s"] / 3600 for one in found.values())),
        ("the same work without a pause, h", *(one["least_s"] / 3600 for one in found.values())),
        ("workers busy with what counts, %", *(100 * one["utilisation"] for one in found.values())),
        ("work lost, %", *(100 * one["wasted"] for one in found.values())),
        ("nodes taken away", *(f"{one['nodes_lost']:,}" for one in found.values())),
        ("deaths charged / spared", *(f"{one['charged']:,} / {one['spared']:,}" for one in found.values())),
        ("attempts tried again", *(f"{one['retried']:,}" for one in found.values())),
        ("innocent units given up", *(one["innocent_given_up"] for one in found.values())),
        ("batches in the ledger", *(f"{one['batches']:,}" for one in found.values())),
        ("tasks held at most", *(f"{one['most_held']:,}" for one in found.values())),
        ("frontier, policy, ledger: CPU us per unit", *(one["cpu_us"] for one in found.values())),
        ("memory grown, without the stored ledger, MB", *(_memory_mb(one) for one in found.values())),
    ]
    print(measurement.table(("", *found), rows))
    for name, one in found.items():
        print(f"{name}: {', '.join(f'{count:,} {word}' for word, count in sorted(one['classes'].items()))}")


def _memory_mb(one: Result) -> float:
    return (one["peak_grown_bytes"] - one["ledger_in_memory_bytes"]) / 1e6


if __name__ == "__main__":
    main()
