"""Starting a run from anywhere, and watching its driver."""

from __future__ import annotations

import re

import pytest

from reprocess import errors
from reprocess.execution.kubernetes import api, pods, submission
from tests.execution.kubernetes.toy_cluster import ToyNamespace, prepared

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def toys():
    return prepared()


def job(toys, made) -> dict:
    return toys.kept[api.JOBS][made.job]


class TestSubmit:
    def test_a_job(self, toys):
        """The Job is named after the plan, and tells the campaign in its labels and the arguments to its driver."""
        made = submission.submit(toys, DIGEST, ["run", "s3://b/a", DIGEST])

        assert re.fullmatch("reprocess-0123456789ab-[0-9a-f]{4}", made.job)
        assert job(toys, made)["metadata"]["labels"]["reprocess/campaign"] == DIGEST[:16]
        assert job(toys, made)["spec"]["template"]["spec"]["containers"][0]["args"] == ["run", "s3://b/a", DIGEST]

    def test_whose(self, toys):
        """For whom a run is, and who pays, is told by labels, whatever characters that has."""
        made = submission.submit(toys, DIGEST, [], program="01234", cost="group 7/night")

        for kept in (job(toys, made), job(toys, made)["spec"]["template"]):
            labels = kept["metadata"]["labels"]
            assert (labels["reprocess/program"], labels["reprocess/cost"]) == ("01234", "group-7-night")

    def test_twice(self, toys):
        """The same plan may be submitted again: the Jobs have names of their own."""
        assert submission.submit(toys, DIGEST, []) != submission.submit(toys, DIGEST, [])

    def test_a_short_digest(self, toys):
        """A shortened digest names no campaign yet."""
        made = submission.submit(toys, "0123", [])

        assert made.job.startswith("reprocess-0123-")
        assert "reprocess/campaign" not in job(toys, made)["metadata"]["labels"]

    def test_no_template(self):
        """A namespace without the manifests, or that does not exist, is named with what to do."""
        with pytest.raises(errors.ClusterError, match=r"Namespace empty has no CronJob.*--namespace"):
            submission.submit(ToyNamespace("empty"), DIGEST, [])


class TestFollow:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(submission, "LOOK_S", 0.0)

    def ended(self, toys, made, kind, code, words=""):
        job(toys, made)["status"] = {"conditions": [{"type": kind, "status": "True", "message": ""}]}
        ended = {"name": "driver", "state": {"terminated": {"exitCode": code, "message": words}}}
        toys.create(
            api.PODS,
            {
                "metadata": {"name": "p", "labels": {"job-name": made.job}},
                "status": {"phase": "Succeeded", "containerStatuses": [ended]},
            },
        )

    @pytest.mark.parametrize(("kind", "code", "word"), [("Complete", 0, "ended well"), ("Failed", 5, "failed")])
    def test_the_end(self, toys, kind, code, word):
        """The end of the Job is told, and the exit code is that of its driver."""
        made, said = submission.submit(toys, DIGEST, []), []
        self.ended(toys, made, kind, code)

        assert submission.follow(toys, made, say=said.append) == code
        assert word in said[-1]

    def test_last_words(self, toys):
        """What a driver that failed said at its end is told: who only waits reads no log."""
        made, said = submission.submit(toys, DIGEST, []), []
        self.ended(toys, made, "Failed", 7, "a line\nreprocess: No node takes worker w.\n")

        assert submission.follow(toys, made, say=said.append) == 7
        assert said[-1].endswith("has failed. reprocess: No node takes worker w.")

    def test_workers_that_do_not_come(self, toys, monkeypatch):
        """While the driver runs, what keeps its workers from starting is told once."""
        monkeypatch.setattr(pods, "CONFIRMED_S", 0.0)
        made, said = submission.submit(toys, DIGEST, []), []
        running = {"metadata": {"name": "p", "labels": {"job-name": made.job}}, "status": {"phase": "Running"}}
        toys.create(api.PODS, running)
        reason = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
        labels = {"reprocess/run": made.job, "app.kubernetes.io/component": "worker"}
        toys.create(api.PODS, {"metadata": {"name": "w", "labels": labels}, "status": {"conditions": [reason]}})
        failed = {"conditions": [{"type": "Failed", "status": "True"}]}
        looks = iter([lambda: None, lambda: job(toys, made).update(status=failed)])
        monkeypatch.setattr(submission.time, "sleep", lambda _: next(looks)())

        submission.follow(toys, made, say=said.append)

        assert [text.startswith("No node takes worker w: 0/1 nodes.") for text in said] == [True, False]

    def test_deleted(self, toys):
        """A Job that is deleted while it is watched ends the watch."""
        made = submission.submit(toys, DIGEST, [])
        toys.delete(api.JOBS, made.job)

        with pytest.raises(errors.ClusterError, match="was deleted"):
            submission.follow(toys, made, say=print)

    def test_a_driver_that_does_not_start(self, toys, monkeypatch):
        """What keeps a driver from starting is told when it has lasted, and after long the watch ends with it."""
        monkeypatch.setattr(submission, "START_S", 0.05)
        monkeypatch.setattr(pods, "CONFIRMED_S", 0.0)
        made, said = submission.submit(toys, DIGEST, []), []
        waiting = {"name": "driver", "image": "i", "state": {"waiting": {"reason": "ErrImagePull", "message": "none"}}}
        toys.create(
            api.PODS,
            {
                "metadata": {"name": "p", "labels": {"job-name": made.job}},
                "status": {"phase": "Pending", "containerStatuses": [waiting]},
            },
        )
        with pytest.raises(errors.ClusterError, match=r"No driver of Job .* has started.*ErrImagePull"):
            submission.follow(toys, made, say=said.append)

        assert said == [
            "Driver p cannot start: image i cannot be had (ErrImagePull). none. Check its name and its registry."
        ]
