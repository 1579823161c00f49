"""What the driver and `reprocess submit` look for in a namespace is there, under these names."""

from __future__ import annotations

from reprocess import settings, target
from reprocess.cli import main
from tests.manifests.conftest import NAMESPACE
from tests.manifests.rendering import every_kind_of, everywhere, needs_kubectl, one, overlay_of

pytestmark = needs_kubectl

CLUSTER_WIDE = {"Namespace", "PriorityClass"}
PLAIN = {"REPROCESS_ARCHIVE", "REPROCESS_LOG_FORMAT", "DASK_LOGGING__DISTRIBUTED", "AWS_ENDPOINT_URL_S3", "AWS_REGION"}
"""Names in the settings that are not of the form REPROCESS_GROUP_NAME."""


def field_of(container, name):
    """What the environment of a container takes a variable from."""
    (found,) = [each["valueFrom"] for each in container["env"] if each["name"] == name]
    return found


def job_of(documents):
    return one(documents, "CronJob", "reprocess-sweep")["spec"]["jobTemplate"]


@everywhere
def test_driver(overlay):
    """The sweep's container is `driver`; it knows its place, and its arguments can be replaced."""
    pod = job_of(overlay_of(overlay))["spec"]["template"]["spec"]
    (driver,) = pod["containers"]
    assert driver["name"] == "driver"
    assert "command" not in driver
    assert driver["args"] == [
        "sweep",
        "$(REPROCESS_ARCHIVE)",
        "--target",
        "/etc/reprocess/target/target.toml",
        "--cluster",
        "kubernetes",
        "--max-hours",
        "22",
        "--metrics-port",
        "9090",
    ]
    paths = {
        "NAMESPACE": "metadata.namespace",
        "JOB": "metadata.labels['job-name']",
        "ADDRESS": "status.podIP",
    }
    for name, path in paths.items():
        assert field_of(driver, f"REPROCESS_KUBERNETES_{name}") == {"fieldRef": {"fieldPath": path}}
    assert {port["name"]: port["containerPort"] for port in driver["ports"]} == {"scheduler": 8786, "metrics": 9090}
    assert {"name": "target", "mountPath": "/etc/reprocess/target", "readOnly": True} in driver["volumeMounts"]
    assert {"name": "target", "configMap": {"name": "reprocess-target"}} in pod["volumes"]
    assert pod["serviceAccountName"] == "reprocess-driver"


@everywhere
def test_workers(overlay):
    """There is a template of a worker for each tier; what the run adds is not there yet."""
    templates = every_kind_of(overlay_of(overlay), "PodTemplate")
    assert templates.keys() == {"reprocess-worker-0", "reprocess-worker-1"}
    for name, document in templates.items():
        assert document["metadata"]["labels"]["reprocess/tier"] == name[-1]
        pod = document["template"]["spec"]
        (worker,) = pod["containers"]
        assert (worker["name"], worker["args"]) == ("worker", ["worker"])
        assert field_of(worker, "REPROCESS_POD_NAME") == {"fieldRef": {"fieldPath": "metadata.name"}}
        memory = {"containerName": "worker", "resource": "limits.memory"}
        assert field_of(worker, "REPROCESS_POD_MEMORY_BYTES") == {"resourceFieldRef": memory}
        added = {"REPROCESS_SCHEDULER", "REPROCESS_TIER"}
        assert not added & {each["name"] for each in worker["env"]}
        assert "tls" not in {volume["name"] for volume in pod["volumes"]}
        assert pod["serviceAccountName"] == "reprocess-worker"


@everywhere
def test_labels(overlay):
    """Everything says that it belongs to this program, pods also which part they are."""
    documents = overlay_of(overlay)
    ours = {"app.kubernetes.io/name": "reprocess", "app.kubernetes.io/part-of": "reprocess"}
    for document in documents:
        if document["metadata"]["name"] != "reprocess-target":
            assert ours.items() <= document["metadata"]["labels"].items(), document["metadata"]["name"]
    for name, component in (("reprocess-sweep", "driver"), ("reprocess-tidy", "tidy")):
        job = one(documents, "CronJob", name)["spec"]["jobTemplate"]
        expected = {**ours, "app.kubernetes.io/component": component}
        assert expected.items() <= job["metadata"]["labels"].items()
        assert expected.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    for template in every_kind_of(documents, "PodTemplate").values():
        assert template["template"]["metadata"]["labels"] == {**ours, "app.kubernetes.io/component": "worker"}


@everywhere
def test_namespace(overlay):
    """All but what belongs to the cluster is in one namespace, which an overlay can change in one line."""
    for document in overlay_of(overlay):
        expected = None if document["kind"] in CLUSTER_WIDE else "reprocess"
        assert document["metadata"].get("namespace") == expected


