"""The evaluator of policies, on answers that are known from the rules of IAM."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.infra import iam
from tests.infra.iam import Request

ROLE = "arn:aws:iam::111122223333:role/worker"
OTHER = "arn:aws:iam::444455556666:role/worker"
OBJECT = "arn:aws:s3:::bucket/some/key"


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action="s3:GetObject", resource=OBJECT, **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action="s3:GetObject", resource=OBJECT, **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def ask(*statements, action="s3:GetObject", resource=OBJECT, principal=ROLE, bucket=(), owner="", both=False, **facts):
    request = Request(principal, action, resource, {name.replace("__", ":"): value for name, value in facts.items()})
    return iam.decide(request, [policy(*statements)], policy(*bucket), owner=owner, needs_both=both)


class TestMatching:
    @pytest.mark.parametrize(
        ("pattern", "action", "matches"),
        [
            ("s3:GetObject", "s3:GetObject", True),
            ("S3:getobject", "s3:GetObject", True),
            ("s3:Get*", "s3:GetObjectVersion", True),
            ("s3:*", "s3:DeleteBucket", True),
            ("*", "kms:Decrypt", True),
            ("s3:GetObject", "s3:GetObjectVersion", False),
            ("s3:Get?bject", "s3:GetObject", True),
            ("s3:*", "kms:Decrypt", False),
        ],
    )
    def test_actions(self, pattern, action, matches):
        """Actions match whole, without regard to case, with * and ?."""
        assert (ask(allow(pattern), action=action) == "allowed") == matches

    @pytest.mark.parametrize(
        ("pattern", "resource", "matches"),
        [
            ("arn:aws:s3:::bucket/*", OBJECT, True),
            ("arn:aws:s3:::bucket", OBJECT, False),
            ("arn:aws:s3:::bucket/*", "arn:aws:s3:::bucket", False),
            ("arn:aws:s3:::bucket/some/*/key", "arn:aws:s3:::bucket/some/a/b/key", True),
            ("arn:aws:s3:::bucket/SOME/*", OBJECT, False),
            ("arn:aws:s3:::buck*", "arn:aws:s3:::bucket-of-somebody-else/key", True),
            ("arn:aws:sns:*:111122223333:x", "arn:aws:sns:eu-central-1:111122223333:x", True),
            ("arn:aws:sns:*:x", "arn:aws:sns:eu-central-1:111122223333:x", False),
            ("*", OBJECT, True),
            ("arn:aws:s3:::bucket/some.key", OBJECT, False),
        ],
    )
    def test_resources(self, pattern, resource, matches):
        """Resources match whole and with case; * passes slashes, and not the colons between the parts of an ARN."""
        assert (ask(allow(resource=pattern), resource=resource) == "allowed") == matches

    def test_all_but_some_actions(self):
        """NotAction means every action but those."""
        found = {"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": "*"}
        assert ask(found) == "allowed"
        assert ask(found, action="s3:DeleteObject") == "denied"


class TestPrecedence:
    def test_nothing_is_allowed_by_itself(self):
        """Without an Allow everything is denied."""
        assert ask() == "denied"

    def test_deny_wins(self):
        """A Deny wins over every Allow, in whichever policy and order they stand."""
        assert ask(allow(), deny()) == "forbidden"
        assert ask(deny("s3:*"), allow(), bucket=[allow(Principal="*")]) == "forbidden"
        assert ask(allow(), bucket=[deny(Principal="*")]) == "forbidden"

    def test_within_an_account(self):
        """Within one account either policy is enough."""
        assert ask(bucket=[allow(Principal={"AWS": ROLE})]) == "allowed"
        assert ask(allow()) == "allowed"

    def test_between_accounts(self):
        """From another account both policies must allow, whether the owner names the role or the account."""
        for name in (OTHER, "arn:aws:iam::444455556666:root", "444455556666"):
            theirs = {"principal": OTHER, "owner": "111122223333", "bucket": [allow(Principal={"AWS": name})]}
            assert ask(**theirs) == "denied"
            assert ask(allow(), **theirs) == "allowed"
        assert ask(allow(), principal=OTHER, owner="111122223333") == "denied"

    def test_the_account_as_a_whole(self):
        """A policy of a resource that names the account leaves it to the policies of its identities."""
        whole = allow(Principal={"AWS": "arn:aws:iam::111122223333:root"})
        assert ask(bucket=[whole]) == "denied"
        assert ask(bucket=[whole], both=True) == "denied"
        assert ask(allow(), bucket=[whole], both=True) == "allowed"
        assert ask(allow(), both=True) == "denied"
        assert ask(allow(), bucket=[deny(Principal={"AWS": "111122223333"})]) == "forbidden"

    def test_services(self):
        """A service is let in by the resource's policy alone, and is nobody's account."""
        named = allow(Principal={"Service": ["a.amazonaws.com", "b.amazonaws.com"]})
        assert ask(principal="b.amazonaws.com", bucket=[named]) == "allowed"
        assert ask(principal="c.amazonaws.com", bucket=[named]) == "denied"

    @given(st.lists(st.sampled_from(["s3:*", "s3:Get*", "s3:PutObject", "kms:*"])), st.booleans())
    def test_more_statements(self, actions, in_bucket):
        """One more Deny never lets in, and one more Allow never shuts out."""
        before = ask(*map(allow, actions))
        if in_bucket:
            fewer = ask(*map(allow, actions), bucket=[deny("s3:Get*", Principal="*")])
            more = ask(*map(allow, actions), bucket=[allow("s3:Get*", Principal="*")])
        else:
            fewer, more = ask(*map(allow, actions), deny("s3:Get*")), ask(*map(allow, actions), allow("s3:Get*"))
        assert fewer == "forbidden"
        assert more == "allowed"
        assert before in ("allowed", "denied")


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "fact", "holds"),
        [
            ({"StringEquals": {"s3:prefix": ["a", "b"]}}, "b", True),
            ({"StringEquals": {"s3:prefix": "a"}}, "A", False),
            ({"StringEquals": {"s3:prefix": "a*"}}, "ab", False),
            ({"StringLike": {"s3:prefix": ["x", "a/*"]}}, "a/b", True),
            ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, "b", False),
            ({"StringNotEquals": {"s3:prefix": ["a", "b"]}}, "c", True),
            ({"StringNotLike": {"s3:prefix": "a/*"}}, "a/b", False),
            ({"Bool": {"s3:prefix": "false"}}, "False", True),
            ({"NumericLessThan": {"s3:prefix": "1.2"}}, "1.1", True),
            ({"NumericLessThan": {"s3:prefix": "1.2"}}, "1.2", False),
            ({"Null": {"s3:prefix": "true"}}, "a", False),
            ({"Null": {"s3:prefix": "false"}}, "a", True),
            ({"StringEquals": {"S3:Prefix": "a"}}, "a", True),
        ],
    )
    def test_operators(self, condition, fact, holds):
        """One of several values is enough; with a negated operator none may match; names of keys have no case."""
        assert (ask(allow(Condition=condition), s3__prefix=fact) == "allowed") == holds

    @pytest.mark.parametrize(
        ("condition", "holds"),
        [
            ({"StringEquals": {"s3:prefix": "a"}}, False),
            ({"StringEqualsIfExists": {"s3:prefix": "a"}}, True),
            ({"StringNotEquals": {"s3:prefix": "a"}}, True),
            ({"StringNotLike": {"s3:prefix": "*"}}, True),
            ({"Bool": {"s3:prefix": "false"}}, False),
            ({"NumericLessThan": {"s3:prefix": "9"}}, False),
            ({"Null": {"s3:prefix": "true"}}, True),
            ({"Null": {"s3:prefix": "false"}}, False),
        ],
    )
    def test_a_fact_that_is_missing(self, condition, holds):
        """A condition on what the request does not say fails, but for negated ones, IfExists, and Null."""
        assert (ask(allow(Condition=condition)) == "allowed") == holds

    def test_all_conditions(self):
        """Every operator and every key has to hold."""
        both = {"StringEquals": {"s3:prefix": "a", "aws:x": "b"}, "Bool": {"aws:y": "true"}}
        assert ask(allow(Condition=both), s3__prefix="a", aws__x="b", aws__y="true") == "allowed"
        assert ask(allow(Condition=both), s3__prefix="a", aws__x="b", aws__y="false") == "denied"
        assert ask(allow(Condition=both), s3__prefix="a", aws__y="true") == "denied"

    def test_who_asks(self):
        """The ARN of the principal is a fact of every request of a role, and of none of a service."""
        others = deny(Principal="*", Condition={"ArnNotEquals": {"aws:PrincipalArn": ROLE}})
        assert ask(allow(), bucket=[others]) == "allowed"
        assert ask(allow(), bucket=[others], principal="arn:aws:iam::111122223333:role/driver") == "forbidden"
        assert ask(bucket=[others, allow(Principal={"Service": "s3.amazonaws.com"})], principal="s3.amazonaws.com") == (
            "forbidden"
        )


@pytest.mark.parametrize(
    "statement",
    [
        allow(NotPrincipal="*"),
        allow(resource="*", NotResource="x"),
        allow(Condition={"IpAddress": {"s3:prefix": "1"}}),
        allow(Condition={"StringEquals": {"s3:prefix": "${aws:username}"}}),
        {"Effect": "Maybe", "Action": "*", "Resource": "*"},
    ],
)
def test_what_is_not_known(statement):
    """What the evaluator does not know is an error, and not an answer."""
    with pytest.raises((NotImplementedError, KeyError)):
        ask(statement, s3__prefix="1")
