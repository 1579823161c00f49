"""What a run loses on the way, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from reprocess import inspection
from tests import trips
from tests.kubernetes.archives import kept_text
from tests.kubernetes.bench import until
from tests.kubernetes.conftest import OPTIONS
from tests.kubernetes.test_campaign import outcomes

AGAIN = "begins again"


@pytest.fixture
def begun(bench, relay, planned):
    """A run whose units take some seconds, with three workers at work."""
    cluster = planned()
    relay.delay_s = 0.1
    run = bench.submit(cluster.url, cluster.plan.digest)
    workers = run.until_busy(3)
    return cluster, run, workers


def check(cluster, run) -> None:
    """Everything is published once, whole, and nobody is blamed."""
    assert run.wait() == "Complete"
    assert len(trips.shown(cluster.archive)) == OPTIONS.exposures
    assert inspection.verify(cluster.archive).problems == ()
    found = outcomes(cluster)
    assert {one.outcome_class for one in found.values()} == {"published"}
    assert {one.attempt for one in found.values()} == {1}


class TestWorker:
    def test_deleted(self, bench, relay, begun, record_property):
        """A worker's pod that is deleted ends what it executes first: no unit runs twice."""
        cluster, run, workers = begun
        begin = time.monotonic()
        bench.kubectl("delete", "pod", workers[0], timeout_s=120)
        record_property("drain_s", time.monotonic() - begin)

        check(cluster, run)
        log = bench.log(run.job)
        assert AGAIN not in log
        assert "loses its worker" not in log

    def test_deleted_by_force(self, bench, relay, begun):
        """A worker's pod that is gone at once loses its unit, which is done again and not blamed."""
        cluster, run, workers = begun
        for name in workers[:2]:
            bench.kubectl("delete", "pod", name, "--force", "--grace-period=0")

        check(cluster, run)
        assert "it was taken away" in bench.log(run.job)


class TestDriver:
    @pytest.mark.parametrize("grace", [[], ["--force", "--grace-period=0"]], ids=["told", "by force"])
    def test_deleted(self, bench, relay, begun, grace):
        """A driver's pod that is deleted comes back and goes on from the bucket; the sum closes."""
        cluster, run, _ = begun
        (driver,) = bench.drivers(run.job)
        bench.kubectl("delete", "pod", driver["metadata"]["name"], "--wait=false", *grace)
        relay.delay_s = 0.05

        check(cluster, run)
        until(lambda: not [name for name in bench.made_by(run.job) if "pods/" not in name], 30, "what is left behind")

    def test_the_scheduler_dies(self, bench, relay, begun):
        """Without its scheduler a driver ends, and the next one goes on."""
        cluster, run, _ = begun
        (driver,) = bench.drivers(run.job)
        # The zero bytes keep this command from finding itself.
        find = (
            "import glob, os\nfor path in glob.glob('/proc/[0-9]*/cmdline'):\n"
            "  if b'-m\\0reprocess.execution.dask.processes' in open(path, 'rb').read():\n"
            "    os.kill(int(path.split('/')[2]), 9)\n"
        )
        bench.kubectl("exec", driver["metadata"]["name"], "--", "python3", "-c", find)
        relay.delay_s = 0.05

        check(cluster, run)
        assert len(bench.drivers(run.job)) == 2


class TestOrphans:
    def test_a_driver_that_is_killed_for_good(self, bench, relay, begun):
        """Workers of a driver that is killed for good are deleted by the CronJob that tidies, and of no other run."""
        cluster, run, _ = begun
        (driver,) = bench.drivers(run.job)
        # Its successor is stopped before it can do anything: the time of the Job is over.
        bench.kubectl("delete", "pod", driver["metadata"]["name"], "--force", "--grace-period=0")
        bench.kubectl("patch", "job", run.job, "--patch", '{"spec": {"activeDeadlineSeconds": 1}}')
        assert run.wait() == "Failed"
        left = bench.names("deployments", f"reprocess/run={run.job}")
        again = bench.submit(cluster.url, cluster.plan.digest)
        again.until_busy()

        bench.fire("reprocess-tidy")

        until(lambda: not bench.names("deployments", f"reprocess/run={run.job}"), 60, "orphans")
        assert left
        assert bench.names("deployments", f"reprocess/run={again.job}")
        relay.delay_s = 0.0
        assert again.wait() == "Complete"


class TestServer:
    @pytest.fixture
    def api_server(self):
        """The process of the API server, where it is one of this machine."""
        if "KUBE_BENCH_DIR" not in os.environ:
            pytest.skip("the API server is none of this machine's processes: it cannot be stopped for a while")
        found = subprocess.run(["pgrep", "-f", "kube-apiserver"], capture_output=True, text=True, check=True)
        place = os.environ["KUBE_BENCH_DIR"]
        (pid,) = [int(one) for one in found.stdout.split() if f"{place}/" in Path(f"/proc/{one}/cmdline").read_text()]
        yield pid
        os.kill(pid, signal.SIGCONT)

    def test_out_of_reach_for_a_while(self, bench, relay, begun, api_server):
        """A run goes on without the API server, and says so in log and report; afterwards nothing is left."""
        cluster, run, _ = begun
        os.kill(api_server, signal.SIGSTOP)
        time.sleep(30)
        os.kill(api_server, signal.SIGCONT)

        check(cluster, run)
        assert "did not answer" in bench.log(run.job)
        report = f"campaigns/{cluster.plan.digest[:16]}/report.txt"
        assert "The API server of the cluster did not answer" in kept_text(cluster.archive.store, report)
        until(lambda: not [name for name in bench.made_by(run.job) if "pods/" not in name], 60, "what is left behind")


class TestStore:
    @pytest.fixture
    def patient(self, bench):
        """As it is shipped: a driver that finds no store comes back four times, later each time."""
        bench.retries = 4
        bench.apply(REPROCESS_EXECUTION_LEASE_S="30")

    def test_out_of_reach_for_a_minute(self, patient, bench, relay, begun):
        """A store that is away for a minute stops a run for a while, and no exposure is lost."""
        cluster, run, _ = begun
        relay.cut()
        time.sleep(60)
        relay.mend()
        relay.delay_s = 0.0

        assert run.wait(400) == "Complete"
        assert len(trips.shown(cluster.archive)) == OPTIONS.exposures
        assert inspection.verify(cluster.archive).problems == ()
