"""What a run makes of the shipped templates: as strict a fit, under the same policies, and no more rights."""

from __future__ import annotations

import pytest

from reprocess.execution.kubernetes import manifests
from tests.manifests.rendering import OVERLAYS, Document, every_kind_of, needs_kubectl, one, overlay_of
from tests.manifests.translate import pods

pytestmark = needs_kubectl
everything = pytest.mark.parametrize("overlay", OVERLAYS)

JOB = "reprocess-0123456789ab-cdef"
LABELS = {manifests.CAMPAIGN: "0123456789abcdef", manifests.COST: "survey"}


def made(overlay: str) -> list[Document]:
    """Everything that a run makes, its Job first."""
    documents = overlay_of(overlay)
    run = manifests.Run("reprocess", JOB, "5b4c8b3e-0000-4000-8000-000000000000", LABELS)
    templates = every_kind_of(documents, "PodTemplate")
    return [
        manifests.driver_job(one(documents, "CronJob", manifests.SWEEP), ["run", "s3://b/a", "0123"], name=JOB),
        manifests.service(run),
        manifests.secret(run, {"ca.pem": b"x", "worker.pem": b"x", "worker.key": b"x"}),
        *(manifests.deployment(run, templates[manifests.template_name(tier)], tier) for tier in (0, 1)),
    ]


@everything
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_schemas(overlay, version):
    """Each document that a run makes fits the schemas of Kubernetes."""
    validation = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not there")
    for document in made(overlay):
        validation.validate(document, version, strict=True)


@everything
def test_pods_are_as_shipped(overlay):
    """Pods keep what their templates say of security, room and place; only a certificate is added."""
    documents = overlay_of(overlay)
    shipped = [pods(one(documents, "CronJob", manifests.SWEEP))[0]]
    shipped += [pods(template)[0] for template in every_kind_of(documents, "PodTemplate").values()]
    for before, after in zip(shipped, [pod for each in made(overlay) for pod in pods(each)], strict=True):
        assert after.keys() == before.keys()
        kept = before.keys() - {"containers", "volumes"}
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        for name in ("securityContext", "resources", "image", "envFrom", "terminationMessagePolicy"):
            assert after["containers"][0][name] == before["containers"][0][name]
        added = [volume for volume in after["volumes"] if volume not in before["volumes"]]
        assert [volume["name"] for volume in added] in ([], ["tls"])


@everything
def test_workers_are_known_to_policies(overlay):
    """Pods of workers and drivers bear the labels that network policies and the disruption budget select."""
    job, _, _, *deployments = made(overlay)
    policies = every_kind_of(overlay_of(overlay), "NetworkPolicy")
    for name, document in [("reprocess-driver", job), *(("reprocess-worker", each) for each in deployments)]:
        selected = policies[name]["spec"]["podSelector"]["matchLabels"]
        assert selected.items() <= document["spec"]["template"]["metadata"]["labels"].items()


@everything
def test_everything_goes_with_the_job(overlay):
    """All that a run makes is owned by its Job, bears its name, and starts with no worker."""
    _, *owned = made(overlay)
    for document in owned:
        (owner,) = document["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("Job", JOB)
        assert document["metadata"]["labels"][manifests.RUN] == JOB
        assert LABELS.items() <= document["metadata"]["labels"].items()
    assert {each["spec"]["replicas"] for each in owned if each["kind"] == "Deployment"} == {0}
