"""Campaigns on Kubernetes: how long until the first unit runs, what the loss of a worker costs, what the driver takes.

On the cluster that KUBECONFIG names (see ``python -m tests.kubernetes`` for what else has to be named), else on one of
one node that is brought up here where that can be done. Everything is as shipped, but for small pods and at most three
workers. Exposures are small, so that the times are those of the system and not of the work:

- *submit to first unit*: from typing ``reprocess submit`` with no worker there to the first unit at work; images are on
  the node, and no node has to come.
- *drain*: from ``kubectl delete pod`` of a worker at work until its container has stopped, less what its unit still
  took. Until the pod is gone the cluster takes some seconds more.
- *again*: units that run twice because of that; and because of a worker that is deleted by force.
- *driver*: processor time of all processes in its pod, scheduler included, while units run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from benchmarks import measurement
from benchmarks.measurement import Result
from reprocess.publication import ledger
from reprocess.simulation.options import SimulationOptions
from tests.kubernetes import archives, one_node
from tests.kubernetes.archives import Planned
from tests.kubernetes.bench import Bench, until
from tests.kubernetes.relay import Relay

FEW = SimulationOptions(exposures=12, shape=(128, 128), groups=6, instruments=("NIRCAM",))
SLOW_S = 0.15
"""How long the store takes to answer, so that a unit takes some seconds."""
SAMPLE_S = 2.0
AGAIN, LOST = "begins again", "it was taken away"
_CPU = """
import glob, os
ticks = 0
for path in glob.glob('/proc/[0-9]*/stat'):
    pid = int(path.split('/')[2])
    if pid == os.getpid() or os.getsid(pid) == os.getsid(0):
        continue
    fields = open(path).read().rpartition(')')[2].split()
    ticks += sum(map(int, fields[11:13]))
print(ticks / os.sysconf('SC_CLK_TCK'))
"""
"""What all processes of a container have taken, without the one that asks."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_kubernetes", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="of each measurement")
    parser.add_argument("--units", type=int, default=300, help="of the campaign whose driver is measured")
    parser.add_argument("--quick", action="store_true", help="once, 60 units")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.times, wanted.units = 1, 60
    load = os.getloadavg()[0]
    if "KUBECONFIG" not in os.environ and (why := one_node.why_not()):
        print(f"KUBECONFIG names no cluster, and {why}: nothing is measured.")
        return
    with contextlib.ExitStack() as stack:
        if "KUBECONFIG" not in os.environ:
            os.environ.update(stack.enter_context(one_node.one_node()))
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        place = urlsplit(endpoint)
        upstream = (place.hostname or "", place.port or 80)
        relay = stack.enter_context(Relay(os.environ["REPROCESS_TEST_HOST"], upstream))
        bucket = archives.bucket(endpoint, FEW)
        with archives.applied(relay.url, FEW) as bench:
            starts = [start(bench, archives.make(endpoint, bucket, FEW, "start")) for _ in range(wanted.times)]
            relay.delay_s = SLOW_S
            drains = [drain(bench, archives.make(endpoint, bucket, FEW, "drain")) for _ in range(wanted.times)]
            forced = [force(bench, archives.make(endpoint, bucket, FEW, "force")) for _ in range(wanted.times)]
            relay.delay_s = 0.0
        many = SimulationOptions(exposures=wanted.units, shape=(64, 64), groups=5, instruments=("NIRCAM",))
        bucket = archives.bucket(endpoint, many)
        with archives.applied(relay.url, many) as bench:
            driver = drive(bench, archives.make(endpoint, bucket, many, "drive"))
    content = {"arguments": vars(wanted), "starts": starts, "drains": drains, "forced": forced, "driver": driver}
    _show(starts, drains, forced, driver)
    if not wanted.quick:
        measurement.write(measurement.record("kubernetes", content, load))


def start(bench: Bench, planned: Planned) -> Result:
    """Measure how long it takes from nothing to the first unit, and to the end."""
    begin = datetime.now(UTC)
    run = bench.submit(planned.url, planned.plan.digest)
    assert run.wait() == "Complete"
    log = bench.log(run.job)
    return {
        "driver_s": (moment(log, "") - begin).total_seconds(),
        "asked_s": (moment(log, "Workers of tier 0") - begin).total_seconds(),
        "first_unit_s": (moment(log, "The first unit begins") - begin).total_seconds(),
        "whole_s": (datetime.now(UTC) - begin).total_seconds(),
    }


