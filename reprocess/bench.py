"""Benchmark campaigns: the same exposures, made up once, through the whole trip with one worker and with more.

All that is written lies below ``bench/`` of the place that is named, which must hold nothing else::

    bench/bench.json            says that this is ours
    bench/data/<digest>/...     a data set, named by the digest of its options and used again
    bench/archives/<run>-.../   the archive of one campaign
    bench/runs/<run>.json       what was measured, written once; and its picture beside it
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reprocess import __version__, bench_place, campaign, coordinator, errors
from reprocess.archive import root
from reprocess.campaign import Archive
from reprocess.execution import executors
from reprocess.execution.executor import Executor
from reprocess.planning import forecast
from reprocess.publication import ledger, publish, spending
from reprocess.reporting import benchmark, benchmark_page
from reprocess.reporting.benchmark import Measured, Run
from reprocess.reporting.report import Summary
from reprocess.settings import Settings
from reprocess.simulation.options import SimulationOptions
from reprocess.storage.counting import CountingStore
from reprocess.storage.store import Store
from reprocess.target import read_target

_MEGABYTE = 10**6
_SERIAL = "serial"
_PUBLISHED = frozenset({"published", "unchanged"})

Say = Callable[[str], None]
"""Called with a sentence on what is done next."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to measure.

    Attributes
    ----------
    exposures, groups : int
    shape : (rows, columns)
        Of each frame.
    workers : tuple of int
        A campaign for each.
    repeat : int
        How often each is measured.
    """

    exposures: int = 8
    groups: int = 10
    shape: tuple[int, int] = (2048, 2048)
    workers: tuple[int, ...] = (1, 2)
    repeat: int = 1

    @property
    def options(self) -> SimulationOptions:
        """Return how the data set is made; one instrument, so that exposures are alike."""
        return SimulationOptions(self.exposures, 1, ("NIRCAM",), self.shape, self.groups, 1)


def data_digest(wish: Wish) -> str:
    """Name a data set by what it is made by; the same options give the same bytes."""
    return hashlib.sha256(json.dumps(asdict(wish.options), sort_keys=True).encode()).hexdigest()


def measure(url: str, settings: Settings, wish: Wish, *, say: Say = lambda sentence: None) -> Run:
    """Make the campaigns of a benchmark, and keep what was measured.

    Parameters
    ----------
    url : str
        Store or prefix that holds nothing but benchmarks.
    settings : Settings
    wish : Wish
    say : callable, optional

    Raises
    ------
    UsageError
        The place holds something else, or the workers cannot be had as the settings are.
    """
    _check_workers(settings, wish)
    data = data_digest(wish)
    url = campaign.absolute(url).rstrip("/")
    place = bench_place.claim(url, settings)
    started = datetime.now(UTC).replace(tzinfo=None)
    run = f"{started:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    prefix = f"data/{data[:16]}"
    if bench_place.make_data(place, prefix, wish.options):
        say(f"{wish.exposures} exposures of {wish.shape[0]} x {wish.shape[1]} and {wish.groups} groups were made up.")
    else:
        say(f"The data set {prefix} was there already.")
    found = []
    for turn in range(1, wish.repeat + 1):
        for workers in wish.workers:
            say(f"Campaign of {workers} worker{'s' * (workers > 1)}, {turn} of {wish.repeat} ...")
            archive = _archive(f"{url}/{bench_place.PLACE}", f"archives/{run}-{workers}w-{turn}", data, settings)
            found.append(_campaign(archive, place, data, workers=workers, turn=turn))
    options = {"exposures": wish.exposures, "groups": wish.groups, "shape": "x".join(map(str, wish.shape))}
    told = started.isoformat(timespec="seconds")
    kind = "file" if "://" not in url else url.partition("://")[0]
    made = Run(run, told, __version__, data, options, machine(), kind, tuple(found))
    publish.put_once(place, f"runs/{run}.json", benchmark.to_bytes(made))
    place.put(f"runs/{run}.svg", benchmark_page.picture(made).encode(), content_type="image/svg+xml")
    return made


def _check_workers(settings: Settings, wish: Wish) -> None:
    scheduler = settings.execution.scheduler
    if scheduler == _SERIAL and wish.workers != (1,):
        raise errors.UsageError("The settings say that work is done in this process. Give --workers 1, or leave them.")
    if scheduler not in ("", _SERIAL):
        raise errors.UsageError(
            f"The settings name the scheduler {scheduler}, whose workers are not ours to choose. A benchmark starts "
            "its own on this machine: leave the scheduler out."
        )


def _archive(url: str, name: str, data: str, settings: Settings) -> Archive:
    """Make an empty archive over a data set, whose requests are counted."""
    source = f"{url}/data/{data[:16]}"
    made = root.ArchiveRoot((root.RawLocation(f"{source}/raw"),), f"{source}/crds")
    campaign.init(f"{url}/{name}", made, settings)
    archive = campaign.open_archive(f"{url}/{name}", settings)
    store = CountingStore(archive.store)
    return replace(archive, store=store, raw={key: CountingStore(each, store) for key, each in archive.raw.items()})


def _campaign(archive: Archive, place: Store, data: str, *, workers: int, turn: int) -> Measured:
    """Scan, plan and run."""
    start = time.perf_counter()
    campaign.scan(archive)
    scanned = time.perf_counter()
    text = place.get(f"data/{data[:16]}/targets/first.toml").data.decode()
    made = campaign.plan(archive, read_target(text, name="first.toml"))
    planned = time.perf_counter()
    store = archive.store
    assert isinstance(store, CountingStore)
    with _executor(archive.settings, workers) as executor:
        store.reset()
        begin, cpu = time.perf_counter(), time.process_time()
        summary = coordinator.run(archive, made.digest, executor=executor)
        wall, own = time.perf_counter() - begin, time.process_time() - cpu
    seconds = {"scan_seconds": scanned - start, "plan_seconds": planned - scanned, "wall_seconds": wall}
    return _measured(archive, summary, store, own_cpu=own, seconds=seconds, place=(workers, turn))


def _executor(settings: Settings, workers: int) -> Executor:
    execution = settings.execution
    return executors.open_executor(
        scheduler=execution.scheduler, workers=workers, memory_limit_bytes=execution.memory_limit_mb * _MEGABYTE
    )


def _measured(
    archive: Archive,
    summary: Summary,
    store: CountingStore,
    *,
    own_cpu: float,
    seconds: Mapping[str, float],
    place: tuple[int, int],
) -> Measured:
    """Put together what a campaign took; what this process did itself is counted with it."""
    counted = (store.requests.total(), store.bytes_read.total(), store.bytes_written.total())
    outcomes = list(ledger.read(archive.store, summary.campaign).values())
    spent = spending.spent(outcomes, archive.settings.prices)
    alone = archive.settings.execution.scheduler == _SERIAL
    # In one process the counting stores have seen the units too.
    theirs = (0, 0, 0) if alone else (spent.requests, spent.bytes_read, spent.bytes_written)
    requests, read, written = (own + other for own, other in zip(counted, theirs, strict=True))
    cpu = sum(one.seconds.get("cpu", 0.0) for one in outcomes)
    done = sum(summary.classes.get(name, 0) for name in _PUBLISHED)
    each = max(done, 1)
    core = spent.core_hours * 3600
    cost = forecast.cost(spent.core_hours, spent.bytes_written, requests, archive.settings.prices)
    return Measured(
        *place,
        exposures=done,
        failed=summary.candidates - done,
        scan_seconds=seconds["scan_seconds"],
        plan_seconds=seconds["plan_seconds"],
        wall_seconds=seconds["wall_seconds"],
        exposures_per_core_hour=done / spent.core_hours if spent.core_hours else 0.0,
        exposures_per_hour=3600 * done / seconds["wall_seconds"],
        core_seconds=core / each,
        cpu_seconds=cpu / each,
        coordinator_ms=1000 * max(own_cpu - cpu * alone, 0.0) / max(len(outcomes), 1),
        requests=requests / each,
        bytes_read=read / each,
        bytes_written=written / each,
        cost=None if cost is None else cost / each,
        peak_bytes=max((one.peak_bytes for one in outcomes), default=0),
        own_peak_bytes=_own_peak_bytes(),
    )


def _own_peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def machine() -> dict[str, Any]:
    """Describe this machine: what decides how fast it is, and nothing that says whose it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def keep_copies(run: Run, directory: Path) -> tuple[Path, ...]:
    """Write record and picture into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = tuple(directory / f"{run.id}{suffix}" for suffix in (".json", ".svg"))
    paths[0].write_bytes(benchmark.to_bytes(run))
    paths[1].write_text(benchmark_page.picture(run))
    return paths


def workers_of(text: str) -> tuple[int, ...]:
    """Read numbers of workers, such as ``1,2,4``.

    Raises
    ------
    UsageError
        They are none.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise errors.UsageError(f"--workers {text!r}: write numbers from 1 on with commas between, for example 1,2,4.")
    return tuple(dict.fromkeys(map(int, words)))


def shape_of(text: str) -> tuple[int, int]:
    """Read a shape such as ``2048x2048``.

    Raises
    ------
    UsageError
        It is none.
    """
    words: Sequence[str] = text.lower().split("x")
    if len(words) != 2 or not all(word.isdigit() for word in words):
        raise errors.UsageError(f"--shape {text!r}: write ROWSxCOLUMNS, for example 2048x2048.")
    return int(words[0]), int(words[1])
