"""How many requests an exposure costs, counted where a server of S3 would see them."""

import itertools
import threading
from collections import Counter
from dataclasses import replace

import pytest

from reprocess import campaign, coordinator
from reprocess.storage import open_store
from tests import trips
from tests.conftest import make_bucket
from tests.storage import faulty_server

MOST = 16


class Seen:
    """Every request that passes: its method and path."""

    def __init__(self):
        self.lines = []
        self.lock = threading.Lock()

    def __call__(self, method, path, number):
        path = path.partition("?")[0]
        with self.lock:
            self.lines.append((method, path))
        return faulty_server.PASS_ON

    def while_working(self):
        """Those up to where all exposures have ended and the campaign settles and reports what became of them."""
        return list(itertools.takewhile(lambda line: not line[1].endswith("/settlement.json"), self.lines))

    def of(self, dataset):
        """Count those that name a dataset, by method and what they are about."""
        kinds = ("/raw/", "/products/", "/pointers/")
        return Counter(
            f"{method} {next((kind.strip('/') for kind in kinds if kind in path), path)}"
            for method, path in self.while_working()
            if dataset in path
        )


@pytest.fixture(scope="module")
def bucket(s3_endpoint):
    name = make_bucket(s3_endpoint)
    trips.copy(trips.simulated(trips.TINY), open_store(f"s3://{name}/sim", endpoint=s3_endpoint))
    return name


@pytest.fixture(scope="module")
def counted(s3_endpoint, bucket):
    """Run two campaigns one after the other; the requests of each, and what it was about."""
    archive = trips.make(
        f"s3://{bucket}/archive",
        raw=f"s3://{bucket}/sim/raw",
        references=f"s3://{bucket}/sim/crds",
        options=trips.TINY,
        endpoint=s3_endpoint,
    )
    found = []
    for name, created in (("first", trips.CREATED), ("second", trips.LATER)):
        made = campaign.plan(archive, trips.target(name, options=trips.TINY), created=created)
        seen = Seen()
        with faulty_server.serve(s3_endpoint, seen) as server:
            raw = {url: open_store(url, endpoint=server.url) for url in archive.raw}
            through = replace(archive, raw=raw, store=open_store(archive.store.url, endpoint=server.url))
            summary = coordinator.run(through, made.digest)
        assert summary.closes
        found.append((seen, [item.dataset for item in made.items if item.action == "calibrate"]))
        campaign.scan(archive)
    return found


def test_an_exposure_costs_few_requests(counted):
    """One unit takes 16 requests at most, its comparison and its commit included, with references at hand."""
    for seen, datasets in counted:
        assert datasets
        for dataset in datasets:
            requests = seen.of(dataset)
            assert requests["PUT pointers"] <= 1, requests
            assert requests["PUT products"] == 5, requests
            assert requests.total() <= MOST, requests


def test_the_raw_object_is_asked_for_once(counted):
    """Headers, pixels and tables of a raw object come together, and nothing is looked up first."""
    for seen, datasets in counted:
        for dataset in datasets:
            requests = seen.of(dataset)
            assert requests["GET raw"] == 1, requests
            assert not [kind for kind in requests if kind.startswith(("HEAD", "POST", "DELETE"))], requests


def test_references_are_read_once(counted):
    """Exposures that use the same reference read it once; what this machine has already is not read at all."""
    most = []
    for seen, _ in counted:
        read = Counter(path for method, path in seen.while_working() if method == "GET" and "/prepared/" in path)
        # Zarr looks at the record of an array when it is written, at that of the whole for its keywords, and for both.
        most.append(max((count for path, count in read.items() if "/c/" in path), default=0))
    assert max(most) <= 1
