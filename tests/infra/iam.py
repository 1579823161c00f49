"""Whether a request is allowed: identity policies and the policy of the resource together, as IAM decides it.

Known is what the templates use: Allow and Deny, wildcards, conditions, and principals that are accounts, roles or
services. Everything else (NotPrincipal, policy variables, operators that are not named here) raises, because a policy
that is misread is worse than one that is not read.

The rules: an explicit Deny wins. Within one account an Allow in either policy is enough; from another account both
must allow. A policy of a resource that names the account as a whole leaves it to the identity's policies, and the
policy of a key (`needs_both`) must do at least that much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Policy = Mapping[str, Any]
Decision = Literal["allowed", "denied", "forbidden"]
"""``denied``: nothing allows it. ``forbidden``: a Deny says no, whatever allows it."""


@dataclass(frozen=True)
class Request:
    """What is asked: one action on one resource, by whom, and the facts that conditions look at.

    `principal` is the ARN of a role, or the name of a service.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The account that asks; empty for a service."""
        return self.principal.split(":")[4] if self.principal.startswith("arn:") else ""

    def fact(self, key: str) -> str | None:
        """What the request says of a condition key, whose case does not matter; None if it says nothing."""
        known = {name.lower(): value for name, value in self.context.items()}
        if self.account:
            known.setdefault("aws:principalarn", self.principal)
            known.setdefault("aws:principalaccount", self.account)
        return known.get(key.lower())


def decide(
    request: Request,
    identity: Iterable[Policy],
    resource: Policy | None = None,
    *,
    owner: str = "",
    needs_both: bool = False,
) -> Decision:
    """Decide a request.

    Parameters
    ----------
    identity : iterable of policy
        Those of the principal.
    resource : policy, optional
        That of the resource.
    owner : str
        The account that owns the resource; empty for that of the principal.
    needs_both : bool
        Whether the resource's policy must let the account in even within it, as that of a key must.
    """
    own = [each for policy in identity for each in _statements(policy) if _applies(each, request)]
    theirs = [
        (each, to) for each in _statements(resource or {}) if (to := _whom(each, request)) and _applies(each, request)
    ]
    if any(each["Effect"] == "Deny" for each in own) or any(each["Effect"] == "Deny" for each, _ in theirs):
        return "forbidden"
    by_identity = any(each["Effect"] == "Allow" for each in own)
    named = any(each["Effect"] == "Allow" and to == "it" for each, to in theirs)
    let_in = named or any(each["Effect"] == "Allow" for each, _ in theirs)
    if needs_both or (owner and request.account != owner):
        # From another account, and for a key, the owner's policy lets in and the identity's own policy allows.
        within = named and (not owner or request.account == owner)
        return "allowed" if within or (let_in and by_identity) or (let_in and not request.account) else "denied"
    return "allowed" if by_identity or named else "denied"


def covers(action: str, resource: str, request: Request) -> bool:
    """Whether a request is one that an action and a resource of a policy speak of, whatever the conditions."""
    return _like(action, request.action, fold=True) and _same_resource(resource, request.resource)


def _statements(policy: Policy) -> Sequence[Mapping[str, Any]]:
    found = listed(policy.get("Statement", []))
    for each in found:
        odd = set(each) - {"Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "Condition"}
        if odd or each["Effect"] not in ("Allow", "Deny"):
            raise NotImplementedError(f"a statement with {sorted(odd) or each['Effect']}")
    return found


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    if "NotAction" in statement:
        acts = not any(_like(one, request.action, fold=True) for one in listed(statement["NotAction"]))
    else:
        acts = any(_like(one, request.action, fold=True) for one in listed(statement["Action"]))
    return (
        acts
        and any(_same_resource(one, request.resource) for one in listed(statement["Resource"]))
        and all(
            _holds(operator, key, listed(values), request.fact(key))
            for operator, block in statement.get("Condition", {}).items()
            for key, values in block.items()
        )
    )


def _whom(statement: Mapping[str, Any], request: Request) -> Literal["it", "its account", ""]:
    """Whether the statement of a resource's policy means the principal itself, or its account as a whole."""
    principal = statement["Principal"]
    if principal == "*":
        return "it"
    found: Literal["it", "its account", ""] = ""
    for kind, names in principal.items():
        if kind not in ("AWS", "Service"):
            raise NotImplementedError(f"a principal of the kind {kind}")
        for name in listed(names):
            if name in ("*", request.principal):
                return "it"
            if kind == "AWS" and request.account and _is_account(name, request.account):
                # A Deny for an account means everybody in it.
                found = "it" if statement["Effect"] == "Deny" else "its account"
    return found


def _is_account(name: str, account: str) -> bool:
    return name == account or bool(re.fullmatch(rf"arn:[^:]+:iam::{account}:root", name))


def _holds(operator: str, key: str, values: Sequence[str], fact: str | None) -> bool:
    """Whether one condition holds; of several values one is enough, and with a negated operator none may match."""
    for value in values:
        if "${" in value:
            raise NotImplementedError(f"the policy variable {value}")
    plain = operator.removesuffix("IfExists")
    if plain == "Null":
        return any((value.lower() == "true") == (fact is None) for value in values)
    negated = plain in _NEGATED
    if fact is None:
        return negated or operator != plain
    test = _TESTS[_NEGATED.get(plain, plain)]
    return any(test(value, fact) for value in values) != negated


_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


def _same_resource(pattern: str, resource: str) -> bool:
    """Compare resources part by part: a wildcard in one part of an ARN does not reach into the next."""
    if pattern == "*":
        return True
    parts, those = pattern.split(":", 5), resource.split(":", 5)
    return len(parts) == len(those) and all(_like(one, other) for one, other in zip(parts, those, strict=True))


def _like(pattern: str, text: str, *, fold: bool = False) -> bool:
    return bool(_compiled(pattern, fold).fullmatch(text))


@cache
def _compiled(pattern: str, fold: bool) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    found = "".join(words.get(sign) or re.escape(sign) for sign in pattern)
    return re.compile(found, re.DOTALL | (re.IGNORECASE if fold else 0))


def listed(value: Any) -> Sequence[Any]:
    """Return what may be one value or a list of them as a list."""
    return value if isinstance(value, list | tuple) else [value]


_TESTS = {
    "StringEquals": lambda value, fact: value == fact,
    "StringLike": _like,
    "ArnEquals": _same_resource,
    "ArnLike": _same_resource,
    "Bool": lambda value, fact: value.lower() == fact.lower(),
    "NumericLessThan": lambda value, fact: float(fact) < float(value),
}
