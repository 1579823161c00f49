"""The nightly sweep, memory tiers, and what nobody may read afterwards."""

from __future__ import annotations

import json
import os

import pytest

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
        read = "import glob\nfor p in glob.glob('/proc/[0-9]*/cmdline'): print(open(p).read())"
        shown.append(bench.kubectl("exec", worker, "--", "python3", "-c", read))
        assert run.wait() == "Complete"
        shown.append(bench.log(run.job))

        assert "PRIVATE KEY" not in "".join(shown)
        assert not [text for text in shown if secret in text]
        store = cluster.archive.store
        assert not [stamp.key for stamp in store.list("") if secret.encode() in store.get(stamp.key).data]
