"""The chaos suite in short: a handful of units, two seeds, moto for a server. `make chaos` is the whole of it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import processes, storm, workload
from tests.chaos.nursery import Nursery
from tests.chaos.storm import Place

UNITS = 6


@pytest.fixture(scope="module")
def place(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A bucket of its own, and a directory for logs."""
    bucket = f"chaos-{uuid.uuid4().hex[:12]}"
    storm.client(s3_endpoint).create_bucket(Bucket=bucket)
    return Place(s3_endpoint, s3_endpoint, bucket, tmp_path_factory.mktemp("chaos"), named=4, anywhere=1)


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "struck"),
    [
        (8, {"file written, before", "file written, after", "manifest written, before", "manifest written, after"}),
        (21, {"pointer written, before", "pointer written, after", "report written, before", "report written, after"}),
    ],
)
def test_storm(place, work, nursery, seed, struck):
    """Killed at the points that publication rests on, in bad weather, a campaign ends as if nothing had happened."""
    record = storm.run(work, seed, place, nursery)

    assert record.problems == []
    assert struck <= set(record.struck)
    assert sum(record.kills.values()) >= len(struck)
    assert record.read["versions"] >= UNITS
