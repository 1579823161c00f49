"""What the service accounts may do: these verbs, in one namespace, and no others."""

from __future__ import annotations

from reprocess.execution.kubernetes import api
from reprocess.execution.kubernetes.run_cluster import RunCluster, find_run, tidy
from tests.execution.kubernetes.toy_cluster import JOB, prepared
from tests.manifests.conftest import NAMESPACE
from tests.manifests.rendering import every_kind_of, everywhere, needs_kubectl, overlay_of

pytestmark = needs_kubectl

ALLOWED = {
    "reprocess-driver": {
        ("apps", "deployments"): {"get", "list", "create", "delete"},
        ("apps", "deployments/scale"): {"patch"},
        ("", "services"): {"get", "create", "delete"},
        ("", "secrets"): {"get", "create", "delete"},
        ("", "pods"): {"list", "patch"},
        ("", "podtemplates"): {"get"},
        ("batch", "jobs"): {"get"},
    },
    "reprocess-tidy": {
        ("apps", "deployments"): {"list", "delete"},
        ("batch", "jobs"): {"get"},
    },
    "reprocess-operator": {
        ("batch", "cronjobs"): {"get"},
        ("batch", "jobs"): {"create", "get", "list", "delete"},
        ("", "pods"): {"get", "list"},
        ("", "pods/log"): {"get"},
        ("", "events"): {"list"},
    },
}
WORKERS = {"app.kubernetes.io/name": "reprocess", "app.kubernetes.io/component": "worker"}
FORWARD = {("", "pods/portforward"): {"create"}}


def verbs_of(role):
    """What a Role allows, by group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def called(toys):
    """The verbs that were called, by resource."""
    found: dict[str, set[str]] = {}
    for verb, resource, name in toys.calls:
        found.setdefault(f"{resource}/scale" if name.endswith("/scale") else resource, set()).add(verb)
    return found


@everywhere
def test_verbs(overlay):
    """Each Role allows what the table says and nothing more."""
    roles = every_kind_of(overlay_of(overlay), "Role")
    assert {name: verbs_of(role) for name, role in roles.items()} == ALLOWED


def test_what_a_run_calls():
    """A driver calls what its Role allows, and whatever the Role allows is called."""
    toys = prepared()
    toys.calls.clear()
    for _ in range(2):  # the second driver of a run finds what the first one has made
        run = RunCluster(toys, find_run(toys, JOB), 2)
        run.make("10.0.0.1")
    run.scale(0, 3)
    run.mark({"w": "7"})
    run.pods()
    run.deployments()
    run.remove()

    assert called(toys) == {resource: verbs for (_, resource), verbs in ALLOWED["reprocess-driver"].items()}


def test_what_tidying_calls():
    """Who tidies calls what its Role allows, and whatever the Role allows is called."""
    toys = prepared()
    toys.create(api.DEPLOYMENTS, {"metadata": {"name": "old", "labels": {**WORKERS, "reprocess/run": "gone"}}})
    toys.calls.clear()
    assert tidy(toys) == ("old",)
    assert called(toys) == {resource: verbs for (_, resource), verbs in ALLOWED["reprocess-tidy"].items()}


@everywhere
def test_one_namespace(overlay):
    """Nothing is allowed in the whole cluster."""
    kinds = {document["kind"] for document in overlay_of(overlay)}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding"}


@everywhere
def test_bindings(overlay):
    """Each Role is bound to the account of its name, operators also to their group, and workers to nothing."""
    documents = overlay_of(overlay)
    accounts = every_kind_of(documents, "ServiceAccount")
    assert accounts.keys() == ALLOWED.keys() | {"reprocess-worker"}
    for name, binding in every_kind_of(documents, "RoleBinding").items():
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        account, *groups = binding["subjects"]
        assert account == {"kind": "ServiceAccount", "name": name, "namespace": accounts[name]["metadata"]["namespace"]}
        assert [group["name"] for group in groups] == (["reprocess-operators"] if name == "reprocess-operator" else [])


def test_another_namespace(with_components):
    """In another namespace all bindings name the accounts there; the component adds one verb."""
    for binding in every_kind_of(with_components, "RoleBinding").values():
        assert binding["metadata"]["namespace"] == NAMESPACE
        assert {each.get("namespace", NAMESPACE) for each in binding["subjects"]} == {NAMESPACE}
    roles = every_kind_of(with_components, "Role")
    assert {name: verbs_of(role) for name, role in roles.items()} == {**ALLOWED, "reprocess-port-forward": FORWARD}


@everywhere
def test_tokens(overlay):
    """Only drivers and who tidies have a token for the API server."""
    documents = overlay_of(overlay)
    accounts = every_kind_of(documents, "ServiceAccount")
    without = {name for name, each in accounts.items() if each.get("automountServiceAccountToken") is False}
    assert without == {"reprocess-worker", "reprocess-operator"}
    for template in every_kind_of(documents, "PodTemplate").values():
        assert template["template"]["spec"]["automountServiceAccountToken"] is False
