"""One seed: a copy of the archive, weather, kills, and the same command again and again until it is done."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from reprocess.storage import open_store
from tests.chaos import invariants, points, processes
from tests.chaos.nursery import Child, Nursery
from tests.chaos.processes import Processes
from tests.chaos.proxy import WEATHERS, Storm
from tests.chaos.workload import Workload
from tests.storage import faulty_server

MOST_RUNS = 60
LONGEST_RUN_S = 900.0
MOST_PROBLEMS = 5
"""After so many a seed is given up."""
ENDINGS = {
    0: "done",
    1: "some failed",
    2: "refused",
    3: "storage",
    5: "paused",
    6: "busy",
    7: "no workers",
    -9: "killed",
}
"""What exit codes of `reprocess run` mean; any other is a defect."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Place:
    """Where a suite runs.

    Attributes
    ----------
    endpoint : str
        The S3 server.
    upstream : str
        What the proxy passes requests on to: the server, or another proxy before it.
    bucket : str
    directory : Path
        For logs, caches and scratch.
    workers : int
    named, anywhere : int
        Kills of one seed at named points and at any request.
    """

    endpoint: str
    upstream: str
    bucket: str
    directory: Path
    workers: int = 2
    named: int = 6
    anywhere: int = 4
    storms: bool = True


@dataclass
class Record:
    """What happened in one seed, and what was wrong afterwards."""

    seed: int
    weather: str
    units: int
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    kills: dict[str, int] = field(default_factory=dict)
    struck: list[str] = field(default_factory=list)
    runs: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    remains: dict[str, int] = field(default_factory=dict)


def client(endpoint: str) -> Any:
    """Make a client that asks the server directly."""
    config = Config(retries={"total_max_attempts": 10}, s3={"addressing_style": "path"}, max_pool_connections=_AT_ONCE)
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=config)


def run(
    work: Workload, seed: int, place: Place, nursery: Nursery, *, waiting: list[points.Strike] | None = None
) -> Record:
    """Have one seed's storm over a copy of the workload, and look at what is left; `waiting` are its strikes."""
    begin = time.monotonic()
    weather = WEATHERS[seed % len(WEATHERS)] if place.storms else WEATHERS[0]
    record = Record(seed, weather.name, work.units)
    if waiting is None:
        waiting = points.strikes(seed, work.units, named=place.named, anywhere=place.anywhere)
    url = f"s3://{place.bucket}/seed-{seed:04d}"
    directory = place.directory / f"seed-{seed:04d}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    s3 = client(place.endpoint)
    _clear(s3, url)
    _copy(s3, work.url, url)
    keeper: list[Processes] = []
    intruders = threading.Event()

    def strike(what: points.Strike, port: int) -> bool:
        if what.victim == "intruder":
            intruders.set()
            return False
        return keeper[0].kill(what.victim, port, int(urlsplit(server.url).port or 0))

    root = f"/{place.bucket}/seed-{seed:04d}/"
    storm = Storm(seed, weather, waiting, root=root, strike=strike, log=directory / "storm.jsonl")
    with (
        faulty_server.serve(place.upstream, storm.decide, storm.heard) as server,
        _reader(work, url, place, directory, record),
    ):
        storm.caller = server.caller
        environment = processes.environment(place.directory / "cache", {"AWS_ENDPOINT_URL": server.url})
        with Processes(nursery, directory, environment, place.workers) as keeper_:
            keeper.append(keeper_)
            _until_done(work, url, keeper_, directory, intruders, record)
            record.kills = dict(keeper_.kills)
    record.requests, record.faults, record.struck = storm.requests, dict(storm.faults), storm.struck
    _examine(s3, work, url, place, nursery, record)
    record.seconds = round(time.monotonic() - begin, 1)
    if not record.problems:
        _clear(s3, url)
    return record


def _until_done(
    work: Workload,
    url: str,
    keeper: Processes,
    directory: Path,
    intruders: threading.Event,
    record: Record,
) -> None:
    """Give the same command again until it says that everything is published."""
    runs: Counter[str] = Counter()
    for digest in work.plans:
        words = ["run", url, digest, "--scheduler", keeper.address, "--json"]
        for number in range(1, MOST_RUNS + 1):
            ended = _once(words, keeper, directory / f"run-{digest[:6]}-{number}.log", intruders, runs, record)
            if ended == "done" or len(record.problems) > MOST_PROBLEMS:
                break
        else:
            record.problems.append(f"plan {digest[:12]} was not done after {MOST_RUNS} runs")
    record.runs = dict(runs)


