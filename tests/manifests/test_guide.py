"""What the guide tells people to type is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib

import click
import pytest
import yaml

from reprocess.cli import main
from reprocess.execution.kubernetes import submission
from reprocess.settings import Settings
from tests.manifests import rendering
from tests.manifests.network import Pod, passes
from tests.manifests.rendering import ROOT, every_kind_of, everywhere, needs_kubectl, one, overlay_of, rendered
from tests.manifests.test_roles import ALLOWED, FORWARD

GUIDE = rendering.GUIDE.read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
YAML = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
LOGS = ("REPROCESS_LOG_FORMAT", "DASK_LOGGING__DISTRIBUTED")
MADE_BY_THE_READER = "k8s/overlays/mine"
KUBECTL = re.compile(r"\bkubectl (?:--namespace \S+ )?(?!version)([a-z-]+)((?: [^|`#\n]*)?)")


def test_commands():
    """Each command of the program that the guide names is one."""
    named = set(re.findall(r"(?:^|[`$] ?)reprocess ([a-z]+)", GUIDE, re.MULTILINE))
    assert {"init", "scan", "plan", "submit"} <= named
    assert named <= main.commands.keys()


def options_of(name: str) -> set[str]:
    """What a command of the program may be given."""
    command = main.get_command(click.Context(main), name)
    assert command is not None, name
    return {option for parameter in command.params for option in parameter.opts}


def test_options():
    """Each option that the guide gives to a command of the program is one of it."""
    lines = re.findall(r"^reprocess (\w+)(.*)$", re.sub(r" +#.*", "", "\n".join(BLOCKS)), re.MULTILINE)
    for name, rest in lines:
        assert set(re.findall(r"--[a-z-]+", rest)) <= options_of(name), name


def test_numbers():
    """Numbers that the guide tells of the program are the program's."""
    assert f"--workers {Settings().cluster.most_workers} " in GUIDE
    assert submission.START_S == 600
    assert "no driver has started after ten minutes" in GUIDE


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
    if verb == "kustomize":
        return set()
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
    blocks = re.sub(r"'[^']*'", "''", re.sub(r" +#.*", "", "\n".join(BLOCKS)))  # arguments may have several lines
    programs = set(re.findall(r"(?:^|[|;] *\n? *)([a-z][\w./-]*)", blocks, re.MULTILINE))
    assert programs == {
        "kubectl",
        "reprocess",
        "docker",
        "debootstrap",
        "image/build",
        "skopeo",
        "cp",
        "grep",
        "kind",
        "set",
        "unset",
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
def test_plan_inside_the_cluster():
    """What the guide says to leave out and to change in that Job is there, and a plan is asked for as it can be."""
    (patch,) = re.findall(r"kubectl patch --local .*?--patch='(.*?)'", GUIDE, re.DOTALL)
    assert [each["path"].rpartition("/")[2] for each in json.loads(patch)] == ["secretRef", "args"]
    (args,) = (json.loads(each) for each in re.findall(r'`(\["plan".*?\])`', GUIDE))
    assert {each for each in args if each.startswith("--")} <= options_of("plan")
    shipped = one(overlay_of("s3"), "CronJob", "reprocess-sweep")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert args[args.index("--target") + 1] in shipped["containers"][0]["args"]
    assert args[1] == "$(REPROCESS_ARCHIVE)"


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_settings_at_the_desk(shell, tmp_path):
    """What the guide has the desk read are the settings of the pods, but for how they log."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not there")
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    shutil.copytree(ROOT / "k8s" / "overlays" / "s3", tmp_path / MADE_BY_THE_READER)
    (line,) = [line for block in BLOCKS for line in block.splitlines() if line.startswith("set -a; ")]
    environment = {"PATH": os.environ["PATH"]}
    command = [shell, "-c", f"{line}\nenv"]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    found = dict(each.split("=", 1) for each in told.splitlines())
    files = [tmp_path / "k8s" / "base" / "settings.env", tmp_path / MADE_BY_THE_READER / "settings.env"]
    lines = [each for path in files for each in path.read_text().splitlines() if each and not each.startswith("#")]
    pods = dict(each.split("=", 1) for each in lines)
    kept = {name: value for name, value in pods.items() if name not in LOGS}
    assert {name: found.get(name) for name in pods} == {**dict.fromkeys(LOGS), **kept}


@needs_kubectl
def test_a_store_inside_the_cluster(tmp_path):
    """What the guide shows for a store in the cluster takes the place of `spec` in the shipped file, and renders."""
    (shown,) = [each for each in YAML if each.startswith("spec:")]
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    place = tmp_path / "k8s" / "overlays" / "s3"
    shipped = (place / "s3.yaml").read_text()
    (place / "s3.yaml").write_text(shipped.partition("spec:\n")[0] + shown)
    policy = one(rendered(place), "NetworkPolicy", "reprocess-s3")
    before = one(overlay_of("s3"), "NetworkPolicy", "reprocess-s3")
    assert policy["spec"].keys() == before["spec"].keys()
    assert {**policy["spec"], "egress": None} == {**before["spec"], "egress": None}
    (rule,) = policy["spec"]["egress"]
    assert rule.keys() == before["spec"]["egress"][0].keys()
    gateway = Pod({"app": "rook-ceph-rgw", "more": "x"}, namespace="rook-ceph")
    elsewhere = Pod({"app": "rook-ceph-rgw"}, namespace="other")
    driver = Pod({"app.kubernetes.io/name": "reprocess", "app.kubernetes.io/component": "driver"})
    assert passes([policy], driver, gateway, 8080, "TCP")
    assert not passes([policy], driver, gateway, 80, "TCP")
    assert not passes([policy], driver, elsewhere, 8080, "TCP")


@everywhere
@needs_kubectl
def test_apply_leaves_the_sweep_suspended(overlay):
    """No manifest says whether the sweep is suspended, so that what the guide has people say lasts."""
    assert "suspend" not in one(overlay_of(overlay), "CronJob", "reprocess-sweep")["spec"]


def test_the_sweep_waits():
    """The sweep is suspended where it is made, before there is an archive, and let go on after the first campaign."""
    typed = "\n".join(BLOCKS)
    steps = [
        "apply -k k8s/overlays/mine\n",
        '"suspend": true',
        "reprocess init ",
        "reprocess submit ",
        '"suspend": false',
    ]
    places = [typed.index(each) for each in steps]
    assert places == sorted(places)


def test_what_is_installed():
    """The program is installed from the checkout, with packages of the versions that it is tested with."""
    (line,) = re.findall(r"`([^`]*pip install [^`]*)`", GUIDE)
    (extra,) = re.findall(r"'\.\[(\w+)\]'", line)
    assert extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (constraints,) = re.findall(r"--constraint (\S+)", line)
    assert (ROOT / constraints).exists()


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
