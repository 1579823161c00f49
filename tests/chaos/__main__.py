"""The chaos suite: real processes, a real S3 server behind a fault proxy, kill -9 at every named point.

    python -m tests.chaos --seeds 0-49 --units 200

Takes the S3 server that --endpoint or AWS_ENDPOINT_URL names, with the credentials of the environment; without one it
starts moto, which is quick to have but does not check what S3 checks. Seeds that are in the file of results already
are not run again. Ends with 1 if any seed found anything wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.chaos import points, processes, storm, workload
from tests.chaos.nursery import Nursery
from tests.chaos.storm import Place, Record

_OTHER = (
    "--slowdown .02 --error .01 --error-after .01 --drop-before .01 --drop-after .02 --truncate .01 --delay 0-0.2:.1"
)


def main() -> None:
    """Run seeds, print a line for each and the sum."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.directory.mkdir(parents=True, exist_ok=True)
    results = options.directory / f"results-{options.units}.jsonl"
    records = _known(results)
    with _server(options.endpoint) as (endpoint, name), _upstream(options, endpoint) as upstream:
        place = Place(endpoint, upstream, options.bucket, options.directory.resolve(), options.workers)
        place = _with_storms(place, options)
        _make_bucket(endpoint, options.bucket)
        known = workload.settings(endpoint, str(options.directory.resolve() / "cache"))
        print(f"S3 server: {name} at {endpoint}. Making {options.units} units ...", flush=True)
        work = workload.make(f"s3://{options.bucket}/workload", options.units, known)
        print(_line(None), flush=True)
        with Nursery(processes.environment(place.directory / "cache", processes.DASK)) as nursery:
            for seed in options.seeds:
                if seed not in records:
                    records[seed] = storm.run(work, seed, place, nursery)
                    with results.open("a") as file:
                        file.write(json.dumps(asdict(records[seed])) + "\n")
                print(_line(records[seed]), flush=True)
                for problem in records[seed].problems[:10]:
                    print(f"      {problem}", flush=True)
    chosen = [records[seed] for seed in options.seeds]
    print(closing(chosen, name))
    sys.exit(any(record.problems for record in chosen))


def _line(record: Record | None) -> str:
    form = "{:>5} {:11} {:>8} {:>8} {:>7} {:>6} {:>5} {:>9} {:>8}  {}"
    if record is None:
        return form.format(
            "seed", "weather", "seconds", "requests", "faults", "kills", "runs", "versions", "remains", ""
        )
    verdict = f"{len(record.problems)} PROBLEMS" if record.problems else "passed"
    counts = (sum(each.values()) for each in (record.faults, record.kills, record.runs))
    read, left = record.read.get("versions", 0), sum(record.remains.values())
    return form.format(record.seed, record.weather, record.seconds, record.requests, *counts, read, left, verdict)


def closing(records: list[Record], name: str) -> str:
    """Sum up all seeds, and which moments of the protocol were struck how often."""
    faults, kills, runs, struck = (
        sum((Counter(getattr(record, what)) for record in records), Counter[str]())
        for what in ("faults", "kills", "runs", "struck")
    )
    lines = ["", "struck at"]
    for point, after in points.MOMENTS:
        moment = f"{point.name}, {'after' if after else 'before'}"
        lines.append(f"  {moment:28} {struck[moment]:4}")
    lines += ["", f"faults: {_told(faults)}", f"kills: {_told(kills)}", f"ends of runs: {_told(runs)}"]
    passed = sum(not record.problems for record in records)
    read = sum((Counter(record.read) for record in records), Counter[str]())
    lines.append(
        f"{passed} of {len(records)} seeds of {records[0].units if records else 0} units passed on {name}: "
        f"{faults.total()} faults, {kills.total()} kills, {read['files']} files verified by readers in "
        f"{read['passes']} passes."
    )
    return "\n".join(lines)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common()) or "none"


@contextlib.contextmanager
def _server(endpoint: str) -> Iterator[tuple[str, str]]:
    """Give the server that was named, or start moto."""
    if endpoint:
        yield endpoint, "the S3 server of the caller"
        return
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ.update(AWS_ACCESS_KEY_ID="made-up", AWS_SECRET_ACCESS_KEY="made-up", AWS_REGION="us-east-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}", "moto (a stand-in: it does not check checksums as S3 does)"
    finally:
        server.stop()


@contextlib.contextmanager
def _upstream(options: argparse.Namespace, endpoint: str) -> Iterator[str]:
    """Put another fault proxy behind ours, which then only kills."""
    if not options.other_proxy:
        yield endpoint
        return
    words = [options.other_proxy, "--upstream", endpoint, "--seed", "1", *_OTHER.split()]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        print("the other proxy:", " ".join(process.communicate()[0].split()))


def _with_storms(place: Place, options: argparse.Namespace) -> Place:
    from dataclasses import replace

    return replace(place, named=options.named, anywhere=options.anywhere, storms=not options.other_proxy)


def _make_bucket(endpoint: str, bucket: str) -> None:
    s3 = storm.client(endpoint)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
        s3.create_bucket(Bucket=bucket)


def _known(results: Path) -> dict[int, Record]:
    if not results.exists():
        return {}
    found = (Record(**json.loads(line)) for line in results.read_text().splitlines())
    return {record.seed: record for record in found if not record.problems}


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--seeds", type=_seeds, default=_seeds("0-49"), metavar="FIRST-LAST", help="which seeds (default 0-49)")
    add("--units", type=int, default=200, help="units of each seed (default 200)")
    add("--workers", type=int, default=2, help="worker processes (default 2)")
    add("--named", type=int, default=8, help="kills of a seed at named points (default 8)")
    add("--anywhere", type=int, default=4, help="kills of a seed at any request (default 4)")
    add("--endpoint", default=os.environ.get("AWS_ENDPOINT_URL", ""), metavar="URL", help="S3 server (else moto)")
    add("--other-proxy", default="", metavar="PROGRAM", help="take the faults from this proxy instead of our own")
    add("--bucket", default="chaos", help="made if it is not there")
    add("--directory", type=Path, default=Path(".chaos"), help="logs, caches and results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
