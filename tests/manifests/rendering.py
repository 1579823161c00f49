"""What kustomize makes of each overlay, as documents."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("local", "s3", "aws")
GUIDE = ROOT / "docs" / "kubernetes.md"
COMPONENTS = ("monitoring", "port-forward")

LEAST_KUSTOMIZE = 5
"""Of kubectl 1.27; before, components and labels were not what they are."""


def kustomize() -> int:
    """Give the major version of kustomize that kubectl has; 0 if there is none."""
    if shutil.which("kubectl") is None:
        return 0
    command = ["kubectl", "version", "--client", "--output=json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    version = json.loads(told or "{}").get("kustomizeVersion", "v0")
    return int(version.removeprefix("v").partition(".")[0])


needs_kubectl = pytest.mark.skipif(
    kustomize() < LEAST_KUSTOMIZE, reason="kubectl 1.27 or newer is not there, so no manifest is rendered or checked"
)
everywhere = pytest.mark.parametrize("overlay", OVERLAYS)


@functools.cache
def rendered(directory: Path) -> tuple[Document, ...]:
    """Render a directory with a kustomization, offline."""
    told = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return tuple(yaml.safe_load_all(told.stdout))


def overlay_of(name: str) -> tuple[Document, ...]:
    """Render an overlay as it is shipped."""
    return rendered(ROOT / "k8s" / "overlays" / name)


def every_kind_of(documents: tuple[Document, ...], kind: str) -> dict[str, Document]:
    """Give the documents of a kind by their names."""
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def one(documents: tuple[Document, ...], kind: str, name: str) -> Document:
    """Give the one document of a kind and a name."""
    return every_kind_of(documents, kind)[name]
