"""Header sweep: many small Level 1b objects in S3, client CPU per header, ours beside s3fs and astropy.

The endpoint is that of AWS_ENDPOINT_URL, where a bucket is made and removed, or else moto on this machine. All readers
return the same keywords, which is checked. Requests are counted in a run of their own, on the way to the server.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks import endpoint, measurement
from benchmarks.header_readers import FUNCTIONS
from benchmarks.measurement import Result
from reprocess.simulation import level1b
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule
from reprocess.storage import open_store

READERS = {
    "ours": "reprocess, sweep",
    "scan": "reprocess, whole scan: list, sweep, catalogue in Parquet",
    "ranges": "s3fs, one range each, 64 at a time; astropy headers",
    "blocks": "s3fs, blocks of 64 kB, 32 threads; astropy",
    "untuned": "astropy with fsspec as it comes",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_scan", description=__doc__)
    parser.add_argument("--objects", type=int, default=240)
    parser.add_argument("--pixels", type=int, default=160, help="rows and columns of each group")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5, help="after one over a few objects that is not counted")
    parser.add_argument("--quick", action="store_true", help="60 objects, 2 runs")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.objects, wanted.runs = 60, 2
    load = os.getloadavg()[0]
    with endpoint.bucket() as bucket:
        size = _write_data(f"s3://{bucket.name}/raw", wanted.objects, wanted.pixels, wanted.groups)
        listing = _traffic("nothing", bucket)
        found = {name: _measure(name, bucket, wanted.runs, listing) for name in READERS}
    found["ours"]["same_headers"] = len({one["digest"] for one in found.values() if one["digest"]}) == 1
    _show(found, bucket.server, wanted.objects, size)
    content = {"arguments": vars(wanted), "server": bucket.server, "readers": found}
    measurement.write(measurement.record(f"scan{bucket.suffix}", content, load))


def read(reader: str, bucket: str, runs: int) -> Result:
    """Read all headers some times; called in a process of its own."""
    store = open_store(f"s3://{bucket}/raw")
    stamps = list(store.list())
    function = FUNCTIONS[reader]
    if runs > 1:
        function(store, stamps[:8])
    cpu, wall, headers = [], [], {}
    for _ in range(runs):
        begin = time.process_time(), time.perf_counter()
        headers = function(store, stamps)
        cpu.append((time.process_time() - begin[0]) / len(stamps))
        wall.append((time.perf_counter() - begin[1]) / len(stamps))
    digest = hashlib.sha256(repr([sorted(headers[key].items()) for key in sorted(headers)]).encode()).hexdigest()
    return {"cpu": cpu, "wall": wall, "objects": len(stamps), "digest": digest if headers else ""}


def _write_data(url: str, count: int, pixels: int, groups: int) -> int:
    """Write Level 1b objects of different headers and empty pixels; bytes of the largest."""
    options = SimulationOptions(
        exposures=count, shape=(pixels, pixels), groups=groups, integrations=1, instruments=("NIRCAM", "NIRISS", "FGS")
    )
    store, size = open_store(url), 0
    frame = np.zeros((pixels, pixels), np.uint16)
    for exposure in schedule(options):
        data = b"".join(level1b.file_parts(exposure, [frame] * groups))
        store.put(exposure.key.removeprefix("raw/"), data)
        size = max(size, len(data))
    return size


def _measure(reader: str, bucket: endpoint.Bucket, runs: int, listing: tuple[int, int]) -> Result:
    function = "benchmarks.benchmark_scan:read"
    timed = measurement.apart(function, environment=bucket.environment, reader=reader, bucket=bucket.name, runs=runs)
    per_header = np.subtract(_traffic(reader, bucket), listing) / timed["objects"]
    return {
        "cpu_ms": 1e3 * statistics.median(timed["cpu"]),
        "wall_ms": 1e3 * statistics.median(timed["wall"]),
        "every_cpu_ms": [round(1e3 * one, 3) for one in timed["cpu"]],
        "requests": float(per_header[0]),
        "bytes": float(per_header[1]),
        "digest": timed["digest"],
    }


def _traffic(reader: str, bucket: endpoint.Bucket) -> tuple[int, int]:
    """Requests and received bytes of one run, with the listing that every reader begins with."""
    with endpoint.relay(bucket.url) as (url, traffic):
        environment = {**bucket.environment, "AWS_ENDPOINT_URL": url}
        measurement.apart(
            "benchmarks.benchmark_scan:read", environment=environment, reader=reader, bucket=bucket.name, runs=1
        )
    return traffic.requests.total(), traffic.received


def _show(found: dict[str, Result], server: str, count: int, size: int) -> None:
    print(f"\n{count} Level 1b objects of up to {size / 1e3:.0f} kB on {server}, per header, medians")
    rows = [
        (
            READERS[name],
            one["cpu_ms"],
            one["cpu_ms"] / found["ours"]["cpu_ms"],
            one["wall_ms"],
            one["requests"],
            one["bytes"] / 1e3,
        )
        for name, one in found.items()
    ]
    print(measurement.table(("reader", "client CPU ms", "to ours", "wall ms", "requests", "kB"), rows))
    print(f"all readers give the same keywords: {'yes' if found['ours']['same_headers'] else 'NO'}")


if __name__ == "__main__":
    main()
