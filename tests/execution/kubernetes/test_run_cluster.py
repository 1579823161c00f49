"""What a run makes on its cluster, finds again, and takes away."""

from __future__ import annotations

import pytest

from reprocess import errors
from reprocess.execution.kubernetes import api, run_cluster
from reprocess.execution.kubernetes.manifests import Run
from reprocess.execution.kubernetes.run_cluster import RunCluster, find_run, tidy
from tests.execution.kubernetes.toy_cluster import JOB, prepared


@pytest.fixture
def toys():
    return prepared()


def made(toys, tiers: int = 2) -> RunCluster:
    return RunCluster(toys, find_run(toys, JOB), tiers)


class TestMake:
    def test_all_of_it(self, toys):
        """A run has a Secret, a Service, and a Deployment without replicas for each tier."""
        files = made(toys).make("10.0.0.1")

        assert set(files) >= {"ca.pem", "scheduler.key", "worker.key", "client.key"}
        assert [len(toys.kept[kind]) for kind in (api.SECRETS, api.SERVICES, api.DEPLOYMENTS)] == [1, 1, 2]

    def test_a_driver_that_comes_back(self, toys):
        """Another driver of the same run takes the certificates and the workers that are there."""
        first = made(toys)
        files = first.make("10.0.0.1")
        first.scale(0, 7)
        again = made(toys)

        assert again.make("10.0.0.2") == files
        assert again.asked == {0: 7, 1: 0}

    def test_a_job_of_the_same_name(self, toys, monkeypatch):
        """What belongs to an earlier Job of this name is about to be collected: it is deleted, and made anew."""
        monkeypatch.setattr(run_cluster, "AGAIN_S", 0.0)
        first = made(toys)
        files = first.make("10.0.0.1")
        first.scale(0, 7)
        toys.delete(api.JOBS, JOB)
        toys.create(api.JOBS, {"metadata": {"name": JOB}})
        again = made(toys)

        assert again.make("10.0.0.2") != files
        assert again.asked == {0: 0, 1: 0}
        for kind in (api.SECRETS, api.SERVICES, api.DEPLOYMENTS):
            for kept in toys.kept[kind].values():
                assert [owner["uid"] for owner in kept["metadata"]["ownerReferences"]] == [again.run.uid]

    def test_what_does_not_go(self, toys, monkeypatch):
        """What belongs to another Job and does not go ends the run, with its name and what to do."""
        monkeypatch.setattr(run_cluster, "AGAIN_S", 0.0)
        monkeypatch.setattr(run_cluster, "GONE_S", 0.02)
        made(toys).make("10.0.0.1")
        toys.delete(api.JOBS, JOB)
        toys.create(api.JOBS, {"metadata": {"name": JOB}})
        monkeypatch.setattr(toys, "delete", lambda *_: None)

        with pytest.raises(errors.ClusterError, match=f"secrets/{JOB} .* belongs to another Job"):
            made(toys).make("10.0.0.2")

    def test_a_deployment_that_is_gone(self, toys, caplog):
        """Workers whose Deployment somebody has deleted are asked for again, and that is told."""
        run = made(toys)
        run.make("10.0.0.1")
        toys.delete(api.DEPLOYMENTS, run.run.deployment(1))
        run.scale(1, 3)

        assert toys.kept[api.DEPLOYMENTS][run.run.deployment(1)]["spec"]["replicas"] == 3
        assert "is gone" in caplog.text

    def test_no_template(self, toys):
        """A tier without a template is named, with what to do."""
        with pytest.raises(errors.ClusterError, match=r"no PodTemplate reprocess-worker-2.*MEMORY_TIERS_MB"):
            made(toys, 3).make("10.0.0.1")

    def test_no_job(self, toys):
        """A driver without its Job says so."""
        with pytest.raises(errors.ClusterError, match="no Job gone"):
            find_run(toys, "gone")

    def test_labels(self, toys):
        """What the run makes says its campaign and who pays."""
        assert find_run(toys, JOB, cost="group 7/night").labels == {
            "reprocess/campaign": "0123456789abcdef",
            "reprocess/cost": "group-7-night",
        }

    def test_labels_of_the_job(self, toys):
        """What the Job says of whom it is for, and who pays, counts more than the settings of all runs."""
        toys.patch(api.JOBS, JOB, {"metadata": {"labels": {"reprocess/program": "01234", "reprocess/cost": "night"}}})
        run = RunCluster(toys, find_run(toys, JOB, cost="all"), 1)
        run.make("10.0.0.1")

        (found,) = toys.kept[api.DEPLOYMENTS].values()
        for labels in (found["metadata"]["labels"], found["spec"]["template"]["metadata"]["labels"]):
            assert (labels["reprocess/program"], labels["reprocess/cost"]) == ("01234", "night")


class TestRemove:
    def test_nothing_is_left(self, toys):
        """Everything that was made is deleted; deleting it twice is no harm."""
        run = made(toys)
        run.make("10.0.0.1")
        run.remove()
        run.remove()

        assert not any(toys.kept[kind] for kind in (api.SECRETS, api.SERVICES, api.DEPLOYMENTS))

    def test_what_cannot_be_deleted(self, toys, caplog):
        """What cannot be deleted is told with how to, and stops nothing."""
        run = RunCluster(toys, Run(toys.name, JOB, "uid", {}), 1)
        run.make("10.0.0.1")
        toys.refusal = errors.ClusterError("No.")
        run.remove()

        assert caplog.text.count(f"kubectl delete job {JOB}") == 3


class TestTidy:
    def left(self, toys, job: str, *conditions: dict) -> None:
        """The workers of another run."""
        toys.create(api.JOBS, {"metadata": {"name": job}, "status": {"conditions": list(conditions)}})
        RunCluster(toys, find_run(toys, job), 1).make("10.0.0.9")

    def test_runs_that_are_over(self, toys):
        """Workers of a run that has ended, or whose Job is gone, are deleted; those of others are left alone."""
        self.left(toys, "failed", {"type": "Failed", "status": "True"})
        self.left(toys, "gone")
        toys.delete(api.JOBS, "gone")
        self.left(toys, "at-work")
        self.left(toys, "about-to-fail", {"type": "Failed", "status": "False"})
        made(toys).make("10.0.0.1")

        gone = tidy(toys)

        kept = {name.partition("-worker-")[0] for name in toys.kept[api.DEPLOYMENTS]}
        assert kept == {"at-work", "about-to-fail", JOB}
        assert sorted(gone) == ["failed-worker-0", "gone-worker-0"]
