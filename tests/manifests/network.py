"""What NetworkPolicies mean: whether a connection passes, by the rules of the networking.k8s.io/v1 API.

A pod that no policy selects for a direction may do anything in it. One that is selected may do what any of the policies
that select it allows. A connection between two pods must be allowed where it leaves and where it arrives.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = dict[str, Any]


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


def passes(policies: Iterable[Document], source: Pod | Host, destination: Pod | Host, port: int, protocol: str) -> bool:
    """Tell whether a connection is let through."""
    every = list(policies)
    leaves = _allowed(every, source, destination, (port, protocol), direction="Egress")
    arrives = _allowed(every, destination, source, (port, protocol), direction="Ingress")
    return leaves and arrives


def _allowed(
    policies: list[Document], pod: Pod | Host, peer: Pod | Host, port: tuple[int, str], *, direction: str
) -> bool:
    binding = [policy for policy in policies if isinstance(pod, Pod) and _binds(policy, pod, direction)]
    side, peers = {"Egress": ("egress", "to"), "Ingress": ("ingress", "from")}[direction]
    rules = [(rule, policy) for policy in binding for rule in policy["spec"].get(side, [])]
    return not binding or any(
        _port_fits(rule.get("ports", []), port)
        and (not rule.get(peers) or any(_peer_fits(each, peer, policy) for each in rule[peers]))
        for rule, policy in rules
    )


def _binds(policy: Document, pod: Pod, direction: str) -> bool:
    here = policy["metadata"]["namespace"] == pod.namespace
    return here and direction in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], pod.labels)


def _selects(selector: Document, labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "expressions are not understood here"
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())


def _port_fits(ports: list[Document], port: tuple[int, str]) -> bool:
    return not ports or port in [(each["port"], each["protocol"]) for each in ports]


def _peer_fits(peer: Document, other: Pod | Host, policy: Document) -> bool:
    if "ipBlock" in peer:
        return _in_block(peer["ipBlock"], other.address)
    if not isinstance(other, Pod):
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
