"""The chaos suite in short: a few units, one seed, moto for a server. `make chaos` is the whole of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import points, processes, storm, workload
from tests.chaos.nursery import Nursery
from tests.chaos.storm import Place

UNITS = 4
SEED = 4
"""In this one every kind of fault may come."""


@pytest.fixture(scope="module")
def place(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A bucket of its own, and a directory for logs."""
    bucket = f"chaos-{uuid.uuid4().hex[:12]}"
    storm.client(s3_endpoint).create_bucket(Bucket=bucket)
    return Place(s3_endpoint, s3_endpoint, bucket, tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="module")
def work(place: Place) -> workload.Workload:
    """An archive and what an undisturbed run makes of it."""
    cache = str(place.directory / "cache")
    return workload.make(f"s3://{place.bucket}/workload", UNITS, workload.settings(place.endpoint, cache))


@pytest.fixture(scope="module")
def nursery(place: Place) -> Iterator[Nursery]:
    """What starts processes."""
    with Nursery(processes.environment(Path(place.directory) / "cache", processes.DASK)) as made:
        yield made


STRIKES = (
    ("manifest written", 2, True, "sender"),
    ("pointer written", 1, False, "all"),
    ("pointer written", 2, True, "sender"),
    ("intruder", 3, True, "intruder"),
)


def strike(name: str, number: int, after: bool, victim: str) -> points.Strike:
    """A strike at a named point; whoever intrudes comes when a pointer was written."""
    known = {point.name: point.pattern for point in points.POINTS}
    return points.Strike(name, known.get(name, known["pointer written"]), number, after, victim)


@pytest.mark.slow
def test_storm(place, work, nursery):
    """Killed at the points that publication rests on, in bad weather, a campaign ends as if nothing had happened."""
    record = storm.run(work, SEED, place, nursery, waiting=[strike(*each) for each in STRIKES])

    assert record.problems == []
    assert sorted(record.struck) == sorted(name for name, *_ in STRIKES)
    assert record.kills["coordinator"] >= 2
    assert record.kills["worker"] >= 1
    assert record.kills["scheduler"] >= 1
    assert sum(number for ending, number in record.runs.items() if ending.startswith("second coordinator")) == 1
    assert record.read["versions"] >= UNITS
