"""Who may do what: a table of actions, decided by the policies of the templates."""

from __future__ import annotations

import json

import pytest

from tests.infra import accounts, iam, templates
from tests.infra.accounts import ARCHIVE, INSIDE, LOG, RAW, STRANGER, account

ROLES = ("worker", "driver", "operator", "reader", "ingest", "autoscaler")
GET, PUT, DELETE = "s3:GetObject", "s3:PutObject", "s3:DeleteObject"
NEW = {"s3__if_none_match": "*"}
SWAP = {"s3__if_match": '"etag"'}
CIPHER, KEY_ID, CUSTOMER = (
    f"s3__x_amz_server_side_encryption{rest}" for rest in ("", "_aws_kms_key_id", "_customer_algorithm")
)
OUR_KEY = templates.exports()["reprocess-key-arn"]
ANOTHER_KEY = f"arn:aws:kms:{templates.REGION}:{STRANGER}:key/x"
CAMPAIGN = "archive/campaigns/0123456789abcdef"
VERSION = "archive/products/jw01_nrca1/v1-1"

OTHERWISE = [
    {CIPHER: "AES256"},
    {CIPHER: "aws:kms"},
    {CIPHER: "aws:kms:dsse", KEY_ID: OUR_KEY},
    {CIPHER: "aws:kms", KEY_ID: ANOTHER_KEY},
    {KEY_ID: ANOTHER_KEY},
    {CUSTOMER: "AES256"},
]
"""Ways to write what readers could not read: by S3's own key, AWS's, a stranger's, or the writer's."""

