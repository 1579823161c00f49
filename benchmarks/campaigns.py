"""The data: a plan of as many exposures as one likes, and outcomes such as workers return.

A small archive is simulated in memory and planned; its items are repeated under other names, so that each has the
headers, references, parameters and fingerprint of a real one.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from dataclasses import replace

from reprocess import campaign
from reprocess.archive import fingerprint, root
from reprocess.exposure import Outcome
from reprocess.planning.plan import Item, Plan, seal
from reprocess.settings import CacheSettings, ExecutionSettings, Settings
from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from reprocess.target import read_target

CREATED = "2026-11-21T00:00:00.000"
_KINDS = 12
_PER_PROGRAM = 5000


@functools.cache
def small_plan() -> Plan:
    """A plan of a dozen exposures of four instruments."""
    url = "memory://benchmark-campaigns"
    store = open_store(url)
    simulate(store, SimulationOptions(exposures=_KINDS, shape=(16, 16), groups=3, integrations=1))
    with tempfile.TemporaryDirectory() as cache:
        settings = Settings(execution=ExecutionSettings(scheduler="serial"), cache=CacheSettings(directory=cache))
        campaign.init(f"{url}/archive", root.ArchiveRoot((root.RawLocation(f"{url}/raw"),), f"{url}/crds"), settings)
        archive = campaign.open_archive(f"{url}/archive", settings)
        campaign.scan(archive)
        target = read_target(store.get("targets/first.toml").data.decode(), name="benchmark.toml")
        return campaign.plan(archive, target, created=CREATED)


def plan(exposures: int) -> Plan:
    """A sealed plan of so many exposures."""
    small = small_plan()
    work = [item for item in small.items if item.action == "calibrate"]
    return seal(replace(small, items=tuple(_renamed(work[n % len(work)], n) for n in range(exposures)), digest=""))


def _renamed(item: Item, number: int) -> Item:
    dataset = f"jw{10_000 + number // _PER_PROGRAM:05d}001001_02101_{number % _PER_PROGRAM:05d}_nrca1"
    entry = replace(item.entry, dataset=dataset, key=f"{dataset[:7]}/{dataset}_uncal.fits", etag=f'"{number:032x}"')
    version = fingerprint.version_name(fingerprint.raw_version(entry), item.fingerprint, 1)
    return replace(item, entry=entry, verdict=replace(item.verdict, dataset=dataset), version=version)


def outcomes(made: Plan) -> Iterator[Outcome]:
    """How the units of a plan ended."""
    for item in made.items:
        yield replace(ended(item.dataset), version=item.version)


def ended(dataset: str) -> Outcome:
    """How a unit ended that was an exposure of its own."""
    return Outcome(
        unit=dataset,
        dataset=dataset,
        outcome_class="published",
        worker="worker-17",
        seconds={"read": 0.21, "references": 0.02, "calibrate": 1.32, "write": 0.43, "publish": 0.05, "cpu": 1.81},
        bytes_read=83_896_320,
        bytes_written=167_812_345,
        peak_bytes=912_345_678,
        requests=16,
        ended="2026-11-21T03:14:15.926",
    )