def test_another_namespace(with_components):
    """Whoever changes the line changes it everywhere."""
    for document in with_components:
        if document["kind"] not in CLUSTER_WIDE:
            assert document["metadata"]["namespace"] == NAMESPACE
    assert every_kind_of(with_components, "Namespace").keys() == {NAMESPACE}


@everywhere
def test_schedule(overlay):
    """One sweep at a time, each night once; it ends before the next, and is not tried again and again."""
    sweep = one(overlay_of(overlay), "CronJob", "reprocess-sweep")["spec"]
    assert sweep["concurrencyPolicy"] == "Forbid"
    assert 0 < sweep["startingDeadlineSeconds"] < 86400
    assert sweep["timeZone"] == "Etc/UTC"
    job = sweep["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] + sweep["startingDeadlineSeconds"] <= 86400
    assert job["backoffLimit"] <= 5
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert job["ttlSecondsAfterFinished"] >= 3 * 86400  # what failed on Friday night can be read on Monday


@everywhere
def test_a_sweep_ends_in_order(overlay):
    """A sweep knows its hours, and has time to scan before them and to end after them before its Job is stopped."""
    job = job_of(overlay_of(overlay))["spec"]
    arguments = job["template"]["spec"]["containers"][0]["args"]
    given = main.commands["sweep"].make_context("sweep", ["/tmp", *arguments[2:]], resilient_parsing=True).params
    assert 0 < given["max_hours"] <= job["activeDeadlineSeconds"] / 3600 - 1


@everywhere
def test_tidy(overlay):
    """What deletes workers of runs that are over comes often and soon ends; it gets its namespace and nothing else."""
    cron = one(overlay_of(overlay), "CronJob", "reprocess-tidy")
    assert cron["metadata"]["labels"]["app.kubernetes.io/component"] == "tidy"
    spec, job = cron["spec"], cron["spec"]["jobTemplate"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("*/15 * * * *", "Forbid")
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 1)
    assert job["backoffLimit"] == 1
    assert job["activeDeadlineSeconds"] + spec["startingDeadlineSeconds"] < 15 * 60
    (container,) = job["template"]["spec"]["containers"]
    assert (container["name"], container["args"]) == ("tidy", ["tidy"])
    assert "tidy" in main.commands
    assert container["env"] == [
        {"name": "REPROCESS_KUBERNETES_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}
    ]
    assert not {"envFrom", "command", "ports"} & container.keys()
    assert job["template"]["spec"]["serviceAccountName"] == "reprocess-tidy"
    assert not {"tolerations", "priorityClassName"} & job["template"]["spec"].keys()


@everywhere
def test_ends_that_are_final(overlay):
    """What ended by itself stays ended; where store or cluster did not answer, or a pod was lost, a run goes on."""
    from reprocess import cli_options

    codes = {name: value for name, value in vars(cli_options).items() if name.startswith("EXIT_")}
    ignore, fail = job_of(overlay_of(overlay))["spec"]["podFailurePolicy"]["rules"]
    again = {"EXIT_STORAGE", "EXIT_CLUSTER", "EXIT_INTERRUPTED"}
    assert set(fail["onExitCodes"]["values"]) == {value for name, value in codes.items() if name not in again}
    assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@everywhere
def test_settings(overlay):
    """The settings of pods are settings of this program, and the target can be read."""
    documents = overlay_of(overlay)
    data = one(documents, "ConfigMap", "reprocess-settings")["data"]
    assert data["REPROCESS_ARCHIVE"].startswith("s3://")
    settings.load({**data, "REPROCESS_SETTINGS": "", "HOME": "/nowhere"}, {})
    assert data.keys() - PLAIN <= {
        f"REPROCESS_{group}_{name}".upper()
        for group, kind in settings.Settings.__annotations__.items()
        for name in getattr(settings, kind).__annotations__
    }
    text = one(documents, "ConfigMap", "reprocess-target")["data"]["target.toml"]
    target.read_target(text, name="target.toml")


@everywhere
def test_environment(overlay):
    """Driver and workers take the settings, and credentials from a Secret where there is one."""
    documents = overlay_of(overlay)
    specs = [job_of(documents)["spec"]["template"]["spec"]]
    specs += [template["template"]["spec"] for template in every_kind_of(documents, "PodTemplate").values()]
    for spec in specs:
        assert spec["containers"][0]["envFrom"] == [
            {"configMapRef": {"name": "reprocess-settings"}},
            {"secretRef": {"name": "reprocess-s3", "optional": True}},
        ]
        assert spec["enableServiceLinks"] is False


@everywhere
def test_disruption(overlay):
    """No node is emptied under a driver; a driver that is broken anyway stops nobody."""
    budget = one(overlay_of(overlay), "PodDisruptionBudget", "reprocess-driver")["spec"]
    labels = job_of(overlay_of(overlay))["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert budget["minAvailable"] >= 100
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