# What is asked, of which object, under which condition, and who may. Everybody else may not.
TABLE = [
    (GET, f"{RAW}/jwst/x_uncal.fits", {}, "worker driver operator ingest"),
    (PUT, f"{RAW}/jwst/x_uncal.fits", {}, "ingest"),
    (PUT, f"{RAW}/jwst/x_uncal.fits", NEW, "ingest"),
    (PUT, f"{RAW}/jwst/x_uncal.fits", {CIPHER: "aws:kms", KEY_ID: OUR_KEY}, "ingest"),
    *((PUT, f"{RAW}/jwst/x_uncal.fits", each, "") for each in OTHERWISE),
    (DELETE, f"{RAW}/jwst/x_uncal.fits", {}, ""),
    ("s3:DeleteObjectVersion", f"{RAW}/jwst/x_uncal.fits", {}, ""),
    ("s3:BypassGovernanceRetention", f"{RAW}/jwst/x_uncal.fits", {}, ""),
    ("s3:PutObjectRetention", f"{RAW}/jwst/x_uncal.fits", {}, ""),
    ("s3:PutObjectTagging", f"{RAW}/jwst/x_uncal.fits", {}, ""),
    (GET, f"{ARCHIVE}/archive/archive.toml", {}, "driver operator reader"),
    (PUT, f"{ARCHIVE}/archive/archive.toml", NEW, "operator"),
    (GET, f"{ARCHIVE}/crds/references/jwst/x.fits", {}, "driver operator ingest"),
    (PUT, f"{ARCHIVE}/crds/references/jwst/x.fits", {}, "ingest"),
    (GET, f"{ARCHIVE}/{VERSION}/a_rate.fits", {}, "worker driver operator reader"),
    (PUT, f"{ARCHIVE}/{VERSION}/a_rate.fits", NEW, "worker"),
    (PUT, f"{ARCHIVE}/{VERSION}/a_rate.fits", {}, ""),
    (PUT, f"{ARCHIVE}/{VERSION}/a_rate.fits", SWAP, ""),
    (PUT, f"{ARCHIVE}/{VERSION}/manifest.json", NEW, "worker operator"),
    (PUT, f"{ARCHIVE}/{VERSION}/manifest.json", SWAP, "operator"),
    (PUT, f"{ARCHIVE}/{VERSION}/manifest.json", {}, ""),
    (DELETE, f"{ARCHIVE}/{VERSION}/a_rate.fits", SWAP, "operator"),
    (GET, f"{ARCHIVE}/archive/pointers/jw01_nrca1.json", {}, "worker driver operator reader"),
    (PUT, f"{ARCHIVE}/archive/pointers/jw01_nrca1.json", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/pointers/jw01_nrca1.json", SWAP, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/pointers/jw01_nrca1.json", {}, ""),
    (DELETE, f"{ARCHIVE}/archive/pointers/jw01_nrca1.json", {}, ""),
    (PUT, f"{ARCHIVE}/archive/staging/c/d/facts.npz", {}, "worker"),
    (PUT, f"{ARCHIVE}/archive/staging/c/d/facts.npz", {CIPHER: "aws:kms", KEY_ID: OUR_KEY}, "worker"),
    *((PUT, f"{ARCHIVE}/archive/staging/c/d/facts.npz", each, "") for each in OTHERWISE),
    (DELETE, f"{ARCHIVE}/archive/staging/c/d/facts.npz", {}, "worker operator"),
    (GET, f"{ARCHIVE}/{CAMPAIGN}/plan.json", {}, "driver operator"),
    (PUT, f"{ARCHIVE}/{CAMPAIGN}/plan.json", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/{CAMPAIGN}/outcomes/1-0", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/{CAMPAIGN}/lease.json", SWAP, "driver operator"),
    (PUT, f"{ARCHIVE}/{CAMPAIGN}/differences/jw01_nrca1.json", {}, "worker driver operator"),
    (DELETE, f"{ARCHIVE}/{CAMPAIGN}/outcomes/1-0", {}, ""),
    (PUT, f"{ARCHIVE}/archive/catalogue/current.json", SWAP, "driver operator"),
    (DELETE, f"{ARCHIVE}/archive/catalogue/objects/program=01/a.parquet", {}, "operator"),
    (DELETE, f"{ARCHIVE}/archive/catalogue/current.json", {}, ""),
    (PUT, f"{ARCHIVE}/archive/references/files/abc/x.fits", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/references/prepared/abc/gain.zarr/zarr.json", {}, "worker driver operator"),
    (PUT, f"{ARCHIVE}/archive/references/ready/abc.json", NEW, "worker driver operator"),
    (DELETE, f"{ARCHIVE}/archive/references/claims/x.fits", SWAP, "driver operator"),
    (DELETE, f"{ARCHIVE}/archive/references/files/abc/x.fits", {}, ""),
    (PUT, f"{ARCHIVE}/archive/releases/one.json", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/releases/one.json", {}, ""),
    (DELETE, f"{ARCHIVE}/archive/releases/one.json", {}, ""),
    (PUT, f"{ARCHIVE}/archive/holds/jw01_nrca1.json", NEW, "operator"),
    (DELETE, f"{ARCHIVE}/archive/holds/jw01_nrca1.json", {}, "operator"),
    (PUT, f"{ARCHIVE}/archive/refused/c.json", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/events/2026-11-21/c/1", NEW, "driver operator"),
    (GET, f"{ARCHIVE}/archive/events/2026-11-21/c/1", {}, "driver operator reader"),
    (PUT, f"{ARCHIVE}/archive/sweeps/n.json", NEW, "driver operator"),
    (PUT, f"{ARCHIVE}/archive/subscriptions/n.json", NEW, "driver operator"),
    (DELETE, f"{ARCHIVE}/archive/subscriptions/n.json", {}, "operator"),
    (PUT, f"{ARCHIVE}/something/else", {}, ""),
    (GET, f"{LOG}/inventory/raw/daily/manifest.json", {}, "driver operator"),
    (GET, f"{LOG}/access/raw/line", {}, ""),
    (PUT, f"{LOG}/access/raw/line", {}, ""),
    ("s3:ListBucket", RAW, {}, "worker driver operator ingest"),
    ("s3:ListBucket", ARCHIVE, {}, "worker driver operator ingest"),
    ("s3:ListBucket", ARCHIVE, {"s3__prefix": "archive/pointers/jw01"}, "worker driver operator ingest reader"),
    ("s3:ListBucket", ARCHIVE, {"s3__prefix": "archive/campaigns/"}, "worker driver operator ingest"),
    ("s3:ListBucket", LOG, {"s3__prefix": "inventory/x/"}, "operator"),
    ("s3:ListBucket", LOG, {}, ""),
    ("s3:PutBucketPolicy", RAW, {}, ""),
    ("s3:PutLifecycleConfiguration", ARCHIVE, {}, ""),
    ("s3:DeleteBucket", ARCHIVE, {}, ""),
    ("s3:DeleteObjectVersion", f"{ARCHIVE}/{VERSION}/a_rate.fits", {}, ""),
    ("sns:Publish", f"arn:aws:sns:{templates.REGION}:{templates.ACCOUNT}:reprocess-events", {}, "driver operator"),
    ("sns:Publish", f"arn:aws:sns:{templates.REGION}:{templates.ACCOUNT}:reprocess-alarms", {}, ""),
    ("iam:PassRole", f"arn:aws:iam::{templates.ACCOUNT}:role/reprocess-driver", {}, ""),
    ("sts:AssumeRole", f"arn:aws:iam::{templates.ACCOUNT}:role/reprocess-driver", {}, ""),
    (
        "autoscaling:SetDesiredCapacity",
        f"arn:aws:autoscaling:{templates.REGION}:{templates.ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/eks-a",
        {"aws__ResourceTag/eks:cluster-name": "reprocess"},
        "autoscaler",
    ),
    (
        "autoscaling:SetDesiredCapacity",
        f"arn:aws:autoscaling:{templates.REGION}:{templates.ACCOUNT}:autoScalingGroup:1:autoScalingGroupName/other",
        {"aws__ResourceTag/eks:cluster-name": "somebody-else"},
        "",
    ),
]


@pytest.mark.parametrize(
    ("action", "resource", "facts", "who"),
    TABLE,
    ids=lambda each: each.replace("/", ".") if isinstance(each, str) else "",
)
def test_table(action, resource, facts, who):
    """Exactly those roles may do it that the table names, encryption included."""
    assert {role for role in ROLES if account().allows(role, action, resource, **facts)} == set(who.split())


def test_roles():
    """The table is about every role that there is."""
    assert set(account().roles) == set(ROLES)


class TestEverybody:
    @pytest.mark.parametrize("bucket", [RAW, ARCHIVE, LOG])
    @pytest.mark.parametrize("facts", [{"aws__SecureTransport": "false"}, {"s3__TlsVersion": "1.1"}])
    def test_over_tls_only(self, bucket, facts):
        """Without TLS, or with an old one, nobody gets anything out of a bucket or into it."""
        for role in ROLES:
            for action, resource in ((GET, f"{bucket}/archive/x"), (PUT, f"{bucket}/x"), ("s3:ListBucket", bucket)):
                assert account().ask(role, action, resource, **facts) == "forbidden"

    def test_an_administrator_does_not_write_raw(self):
        """Also who may do everything in the account is refused by the raw bucket, and by what is published."""
        everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        asked = {
            (PUT, f"arn:aws:s3:::{RAW}/x"): "forbidden",
            (DELETE, f"arn:aws:s3:::{RAW}/x"): "forbidden",
            ("s3:DeleteObjectVersion", f"arn:aws:s3:::{RAW}/x"): "forbidden",
            ("s3:BypassGovernanceRetention", f"arn:aws:s3:::{RAW}/x"): "forbidden",
            (GET, f"arn:aws:s3:::{RAW}/x"): "allowed",
            (PUT, f"arn:aws:s3:::{ARCHIVE}/{VERSION}/a_rate.fits"): "forbidden",
            (PUT, f"arn:aws:s3:::{ARCHIVE}/archive/pointers/a.json"): "forbidden",
        }
        for (action, resource), answer in asked.items():
            who = f"arn:aws:iam::{templates.ACCOUNT}:role/admin"
            request = iam.Request(who, action, resource, accounts.SAFE)
            bucket = account().buckets[resource.removeprefix("arn:aws:s3:::").partition("/")[0]]
            assert iam.decide(request, [everything], bucket) == answer, (action, resource)

    @pytest.mark.parametrize("facts", OTHERWISE)
    def test_another_key(self, facts):
        """Nobody writes with a key that readers may not have: the buckets refuse, whatever a role is allowed."""
        for role, path in (("worker", f"{ARCHIVE}/archive/staging/x"), ("ingest", f"{RAW}/x")):
            assert account().allows(role, PUT, path)
            assert account().ask(role, PUT, path, **facts) == "forbidden"

    def test_encryption(self):
        """Roles use the key through S3 (and the driver's events) alone; readers cannot encrypt with it."""
        key = account().key
        for role in ("worker", "driver", "operator", "reader", "ingest"):
            assert account().ask(role, "kms:Decrypt", key) == "allowed"
            assert account().ask(role, "kms:Decrypt", key, kms__ViaService=None) == "denied"
            assert account().ask(role, "kms:ScheduleKeyDeletion", key) == "denied"
        assert account().ask("reader", "kms:GenerateDataKey", key) == "denied"

    def test_nobody_reads_a_stranger(self):
        """No role of ours gets anything from a bucket that is not ours."""
        assert not any(account().allows(role, GET, "somebody-elses/x") for role in ROLES)


WORKER = f"arn:aws:iam::{templates.ACCOUNT}:role/reprocess-worker"
OURS = iam.Request(WORKER, GET, "arn:aws:s3:::their-raw/jwst/x", accounts.SAFE)


def letting_in(who, action, resource):
    """A policy of another account's resource."""
    return {"Statement": {"Effect": "Allow", "Principal": {"AWS": who}, "Action": action, "Resource": resource}}


THEIRS = letting_in(WORKER, GET, "arn:aws:s3:::their-raw/*")


class TestForeignRaw:
    def made(self, **parameters):
        through = {"ForeignRawArns": parameters["ForeignRawArns"]}
        return accounts.made(
            templates.stack("buckets"), templates.stack("roles", **parameters), templates.stack("network", **through)
        )

    def test_both_must_allow(self):
        """A raw bucket of another account is read when the parameter names it and its owner lets the role in."""
        named = self.made(ForeignRawArns="arn:aws:s3:::other-raw,arn:aws:s3:::their-raw").roles["worker"]
        owner = "444455556666"
        assert iam.decide(OURS, named, THEIRS, owner=owner) == "allowed"
        assert iam.decide(OURS, named, None, owner=owner) == "denied"
        assert iam.decide(OURS, account().roles["worker"], THEIRS, owner=owner) == "denied"

    def test_never_written(self):
        """It is read by workers, drivers and operators, and written by nobody."""
        found = self.made(ForeignRawArns="arn:aws:s3:::their-raw")
        for role in ROLES:
            assert (found.ask(role, GET, "their-raw/x") == "allowed") == (role in ("worker", "driver", "operator"))
            for action in (PUT, DELETE):
                assert found.ask(role, action, "their-raw/x") == "denied"

    def test_its_key(self):
        """With the key of such a bucket named, it can be decrypted with, and nothing else."""
        key = "arn:aws:kms:eu-central-1:444455556666:key/theirs"
        found = self.made(ForeignRawArns="arn:aws:s3:::their-raw", ForeignKeyArns=key).roles["worker"]
        theirs = letting_in(templates.ACCOUNT, "kms:*", "*")
        for action, answer in (("kms:Decrypt", "allowed"), ("kms:GenerateDataKey", "denied")):
            request = iam.Request(OURS.principal, action, key, accounts.SAFE)
            assert iam.decide(request, found, theirs, owner="444455556666", needs_both=True) == answer


HERE, THERE = (f"arn:aws:iam::{each}:role/admin" for each in (templates.ACCOUNT, STRANGER))
LAYERS = [f"prod-{templates.REGION}-starport-layer-bucket", f"prod-registry-k8s-io-{templates.REGION}"]


class TestEndpoint:
    """What pods may ask of S3 at all, with whatever keys they have come by."""

    @pytest.mark.parametrize(
        ("action", "resource", "passes"),
        [
            *((action, f"{bucket}/x", True) for bucket in (RAW, ARCHIVE, LOG) for action in (GET, PUT, DELETE)),
            ("s3:ListBucket", ARCHIVE, True),
            (GET, "stpubdata/jwst/public/x", True),
            ("s3:ListBucket", "stpubdata", True),
            (PUT, "stpubdata/jwst/public/x", False),
            (DELETE, "stpubdata/jwst/public/x", False),
            *((GET, f"{bucket}/x", True) for bucket in LAYERS),
            *((PUT, f"{bucket}/x", False) for bucket in LAYERS),
            *(("s3:ListBucket", bucket, False) for bucket in LAYERS),
            (GET, "prod-us-west-2-starport-layer-bucket/x", False),
            (GET, "somebody-elses/x", False),
            (PUT, "somebody-elses/x", False),
            ("s3:ListBucket", "somebody-elses", False),
            ("s3:CreateBucket", "somebody-elses", False),
        ],
    )
    @pytest.mark.parametrize("who", [HERE, THERE])
    def test_table(self, who, action, resource, passes):
        """Buckets of this account; of others those that are named, and layers of images, to be read alone."""
        request = iam.Request(who, action, f"arn:aws:s3:::{resource}", accounts.SAFE)
        assert account().passes(request) == passes

    @pytest.mark.parametrize("given", ["", "arn:aws:s3:::one,arn:aws:s3:::other"])
    def test_named(self, given):
        """The parameter says which buckets of others may be read, each and none else, and may say none."""
        found = accounts.made(
            templates.stack("buckets"), templates.stack("roles"), templates.stack("network", ForeignRawArns=given)
        )
        asked = {name: iam.Request(HERE, GET, f"arn:aws:s3:::{name}/x") for name in ("one", "other", "stpubdata")}
        assert [name for name, request in asked.items() if found.passes(request)] == [
            arn.rpartition(":")[2] for arn in filter(None, given.split(","))
        ]

    def test_a_role_is_not_enough(self):
        """What a pod's role allows in a bucket of others is denied if the endpoint does not know the bucket."""
        roles = templates.stack("roles", ForeignRawArns="arn:aws:s3:::their-raw")
        found = accounts.made(templates.stack("buckets"), roles, templates.stack("network"))
        assert {role for role in ROLES if found.ask(role, GET, "their-raw/x") == "allowed"} == {"operator"}

    def test_who_is_inside(self):
        """Those who pass the endpoint are the roles that pods have."""
        trusted = {
            role
            for role, trust in account().trusts.items()
            if trust["Statement"][0]["Principal"] == {"Service": "pods.eks.amazonaws.com"}
        }
        assert trusted == set(INSIDE)


class TestTrust:
    @pytest.mark.parametrize("role", ["worker", "driver", "autoscaler"])
    def test_pods(self, role):
        """A pod's role is for one service account in one namespace of one cluster."""
        name = {"autoscaler": "cluster-autoscaler"}.get(role, f"reprocess-{role}")
        tags = {
            "aws:RequestTag/eks-cluster-arn": templates.exports()["reprocess-cluster-arn"],
            "aws:RequestTag/kubernetes-namespace": "kube-system" if role == "autoscaler" else "reprocess",
            "aws:RequestTag/kubernetes-service-account": name,
        }
        policy = _for_resource(account().trusts[role])

        def ask(context, principal="pods.eks.amazonaws.com"):
            return iam.decide(iam.Request(principal, "sts:AssumeRole", "role", context), [], policy)

        assert ask(tags) == "allowed"
        assert all(ask(tags | {tag: "another"}) == "denied" for tag in tags)
        assert ask({}) == "denied"
        assert ask(tags, f"arn:aws:iam::{templates.ACCOUNT}:role/admin") == "denied"

    def test_people(self):
        """Operators are those whom the parameter names; readers and deliverers are this account's by default."""
        here = templates.ACCOUNT
        for role, who in {"operator": [f"arn:aws:iam::{here}:role/people"], "reader": here, "ingest": here}.items():
            (statement,) = account().trusts[role]["Statement"]
            assert statement["Principal"] == {"AWS": who}


def _for_resource(trust):
    """A trust policy as the policy of a resource that it is."""
    return {"Statement": [{**each, "Resource": "*"} for each in trust["Statement"]]}


class TestForm:
    def test_no_wildcards(self):
        """Outside of keys no policy of ours names an action or a resource by a wildcard alone."""
        look = ("autoscaling:Describe", "ec2:Describe", "ec2:Get")
        for role, policies in account().roles.items():
            for statement in (each for policy in policies for each in policy["Statement"]):
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                assert not any("*" in action for action in actions), (role, statement)
                if statement["Resource"] == "*":
                    assert all(action.startswith(look) for action in actions), (role, statement)

    def test_size(self):
        """Every managed policy is within the 6,144 characters that IAM takes, and names have room."""
        for body in templates.stack("roles").resources("AWS::IAM::ManagedPolicy").values():
            text = json.dumps(body["Properties"]["PolicyDocument"], separators=(",", ":"))
            assert len(text) < 6144 - 500
