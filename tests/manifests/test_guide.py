"""What the guide tells people to type is there."""

from __future__ import annotations

import re

from reprocess.cli import main
from tests.manifests.rendering import ROOT
from tests.manifests.test_roles import ALLOWED

GUIDE = (ROOT / "docs" / "kubernetes.md").read_text()
MADE_BY_THE_READER = "k8s/overlays/mine"


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


def test_permissions():
    """The table of permissions says what the Roles allow, verb by verb."""
    for account, rights in ALLOWED.items():
        (row,) = [line for line in GUIDE.splitlines() if line.startswith(f"| `{account}`")]
        told = {
            resource: set(verbs.split(", ")) for resource, verbs in re.findall(r"`([a-z/]+)`: ([a-z, ]*[a-z])", row)
        }
        assert told == {resource: verbs for (_, resource), verbs in rights.items()}
