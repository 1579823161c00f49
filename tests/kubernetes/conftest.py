"""A cluster for tests: whatever KUBECONFIG names, with the image of this version and an object store outside of it.

``python -m tests.kubernetes`` brings up what is missing, where that can be done, and runs these tests.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reprocess.simulation.options import SimulationOptions
from tests.kubernetes import archives
from tests.kubernetes.archives import Planned
from tests.kubernetes.bench import Bench
from tests.kubernetes.relay import Relay

WANTED = {
    "KUBECONFIG": "names no cluster",
    "REPROCESS_TEST_IMAGE": "names no image that the cluster has",
    "REPROCESS_TEST_HOST": "names no address of this machine that pods reach",
    "AWS_ENDPOINT_URL": "names no object store",
}
OPTIONS = SimulationOptions(exposures=8, shape=(128, 128), groups=6, instruments=("NIRCAM",))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [f"{name} {why}" for name, why in WANTED.items() if not os.environ.get(name)]
    if shutil.which("kubectl") is None:
        missing.append("kubectl is not there")
    for item in items:
        if item.path.parent == Path(__file__).parent and missing:
            item.add_marker(pytest.mark.skip(reason=f"no cluster: {missing[0]}; `make test-kubernetes` brings one up"))


@pytest.fixture(scope="session")
def endpoint() -> str:
    """The store as this machine reaches it."""
    return os.environ["AWS_ENDPOINT_URL"]


@pytest.fixture(scope="session")
def shared_relay(endpoint: str) -> Iterator[Relay]:
    """The store as pods reach it."""
    place = urlsplit(endpoint)
    with Relay(os.environ["REPROCESS_TEST_HOST"], (place.hostname, place.port or 80)) as made:
        yield made


@pytest.fixture
def relay(shared_relay: Relay) -> Iterator[Relay]:
    """The same, whole and fast before and after each test."""
    yield shared_relay
    shared_relay.mend()
    shared_relay.delay_s = 0.0


@pytest.fixture(scope="session")
def bucket(endpoint: str) -> str:
    """A bucket with made-up exposures below ``sim``."""
    return archives.bucket(endpoint, OPTIONS)


@pytest.fixture
def planned(endpoint: str, bucket: str):
    """Make an archive with a plan for all its exposures; call it for more."""

    def make(name: str = "", *, plan: bool = True) -> Planned:
        return archives.make(endpoint, bucket, OPTIONS, name or "archive", plan=plan)

    return make


@pytest.fixture(scope="session")
def shared_bench(shared_relay: Relay, bucket: str) -> Iterator[Bench]:
    """The manifests, applied once, for runs that lose no time."""
    hasty = {"REPROCESS_CLUSTER_IDLE_S": "5", "REPROCESS_CLUSTER_PERIOD_S": "1", "REPROCESS_EXECUTION_LEASE_S": "5"}
    with archives.applied(shared_relay.url, OPTIONS, **hasty) as made:
        yield made


@pytest.fixture
def bench(shared_bench: Bench) -> Iterator[Bench]:
    """The same, as it was before each test, and without Jobs after it."""
    yield shared_bench
    shared_bench.kubectl("delete", "jobs", "--all", "--wait=false", check=False)
    if shared_bench.changed or shared_bench.retries != Bench.retries:
        shared_bench.retries = Bench.retries
        # What a test has put into a template would survive an `apply`, which knows nothing of it.
        shared_bench.kubectl("delete", "podtemplates", "--all")
        shared_bench.apply()