def _once(
    words: list[str],
    keeper: Processes,
    output: Path,
    intruders: threading.Event,
    runs: Counter[str],
    record: Record,
) -> str:
    process = keeper.coordinate(words, output)
    until = time.monotonic() + LONGEST_RUN_S
    intruder: Child | None = None
    while process.poll() is None:
        time.sleep(processes.PAUSE_S)
        if intruders.is_set():
            intruders.clear()
            intruder = keeper.coordinate(words, output.with_suffix(".intruder"))
        if time.monotonic() > until:
            record.problems.append(f"{output.name}: still running after {LONGEST_RUN_S:.0f} s")
            process.kill()
            process.wait()
    if intruder is not None:
        intruder.wait(LONGEST_RUN_S)
        ended = _ending(intruder, output.with_suffix(".intruder"), record)
        runs[f"second coordinator: {ended}"] += 1
        if process.returncode != 0 and ended == "done":
            runs[_ending(process, output, record)] += 1
            return ended
    ended = _ending(process, output, record)
    runs[ended] += 1
    return ended


def _ending(process: Child, output: Path, record: Record) -> str:
    if process.poll() is None:
        process.kill()
        process.wait()
        record.problems.append(f"{output.name}: still running")
    if process.returncode not in ENDINGS:
        tail = output.read_text(errors="replace")[-600:]
        record.problems.append(f"{output.name}: exit code {process.returncode}: {tail}")
    return ENDINGS.get(process.returncode, f"exit code {process.returncode}")


@contextlib.contextmanager
def _reader(work: Workload, url: str, place: Place, directory: Path, record: Record) -> Iterator[None]:
    """Have somebody read all the time."""
    truth = directory / "truth.json"
    truth.write_text(json.dumps(asdict(work)))
    words = [sys.executable, "-m", "tests.chaos.reader", "--endpoint", place.endpoint, "--truth", str(truth)]
    with (directory / "reader.log").open("wb") as errors:
        process = subprocess.Popen([*words, url.removeprefix("s3://") + "/"], stdout=subprocess.PIPE, stderr=errors)
    try:
        yield
    finally:
        process.terminate()
        told, _ = process.communicate()
    if process.returncode:
        record.problems.append(f"the reader ended with {process.returncode}, see {directory / 'reader.log'}")
        return
    seen = json.loads(told)
    record.read = seen["seen"]
    record.problems += [f"a reader saw: {problem}" for problem in seen["problems"]]


def _examine(s3: Any, work: Workload, url: str, place: Place, nursery: Nursery, record: Record) -> None:
    """Check every invariant in calm weather, and that another run and `verify` find nothing to do."""
    environment = processes.environment(place.directory / "cache", {"AWS_ENDPOINT_URL": place.endpoint})
    store, calm = (open_store(each, endpoint=place.endpoint) for each in (url, work.url.rpartition("/")[0] + "/after"))
    deaths = record.kills.get("worker", 0) + place.workers * record.kills.get("scheduler", 0)
    # Another proxy keeps its account for itself.
    faults = sum(record.faults.values()) if place.storms else record.requests
    record.problems += invariants.problems(store, calm, work, worker_deaths=deaths, faults=faults)
    before = {stamp.key: stamp.etag for stamp in store.list("p")}
    for words in (*(["run", url, digest, "--scheduler", "serial"] for digest in work.plans), ["verify", url]):
        output = place.directory / f"seed-{record.seed:04d}" / f"afterwards-{words[0]}.log"
        if code := nursery.start(["reprocess", *words], environment=environment, output=output).wait():
            record.problems.append(f"afterwards `{words[0]}` ended with {code}: {output.read_text()[-600:]}")
    if before != {stamp.key: stamp.etag for stamp in store.list("p")}:
        record.problems.append("another run changed what was published")
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    uploads = s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", ())
    record.remains = {"staged objects": invariants.remains(store), "uploads": len(uploads)}


def _copy(s3: Any, source: str, url: str) -> None:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    target, _, place = url.removeprefix("s3://").partition("/")

    def one(key: str) -> None:
        s3.copy_object(Bucket=target, Key=place + key.removeprefix(prefix), CopySource={"Bucket": bucket, "Key": key})

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, _keys(s3, bucket, prefix + "/")))


def _clear(s3: Any, url: str) -> None:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    keys = list(_keys(s3, bucket, prefix + "/"))
    for start in range(0, len(keys), 1000):
        batch = [{"Key": key} for key in keys[start : start + 1000]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
    for upload in s3.list_multipart_uploads(Bucket=bucket, Prefix=prefix + "/").get("Uploads", ()):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def _keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from (found["Key"] for found in page.get("Contents", ()))
