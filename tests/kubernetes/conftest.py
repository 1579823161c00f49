"""A cluster for tests: whatever KUBECONFIG names, with the image of this version and an object store outside of it.

``python -m tests.kubernetes`` brings up what is missing, where that can be done, and runs these tests.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
import pytest

from reprocess import campaign
from reprocess.planning.plan import Plan
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from tests import trips
from tests.kubernetes.bench import Bench, kubectl
from tests.kubernetes.relay import Relay

WANTED = {
    "KUBECONFIG": "names no cluster",
    "REPROCESS_TEST_IMAGE": "names no image that the cluster has",
    "REPROCESS_TEST_HOST": "names no address of this machine that pods reach",
    "AWS_ENDPOINT_URL": "names no object store",
}
OPTIONS = SimulationOptions(exposures=8, shape=(128, 128), groups=6, instruments=("NIRCAM",))
_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [f"{name} {why}" for name, why in WANTED.items() if not os.environ.get(name)]
    if shutil.which("kubectl") is None:
        missing.append("kubectl is not there")
    for item in items:
        if item.path.parent.name == "kubernetes" and missing:
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
    name = f"kubernetes-{os.getpid()}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    trips.copy(trips.simulated(OPTIONS), open_store(f"s3://{name}/sim", endpoint=endpoint))
    return name


@dataclass(frozen=True)
class Planned:
    """An archive with a plan."""

    archive: campaign.Archive
    plan: Plan

    @property
    def url(self) -> str:
        return self.archive.store.url


@pytest.fixture
def planned(endpoint: str, bucket: str):
    """Make an archive with a plan for all its exposures; call it for more."""

    def make(name: str = "", *, plan: bool = True) -> Planned:
        source = {"raw": f"s3://{bucket}/sim/raw", "references": f"s3://{bucket}/sim/crds"}
        url = f"s3://{bucket}/{name or 'archive'}-{next(_NUMBERS)}"
        archive = trips.make(url, **source, options=OPTIONS, endpoint=endpoint)
        target = trips.target(options=OPTIONS)
        return Planned(archive, campaign.plan(archive, target, created=trips.CREATED) if plan else None)

    return make


@pytest.fixture(scope="session")
def shared_bench(shared_relay: Relay, bucket: str) -> Iterator[Bench]:
    """The manifests, applied once."""
    made = Bench(
        image=os.environ["REPROCESS_TEST_IMAGE"],
        environment={
            "AWS_ENDPOINT_URL_S3": shared_relay.url,
            "REPROCESS_ARCHIVE": f"s3://{bucket}/nowhere",
            "REPROCESS_CLUSTER_MOST_WORKERS": "3",
            "REPROCESS_CLUSTER_MOST_LARGE_WORKERS": "1",
            "REPROCESS_CLUSTER_AIM_S": "1",
            "REPROCESS_CLUSTER_IDLE_S": "5",
            "REPROCESS_CLUSTER_PERIOD_S": "1",
            "REPROCESS_CLUSTER_START_S": "120",
            "REPROCESS_EXECUTION_LEASE_S": "5",
        },
        credentials={name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        target=trips.simulated(OPTIONS).get("targets/first.toml").data.decode(),
    )
    kubectl("delete", "namespace", made.namespace, "--ignore-not-found", timeout_s=300)
    made.apply()
    yield made
    kubectl("delete", "namespace", made.namespace, "--wait=false", check=False)


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
