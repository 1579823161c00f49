"""Every pod that is shipped: least rights, and limits on what it takes."""

from __future__ import annotations

import pytest

from reprocess import __version__
from tests.manifests.rendering import OVERLAYS, every_kind_of, everywhere, needs_kubectl, one, overlay_of
from tests.manifests.translate import pods, translate

pytestmark = needs_kubectl

UID = 10001
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
SPARE_BYTES = 150e6
"""What a pod needs beside what its worker may take."""


def pods_of(overlay):
    return [pod for document in overlay_of(overlay) for pod in pods(document)]


def containers_of(overlay):
    return [container for pod in pods_of(overlay) for container in pod["containers"]]


def amount(text):
    """Bytes of a quantity."""
    return int(text[:-2]) * UNITS[text[-2:]]


@everywhere
def test_there_are_four(overlay):
    """A driver, who tidies, and a worker of each tier are all pods there are, with one container each."""
    assert [[container["name"] for container in pod["containers"]] for pod in pods_of(overlay)] == [
        ["driver"],
        ["tidy"],
        ["worker"],
        ["worker"],
    ]
    assert not any("initContainers" in pod for pod in pods_of(overlay))


@everywhere
def test_restricted(overlay):
    """Pods meet the restricted standard of pod security: nobody's rights, no host, no way up."""
    for pod in pods_of(overlay):
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["runAsGroup"]) == (True, UID, UID)
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} <= {"emptyDir", "configMap"}
    for container in containers_of(overlay):
        security = container["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@everywhere
def test_the_namespace_enforces_it(overlay):
    """The cluster itself refuses pods that would not be restricted."""
    (namespace,) = every_kind_of(overlay_of(overlay), "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@everywhere
def test_resources(overlay):
    """Each container asks for CPU, and for all the memory that it may take; disks have limits too."""
    for container in containers_of(overlay):
        resources = container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert resources["limits"].keys() == {"memory", "ephemeral-storage"}
        if container["name"] == "worker":
            assert resources["requests"]["memory"] == resources["limits"]["memory"]


@everywhere
def test_room_on_disk(overlay):
    """The volumes of a pod fit its limit of disk, and the cache holds what references are kept."""
    from reprocess.formats.reference_cache import LIMIT_BYTES

    for pod in pods_of(overlay):
        sizes = {each["name"]: amount(each["emptyDir"]["sizeLimit"]) for each in pod["volumes"] if "emptyDir" in each}
        limit = amount(pod["containers"][0]["resources"]["limits"]["ephemeral-storage"])
        assert sum(sizes.values()) <= limit
        if pod["containers"][0]["name"] != "tidy":
            assert sizes["cache"] > LIMIT_BYTES


@everywhere
def test_what_can_be_written(overlay):
    """A pod writes into /tmp and, if it works on exposures, into its cache; nowhere else."""
    for container in containers_of(overlay):
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        works = container["name"] != "tidy"
        assert writable == ({"/tmp", "/var/cache/reprocess"} if works else {"/tmp"})
        assert ({"name": "XDG_CACHE_HOME", "value": "/var/cache/reprocess"} in container["env"]) is works


@everywhere
def test_last_words(overlay):
    """Whoever fails leaves the end of its log in the state of its pod; an old server is told so too."""
    for document in overlay_of(overlay):
        for pod in [*pods(document), *pods(translate([document])[0])]:
            assert {each["terminationMessagePolicy"] for each in pod["containers"]} == {"FallbackToLogsOnError"}


@everywhere
def test_who_tidies_is_small(overlay):
    """What runs every quarter of an hour takes next to nothing."""
    (container,) = [each for each in containers_of(overlay) if each["name"] == "tidy"]
    assert container["resources"]["requests"].items() >= {"cpu": "50m", "memory": "128Mi"}.items()
    assert container["resources"]["limits"]["memory"] == "512Mi"


@everywhere
def test_memory_of_tiers(overlay):
    """Units are cut to what a worker of the lowest tier offers; higher tiers offer what the settings promise."""
    documents = overlay_of(overlay)
    settings = one(documents, "ConfigMap", "reprocess-settings")["data"]
    promised = [settings["REPROCESS_EXECUTION_MEMORY_LIMIT_MB"], settings["REPROCESS_EXECUTION_MEMORY_TIERS_MB"]]
    for tier, megabytes in enumerate(int(each) for text in promised for each in text.split(",")):
        template = one(documents, "PodTemplate", f"reprocess-worker-{tier}")
        limit = amount(template["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"])
        assert 0.9 * limit - SPARE_BYTES < megabytes * 1e6 <= 0.95 * limit - SPARE_BYTES


@everywhere
def test_one_image(overlay):
    """Driver and workers run the same image, of this version, by a tag that is not `latest`."""
    (image,) = {container["image"] for container in containers_of(overlay)}
    assert image.rsplit("/", 1)[-1] == f"reprocess:{__version__}"
    assert {container["imagePullPolicy"] for container in containers_of(overlay)} == {"IfNotPresent"}


@everywhere
def test_time_to_leave(overlay):
    """A worker that is told to go has all the time of its drain, and more to say good-bye."""
    for template in every_kind_of(overlay_of(overlay), "PodTemplate").values():
        pod = template["template"]["spec"]
        environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert pod["containers"][0]["lifecycle"] == {"preStop": {"exec": {"command": ["reprocess", "drain"]}}}
        assert pod["terminationGracePeriodSeconds"] > int(environment["REPROCESS_DRAIN_S"]) + 20


def test_notice_of_spot():
    """Where machines are taken away with two minutes' notice, workers are gone by then."""
    for template in every_kind_of(overlay_of("aws"), "PodTemplate").values():
        assert template["template"]["spec"]["terminationGracePeriodSeconds"] < 120


def test_spot_is_for_workers():
    """On AWS workers go to the spot machines of their tier, and drivers to machines that stay."""
    documents = overlay_of("aws")
    driver = one(documents, "CronJob", "reprocess-sweep")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert driver["nodeSelector"] == {"reprocess/pool": "driver"}
    assert "tolerations" not in driver
    for tier in "01":
        pod = one(documents, "PodTemplate", f"reprocess-worker-{tier}")["template"]["spec"]
        assert pod["nodeSelector"] == {"reprocess/pool": "worker", "reprocess/tier": tier}
        assert pod["tolerations"] == [
            {"key": "reprocess/spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"}
        ]


@everywhere
def test_priorities(overlay):
    """Workers yield to everybody and push nobody away; drivers come before them."""
    documents = overlay_of(overlay)
    classes = every_kind_of(documents, "PriorityClass")
    assert classes["reprocess-driver"]["value"] > 0 > classes["reprocess-worker"]["value"]
    assert classes["reprocess-worker"]["preemptionPolicy"] == "Never"
    assert {pod["priorityClassName"] for pod in pods_of(overlay) if "priorityClassName" in pod} == classes.keys()


@everywhere
def test_workers_are_worth_a_machine(overlay):
    """Workers are not among the pods for which the Cluster Autoscaler starts no machine: those below -10."""
    assert every_kind_of(overlay_of(overlay), "PriorityClass")["reprocess-worker"]["value"] >= -10


@everywhere
def test_no_secrets(overlay):
    """No manifest holds a secret, and no argument or value looks like one."""
    documents = overlay_of(overlay)
    assert not every_kind_of(documents, "Secret")
    settings = one(documents, "ConfigMap", "reprocess-settings")["data"]
    assert not [name for name in settings if "KEY" in name or "SECRET" in name or "TOKEN" in name]
    for container in containers_of(overlay):
        assert not [each for each in container["env"] if "secretKeyRef" in each.get("valueFrom", {})]


@pytest.mark.parametrize("quantity", [("1Ki", 1024), ("3Gi", 3 * 2**30)])
def test_amounts(quantity):
    """Quantities are read in powers of two."""
    assert amount(quantity[0]) == quantity[1]


def test_overlays_are_all():
    """No overlay is left out of these tests."""
    from tests.manifests.rendering import ROOT

    assert {path.name for path in (ROOT / "k8s" / "overlays").iterdir()} == set(OVERLAYS)
