"""Everything that is shipped fits the schemas of current versions of Kubernetes, and has no field unknown to them."""

from __future__ import annotations

import pytest

from tests.manifests.rendering import OVERLAYS, Document, needs_kubectl, overlay_of

validation = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not there: no schema is checked")
pytestmark = needs_kubectl

VERSIONS = ("1.31", "1.33", "1.35", "1.36", "1.37")
FOREIGN = {"PodMonitor"}
"""Kinds of the operator of Prometheus, which no schema of Kubernetes describes."""


def check(documents: tuple[Document, ...], version: str) -> None:
    for document in documents:
        if document["kind"] not in FOREIGN:
            validation.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays(overlay, version):
    """Each overlay fits."""
    check(overlay_of(overlay), version)


@pytest.mark.parametrize("version", VERSIONS)
def test_components(with_components, version):
    """So does what is optional."""
    check(with_components, version)


def test_faults_are_seen():
    """A field that does not exist is refused: the check is strict."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "x"},
        "spec": {"minAvailible": 1},
    }
    with pytest.raises(validation.ValidationError):
        validation.validate(budget, VERSIONS[-1], strict=True)
