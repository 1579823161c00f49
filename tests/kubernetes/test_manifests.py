"""Everything that is shipped, as a real server takes it."""

from __future__ import annotations

import pytest
import yaml

from tests.kubernetes.bench import fitting, kubectl
from tests.manifests import rendering


@rendering.everywhere
def test_dry_run(shared_bench, overlay):
    """The server accepts every document of every overlay."""
    text = yaml.safe_dump_all(fitting(rendering.overlay_of(overlay)))

    told = kubectl("apply", "--dry-run=server", "-f", "-", text=text)

    assert told.count("(server dry run)") == len(list(yaml.safe_load_all(text)))


DRIVER = "system:serviceaccount:reprocess:reprocess-driver"
WORKER = "system:serviceaccount:reprocess:reprocess-worker"
TIDY = "system:serviceaccount:reprocess:reprocess-tidy"
OPERATOR = "system:serviceaccount:reprocess:reprocess-operator"


@pytest.mark.parametrize(
    ("who", "what", "allowed"),
    [
        (DRIVER, ["create", "deployments"], True),
        (DRIVER, ["patch", "deployments", "--subresource=scale"], True),
        (DRIVER, ["create", "secrets"], True),
        (DRIVER, ["list", "secrets"], False),
        (DRIVER, ["create", "pods"], False),
        (DRIVER, ["delete", "pods"], False),
        (DRIVER, ["create", "jobs"], False),
        (DRIVER, ["get", "nodes"], False),
        (TIDY, ["delete", "deployments"], True),
        (TIDY, ["create", "deployments"], False),
        (TIDY, ["get", "secrets"], False),
        (WORKER, ["get", "pods"], False),
        (WORKER, ["get", "secrets"], False),
        (OPERATOR, ["create", "jobs"], True),
        (OPERATOR, ["get", "pods", "--subresource=log"], True),
        (OPERATOR, ["get", "secrets"], False),
        (OPERATOR, ["create", "deployments"], False),
        (OPERATOR, ["create", "pods", "--subresource=exec"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value).rpartition(":")[2],
)
def test_roles(shared_bench, who, what, allowed):
    """The server permits each service account what it needs, and nothing more."""
    told = shared_bench.kubectl("auth", "can-i", *what, "--as", who, check=False)

    assert told.startswith("yes") == allowed, told
