"""The nightly sweep, memory tiers, and what nobody may read afterwards."""

from __future__ import annotations

import io
import json
import os

import pyarrow
import pytest
from pyarrow import parquet

from reprocess import campaign
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from tests import trips
from tests.kubernetes.archives import Planned
from tests.kubernetes.bench import Run, until
from tests.kubernetes.conftest import OPTIONS
from tests.kubernetes.test_campaign import outcomes


class TestSweep:
    def test_the_cronjob_fires(self, bench, planned):
        """The CronJob fires on its minute: a sweep scans, plans, publishes, and its workers are gone."""
        cluster = planned("sweep", plan=False)
        bench.apply(REPROCESS_ARCHIVE=cluster.url)
        bench.kubectl(
            "patch",
            "cronjob",
            "reprocess-sweep",
            "-p",
            json.dumps({"spec": {"schedule": "* * * * *", "suspend": False}}),
        )
        try:
            job = until(lambda: [name for name in bench.names("jobs") if name.startswith("reprocess-sweep-")], 100)[0]
        finally:
            bench.kubectl("patch", "cronjob", "reprocess-sweep", "-p", json.dumps({"spec": {"suspend": True}}))

        run = Run(bench, job, None)
        assert run.wait() == "Complete"
        assert len(trips.shown(cluster.archive)) == OPTIONS.exposures
        until(lambda: not [name for name in bench.made_by(job) if "pods/" not in name], 30, "what is left behind")


ZSTD, PARQUET = b"\x28\xb5\x2f\xfd", b"PAR1"
LARGE = SimulationOptions(exposures=1, shape=(2048, 2048), groups=5, instruments=("NIRCAM",))


class TestMemory:
    @pytest.fixture
    def large(self, endpoint, bucket):
        """An archive with an exposure that is too large for the first tier."""
        trips.copy(trips.simulated(LARGE), open_store(f"s3://{bucket}/large", endpoint=endpoint))
        source = {"raw": f"s3://{bucket}/large/raw", "references": f"s3://{bucket}/large/crds"}
        archive = trips.make(f"s3://{bucket}/memory", **source, options=LARGE, endpoint=endpoint)
        return archive, campaign.plan(archive, trips.target(options=LARGE), created=trips.CREATED)

    def test_the_next_tier(self, bench, large):
        """A unit that runs out of memory is done in the next tier, and both tiers are gone afterwards."""
        archive, plan = large
        run = bench.submit(archive.store.url, plan.digest)

        assert run.wait(400) == "Complete"
        log = bench.log(run.job)
        assert "Workers of tier 1: 1, were 0" in log
        (item,) = plan.items
        found = outcomes(Planned(archive, plan))[item.dataset]
        assert (found.outcome_class, found.tier, found.attempt) == ("published", 1, 2)
        until(lambda: not [name for name in bench.made_by(run.job) if "pods/" not in name], 30, "what is left behind")


class TestSecrets:
    def test_nowhere(self, bench, relay, planned):
        """The key of the store stands in its Secret, and in nothing that a run writes, logs, asks for or shows."""
        secret = os.environ["AWS_SECRET_ACCESS_KEY"]
        cluster = planned()
        relay.delay_s = 0.1
        run = bench.submit(cluster.url, cluster.plan.digest)
        (worker, *_) = run.until_busy(1)
        shown = [
            bench.kubectl("get", kind, "--output", "yaml")
            for kind in (
                "pods",
                "jobs",
                "deployments",
                "replicasets",
                "services",
                "configmaps",
                "events",
                "podtemplates",
            )
        ]
        shown.append(bench.kubectl("logs", worker))
        (driver,) = bench.drivers(run.job)
        read = "import glob\nfor p in glob.glob('/proc/[0-9]*/cmdline'): print(open(p).read())"
        shown += [
            bench.kubectl("exec", pod, "--", "python3", "-c", read) for pod in (worker, driver["metadata"]["name"])
        ]
        assert run.wait() == "Complete"
        shown.append(bench.log(run.job))
        store = cluster.archive.store
        kept = {stamp.key: plain(store.get(stamp.key).data) for stamp in store.list("")}

        for planted in (secret, "PRIVATE KEY"):
            assert not [text for text in shown if planted in text]
            assert not [key for key, data in kept.items() if planted.encode() in data]


def plain(data: bytes) -> bytes:
    """The bytes of an object, and what is in them if they are packed."""
    if data[:4] == ZSTD:
        return data + pyarrow.input_stream(io.BytesIO(data), compression="zstd").read()
    if data[:4] == PARQUET:
        return data + str(parquet.read_table(io.BytesIO(data)).to_pylist()).encode()
    return data
