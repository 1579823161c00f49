"""The page that leads through AWS: what it types is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import click
import pytest
import yaml

from infra import cost
from reprocess import cli
from reprocess.settings import Settings
from tests.infra import templates
from tests.infra.accounts import account

ROOT = templates.DIRECTORY.parent
PAGE = (ROOT / "docs" / "aws.md").read_text()
BLOCKS = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
OPERATOR = "export AWS_PROFILE=operator"
"""From here on the page is an operator's."""
STACK = re.compile(r"^stack (\w+)(.*)$", re.MULTILINE)


def parameters(name):
    return templates.stack(name).template["Parameters"]


def test_stacks():
    """Every stack is made, after those whose exports it imports."""
    order = [match[1] for match in STACK.finditer(BLOCKS)]
    assert order == list(templates.STACKS)
    made = set()
    for name in order:
        text = (templates.DIRECTORY / f"{name}.yaml").read_text()
        assert set(re.findall(r'ImportValue": !Sub "\$\{Project\}-([a-z-]+)"', text)) <= made, name
        made |= set(re.findall(r'Export: \{ Name: !Sub "\$\{Project\}-([a-z-]+)"', text))


def test_zones_first():
    """Which zones EKS refuses is told before the network is made: it cannot change them once a cluster is in it."""
    described = templates.stack("network").template["Parameters"]["Zones"]["Description"]
    before = PAGE.partition("\nstack network\n")[0]
    refused = set(re.findall(r"\b[a-z]+\d-az\d\b", described))
    assert refused
    assert "describe-availability-zones" in before
    assert set(re.findall(r"`([a-z]+\d-az\d)`", before)) == refused
    assert "stack network --parameter-overrides Zones=" in before


@pytest.mark.parametrize("name", templates.STACKS)
def test_parameters(name):
    """Parameters that are given exist, and those without a default are given; roles are made with consent."""
    (line,) = [match[2] for match in STACK.finditer(BLOCKS) if match[1] == name]
    given = set(re.findall(r"\b([A-Z]\w+)=", line))
    assert given <= set(parameters(name))
    assert given >= {key for key, body in parameters(name).items() if "Default" not in body}
    roles = templates.stack(name).resources("AWS::IAM::Role").values()
    named = any("RoleName" in body["Properties"] for body in roles)
    wanted = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if roles else ""
    assert (re.findall(r"CAPABILITY_\w+", line) or [""]) == [wanted]


def test_outputs():
    """Outputs that are asked for are there."""
    asked = re.findall(r"\boutput (\w+) (\w+)\)", BLOCKS)
    assert asked
    assert all(key in templates.stack(name).template["Outputs"] for name, key in asked)


def test_commands():
    """Every command of the programme that is typed exists, with the options that it is given."""
    lines = re.findall(r"^reprocess (\w+)(.*)$", re.sub(r" #.*", "", BLOCKS), flags=re.MULTILINE)
    assert {"init", "scan", "plan", "submit", "report", "status", "subscribe"} <= {name for name, _ in lines}
    for name, rest in lines:
        command = cli.main.get_command(click.Context(cli.main), name)
        assert command is not None, name
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)


