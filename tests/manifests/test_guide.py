"""What the guide tells people to type is there."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml

from reprocess.cli import main
from tests.manifests import rendering
from tests.manifests.rendering import ROOT, every_kind_of, needs_kubectl, one, overlay_of
from tests.manifests.test_roles import ALLOWED, FORWARD

GUIDE = rendering.GUIDE.read_text()
MADE_BY_THE_READER = "k8s/overlays/mine"
KUBECTL = re.compile(r"\bkubectl (?:--namespace \S+ )?(?!version)([a-z-]+)((?: [^|`#\n]*)?)")


def test_commands():
    """Each command of the program that the guide names is one."""
    named = set(re.findall(r"(?:^|[`$] ?)reprocess ([a-z]+)", GUIDE, re.MULTILINE))
    assert {"init", "scan", "plan", "submit"} <= named
    assert named <= main.commands.keys()


def test_paths():
    """Each file and directory of this repository that the guide names is there."""
    named = set(re.findall(r"\b(?:k8s|image|infra|docs)/[\w./-]*\w", GUIDE))
    named |= {f"k8s/{path}" for path in re.findall(r"\bcomponents/[\w./-]*\w", GUIDE)}
    named |= {f"docs/{path}" for path in re.findall(r"\]\(([\w.]+\.md)\)", GUIDE)}
    missing = {path for path in named if not (ROOT / path).exists() and not path.startswith(MADE_BY_THE_READER)}
    assert not missing


def needs(verb: str, words: list[str]) -> set[tuple[str, str]]:
    """What a command of kubectl asks of the cluster: resources and verbs."""
    plain = [word for word in words if not word.startswith("-")]
    kinds = [f"{kind.removesuffix('s')}s" for kind in plain[0].partition("/")[0].split(",")] if plain else []
    if verb == "create" and kinds == ["jobs"]:
        return {("cronjobs", "get"), ("jobs", "create")}
    if verb == "create" and "--filename" in words:
        return {("jobs", "create")}
    if verb in ("create", "delete", "patch"):
        return set() if "--local" in words else {(kind, verb) for kind in kinds}
    if verb == "get":
        return {(kind, "list") for kind in kinds}
    if verb == "describe":
        return {("events", "list"), *((kind, "list" if "--selector" in words else "get") for kind in kinds)}
    if verb == "logs":
        return {("pods/log", "get"), ("pods", "list"), *({("jobs", "get")} if "jobs" in kinds else ())}
    if verb == "port-forward":
        return {("pods/portforward", "create"), ("pods", "list"), ("jobs", "get")}
    if verb == "auth":
        return {("users", "impersonate")} if "--as" in words else set()
    return {("everything", verb)}


def test_operators_commands():
    """What the guide has operators type to the cluster is in their Role; what is not, it says whose it is."""
    rights = {resource: verbs for (_, resource), verbs in (ALLOWED["reprocess-operator"] | FORWARD).items()}
    seen = []
    for section in GUIDE.split("\n## "):
        whose = re.search(r"work of the (\w+)'s owner|, as the (\w+)'s owner", section)
        for line in section.splitlines():
            for verb, rest in KUBECTL.findall(line):
                allowed = all(right in rights.get(resource, ()) for resource, right in needs(verb, rest.split()))
                assert allowed or whose or "owner" in line, line
                seen.append(verb)
    assert {"apply", "create", "patch", "get", "describe", "logs", "delete", "auth"} <= set(seen)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("get jobs,deployments", {("jobs", "list"), ("deployments", "list")}),
        ("patch cronjob x --patch y", {("cronjobs", "patch")}),
        ("auth can-i --list --as somebody", {("users", "impersonate")}),
        ("delete job x", {("jobs", "delete")}),
        ("create secret generic x", {("secrets", "create")}),
        ("apply -k here", {("everything", "apply")}),
    ],
)
def test_what_commands_need(command, expected):
    """Commands are read as the cluster reads them."""
    verb, *words = command.split()
    assert needs(verb, words) == expected


def test_nothing_else_to_install():
    """The guide's commands take no program that it does not name under what is needed."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE))
    blocks = re.sub(r"'[^']*'", "''", re.sub(r" +#.*", "", blocks))  # arguments may have several lines
    programs = set(re.findall(r"(?:^|\| *\n? *)([a-z][\w./-]*)", blocks, re.MULTILINE))
    assert programs == {
        "kubectl",
        "reprocess",
        "docker",
        "debootstrap",
        "image/build",
        "skopeo",
        "cp",
        "export",
        "kind",
    }


@needs_kubectl
def test_init_inside_the_cluster():
    """The Job that makes an archive has an operator's keys, and is otherwise as a driver is."""
    (patch,) = re.findall(r"kubectl patch --local .*?--patch='(.*?)'", GUIDE, re.DOTALL)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "init"},
        "spec": one(overlay_of("s3"), "CronJob", "reprocess-sweep")["spec"]["jobTemplate"]["spec"],
    }
    command = ["kubectl", "patch", "--local", "--filename", "-", "--output=yaml", "--type=json", "--patch", patch]
    told = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=True).stdout
    before = job["spec"]["template"]["spec"]["containers"][0]
    after = yaml.safe_load(told)["spec"]["template"]["spec"]["containers"][0]
    assert after["args"][:2] == ["init", "$(REPROCESS_ARCHIVE)"]
    assert after["envFrom"] == [before["envFrom"][0], {"secretRef": {"name": "reprocess-init"}}]
    changed = {"args", "envFrom"}
    assert {name: after[name] for name in after.keys() - changed} == {
        name: before[name] for name in before.keys() - changed
    }


@needs_kubectl
def test_patches(as_in_the_guide):
    """The patches that the guide shows do what it says of them."""
    sweep = one(as_in_the_guide, "CronJob", "reprocess-sweep")["spec"]
    assert (sweep["schedule"], sweep["timeZone"]) == ("0 22 * * *", "Europe/Berlin")
    for template in every_kind_of(as_in_the_guide, "PodTemplate").values():
        assert template["template"]["spec"]["containers"][0]["envFrom"][1]["secretRef"] == {
            "name": "reprocess-worker-s3",
            "optional": True,
        }
    driver = sweep["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert driver["envFrom"][1]["secretRef"]["name"] == "reprocess-s3"


def test_permissions():
    """The table of permissions says what the Roles allow, verb by verb."""
    for account, rights in ALLOWED.items():
        (row,) = [line for line in GUIDE.splitlines() if line.startswith(f"| `{account}`")]
        told = {
            resource: set(verbs.split(", ")) for resource, verbs in re.findall(r"`([a-z/]+)`: ([a-z, ]*[a-z])", row)
        }
        assert told == {resource: verbs for (_, resource), verbs in rights.items()}
