"""The account that the templates make: roles with their policies, buckets, the way to them, what is allowed there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from tests.infra import iam, templates
from tests.infra.iam import Decision, Policy, Request

RAW, ARCHIVE, LOG = (f"reprocess-{name}-{templates.ACCOUNT}-{templates.REGION}" for name in ("raw", "archive", "log"))
SAFE = {
    "aws:SecureTransport": "true",
    "s3:TlsVersion": "1.3",
    "kms:ViaService": f"s3.{templates.REGION}.amazonaws.com",
    "s3:ObjectCreationOperation": "true",
}
"""What is true of every request that the programme sends."""

INSIDE = ("worker", "driver", "autoscaler")
"""Roles of pods: they reach S3 through the endpoint of the network, and so need its consent as well."""

STRANGER = "444455556666"
"""Who owns the buckets that are not ours."""

_ALL: Policy = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# What AWS gives an endpoint that has no policy.
_OPEN: Policy = {"Statement": [{**_ALL["Statement"][0], "Principal": "*"}]}


@dataclass(frozen=True)
class Account:
    """All policies of one account, by the role or the bucket that they are of."""

    roles: Mapping[str, tuple[Policy, ...]]
    buckets: Mapping[str, Policy]
    key: str
    key_policy: Policy
    endpoint: Policy
    trusts: Mapping[str, Policy] = field(default_factory=dict)

    def ask(self, role: str, action: str, resource: str, **facts: str | None) -> Decision:
        """Decide what a role asks for.

        `resource` is ``bucket`` or ``bucket/key`` for S3, else an ARN. Facts are condition keys with ``__`` for ``:``
        and ``_`` for ``-``; None takes away what is true of every request.
        """
        context = {**SAFE, **{_key(name): value for name, value in facts.items()}}
        known = {name: value for name, value in context.items() if value is not None}
        arn = resource if resource.startswith("arn:") else f"arn:aws:s3:::{resource}"
        request = Request(f"arn:aws:iam::{templates.ACCOUNT}:role/reprocess-{role}", action, arn, known)
        if action.startswith("kms:"):
            policy = self.key_policy if arn == self.key else None
            return iam.decide(request, self.roles[role], policy, needs_both=True)
        answer = iam.decide(request, self.roles[role], self.buckets.get(resource.partition("/")[0]))
        if answer == "allowed" and role in INSIDE and action.startswith("s3:") and not self.passes(request):
            return "denied"
        return answer

    def passes(self, request: Request) -> bool:
        """Whether the endpoint of the network lets a request to S3 through, whatever else allows it."""
        bucket = request.resource.rpartition(":")[2].partition("/")[0]
        owner = templates.ACCOUNT if bucket in self.buckets else STRANGER
        here = replace(request, context={**request.context, "aws:ResourceAccount": owner})
        return iam.decide(here, [_ALL], self.endpoint, needs_both=True) == "allowed"

    def allows(self, role: str, action: str, resource: str, **facts: str | None) -> bool:
        """Whether a role may do something, encryption included."""
        cipher = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}.get(action)
        asked = [(action, resource)] + ([(cipher, self.key)] if cipher else [])
        return all(self.ask(role, each, what, **facts) == "allowed" for each, what in asked)


def _key(name: str) -> str:
    service, _, rest = name.partition("__")
    return f"{service}:{rest if service == 'aws' else rest.replace('_', '-')}"


@cache
def account() -> Account:
    """The account with every parameter at its default."""
    return made(templates.stack("buckets"), templates.stack("roles"), templates.stack("network"))


def made(buckets: templates.Stack, roles: templates.Stack, network: templates.Stack) -> Account:
    """The account that three stacks make."""
    documents = _managed(roles)
    policies = {
        str(body["Properties"]["RoleName"]).removeprefix("reprocess-"): tuple(
            documents[arn] for arn in body["Properties"]["ManagedPolicyArns"]
        )
        for body in roles.resources("AWS::IAM::Role").values()
    }
    trusts = {
        str(body["Properties"]["RoleName"]).removeprefix("reprocess-"): body["Properties"]["AssumeRolePolicyDocument"]
        for body in roles.resources("AWS::IAM::Role").values()
    }
    key = next(iter(buckets.resources("AWS::KMS::Key").values()))["Properties"]["KeyPolicy"]
    (endpoint,) = network.resources("AWS::EC2::VPCEndpoint").values()
    return Account(
        roles=policies,
        buckets=dict(_bucket_policies(buckets)),
        key=templates.exports()["reprocess-key-arn"],
        key_policy=key,
        endpoint=endpoint["Properties"].get("PolicyDocument", _OPEN),
        trusts=trusts,
    )


def _managed(roles: templates.Stack) -> dict[str, Any]:
    found = roles.resources("AWS::IAM::ManagedPolicy")
    return {roles.work_out({"Ref": name}): body["Properties"]["PolicyDocument"] for name, body in found.items()}


def _bucket_policies(buckets: templates.Stack) -> Iterator[tuple[str, Policy]]:
    for body in buckets.resources("AWS::S3::BucketPolicy").values():
        yield body["Properties"]["Bucket"], body["Properties"]["PolicyDocument"]