def drain(bench: Bench, planned: Planned) -> Result:
    """Delete a worker at work, and measure how long its pod takes to go besides what its unit takes to end."""
    run = bench.submit(planned.url, planned.plan.digest)
    victim = run.until_busy(3)[0]
    run.until(": published")
    begin = datetime.now(UTC)
    bench.kubectl("delete", "pod", victim, "--wait=false")
    until(lambda: not _runs(bench, victim), 120, "the end of the container")
    stopped = datetime.now(UTC)
    bench.kubectl("wait", "--for=delete", f"pod/{victim}", "--timeout=120s", timeout_s=150)
    gone = datetime.now(UTC)
    assert run.wait() == "Complete"
    ended = [at for at in _ends(planned, victim) if begin <= at <= stopped]
    last = max(ended, default=begin)
    return {
        "stopped_s": (stopped - begin).total_seconds(),
        "gone_s": (gone - begin).total_seconds(),
        "unit_s": (last - begin).total_seconds(),
        "drain_s": (stopped - last).total_seconds(),
        "again": bench.log(run.job).count(AGAIN),
    }


def _runs(bench: Bench, pod: str) -> bool:
    """Whether the container of a pod has not ended yet."""
    path = "jsonpath={.status.containerStatuses[0].state.running.startedAt}"
    return bool(bench.kubectl("get", "pod", pod, "--ignore-not-found", "--output", path))


def force(bench: Bench, planned: Planned) -> Result:
    """Take a worker away at once, and count what runs again."""
    run = bench.submit(planned.url, planned.plan.digest)
    victim = run.until_busy(3)[0]
    bench.kubectl("delete", "pod", victim, "--force", "--grace-period=0")
    assert run.wait() == "Complete"
    attempts = [one.attempt for one in ledger.read(planned.archive.store, planned.plan.digest[:16]).values()]
    return {"again": bench.log(run.job).count(LOST), "blamed": sum(each > 1 for each in attempts)}


def drive(bench: Bench, planned: Planned) -> Result:
    """Measure what the driver's pod takes while units run."""
    run = bench.submit(planned.url, planned.plan.digest)
    run.until("The first unit begins")
    (pod,) = bench.drivers(run.job)
    with _sampled(bench, pod["metadata"]["name"]) as samples:
        assert run.wait(1200) == "Complete"
    ends = sorted(_ends(planned))
    # Between the first and the last sample while units ended.
    inside = [(at, cpu_s) for at, cpu_s in samples if ends[0] <= at <= ends[-1]]
    (first, low), (last, high) = inside[0], inside[-1]
    units = sum(first < at <= last for at in ends)
    seconds = (last - first).total_seconds()
    return {"units": units, "seconds": seconds, "cpu_s": high - low, "unit_ms": 1000 * (high - low) / units}


@contextlib.contextmanager
def _sampled(bench: Bench, pod: str) -> Iterator[list[tuple[datetime, float]]]:
    samples: list[tuple[datetime, float]] = []
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            told = bench.kubectl("exec", pod, "--", "python3", "-c", _CPU, check=False)
            with contextlib.suppress(ValueError):  # the pod has ended
                samples.append((datetime.now(UTC), float(told)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def _ends(planned: Planned, worker: str = "") -> list[datetime]:
    """When units ended, all of them or those of one worker."""
    outcomes = ledger.read(planned.archive.store, planned.plan.digest[:16]).values()
    return [
        datetime.fromisoformat(f"{one.ended}+00:00") for one in outcomes if one.ended and worker in ("", one.worker)
    ]


def moment(log: str, text: str) -> datetime:
    """When a line was logged first."""
    line = next(line for line in log.splitlines() if text in line)
    return datetime.fromisoformat(f"{line.partition(' ')[0][:26].rstrip('Z')}+00:00")


def _show(starts: Sequence[Result], drains: Sequence[Result], forced: Sequence[Result], driver: Result) -> None:
    def all_of(results: Sequence[Result], name: str) -> tuple[object, ...]:
        values = [one[name] for one in results]
        return (float(statistics.median(values)), float(min(values)), float(max(values)))

    rows = [
        ("submit to the driver's first line, s", *all_of(starts, "driver_s")),
        ("submit to workers asked for, s", *all_of(starts, "asked_s")),
        ("submit to the first unit, s", *all_of(starts, "first_unit_s")),
        ("submit to the end of 12 small exposures, s", *all_of(starts, "whole_s")),
        ("worker deleted to its container's end, s", *all_of(drains, "stopped_s")),
        ("of it until its unit had ended, s", *all_of(drains, "unit_s")),
        ("of it the drain, s", *all_of(drains, "drain_s")),
        ("worker deleted to its pod's end, s", *all_of(drains, "gone_s")),
        ("units that ran again after that", *all_of(drains, "again")),
        ("units that ran again after a deletion by force", *all_of(forced, "again")),
        ("units blamed for it", *all_of(forced, "blamed")),
        ("driver, CPU ms per unit", driver["unit_ms"], None, None),
        ("driver, share of a core, %", 100 * driver["cpu_s"] / driver["seconds"], None, None),
    ]
    print(measurement.table(("what", "median", "least", "most"), rows))
    print(json.dumps(driver))


if __name__ == "__main__":
    main()
