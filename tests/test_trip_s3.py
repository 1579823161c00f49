"""The whole trip over HTTP."""

import os
import socket
from dataclasses import replace

import boto3
import pytest

from reprocess import campaign, coordinator, errors, inspection
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.publication import ledger
from reprocess.storage import open_store
from reprocess.storage.s3_clients import forget
from tests import trips
from tests.conftest import make_bucket
from tests.storage import faulty_server


@pytest.fixture(scope="module")
def bucket(s3_endpoint):
    """A bucket with the tiny simulated archive below ``sim``."""
    name = make_bucket(s3_endpoint)
    trips.copy(trips.simulated(trips.TINY), open_store(f"s3://{name}/sim", endpoint=s3_endpoint))
    return name


def make(bucket, endpoint, name, **changes):
    """An archive in the bucket that reads what is simulated there."""
    return trips.make(
        f"s3://{bucket}/{name}",
        **{"raw": f"s3://{bucket}/sim/raw", "references": f"s3://{bucket}/sim/crds"} | changes,
        options=trips.TINY,
        endpoint=endpoint,
    )


def wanted(name="first"):
    return trips.target(name, options=trips.TINY)


class TestTrip:
    def test_the_store_does_not_matter(self, s3_endpoint, bucket, tmp_path):
        """The same raw objects give the same bytes in S3, in a directory and in memory."""
        source = {"raw": f"s3://{bucket}/sim/raw", "references": f"s3://{bucket}/sim/crds"}
        archives = [
            make(bucket, s3_endpoint, "one"),
            trips.make(str(tmp_path / "two"), **source, options=trips.TINY, endpoint=s3_endpoint),
            trips.make(**source, options=trips.TINY, endpoint=s3_endpoint),
        ]
        plans = [trips.go(archive, wanted())[0].digest for archive in archives]
        found = [trips.products(archive) for archive in archives]

        # A plan names its place of references, which is the same here.
        assert len(set(plans)) == 1
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 10

    def test_a_store_that_asks_to_wait(self, s3_endpoint, bucket):
        """A store that refuses one request in eleven delays a campaign, which publishes all, and tells how often."""
        archive = make(bucket, s3_endpoint, "slow")
        made = campaign.plan(archive, wanted(), created=trips.CREATED)

        def decide(method, path, number):
            return (503, "SlowDown") if number % 11 == 0 else faulty_server.PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            slow = campaign.open_archive(archive.store.url, trips.settings(endpoint=server.url))
            coordinator.run(slow, made.digest)

        ended = ledger.read(archive.store, made.digest[:16]).values()
        assert {outcome.outcome_class for outcome in ended} == {"published"}
        assert sum(outcome.throttled for outcome in ended) > 0

    def test_twice_under_two_contexts(self, s3_endpoint, bucket):
        """Scan, plan and run under one context and then the other; all is current, whole and closes."""
        archive = make(bucket, s3_endpoint, "contexts")
        _, first = trips.go(archive, wanted())
        campaign.scan(archive)
        made, second = trips.go(archive, wanted("second"), created=trips.LATER)
        campaign.scan(archive)
        last = campaign.plan(archive, wanted("second"), created=trips.LATEST)

        assert first.closes
        assert second.closes
        assert {item.verdict.state for item in made.items} >= {"stale"}
        assert {verdict.state for verdict in last.verdicts()} == {"current"}
        assert inspection.verify(archive).problems == ()

    def test_nothing_is_left_over(self, s3_endpoint, bucket):
        """No multipart upload and nothing staged is left behind."""
        archive = make(bucket, s3_endpoint, "leftover")
        trips.go(archive, wanted())
        client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")

        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
        assert not list(archive.store.list("staging/"))

    @pytest.mark.slow
    def test_on_dask(self, s3_endpoint, bucket):
        """Workers of their own processes write the bytes that this process writes."""
        serial, dask = (make(bucket, s3_endpoint, name) for name in ("serial", "dask"))
        trips.go(serial, wanted())
        with DaskExecutor.local(1, memory_limit_bytes=2 * 10**9) as executor:
            _, summary = trips.go(dask, wanted(), executor=executor)

        assert summary.classes["published"] == 2
        assert trips.products(serial) == trips.products(dask)


