"""Who may speak to whom, told from the meaning of the policies."""

from __future__ import annotations

import pytest

from reprocess.execution.kubernetes import manifests
from tests.manifests.conftest import NAMESPACE
from tests.manifests.network import Host, Pod, Service, passes, passes_service
from tests.manifests.rendering import every_kind_of, everywhere, needs_kubectl, one, overlay_of

pytestmark = needs_kubectl

OURS = {"app.kubernetes.io/name": "reprocess"}
DRIVER = Pod({**OURS, "app.kubernetes.io/component": "driver"}, address="10.1.2.4")
WORKER = Pod({**OURS, "app.kubernetes.io/component": "worker"}, address="10.1.2.5")
OTHER_DRIVER = Pod({**OURS, "app.kubernetes.io/component": "driver"}, address="10.1.2.11")
TIDY = Pod({**OURS, "app.kubernetes.io/component": "tidy"}, address="10.1.2.12")
OTHER_WORKER = Pod({**OURS, "app.kubernetes.io/component": "worker"}, address="10.1.2.6")
STRANGER = Pod({"app": "other"}, address="10.1.2.7")
NEIGHBOUR = Pod({"app": "other"}, namespace="other", address="10.1.2.8")
PROMETHEUS = Pod({"app": "prometheus"}, namespace="monitoring", address="10.1.2.9")
DNS = Pod({"k8s-app": "kube-dns"}, namespace="kube-system", address="10.1.2.10")
API = Host("10.0.0.1")
API_SERVICE = Service("10.96.0.1", 443, 6443, namespace="default")
DNS_SERVICE = Service("10.96.0.10", 53, 53, {"k8s-app": "kube-dns"}, namespace="kube-system")
WEB = Host("203.0.113.9")
METADATA = Host("169.254.169.254")
METADATA_6 = Host("fd00:ec2::254")
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
    ("drivers do not read it at the API server's ports", DRIVER, METADATA, 443, "TCP", False),
    ("nor at its other address", DRIVER, METADATA_6, 443, "TCP", False),
    ("drivers do not reach other drivers", DRIVER, OTHER_DRIVER, 8786, "TCP", False),
    ("drivers do not reach other pods", DRIVER, STRANGER, 8080, "TCP", False),
    ("drivers do not reach others by name service ports", DRIVER, NEIGHBOUR, 53, "UDP", False),
    ("drivers speak no plain HTTP to the world", DRIVER, WEB, 80, "TCP", False),
    ("drivers do not reach the kubelets", DRIVER, API, 10250, "TCP", False),
    ("the API server may be anywhere, as far as is known here", DRIVER, WEB, 443, "TCP", True),
    ("who tidies reaches the API server", TIDY, API, 6443, "TCP", True),
    ("who tidies resolves names", TIDY, DNS, 53, "UDP", True),
    ("who tidies reaches no driver", TIDY, DRIVER, 8786, "TCP", False),
    ("who tidies reaches no worker", TIDY, WORKER, 40123, "TCP", False),
    ("who tidies does not read the machine's metadata", TIDY, METADATA, 80, "TCP", False),
    ("who tidies gets no credentials", TIDY, IDENTITY, 80, "TCP", False),
    ("who tidies speaks no plain HTTP to the world", TIDY, WEB, 80, "TCP", False),
    ("nobody reaches who tidies", DRIVER, TIDY, 40123, "TCP", False),
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


plugins = pytest.mark.parametrize("sees_pods", [True, False], ids=["sees the pod", "sees the Service"])


def scheduler() -> Service:
    """The Service that a run makes for its scheduler."""
    spec = manifests.service(manifests.Run("reprocess", "a-run", "uid", {}))["spec"]
    (port,) = spec["ports"]
    return Service("10.96.7.7", port["port"], port["targetPort"], {**spec["selector"]})


@everywhere
@plugins
def test_services(overlay, sees_pods):
    """Whether a plugin looks before or behind the address of a Service: the same is reached, and the same is not."""
    policies = policies_of(overlay)

    def reaches(source, service, behind):
        return passes_service(policies, source, service, behind, sees_pods=sees_pods)

    assert reaches(WORKER, scheduler(), DRIVER)
    assert not reaches(STRANGER, scheduler(), DRIVER)
    assert not reaches(TIDY, scheduler(), DRIVER)
    assert reaches(DRIVER, API_SERVICE, API)
    assert reaches(TIDY, API_SERVICE, API)
    assert not reaches(WORKER, API_SERVICE, API)
    for pod in (DRIVER, WORKER, TIDY):
        assert reaches(pod, DNS_SERVICE, DNS)


