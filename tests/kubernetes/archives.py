"""Archives of made-up exposures that a cluster reads, and the manifests applied for them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import boto3

from reprocess import campaign, errors
from reprocess.planning.plan import Plan
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from tests import trips
from tests.kubernetes.bench import Bench, kubectl

_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Planned:
    """An archive with a plan."""

    archive: campaign.Archive
    plan: Plan

    @property
    def url(self) -> str:
        return self.archive.store.url


def bucket(endpoint: str, options: SimulationOptions) -> str:
    """Make a bucket with made-up exposures below ``sim``."""
    name = f"kubernetes-{os.getpid()}-{next(_NUMBERS)}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    trips.copy(trips.simulated(options), open_store(f"s3://{name}/sim", endpoint=endpoint))
    return name


def make(endpoint: str, bucket: str, options: SimulationOptions, name: str, *, plan: bool = True) -> Planned:
    """Make an archive of these exposures, with a plan for all of them."""
    source = {"raw": f"s3://{bucket}/sim/raw", "references": f"s3://{bucket}/sim/crds"}
    archive = trips.make(f"s3://{bucket}/{name}-{next(_NUMBERS)}", **source, options=options, endpoint=endpoint)
    target = trips.target(options=options)
    return Planned(archive, campaign.plan(archive, target, created=trips.CREATED) if plan else None)


def kept_text(store, key: str) -> str:
    """A text that is kept, without its line breaks; empty if there is none."""
    try:
        return " ".join(store.get(key).data.decode().split())
    except errors.ObjectMissing:
        return ""


@contextlib.contextmanager
def applied(endpoint: str, options: SimulationOptions, **environment: str) -> Iterator[Bench]:
    """Apply the manifests for as long as a block runs; `endpoint` is the store as pods see it."""
    made = Bench(
        image=os.environ["REPROCESS_TEST_IMAGE"],
        environment={
            "AWS_ENDPOINT_URL_S3": endpoint,
            "REPROCESS_ARCHIVE": "s3://nowhere/archive",
            "REPROCESS_CLUSTER_MOST_WORKERS": "3",
            "REPROCESS_CLUSTER_MOST_LARGE_WORKERS": "1",
            "REPROCESS_CLUSTER_AIM_S": "1",
            "REPROCESS_CLUSTER_START_S": "120",
            **environment,
        },
        credentials={name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        target=trips.simulated(options).get("targets/first.toml").data.decode(),
    )
    kubectl("delete", "namespace", made.namespace, "--ignore-not-found", timeout_s=300)
    made.apply()
    try:
        yield made
    finally:
        kubectl("delete", "namespace", made.namespace, "--wait=false", check=False)
