"""The page that leads through AWS: what it types is there."""

from __future__ import annotations

import re

import click
import pytest

from reprocess import cli
from tests.infra import templates

PAGE = (templates.DIRECTORY.parent / "docs" / "aws.md").read_text()
BLOCKS = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
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
        found = (templates.DIRECTORY.parent / "docs" / path).resolve()
        assert found.exists(), path
        titles = re.findall(r"^#+ (.*)$", found.read_text(), flags=re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, (path, heading, anchors)
