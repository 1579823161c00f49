"""Overlays of users: another namespace, the components, and what the guide has them add."""

import re
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendering import COMPONENTS, GUIDE, ROOT, Document, rendered

NAMESPACE = "elsewhere"
HEADER = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


@pytest.fixture(scope="session")
def with_components(tmp_path_factory) -> tuple[Document, ...]:
    """The generic overlay with everything optional, in another namespace."""
    directory = tmp_path_factory.mktemp("overlay")
    root = way_to(ROOT / "k8s", directory)
    kustomization = {
        "namespace": NAMESPACE,
        "resources": [str(root / "overlays" / "s3")],
        "components": [str(root / "components" / name) for name in COMPONENTS],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(HEADER | kustomization))
    return rendered(directory.resolve())


@pytest.fixture(scope="session")
def as_in_the_guide(tmp_path_factory) -> tuple[Document, ...]:
    """The generic overlay with every patch that the guide shows."""
    directory = tmp_path_factory.mktemp("overlay")
    kustomization = {"resources": [str(way_to(ROOT / "k8s", directory) / "overlays" / "s3")], "patches": []}
    for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE):
        document = yaml.safe_load(block)
        if "kind" in document:
            (directory / f"{document['kind']}.yaml").write_text(block)
            kustomization["patches"].append({"path": f"{document['kind']}.yaml"})
        kustomization["patches"] += [each for each in document.get("patches", []) if "path" not in each]
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(HEADER | kustomization))
    return rendered(directory.resolve())


def way_to(path: Path, directory: Path) -> Path:
    """A path as seen from a directory: kustomize takes no absolute ones."""
    return Path("/".join([".."] * (len(directory.parts) - 1))) / path.relative_to("/")
