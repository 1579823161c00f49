"""What a run on Kubernetes makes, as documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.execution.kubernetes import manifests
from reprocess.execution.kubernetes.manifests import Run
from tests.execution.kubernetes.toy_cluster import JOB, shipped

RUN = Run("night", JOB, "uid-1", {"reprocess/campaign": "0123456789abcdef"})


def every():
    return [
        manifests.service(RUN),
        manifests.secret(RUN, {"ca.pem": b"authority"}),
        *(manifests.deployment(RUN, shipped("worker/pod.yaml"), tier) for tier in (0, 1)),
    ]


class TestAll:
    @pytest.mark.parametrize("document", every(), ids=lambda each: each["metadata"]["name"] + each["kind"])
    def test_owned_and_labelled(self, document):
        """Everything is owned by the run's Job and says which run and which campaign it is of."""
        (owner,) = document["metadata"]["ownerReferences"]

        assert (owner["kind"], owner["name"], owner["uid"]) == ("Job", JOB, "uid-1")
        assert document["metadata"]["namespace"] == "night"
        assert (
            document["metadata"]["labels"].items()
            >= {
                "reprocess/run": JOB,
                "reprocess/campaign": "0123456789abcdef",
                "app.kubernetes.io/name": "reprocess",
            }.items()
        )


class TestDeployment:
    def test_from_the_template(self):
        """Workers are what the template says, with the address of the run's scheduler and its certificate."""
        template = shipped("worker/pod.yaml")
        made = manifests.deployment(RUN, template, 1)

        (container,) = made["spec"]["template"]["spec"]["containers"]
        (before,) = template["template"]["spec"]["containers"]
        assert made["spec"]["replicas"] == 0
        assert container["resources"] == before["resources"]
        assert container["env"][: len(before["env"])] == before["env"]
        added = {one["name"]: one.get("value") for one in container["env"]}
        assert added["REPROCESS_SCHEDULER"] == f"tls://{JOB}.night.svc:8786"
        assert added["REPROCESS_TIER"] == "1"
        assert {"name": "tls", "mountPath": "/etc/reprocess/tls", "readOnly": True} in container["volumeMounts"]

    def test_workers_see_their_own_key_only(self):
        """Neither the scheduler's key nor the driver's is in a worker's pod."""
        volumes = manifests.deployment(RUN, shipped("worker/pod.yaml"), 0)["spec"]["template"]["spec"]["volumes"]
        (tls,) = [volume for volume in volumes if volume["name"] == "tls"]

        assert [item["key"] for item in tls["secret"]["items"]] == ["ca.pem", "worker.pem", "worker.key"]

    def test_its_own_pods(self):
        """The selector of a tier matches its own pods and not those of another tier."""
        made = [manifests.deployment(RUN, shipped("worker/pod.yaml"), tier)["spec"] for tier in (0, 1)]
        labels = [spec["template"]["metadata"]["labels"] for spec in made]

        for spec, other in ((made[0], 1), (made[1], 0)):
            wanted = spec["selector"]["matchLabels"].items()
            assert wanted <= spec["template"]["metadata"]["labels"].items()
            assert not wanted <= labels[other].items()

    def test_another_container(self):
        """A template without a worker is named."""
        template = shipped("worker/pod.yaml")
        template["template"]["spec"]["containers"][0]["name"] = "other"

        with pytest.raises(errors.ClusterError, match="PodTemplate reprocess-worker has no container 'worker'"):
            manifests.deployment(RUN, template, 0)


class TestDriverJob:
    def test_from_the_sweep(self):
        """The Job of a campaign is that of the sweep with other arguments, and no end of the night."""
        cronjob = shipped("base/sweep.yaml")
        made = manifests.driver_job(cronjob, ["run", "s3://b/a", "abc"], name="x", labels={"reprocess/campaign": "c"})

        template = cronjob["spec"]["jobTemplate"]["spec"]
        (container,) = made["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["run", "s3://b/a", "abc"]
        assert container["env"] == template["template"]["spec"]["containers"][0]["env"]
        assert made["spec"]["backoffLimit"] == template["backoffLimit"]
        assert "activeDeadlineSeconds" in template
        assert "activeDeadlineSeconds" not in made["spec"]
        assert made["spec"]["template"]["metadata"]["labels"]["reprocess/campaign"] == "c"


class TestSecret:
    @given(st.dictionaries(st.text("abc.", min_size=1), st.binary()))
    def test_there_and_back(self, files):
        """What a Secret keeps is read as it was given."""
        assert manifests.files_of(manifests.secret(RUN, files)) == files


class TestLabel:
    @given(st.text())
    def test_any_text(self, text):
        """Whatever somebody writes becomes a value that the server takes."""
        value = manifests.label_value(text)

        assert len(value) <= 63
        assert not value or (value[0].isascii() and value[0].isalnum() and value[-1].isalnum())
