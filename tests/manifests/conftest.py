"""An overlay of a user: another namespace, and the components."""

from pathlib import Path

import pytest
import yaml

from tests.manifests.rendering import COMPONENTS, ROOT, Document, rendered

NAMESPACE = "elsewhere"


@pytest.fixture(scope="session")
def with_components(tmp_path_factory) -> tuple[Document, ...]:
    """The generic overlay with everything optional, in another namespace."""
    directory = tmp_path_factory.mktemp("overlay")
    root = Path("/".join([".."] * (len(directory.parts) - 1))) / ROOT.relative_to("/") / "k8s"  # no absolute paths
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": [str(root / "overlays" / "s3")],
        "components": [str(root / "components" / name) for name in COMPONENTS],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return rendered(directory.resolve())
