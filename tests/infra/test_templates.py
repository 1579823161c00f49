"""What the templates make: buckets that keep and hide what they hold, machines from zero, alarms that are heard."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.infra import accounts, iam, templates
from tests.infra.accounts import ARCHIVE, LOG, RAW, SAFE, account

MANIFESTS = templates.DIRECTORY.parent / "k8s"


def properties(stack, kind):
    """Properties of all resources of a type, by the names of the resources."""
    return {name: body.get("Properties", {}) for name, body in templates.stack(stack).resources(kind).items()}


@pytest.fixture(scope="module")
def buckets():
    return properties("buckets", "AWS::S3::Bucket")


def rules(bucket):
    return [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if rule["Status"] == "Enabled"]


class TestForm:
    @pytest.mark.parametrize("name", templates.STACKS)
    def test_parameters(self, name):
        """Every parameter is used, and has a description unless its name says all."""
        text = (templates.DIRECTORY / f"{name}.yaml").read_text()
        for key, body in templates.stack(name).template["Parameters"].items():
            assert re.search(rf"!Ref {key}\b|\$\{{{key}\}}", text.split("Resources:", 1)[1]), key
            assert "Description" in body or key == "Project"

    def test_all_templates(self):
        """Every template in the directory is one of the stacks, and the page of the directory names it."""
        found = {path.stem for path in templates.DIRECTORY.glob("*.yaml")}
        page = (templates.DIRECTORY / "README.md").read_text()
        assert found == set(templates.STACKS)
        assert all(f"{name}.yaml" in page for name in found)

    @pytest.mark.parametrize("name", templates.STACKS)
    def test_names(self, name):
        """With another project no two archives share a name, as far as names are given."""
        keys = ("BucketName", "RoleName", "TopicName", "Name", "RepositoryName", "AliasName")
        for body in templates.stack(name, Project="second").resources().values():
            given = [value for key in keys if (value := body.get("Properties", {}).get(key))]
            assert all("second" in value for value in given), given


class TestBuckets:
    def test_which(self, buckets):
        """There are three, and each has a policy."""
        assert {body["BucketName"] for body in buckets.values()} == {RAW, ARCHIVE, LOG} == set(account().buckets)

    def test_encryption(self, buckets):
        """Raw and archive are encrypted with our key, with one data key for many objects; logs by S3 itself."""
        for name, body in buckets.items():
            (rule,) = body["BucketEncryption"]["ServerSideEncryptionConfiguration"]
            how = rule["ServerSideEncryptionByDefault"]
            if name == "LogBucket":
                assert how == {"SSEAlgorithm": "AES256"}
            else:
                assert how == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": account().key}
                assert rule["BucketKeyEnabled"] is True

    def test_nothing_is_public(self, buckets):
        """Public access is blocked in all four ways, and access lists are off."""
        for body in buckets.values():
            assert sorted(body["PublicAccessBlockConfiguration"].items()) == [
                ("BlockPublicAcls", True),
                ("BlockPublicPolicy", True),
                ("IgnorePublicAcls", True),
                ("RestrictPublicBuckets", True),
            ]
            assert body["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}

    @pytest.mark.parametrize("bucket", [RAW, ARCHIVE, LOG])
    def test_nobody_is_let_in_by_a_bucket(self, bucket):
        """Policies of buckets only refuse, but for the services that deliver logs."""
        allowing = [each for each in account().buckets[bucket]["Statement"] if each["Effect"] == "Allow"]
        assert all(set(each["Principal"]) == {"Service"} for each in allowing)
        assert bucket == LOG or not allowing

    def test_kept(self, buckets):
        """Deleting or replacing the stack deletes no bucket, no policy that guards one, and not the key."""
        kept = templates.stack("buckets").template["Resources"]
        for name in (*buckets, *(f"{name}Policy" for name in buckets), "Key"):
            assert kept[name]["DeletionPolicy"] == kept[name]["UpdateReplacePolicy"] == "Retain"

    def test_versions(self, buckets):
        """Every bucket keeps versions; in archive and log old ones go after a time, and so do lonely delete markers."""
        for name, body in buckets.items():
            assert body["VersioningConfiguration"] == {"Status": "Enabled"}
            assert any("AbortIncompleteMultipartUpload" in rule for rule in rules(body))
            if name != "RawBucket":
                whole = [rule for rule in rules(body) if "Prefix" not in rule]
                assert any(rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays") == 30 for rule in whole)
                assert any(rule.get("ExpiredObjectDeleteMarker") for rule in whole)

    def test_raw_is_for_ever(self, buckets):
        """Nothing in raw ever expires, and for a year nobody can delete a version."""
        raw = buckets["RawBucket"]
        assert not any("Expiration" in key for rule in rules(raw) for key in rule)
        assert raw["ObjectLockEnabled"] is True
        retention = raw["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
        assert retention == {"Mode": "GOVERNANCE", "Days": 365}

    def test_what_expires(self, buckets):
        """Of what is current in the archive only scratch expires: staging after two months, and clocks."""
        narrow = [rule for rule in rules(buckets["ArchiveBucket"]) if "Prefix" in rule]
        found = {rule["Prefix"]: rule["ExpirationInDays"] for rule in narrow}
        assert found == {"archive/staging/": 60, "archive/clock/": 1}

    def test_inventory(self, buckets):
        """S3 lists the raw bucket each day with what a scan needs of it, into the bucket of logs."""
        (daily,) = buckets["RawBucket"]["InventoryConfigurations"]
        assert daily["ScheduleFrequency"] == "Daily"
        assert daily["IncludedObjectVersions"] == "Current"
        assert {"Size", "ETag"} <= set(daily["OptionalFields"])
        assert daily["Destination"]["Format"] in ("CSV", "Parquet")
        assert daily["Destination"]["BucketArn"] == f"arn:aws:s3:::{LOG}"

    def test_access_logs(self, buckets):
        """Raw and archive log who asked for what, each below a prefix of its own."""
        logging = [body["LoggingConfiguration"] for body in buckets.values() if "LoggingConfiguration" in body]
        assert sorted(each["LogFilePrefix"] for each in logging) == ["access/archive/", "access/raw/"]

    @pytest.mark.parametrize(("service", "prefix"), [("logging.s3", "access"), ("s3", "inventory")])
    def test_deliveries(self, service, prefix):
        """The services of S3 deliver to their prefix, for our buckets alone."""
        ours = SAFE | {"aws:SourceAccount": templates.ACCOUNT, "aws:SourceArn": f"arn:aws:s3:::{RAW}"}

        def ask(key, context=ours, action="s3:PutObject"):
            request = iam.Request(f"{service}.amazonaws.com", action, f"arn:aws:s3:::{LOG}/{key}", context)
            return iam.decide(request, [], account().buckets[LOG])

        assert ask(f"{prefix}/x") == "allowed"
        assert ask("elsewhere/x") == "denied"
        assert ask(f"{prefix}/x", action="s3:GetObject") == "denied"
        assert ask(f"{prefix}/x", ours | {"aws:SourceAccount": "444455556666"}) == "denied"
        assert ask(f"{prefix}/x", ours | {"aws:SourceArn": "arn:aws:s3:::another"}) == "denied"

    def test_key(self):
        """The key is turned every year, and services use it for this account only."""
        (key,) = properties("buckets", "AWS::KMS::Key").values()
        assert key["EnableKeyRotation"] is True
        for source, answer in ((templates.ACCOUNT, "allowed"), ("444455556666", "denied")):
            facts = {"aws:SourceAccount": source}
            request = iam.Request("cloudwatch.amazonaws.com", "kms:GenerateDataKey", account().key, facts)
            assert iam.decide(request, [], key["KeyPolicy"], needs_both=True) == answer

    def test_another_owner_of_raw(self):
        """With an owner of raw exposures in another account that one writes, encrypted, and our own role does not."""
        owner = "arn:aws:iam::444455556666:role/archive"
        found = accounts.made(
            templates.stack("buckets", RawOwnerArn=owner), templates.stack("roles"), templates.stack("network")
        )
        allowing = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}

        def ask(who, action, place, policy, **more):
            return iam.decide(
                iam.Request(who, action, place, SAFE), [allowing], policy, owner=templates.ACCOUNT, **more
            )

        place = f"arn:aws:s3:::{RAW}/jwst/x"
        assert ask(owner, "s3:PutObject", place, found.buckets[RAW]) == "allowed"
        assert ask(owner, "s3:DeleteObject", place, found.buckets[RAW]) == "denied"
        assert ask(owner, "kms:GenerateDataKey", found.key, found.key_policy, needs_both=True) == "allowed"
        assert ask(owner, "s3:PutObject", place, account().buckets[RAW]) == "forbidden"
        assert not found.allows("ingest", "s3:PutObject", f"{RAW}/jwst/x")


class TestNetwork:
    def test_pixels_cost_no_traffic(self):
        """The routes of the nodes reach S3 through a gateway of their own, beside NAT."""
        (endpoint,) = properties("network", "AWS::EC2::VPCEndpoint").values()
        assert endpoint["VpcEndpointType"] == "Gateway"
        assert endpoint["ServiceName"].endswith(".s3")
        nodes = [
            body["RouteTableId"]
            for name, body in properties("network", "AWS::EC2::SubnetRouteTableAssociation").items()
            if not name.startswith("Public")
        ]
        assert set(nodes) == set(endpoint["RouteTableIds"])

    def test_zones(self):
        """Nodes are in two zones, and none has a public address."""
        subnets = properties("network", "AWS::EC2::Subnet")
        zones = {body["AvailabilityZone"] for name, body in subnets.items() if not name.startswith("Public")}
        assert len(zones) == 2
        assert not any(body.get("MapPublicIpOnLaunch") for body in subnets.values())
        assert len({body["CidrBlock"] for body in subnets.values()}) == len(subnets)

    def test_chosen_zones(self):
        """Zones can be chosen, because EKS does not take all of them; those that are given are those that are used."""
        chosen = templates.stack("network", Zones="eu-central-1c,eu-central-1b").resources("AWS::EC2::Subnet")
        zones = {name: body["Properties"]["AvailabilityZone"] for name, body in chosen.items()}
        first, second = "eu-central-1c", "eu-central-1b"
        assert zones == {"PublicSubnet": first, "FirstSubnet": first, "SecondSubnet": second}


@pytest.fixture(scope="module")
def groups():
    return properties("cluster", "AWS::EKS::Nodegroup")


class TestCluster:
    def test_from_zero(self, groups):
        """Each tier has a group of spot machines that begins at none and may go back to it."""
        spot = {name: body for name, body in groups.items() if body["CapacityType"] == "SPOT"}
        tiers = [path.name.removeprefix("tier-") for path in MANIFESTS.glob("base/tier-*")]
        assert sorted(body["Labels"]["reprocess/tier"] for body in spot.values()) == sorted(tiers)
        for body in spot.values():
            assert body["ScalingConfig"]["MinSize"] == body["ScalingConfig"]["DesiredSize"] == 0
            assert body["ScalingConfig"]["MaxSize"] > 0
            assert [taint["Effect"] for taint in body["Taints"]] == ["NO_SCHEDULE"]
            # The autoscaler starts no machine for who asks for disk, unless it is told that one would have some.
            assert body["Tags"]["k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage"] == "120Gi"

    def test_workers_fit(self, groups):
        """Templates of workers choose the group of their tier by its labels, and tolerate its taints."""
        for tier in ("0", "1"):
            (worker,) = documents(f"overlays/aws/worker-{tier}.yaml")
            spec = worker["template"]["spec"]
            (group,) = [body for body in groups.values() if body["Labels"].get("reprocess/tier") == tier]
            assert spec["nodeSelector"].items() <= group["Labels"].items()
            effects = {"NO_SCHEDULE": "NoSchedule"}
            taints = {(each["Key"], each["Value"], effects[each["Effect"]]) for each in group["Taints"]}
            assert taints == {(each["key"], each["value"], each["effect"]) for each in spec["tolerations"]}
        (driver,) = documents("overlays/aws/driver.yaml")
        selector = driver["spec"]["jobTemplate"]["spec"]["template"]["spec"]["nodeSelector"]
        assert any(selector.items() <= body["Labels"].items() for body in groups.values())

    def test_many_kinds_of_one_size(self, groups):
        """A spot group takes at least five types, all of one size and one ratio of memory to processors."""
        for body in groups.values():
            if body["CapacityType"] == "SPOT":
                assert len(body["InstanceTypes"]) >= 5
                assert len({(kind[0], kind.partition(".")[2]) for kind in body["InstanceTypes"]}) == 1

    def test_version(self, groups):
        """Machines follow the version of the cluster: EKS leaves a group alone whose version is not given."""
        newer = templates.stack("cluster", KubernetesVersion="9.99")
        assert {body["Properties"]["Version"] for body in newer.resources("AWS::EKS::Cluster").values()} == {"9.99"}
        assert {body["Properties"].get("Version") for body in newer.resources("AWS::EKS::Nodegroup").values()} == {
            "9.99"
        }

    def test_drivers_stay(self, groups):
        """Drivers have machines that nobody takes away, and at least one is always there."""
        (drivers,) = [body for body in groups.values() if body["CapacityType"] == "ON_DEMAND"]
        assert drivers["ScalingConfig"]["MinSize"] >= 1
        assert "Taints" not in drivers

    def test_no_pod_is_the_machine(self, groups):
        """Every group starts machines whose metadata, and so whose role, pods cannot reach; disks are encrypted."""
        (launch,) = properties("cluster", "AWS::EC2::LaunchTemplate").values()
        data = launch["LaunchTemplateData"]
        metadata = data["MetadataOptions"]
        assert (metadata["HttpTokens"], metadata["HttpPutResponseHopLimit"]) == ("required", 1)
        assert all(disk["Ebs"]["Encrypted"] is True for disk in data["BlockDeviceMappings"])
        assert all(body["LaunchTemplate"]["Id"].endswith("Machine") for body in groups.values())

    def test_cluster(self):
        """Secrets are encrypted with our key, roles are mapped by the API alone, and network policies are enforced."""
        (cluster,) = properties("cluster", "AWS::EKS::Cluster").values()
        assert cluster["EncryptionConfig"] == [{"Resources": ["secrets"], "Provider": {"KeyArn": account().key}}]
        access = {"AuthenticationMode": "API", "BootstrapClusterCreatorAdminPermissions": False}
        assert cluster["AccessConfig"] == access
        assert cluster["ResourcesVpcConfig"]["EndpointPrivateAccess"] is True
        assert "0.0.0.0/0" not in cluster["ResourcesVpcConfig"]["PublicAccessCidrs"]
        addons = {body["AddonName"]: body for body in properties("cluster", "AWS::EKS::Addon").values()}
        assert {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent"} == set(addons)
        assert json.loads(addons["vpc-cni"]["ConfigurationValues"]) == {"enableNetworkPolicy": "true"}

    def test_audit(self):
        """Who did what in the cluster is written down, and kept for a while and not for ever."""
        (cluster,) = properties("cluster", "AWS::EKS::Cluster").values()
        assert {"Type": "audit"} in cluster["Logging"]["ClusterLogging"]["EnabledTypes"]
        (group,) = properties("cluster", "AWS::Logs::LogGroup").values()
        assert group["LogGroupName"] == f"/aws/eks/{cluster['Name']}/cluster"
        assert group["RetentionInDays"] == 90

    def test_images(self):
        """A tag means one image for ever; images are looked through for known faults, and old ones go."""
        (repository,) = properties("cluster", "AWS::ECR::Repository").values()
        assert repository["ImageTagMutability"] == "IMMUTABLE"
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
        (rule,) = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert rule["action"] == {"type": "expire"}

    def test_service_accounts(self):
        """Roles are for service accounts that the manifests make, and operators are the group that they bind."""
        made = documents("base/accounts.yaml")
        names = {each["metadata"]["name"] for each in made if each["kind"] == "ServiceAccount"}
        identities = properties("roles", "AWS::EKS::PodIdentityAssociation").values()
        assert {body["ServiceAccount"] for body in identities if body["Namespace"] == "reprocess"} <= names
        subjects = [each for body in documents("base/roles.yaml") for each in body.get("subjects", ())]
        (entry,) = properties("roles", "AWS::EKS::AccessEntry").values()
        assert set(entry["KubernetesGroups"]) == {each["name"] for each in subjects if each["kind"] == "Group"}


def documents(path):
    """Documents of a manifest."""
    return [each for each in yaml.safe_load_all((MANIFESTS / path).read_text()) if each]


class TestWatch:
    def test_metrics_are_measured(self, buckets):
        """An alarm on requests looks at a filter that the archive bucket has, on the prefix that it is about."""
        filters = {one["Id"]: one.get("Prefix", "") for one in buckets["ArchiveBucket"]["MetricsConfigurations"]}
        assert filters == {"everything": "", "sweeps": "archive/sweeps/"}
        for name, body in properties("watch", "AWS::CloudWatch::Alarm").items():
            facts = {one["Name"]: one["Value"] for one in body["Dimensions"]}
            if body["Namespace"] == "AWS/S3":
                assert facts["BucketName"] == ARCHIVE, name
                assert facts["FilterId"] in filters

    def test_alarms_reach_somebody(self):
        """Every alarm goes to the topic of people, and looks back no further than CloudWatch can."""
        (topic,) = [body for body in properties("watch", "AWS::SNS::Topic").values() if "Subscription" in body]
        assert topic["KmsMasterKeyId"] == account().key
        for body in properties("watch", "AWS::CloudWatch::Alarm").values():
            assert [arn.rpartition("/")[2] for arn in body["AlarmActions"]] == ["Alarms"]
            window_s = body["Period"] * body["EvaluationPeriods"]
            assert window_s <= (7 * 86400 if body["Period"] >= 3600 else 86400)

    def test_a_night_without_a_sweep(self):
        """That nobody writes a record of a sweep is an alarm, and not a lack of data; a late one is none."""
        alarm = properties("watch", "AWS::CloudWatch::Alarm")["NoSweep"]
        assert alarm["TreatMissingData"] == "breaching"
        assert alarm["Period"] * alarm["EvaluationPeriods"] > 24 * 3600

    def test_budgets(self):
        """A month that will be too dear and a day that was are both told, for what is tagged as ours."""
        units = set()
        for body in properties("watch", "AWS::Budgets::Budget").values():
            units.add(body["Budget"]["TimeUnit"])
            assert body["Budget"]["CostFilters"] == {"TagKeyValue": ["user:project$reprocess"]}
            for each in body["NotificationsWithSubscribers"]:
                assert [one["SubscriptionType"] for one in each["Subscribers"]] == ["SNS"]
        assert units == {"MONTHLY", "DAILY"}

    def test_who_may_publish(self):
        """Alarms and budgets of this account publish to the topic of alarms; nobody else does."""
        (policy,) = properties("watch", "AWS::SNS::TopicPolicy").values()
        (topic,) = policy["Topics"]
        for service, source, answer in (
            ("cloudwatch", templates.ACCOUNT, "allowed"),
            ("budgets", templates.ACCOUNT, "allowed"),
            ("cloudwatch", "444455556666", "denied"),
            ("events", templates.ACCOUNT, "denied"),
        ):
            request = iam.Request(f"{service}.amazonaws.com", "sns:Publish", topic, {"aws:SourceAccount": source})
            assert iam.decide(request, [], policy["PolicyDocument"]) == answer
