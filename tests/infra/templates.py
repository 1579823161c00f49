"""The templates as CloudFormation would carry them out: parsed, with functions and conditions worked out.

Only what the templates use is known; anything else raises, so that nothing is taken for granted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[2] / "infra"
STACKS = ("buckets", "network", "cluster", "roles", "watch")
ACCOUNT, REGION = "111122223333", "eu-central-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "cluster": {"AdminArn": f"arn:aws:iam::{ACCOUNT}:role/admin", "ApiCidrs": ["192.0.2.0/24"]},
    "roles": {"OperatorArns": [f"arn:aws:iam::{ACCOUNT}:role/people"]},
    "watch": {"Mail": "people@example.org"},
}
"""Parameters without a default."""

NOTHING = object()
_NAMED = re.compile(r"\$\{([^}!]+)\}")


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of functions, and without what CloudFormation does not take."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        assert not self.check_event(yaml.AliasEvent), "CloudFormation takes no aliases"
        return super().compose_node(parent, index)


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _function)


@dataclass(frozen=True)
class Stack:
    """One stack: its parameters as they are, and what `Ref` and `GetAtt` of its resources give, made up."""

    name: str
    template: Mapping[str, Any]
    parameters: Mapping[str, Any]

    def resources(self, kind: str = "") -> dict[str, dict[str, Any]]:
        """Resources that are made, by their names in the template, worked out; perhaps of one type only."""
        return {
            name: self.work_out({key: value for key, value in body.items() if key != "Condition"})
            for name, body in self.template["Resources"].items()
            if (not kind or body["Type"] == kind) and self._holds(body.get("Condition"))
        }

    def work_out(self, value: Any) -> Any:
        """Work out the functions in a value."""
        if isinstance(value, list):
            return [each for one in value if (each := self.work_out(one)) is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._call(name.removeprefix("Fn::"), argument)
        found = {key: self.work_out(one) for key, one in value.items()}
        return {key: one for key, one in found.items() if one is not NOTHING}

    def _call(self, name: str, argument: Any) -> Any:
        match name, argument:
            case "Ref", _:
                return self._ref(argument)
            case "GetAtt", [resource, attribute]:
                return self._attribute(resource, attribute)
            case "Sub", str():
                return self._substitute(argument, {})
            case "Sub", [text, names]:
                return self._substitute(text, self.work_out(names))
            case "If", [condition, then, other]:
                return self.work_out(then if self._holds(condition) else other)
            case "Join", [separator, parts]:
                return separator.join(self.work_out(parts))
            case "Split", [separator, text]:
                return self.work_out(text).split(separator)
            case "Select", [index, parts]:
                return self.work_out(parts)[int(index)]
            case "Equals", [one, other]:
                return self.work_out(one) == self.work_out(other)
            case "Not", [one]:
                return not self.work_out(one)
            case "ImportValue", _:
                return exports(self.parameters["Project"])[self.work_out(argument)]
            case "GetAZs", _:
                return [f"{REGION}a", f"{REGION}b"]
            case "Cidr", [block, count, _]:
                return [f"{self.work_out(block)}#{number}" for number in range(count)]
        raise NotImplementedError(f"Fn::{name} of {argument}")

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NOTHING
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return self.parameters[name]
        body = self.template["Resources"][name]
        named = [body.get("Properties", {}).get(key) for key in ("BucketName", "Name", "RoleName")]
        if body["Type"] in ("AWS::S3::Bucket", "AWS::EKS::Cluster", "AWS::IAM::Role") and any(named):
            return self.work_out(next(filter(None, named)))
        return _arn(self.name, name) if body["Type"] in _ARNS else f"{self.name}-{name}"

    def _attribute(self, resource: str, attribute: str) -> str:
        kind = self.template["Resources"][resource]["Type"]
        if attribute == "Arn" and kind == "AWS::S3::Bucket":
            return f"arn:aws:s3:::{self._ref(resource)}"
        if attribute == "Arn" and kind == "AWS::IAM::Role":
            return f"arn:aws:iam::{ACCOUNT}:role/{self._ref(resource)}"
        return _arn(self.name, resource) if attribute == "Arn" else f"{resource}.{attribute}"

    def _substitute(self, text: str, names: Mapping[str, str]) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name in names:
                return names[name]
            return str(self._attribute(*name.split(".", 1)) if "." in name else self._ref(name))

        return _NAMED.sub(replace, text)

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self.work_out(self.template["Conditions"][condition]))


_ARNS = ("AWS::IAM::ManagedPolicy", "AWS::SNS::Topic")


def _arn(stack: str, resource: str) -> str:
    return f"arn:aws:made-up:{REGION}:{ACCOUNT}:{stack}/{resource}"


@cache
def _parsed(name: str) -> Mapping[str, Any]:
    with open(DIRECTORY / f"{name}.yaml") as file:
        found: Mapping[str, Any] = yaml.load(file, _Loader)
    return found


def stack(name: str, **parameters: Any) -> Stack:
    """Read a stack, with parameters other than its defaults."""
    template = _parsed(name)
    known = dict(GIVEN.get(name, {})) | parameters
    for key, one in template.get("Parameters", {}).items():
        value = known.get(key, one.get("Default"))
        assert value is not None, f"{name} needs the parameter {key}"
        known[key] = value.split(",") if one["Type"] == "CommaDelimitedList" and isinstance(value, str) else value
    return Stack(name, template, known)


@cache
def exports(project: str = "reprocess") -> Mapping[str, str]:
    """What the stacks of a project export, by name."""
    found: dict[str, str] = {}
    for each in (stack(name, Project=project) for name in STACKS):
        for one in each.template.get("Outputs", {}).values():
            if "Export" in one:
                found[each.work_out(one["Export"]["Name"])] = each.work_out(one["Value"])
    return found