def test_neighbours():
    """Pages and headings that are linked to are there."""
    for path, heading in re.findall(r"\]\(([\w./]+\.md)#?([\w-]*)\)", PAGE):
        found = (ROOT / "docs" / path).resolve()
        assert found.exists(), path
        titles = re.findall(r"^#+ (.*)$", found.read_text(), flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, (path, heading, anchors)


def variables(path):
    """The variables of a file of settings."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    """Type what the page says of the namespace, in a copy of the manifests; `kubectl` only says what it is given."""
    place = tmp_path_factory.mktemp("typed")
    shutil.copytree(ROOT / "k8s", place / "k8s")
    (block,) = re.findall(r"^## 5\..*?^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    names = "ARCHIVE=s3://bucket/archive AWS_REGION=eu-central-1 REPOSITORY=registry/reprocess EDITOR=true\n"
    said = 'kubectl() { echo "kubectl $*"; }\n'
    command = ["bash", "-eu", "-c", names + said + block]
    told = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    return place / "k8s", told.stdout.splitlines()


@pytest.fixture(scope="module")
def environment(namespace):
    """The settings of pods that come of it, merged as kustomize does."""
    manifests, _ = namespace
    mine = manifests / "overlays" / "mine"
    generators = yaml.safe_load((mine / "kustomization.yaml").read_text())["configMapGenerator"]
    (files,) = [each["envs"] for each in generators if each["name"] == "reprocess-settings"]
    given = [variables(mine / name) for name in files]
    own = {key: value for each in given for key, value in each.items()}
    assert len(own) == sum(map(len, given)), "kustomize refuses a name that two files give"
    return variables(manifests / "base" / "settings.env") | own


def seated():
    """How many workers sit on one machine of each tier at most: by processors, of which one is the machine's."""
    for body in templates.stack("cluster").resources("AWS::EKS::Nodegroup").values():
        if (tier := body["Properties"]["Labels"].get("reprocess/tier")) is not None:
            kind = body["Properties"]["InstanceTypes"][0]
            assert kind.endswith(".2xlarge")
            memory_gib = {"m": 32, "r": 64}[kind[0]]
            yield min(8 - 1, memory_gib // {"0": 3, "1": 12}[tier])


def test_disks(environment):
    """With the settings that the page leads to, the workers of a machine never fill its disk up to the mark of 85 %.

    There the machine would begin to throw out images, and soon workers.
    """
    pod = yaml.safe_load((ROOT / "k8s" / "worker" / "pod.yaml").read_text())["template"]["spec"]
    (tmp,) = [each["emptyDir"]["sizeLimit"] for each in pod["volumes"] if each["name"] == "tmp"]
    assert tmp.endswith("Gi")
    default = Settings().cache.references_gb
    kept = int(environment.get("REPROCESS_CACHE_REFERENCES_GB", default)) * 1e9 + int(tmp[:-2]) * 2**30
    disk = templates.stack("cluster").parameters["DiskGiB"] * 2**30
    most = max(seated())
    assert most == cost.prices()["machine"]["workers"]
    assert most * kept < 0.85 * disk


def test_own_settings(environment):
    """What the page has the reader put in is what pods get, beside what is shipped."""
    assert environment["REPROCESS_ARCHIVE"] == "s3://bucket/archive"
    assert environment["AWS_REGION"] == "eu-central-1"
    assert environment["REPROCESS_LOG_FORMAT"] == "json"


def test_namespace_first(namespace):
    """The namespace is there before the server is asked about what goes into it."""
    typed = [line for line in namespace[1] if line.startswith("kubectl")]
    assert typed[0].endswith("apply -k k8s/cluster")
    assert [line.split()[-1] for line in typed[1:3]] == ["--dry-run=server", "k8s/overlays/mine"]


def test_the_sweep_waits(namespace):
    """The sweep is suspended where it is made, and let go on after the first campaign."""
    assert [line for line in namespace[1] if "suspend" in line] == namespace[1][-1:]
    steps = ['"suspend": true', "\nreprocess plan ", "\nreprocess submit ", '"suspend": false']
    places = [BLOCKS.index(each) for each in steps]
    assert places == sorted(places)


def test_image(namespace):
    """The image of the overlay is the one that was pushed, and nothing else of it is changed."""
    made, shipped = (namespace[0] / "overlays" / name / "kustomization.yaml" for name in ("mine", "aws"))
    expected = yaml.safe_load(shipped.read_text())
    expected["images"][0]["newName"] = "registry/reprocess"
    assert yaml.safe_load(made.read_text()) == expected
    assert f"docker push $REPOSITORY:{expected['images'][0]['newTag']}\n" in PAGE


def test_settings_at_the_desk(namespace, environment):
    """What the page has the desk read before it plans are the settings of the pods, but for how they log."""
    (line,) = re.findall(r"^set -a; .*$", BLOCKS, flags=re.MULTILINE)
    assert BLOCKS.index(line) < BLOCKS.index("\nreprocess plan ")
    command, path = ["sh", "-c", f"{line}\nenv"], {"PATH": os.environ["PATH"]}
    place = namespace[0].parent
    told = subprocess.run(command, cwd=place, env=path, capture_output=True, text=True, check=True).stdout
    found = dict(each.split("=", 1) for each in told.splitlines())
    logs = {"REPROCESS_LOG_FORMAT", "DASK_LOGGING__DISTRIBUTED"}
    expected = {name: None if name in logs else value for name, value in environment.items()}
    assert {name: found.get(name) for name in environment} == expected


def commands(program, text=PAGE):
    """Each command of a program that a text shows, in blocks and within lines."""
    shown = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(shown).replace("\\\n", " ").splitlines() + re.findall(r"`([^`\n]+)`", text)
    for line in lines:
        for found in re.findall(rf"(?:^|[;|(] ?|do ){program} ([^;|)]*)", re.sub(r" #.*", "", line)):
            yield shlex.split(found.partition(" $(")[0])


def given(words, option):
    """The value of an option, or None."""
    return words[words.index(option) + 1] if option in words else None


NEEDS = {
    "get": [("{}", "get"), ("{}", "list")],
    "logs": [("pods", "get"), ("pods", "list"), ("pods/log", "get")],
    "delete": [("{}", "delete")],
}
"""What rights a command of kubectl needs, of the resource that it names."""


def test_contexts():
    """A command without the administrator's context is one that the Role of operators allows."""
    roles = yaml.safe_load_all((ROOT / "k8s" / "base" / "roles.yaml").read_text())
    (role,) = [each for each in roles if each["kind"] == "Role" and each["metadata"]["name"] == "reprocess-operator"]
    rights = {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    found = [words for words in commands("kubectl") if words]
    assert any(given(words, "--context") == "admin" for words in found)
    theirs = [words for words in found if given(words, "--context") is None]
    assert theirs
    for words in theirs:
        assert words[:2] == ["--namespace", "reprocess"], words
        needed = {(what.format(words[3]), verb) for what, verb in NEEDS[words[2]]}
        assert needed <= rights, words


def test_users():
    """Each context has a user of its own: a second one by the same name would take the first one's place."""
    users = [words for words in commands("aws") if "update-kubeconfig" in words]
    assert [given(words, "--alias") for words in users] == ["admin", "operator"]
    assert [given(words, "--user-alias") for words in users] == ["admin", "operator"]
    assert [given(words, "--profile") for words in users] == ["default", None]


def test_whose_credentials():
    """After the page has become an operator's, what operators may not do names the administrator's profile."""
    cluster = templates.exports()["reprocess-cluster-arn"]
    assert PAGE.count(OPERATOR) == 1
    theirs = [words for words in commands("aws", PAGE.partition(OPERATOR)[2]) if "--profile" not in words]
    assert {tuple(words[:2]) for words in theirs} <= {
        ("eks", "update-kubeconfig"),
        ("s3", "cp"),  # to say that it is refused
        ("sts", "get-caller-identity"),  # allowed to everybody
    }
    assert account().ask("operator", "eks:DescribeCluster", cluster) == "allowed"
    functions = re.findall(r"^\w+\(\) \{ (aws .*)\}$", BLOCKS, flags=re.MULTILINE)
    assert len(functions) == 2
    assert all(each.startswith("aws --profile default ") for each in functions)


def test_machines_for_workers():
    """The autoscaler starts machines for workers: their priority is not below the one that it leaves waiting."""
    options = dict(re.findall(r"--set extraArgs\.([a-z-]+)=(\S+)", BLOCKS))
    cutoff = int(options.get("expendable-pods-priority-cutoff", -10))
    classes = yaml.safe_load_all((ROOT / "k8s" / "cluster" / "priorities.yaml").read_text())
    values = {each["metadata"]["name"]: each["value"] for each in classes}
    pod = yaml.safe_load((ROOT / "k8s" / "worker" / "pod.yaml").read_text())["template"]["spec"]
    assert values[pod["priorityClassName"]] >= cutoff
    assert min(values.values()) >= cutoff


def test_made_again():
    """The import over what stays takes all of the first stack but what the page leaves out: nothing else is gone."""
    resources = templates.stack("buckets").template["Resources"]
    gone = {name for name, body in resources.items() if body.get("DeletionPolicy") != "Retain"}
    assert gone == {"KeyName"}
    assert "delete the alias `KeyName` and all `Outputs`" in PAGE