def test_the_scheduler_is_in_the_driver():
    """The Service of a scheduler selects the driver of its run by labels that the driver bears."""
    job = manifests.driver_job(one(overlay_of("s3"), "CronJob", manifests.SWEEP), [], name="a-run")
    labels = {**job["spec"]["template"]["metadata"]["labels"], "job-name": "a-run"}  # which the cluster adds
    assert scheduler().labels.items() <= labels.items()


@pytest.mark.parametrize("overlay", STORES)
def test_who_tidies_has_no_store(overlay):
    """What deletes workers is not among those whom a policy lets to the store or to credentials."""
    store, port = STORES[overlay]
    policies = [each for each in policies_of(overlay) if each["metadata"]["name"] != "reprocess-api"]
    assert not passes(policies, TIDY, store, port, "TCP")


@plugins
def test_narrowed_as_in_the_guide(as_in_the_guide, sees_pods):
    """With the patch of the guide drivers reach API server and store at TLS's port, and who tidies the first alone."""
    policies = every_kind_of(as_in_the_guide, "NetworkPolicy").values()
    store, port = STORES["s3"]
    for pod in (DRIVER, TIDY):
        assert passes_service(policies, pod, API_SERVICE, API, sees_pods=sees_pods)
        assert not passes(policies, pod, WEB, 443, "TCP")
        assert not passes(policies, pod, WEB, 6443, "TCP")
        assert not passes(policies, pod, STRANGER, 443, "TCP")
    assert passes(policies, DRIVER, store, port, "TCP")
    assert not passes(policies, TIDY, store, port, "TCP")


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
    tidy = one(documents, "CronJob", "reprocess-tidy")["spec"]["jobTemplate"]["spec"]["template"]
    assert TIDY.labels.items() <= tidy["metadata"]["labels"].items()
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

    @pytest.mark.parametrize(
        ("selector", "sees_pods", "expected"),
        [
            ({**OURS, "app.kubernetes.io/component": "driver", "more": "x"}, False, True),
            ({"app.kubernetes.io/component": "driver"}, False, False),
            ({"app.kubernetes.io/component": "driver"}, True, True),
        ],
    )
    def test_a_plugin_that_sees_the_service(self, selector, sees_pods, expected):
        """It knows the Service by its selector, which must have all labels that the policy names."""
        peer = {"podSelector": {"matchLabels": dict(DRIVER.labels)}}
        rule = {"to": [peer], "ports": [{"port": 8786, "protocol": "TCP"}]}
        policy = {
            "metadata": {"namespace": "reprocess"},
            "spec": {"podSelector": {"matchLabels": dict(WORKER.labels)}, "policyTypes": ["Egress"], "egress": [rule]},
        }
        service = Service("10.96.7.7", 80, 8786, selector)
        assert passes_service([policy], WORKER, service, DRIVER, sees_pods=sees_pods) is expected

    @pytest.mark.parametrize(("sees_pods", "port"), [(True, 6443), (False, 443)])
    def test_blocks_and_services(self, sees_pods, port):
        """For a block of addresses it is the address and the port that the plugin sees."""
        address = {True: API.address, False: API_SERVICE.address}[sees_pods]

        def allowing(port):
            ports = [{"port": port, "protocol": "TCP"}]
            rule = {"to": [{"ipBlock": {"cidr": f"{address}/32"}}], "ports": ports}
            spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
            return {"metadata": {"namespace": "reprocess"}, "spec": spec}

        assert passes_service([allowing(port)], DRIVER, API_SERVICE, API, sees_pods=sees_pods)
        assert not passes_service([allowing(443 + 6443 - port)], DRIVER, API_SERVICE, API, sees_pods=sees_pods)

    def test_expressions(self):
        """A list of values chooses whoever has one of them."""
        expression = {"key": "app.kubernetes.io/component", "operator": "In", "values": ["driver", "tidy"]}
        spec = {"podSelector": {"matchExpressions": [expression]}, "policyTypes": ["Egress"]}
        policy = {"metadata": {"namespace": "reprocess"}, "spec": spec}
        assert not passes([policy], TIDY, WEB, 80, "TCP")
        assert passes([policy], WORKER, WEB, 80, "TCP")