class TestRefusals:
    """What S3 and the network do to a trip."""

    NOWHERE = "s3://there-is-no-such-bucket/x"

    @pytest.mark.parametrize("part", ["archive", "raw", "references"])
    def test_a_bucket_that_does_not_exist(self, s3_endpoint, bucket, part):
        """It is named, whichever of the three it is."""
        acts = {
            "archive": lambda: campaign.open_archive(self.NOWHERE, trips.settings(endpoint=s3_endpoint)),
            "raw": lambda: make(bucket, s3_endpoint, "missing-raw", raw=self.NOWHERE),
            "references": lambda: campaign.plan(
                make(bucket, s3_endpoint, "missing-references", references=self.NOWHERE), wanted()
            ),
        }
        with pytest.raises(errors.BucketMissing, match=r"there-is-no-such-bucket.* does not exist"):
            acts[part]()

    @pytest.mark.parametrize(
        ("status", "code"), [(403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch"), (400, "ExpiredToken")]
    )
    def test_wrong_credentials(self, s3_endpoint, status, code):
        """The message names the bucket, what S3 said, and how to give others; no secret is in it."""
        with (
            faulty_server.serve(s3_endpoint, lambda *_: (status, code)) as server,
            pytest.raises(errors.AccessDenied, match=rf"s3://some.*{code}.*AWS_PROFILE") as caught,
        ):
            campaign.open_archive("s3://some/x", trips.settings(endpoint=server.url))

        assert os.environ["AWS_SECRET_ACCESS_KEY"] not in str(caught.value)

    def test_no_permission_to_read_one_object(self, s3_endpoint, bucket):
        """A raw object that may not be read is a failure of its own; the other is published; the next run goes on."""
        archive = make(bucket, s3_endpoint, "forbidden")
        made = campaign.plan(archive, wanted(), created=trips.CREATED)
        (url,) = archive.raw

        def decide(method, path, _):
            return (403, "AccessDenied") if method == "GET" and "nrca1" in path else faulty_server.PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            raw = {url: open_store(url, endpoint=server.url)}
            summary = coordinator.run(replace(archive, raw=raw), made.digest)
        assert (summary.classes["published"], summary.classes["storage"]) == (1, 1)
        assert summary.closes

        assert coordinator.run(archive, made.digest).classes["published"] == 2

    def test_lost_answers(self, s3_endpoint, bucket):
        """A network that loses every eleventh answer to a write changes no byte and no sum."""
        calm, stormy = (make(bucket, s3_endpoint, name) for name in ("calm", "stormy"))
        trips.go(calm, wanted())

        def decide(method, path, number):
            lose = method == "PUT" and number % 11 == 0
            return faulty_server.LOSE_THE_ANSWER if lose else faulty_server.PASS_ON

        made = campaign.plan(stormy, wanted(), created=trips.CREATED)
        with faulty_server.serve(s3_endpoint, decide) as server:
            store = open_store(stormy.store.url, endpoint=server.url)
            summary = coordinator.run(replace(stormy, store=store), made.digest)
            assert server.requests["PUT"] > 22

        assert summary.classes["published"] == 2
        assert trips.products(stormy) == trips.products(calm)

    @pytest.mark.slow
    def test_an_endpoint_that_goes_away(self, s3_endpoint, bucket):
        """When nobody answers any more the run ends in bounded time, and the same run goes on later."""
        archive = make(bucket, s3_endpoint, "away")
        made = campaign.plan(archive, wanted(), created=trips.CREATED)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(errors.StorageUnavailable, match="endpoint"):
            coordinator.run(replace(archive, store=open_store(archive.store.url, endpoint=nobody)), made.digest)

        assert coordinator.run(archive, made.digest).classes["published"] == 2


def test_no_credentials(s3_endpoint, bucket, monkeypatch):
    """Without credentials a private bucket is refused with a word on how to give some."""
    forget()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(errors.AccessDenied, match="AWS_PROFILE"):
        campaign.open_archive(f"s3://{bucket}/one", trips.settings(endpoint=s3_endpoint))
    forget()
