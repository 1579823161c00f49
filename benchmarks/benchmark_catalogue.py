"""Archives of growing size: time and peak memory of a listing, of a first scan, and of a scan when nothing has changed.

The objects are made up when they are asked for, and the catalogue is kept in a directory: what is measured is the
scan's own work and memory, without any server.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence

from benchmarks import measurement
from benchmarks.measurement import Result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_catalogue", description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[10**4, 10**5, 10**6])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 objects")
    wanted = parser.parse_args(arguments)
    sizes = [count for count in wanted.objects if not wanted.quick or count <= 10**4]
    load = os.getloadavg()[0]
    found = {str(count): measurement.apart("benchmarks.benchmark_catalogue:scanned", count=count) for count in sizes}
    _show(found)
    measurement.write(measurement.record("catalogue", {"arguments": vars(wanted), "objects": found}, load))


def scanned(count: int) -> Result:
    """List, scan and scan again; called in a process of its own."""
    from benchmarks.lazy_store import LazyStore
    from reprocess.archive import inventory, scan
    from reprocess.archive.keys import KeyPattern
    from reprocess.storage import open_store

    with tempfile.TemporaryDirectory() as directory:
        raw, archive = LazyStore(count), open_store(directory).below("archive")
        scan.scan([LazyStore(20)], open_store(directory).below("first"))  # what is loaded once does not count
        begin, start = measurement.peak_bytes(), time.process_time()
        taken = inventory.take([raw], archive, KeyPattern())
        listed, listing = time.process_time() - start, measurement.peak_bytes() - begin
        assert sum(taken.objects.count(program) for program in taken.objects) == count
        del taken
        start = time.process_time()
        first = scan.scan([raw], archive)
        first_cpu, gets, peak = time.process_time() - start, raw.gets, measurement.peak_bytes() - begin
        start = time.process_time()
        again = scan.scan([raw], archive)
        assert (first.new, first.unreadable, again.unchanged, raw.gets) == (count, 0, count, gets)
        return {
            "list_cpu_s": listed,
            "list_MB": listing / 1e6,
            "first_cpu_s": first_cpu,
            "first_MB": peak / 1e6,
            "gets_per_object": gets / count,
            "again_cpu_s": time.process_time() - start,
            "again_gets": raw.gets - gets,
        }


def _show(found: dict[str, Result]) -> None:
    print("\nScan of objects without a server; memory above that of the loaded program")
    title = ("objects", "list, s", "list, MB", "first scan, s", "peak, MB", "GETs/object", "again, s", "GETs again")
    print(measurement.table(title, [(f"{int(count):,}", *one.values()) for count, one in found.items()]))


if __name__ == "__main__":
    main()
