"""Who may speak to whom, told from the meaning of the policies."""

from __future__ import annotations

import pytest

from tests.manifests.conftest import NAMESPACE
from tests.manifests.network import Host, Pod, passes
from tests.manifests.rendering import every_kind_of, needs_kubectl, overlay_of

pytestmark = needs_kubectl

OURS = {"app.kubernetes.io/name": "reprocess"}
DRIVER = Pod({**OURS, "app.kubernetes.io/component": "driver"}, address="10.1.2.4")
WORKER = Pod({**OURS, "app.kubernetes.io/component": "worker"}, address="10.1.2.5")
OTHER_WORKER = Pod({**OURS, "app.kubernetes.io/component": "worker"}, address="10.1.2.6")
STRANGER = Pod({"app": "other"}, address="10.1.2.7")
NEIGHBOUR = Pod({"app": "other"}, namespace="other", address="10.1.2.8")
PROMETHEUS = Pod({"app": "prometheus"}, namespace="monitoring", address="10.1.2.9")
DNS = Pod({"k8s-app": "kube-dns"}, namespace="kube-system", address="10.1.2.10")
API = Host("10.0.0.1")
WEB = Host("203.0.113.9")
METADATA = Host("169.254.169.254")
IDENTITY = Host("169.254.170.23")
STORES = {"aws": (Host("52.216.1.2"), 443), "s3": (Host("192.0.2.7"), 443), "local": (Host("198.18.0.1"), 9000)}


def policies_of(overlay):
    return every_kind_of(overlay_of(overlay), "NetworkPolicy").values()


ALWAYS = [
    ("a worker reaches its scheduler", WORKER, DRIVER, 8786, "TCP", True),
    ("the scheduler reaches workers", DRIVER, WORKER, 40123, "TCP", True),
    ("workers resolve names", WORKER, DNS, 53, "UDP", True),
    ("drivers resolve names", DRIVER, DNS, 53, "TCP", True),
    ("the driver reaches the API server", DRIVER, API, 6443, "TCP", True),
    ("the driver reaches the API server of EKS", DRIVER, API, 443, "TCP", True),
    ("a worker reaches nothing else of the driver", WORKER, DRIVER, 9090, "TCP", False),
    ("workers do not reach each other", WORKER, OTHER_WORKER, 40123, "TCP", False),
    ("workers do not reach the API server", WORKER, API, 6443, "TCP", False),
    ("workers do not read the machine's metadata", WORKER, METADATA, 80, "TCP", False),
    ("drivers do not read the machine's metadata", DRIVER, METADATA, 80, "TCP", False),
    ("workers do not reach others by name service ports", WORKER, NEIGHBOUR, 53, "UDP", False),
    ("workers do not reach other pods", WORKER, STRANGER, 8080, "TCP", False),
    ("workers speak no plain HTTP to the world", WORKER, WEB, 80, "TCP", False),
    ("other pods do not reach the scheduler", STRANGER, DRIVER, 8786, "TCP", False),
    ("other namespaces do not reach the scheduler", NEIGHBOUR, DRIVER, 8786, "TCP", False),
    ("other namespaces do not reach workers", NEIGHBOUR, WORKER, 40123, "TCP", False),
    ("the world does not reach workers", WEB, WORKER, 40123, "TCP", False),
    ("nobody asks for metrics unless the component is there", PROMETHEUS, DRIVER, 9090, "TCP", False),
]


@pytest.mark.parametrize("overlay", STORES)
@pytest.mark.parametrize(
    ("rule", "source", "destination", "port", "protocol", "expected"), ALWAYS, ids=lambda x: str(x)[:40]
)
def test_everywhere(overlay, rule, source, destination, port, protocol, expected):
    """In every overlay, who must be reached is reached, and nobody else."""
    assert passes(policies_of(overlay), source, destination, port, protocol) is expected, rule


@pytest.mark.parametrize("overlay", STORES)
@pytest.mark.parametrize("pod", [DRIVER, WORKER], ids=["driver", "worker"])
def test_store(overlay, pod):
    """Drivers and workers reach the store of their overlay."""
    store, port = STORES[overlay]
    assert passes(policies_of(overlay), pod, store, port, "TCP")


def test_no_store_but_the_named_one():
    """With a store of one's own, workers do not reach the rest of the world."""
    assert not passes(policies_of("s3"), WORKER, WEB, 443, "TCP")
    assert not passes(policies_of("local"), WORKER, WEB, 443, "TCP")


def test_private_addresses_of_a_cloud():
    """On AWS workers reach public addresses, where S3 is, and none inside the network: no API server, no database."""
    policies = policies_of("aws")
    for address in ("10.0.0.1", "172.20.0.1", "192.168.3.4", "100.64.0.1"):
        assert not passes(policies, WORKER, Host(address), 443, "TCP")


def test_identity():
    """The agent that hands out credentials is reached on AWS, and nowhere else."""
    assert passes(policies_of("aws"), WORKER, IDENTITY, 80, "TCP")
    assert passes(policies_of("aws"), DRIVER, IDENTITY, 80, "TCP")
    assert not passes(policies_of("s3"), WORKER, IDENTITY, 80, "TCP")


def test_metrics(with_components):
    """With the component Prometheus reaches the metrics of drivers, in any namespace, and nothing else."""
    policies = every_kind_of(with_components, "NetworkPolicy").values()
    driver, worker = (Pod(pod.labels, NAMESPACE, pod.address) for pod in (DRIVER, WORKER))
    assert passes(policies, PROMETHEUS, driver, 9090, "TCP")
    assert not passes(policies, PROMETHEUS, driver, 8786, "TCP")
    assert not passes(policies, PROMETHEUS, worker, 9090, "TCP")
    assert not passes(policies, NEIGHBOUR, driver, 9090, "TCP")
    assert passes(policies, worker, driver, 8786, "TCP")


def test_pods_of_the_manifests_are_the_pods_of_these_rules():
    """Drivers and workers bear the labels by which policies know them."""
    documents = overlay_of("s3")
    sweep = every_kind_of(documents, "CronJob")["reprocess-sweep"]["spec"]["jobTemplate"]["spec"]["template"]
    assert DRIVER.labels.items() <= sweep["metadata"]["labels"].items()
    for template in every_kind_of(documents, "PodTemplate").values():
        assert WORKER.labels.items() <= template["template"]["metadata"]["labels"].items()


class TestMeaning:
    """The rules by which the policies are read here."""

    def test_nothing_selected(self):
        """Without a policy everything passes."""
        assert passes([], WORKER, WEB, 80, "TCP")

    def test_both_ends(self):
        """What may leave must also be let in."""
        policy = {
            "metadata": {"namespace": "reprocess"},
            "spec": {"podSelector": {"matchLabels": dict(DRIVER.labels)}, "policyTypes": ["Ingress"]},
        }
        assert not passes([policy], WORKER, DRIVER, 8786, "TCP")
        assert passes([policy], DRIVER, WORKER, 8786, "TCP")

    def test_policies_add_up(self):
        """What one policy allows no other one forbids."""
        deny = {"metadata": {"namespace": "reprocess"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
        block = {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}}
        allow = {
            "metadata": {"namespace": "reprocess"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [block]}]},
        }
        assert passes([deny, allow], WORKER, WEB, 80, "TCP")
        assert not passes([deny, allow], WORKER, Host("203.0.113.200"), 80, "TCP")
