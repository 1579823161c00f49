"""A campaign from an operator's machine: from no workers to no workers."""

from __future__ import annotations

import re
from datetime import datetime

from reprocess import coordinator
from reprocess.publication import ledger
from tests import trips
from tests.kubernetes.bench import until
from tests.kubernetes.conftest import OPTIONS


def moment(log: str, text: str) -> datetime:
    """When a line was logged."""
    line = next(line for line in log.splitlines() if text in line)
    return datetime.fromisoformat(line.partition(" ")[0][:26].rstrip("Z") + "+00:00")


def outcomes(planned):
    return ledger.read(planned.archive.store, planned.plan.digest[:16])


class TestCampaign:
    def test_as_on_a_laptop(self, bench, relay, planned, record_property):
        """From none to three workers to none: a run publishes what a laptop publishes, and leaves its Job only."""
        laptop, cluster = planned("laptop"), planned("cluster")
        coordinator.run(laptop.archive, laptop.plan.digest)
        assert laptop.plan.digest == cluster.plan.digest
        relay.delay_s = 0.05

        run = bench.submit(cluster.url, cluster.plan.digest)
        most = len(run.until_busy(3))

        assert run.wait() == "Complete"
        assert most == 3
        assert trips.products(cluster.archive) == trips.products(laptop.archive)
        assert trips.shown(cluster.archive) == trips.shown(laptop.archive)
        assert {one.attempt for one in outcomes(cluster).values()} == {1}
        until(lambda: not [name for name in bench.made_by(run.job) if "pods/" not in name], 30, "what is left behind")
        until(lambda: not bench.workers(run.job), 30)
        log = bench.log(run.job)
        (job,) = [one for one in bench.list("jobs") if one["metadata"]["name"] == run.job]
        began = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        record_property("first_unit_s", (moment(log, "The first unit begins") - began).total_seconds())
        assert re.search(r"Workers of tier 0: 3, were 0", log), log

    def test_again(self, bench, planned):
        """A campaign that is done is done: submitted again, it makes no workers and ends well."""
        cluster = planned()
        coordinator.run(cluster.archive, cluster.plan.digest)

        run = bench.submit(cluster.url, cluster.plan.digest)

        assert run.wait() == "Complete"
        assert "Workers of tier" not in bench.log(run.job)

    def test_follow(self, bench, planned):
        """An operator who follows a run sees its log, and gets the exit code of its driver."""
        cluster = planned()
        coordinator.run(cluster.archive, cluster.plan.digest)

        run = bench.submit(cluster.url, cluster.plan.digest, "--follow")

        assert run.told.returncode == 0
        assert "ended well" in run.told.stderr
        assert "published" in run.told.stdout

    def test_deleting_the_job(self, bench, relay, planned):
        """Deleting the Job deletes everything that the run has made, and what is done is kept."""
        cluster = planned()
        relay.delay_s = 0.3
        run = bench.submit(cluster.url, cluster.plan.digest)
        run.until_busy()
        assert bench.made_by(run.job)

        run.delete()

        until(lambda: not bench.made_by(run.job) and not bench.drivers(run.job), 90, "what is left behind")
        relay.delay_s = 0.0
        again = bench.submit(cluster.url, cluster.plan.digest)
        assert again.wait() == "Complete"
        assert len(trips.shown(cluster.archive)) == OPTIONS.exposures
