"""What NetworkPolicies mean: whether a connection passes, by the rules of the networking.k8s.io/v1 API.

A pod that no policy selects for a direction may do anything in it. One that is selected may do what any of the policies
that select it allows. A connection between two pods must be allowed where it leaves and where it arrives.

The address of a Service becomes that of a pod on the way. Where a plugin looks is not said by the API, and differs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]

ANYBODY: Document = {"ipBlock": "any"}
"""What a rule that names no peer allows."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, by what policies see of it."""

    labels: Mapping[str, str]
    namespace: str = "reprocess"
    address: str = "10.1.2.3"


@dataclass(frozen=True, slots=True)
class Host:
    """Anything that is not a pod."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """An address that stands for pods, or for a host."""

    address: str
    port: int
    target: int
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of its `spec.selector`."""
    namespace: str = "reprocess"


def passes(policies: Iterable[Document], source: Pod | Host, destination: Pod | Host, port: int, protocol: str) -> bool:
    """Tell whether a connection is let through."""
    every = list(policies)
    leaves = _allowed(every, source, destination, (port, protocol), direction="Egress")
    arrives = _allowed(every, destination, source, (port, protocol), direction="Ingress")
    return leaves and arrives


def passes_service(
    policies: Iterable[Document], source: Pod, service: Service, behind: Pod | Host, *, sees_pods: bool
) -> bool:
    """Tell whether a connection (TCP) to a Service comes through to what is behind it.

    Parameters
    ----------
    sees_pods : bool
        Whether the plugin looks when the address is that of the pod, as most do. Else it sees the address of the
        Service, and takes it for a peer that has the labels of its selector, as Amazon's does.
    """
    every = list(policies)
    leaves = _allowed(every, source, behind if sees_pods else service, (service.target, "TCP"), direction="Egress")
    arrives = _allowed(every, behind, source, (service.target, "TCP"), direction="Ingress")
    return leaves and arrives


def _allowed(
    policies: list[Document], pod: Pod | Host, peer: Pod | Host | Service, port: tuple[int, str], *, direction: str
) -> bool:
    binding = [policy for policy in policies if isinstance(pod, Pod) and _binds(policy, pod, direction)]
    side, peers = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[direction]
    rules = [(rule, policy) for policy in binding for rule in policy["spec"].get(side, [])]
    return not binding or any(
        _port_fits(rule.get("ports", []), _port_seen(each, peer, port)) and _peer_fits(each, peer, policy)
        for rule, policy in rules
        for each in rule.get(peers) or [ANYBODY]
    )


def _port_seen(peer: Document, other: Pod | Host | Service, port: tuple[int, str]) -> tuple[int, str]:
    """Blocks of addresses know nothing of pods behind a Service: with one of them its own port counts."""
    return (other.port, port[1]) if isinstance(other, Service) and "ipBlock" in peer else port


def _binds(policy: Document, pod: Pod, direction: str) -> bool:
    here = policy["metadata"]["namespace"] == pod.namespace
    return here and direction in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], pod.labels)


def _selects(selector: Document, labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions), "no other expression is understood here"
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def _port_fits(ports: list[Document], port: tuple[int, str]) -> bool:
    return not ports or port in [(each["port"], each["protocol"]) for each in ports]


def _peer_fits(peer: Document, other: Pod | Host | Service, policy: Document) -> bool:
    if peer == ANYBODY:
        return True
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], other.address)
    if isinstance(other, Host):
        return False
    if "namespaceSelector" in peer:
        there = _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace})
    else:
        there = other.namespace == policy["metadata"]["namespace"]
    return there and _selects(peer.get("podSelector", {}), other.labels)


def _in_block(block: Document, address: str) -> bool:
    here = ipaddress.ip_address(address)

    def holds(network: str) -> bool:
        return here in ipaddress.ip_network(network)

    return holds(block["cidr"]) and not any(holds(each) for each in block.get("except", []))
