import base64
import hashlib
import multiprocessing
import os
import pickle
import threading

import boto3
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from reprocess import errors
from reprocess.storage import Blob, ByteRange, RangeRequest, Store, open_store, s3, throttling
from reprocess.storage.s3_clients import forget
from tests.storage import faulty_server
from tests.storage.faulty_server import CUT_THE_ANSWER, DROP_THE_REQUEST, LOSE_THE_ANSWER, PASS_ON
from tests.storage.store_contract import MEBI, StoreContract
from tests.storage.store_model import machine


class TestS3Store(StoreContract):
    verifies_checksums = False

    @pytest.fixture
    def store(self, s3_store: Store) -> Store:
        return s3_store


def client(endpoint: str):
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")


def test_random_operations(s3_endpoint, s3_bucket):
    """A bucket does what a dictionary does."""
    prefixes = iter(range(1000))
    model = machine(lambda: open_store(f"s3://{s3_bucket}/{next(prefixes)}", endpoint=s3_endpoint))
    run_state_machine_as_test(model, settings=settings(max_examples=6, deadline=None, stateful_step_count=20))


class TestCommits:
    """What is sent when something is committed."""

    def test_the_checksum_is_declared(self, s3_store, s3_endpoint, s3_bucket):
        """A commit declares its SHA-256 to S3 and keeps it as metadata, with the type of its content."""
        s3_store.put_if_absent("a", b"first", content_type="application/json")

        head = client(s3_endpoint).head_object(Bucket=s3_bucket, Key="some/prefix/a", ChecksumMode="ENABLED")

        expected = hashlib.sha256(b"first")
        assert head["ChecksumSHA256"] == base64.b64encode(expected.digest()).decode()
        assert head["Metadata"]["sha256"] == s3_store.digest("a") == expected.hexdigest()
        assert head["ContentType"] == "application/json"

    @pytest.mark.parametrize("commit", ["put_if_absent", "compare_and_swap"])
    def test_a_lost_answer_is_unknown_and_sent_once(self, s3_store, s3_endpoint, s3_bucket, commit):
        """When the answer is lost, the caller hears that it is unknown, after one request, and the write is there."""
        etag = s3_store.put("swapped", b"old").etag
        with faulty_server.serve(s3_endpoint, lambda *_: LOSE_THE_ANSWER) as server:
            store = open_store(s3_store.url, endpoint=server.url)
            calls = {
                "put_if_absent": lambda: store.put_if_absent("a", b"new"),
                "compare_and_swap": lambda: store.compare_and_swap("swapped", b"new", etag=etag),
            }
            with pytest.raises(errors.StorageUnavailable, match="unknown"):
                calls[commit]()
            assert server.requests == {"PUT": 1}

        assert s3_store.get("a" if commit == "put_if_absent" else "swapped").data == b"new"

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ((412, "PreconditionFailed"), errors.AlreadyExists),
            ((409, "ConditionalRequestConflict"), errors.CommitConflict),
            ((403, "AccessDenied"), errors.AccessDenied),
            ((403, "SignatureDoesNotMatch"), errors.AccessDenied),
            ((400, "ExpiredToken"), errors.AccessDenied),
            ((404, "NoSuchBucket"), errors.BucketMissing),
            ((400, "BadDigest"), errors.ChecksumMismatch),
            ((503, "SlowDown"), errors.StorageUnavailable),
            ((500, "InternalError"), errors.StorageUnavailable),
            ((507, "InsufficientCapacity"), errors.StorageUnavailable),
            ((400, "RequestTimeout"), errors.StorageUnavailable),
            ((400, "InvalidRequest"), errors.StorageError),
        ],
    )
    def test_answers_become_our_errors_after_one_request(self, s3_endpoint, answer, error):
        """Each answer of S3 to a commit has its error, with the bucket's name and no secret, and is not sent again."""
        before = throttling.count()
        with faulty_server.serve(s3_endpoint, lambda *_: answer) as server:
            store = open_store("s3://some-bucket/p", endpoint=server.url)
            with pytest.raises(errors.StorageError, match="some-bucket") as caught:
                store.put_if_absent("a", b"new")
            assert server.requests == {"PUT": 1}

        assert throttling.count() - before == (answer[0] == 503)
        assert type(caught.value) is error
        assert "made-up-secret" not in str(caught.value)
        assert caught.value.__cause__ is not None

    def test_no_server_is_unavailable(self, s3_endpoint):
        """A commit to an endpoint where nothing listens ends at once, as unknown."""
        store = open_store("s3://some-bucket", endpoint="http://127.0.0.1:9")

        with pytest.raises(errors.StorageUnavailable, match="Check the endpoint"):
            store.put_if_absent("a", b"1")


class TestUploads:
    """Multipart uploads."""

    def pending(self, endpoint, bucket):
        return client(endpoint).list_multipart_uploads(Bucket=bucket).get("Uploads", [])

    def test_a_failed_source_leaves_no_upload(self, s3_store, s3_endpoint, s3_bucket):
        """When the source of the parts fails, the upload is aborted."""

        def parts():
            yield bytes(17 * MEBI)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            s3_store.upload_if_absent("a", parts())

        assert self.pending(s3_endpoint, s3_bucket) == []

    def test_a_lost_race_leaves_no_upload(self, s3_store, s3_endpoint, s3_bucket):
        """When the key is taken while parts are sent, the other object stays and the upload is aborted."""

        def parts():
            yield bytes(17 * MEBI)
            s3_store.put("a", b"faster")
            yield b"end"

        with pytest.raises(errors.AlreadyExists):
            s3_store.upload_if_absent("a", parts())

        assert s3_store.get("a").data == b"faster"
        assert self.pending(s3_endpoint, s3_bucket) == []

    def test_a_lost_completion_is_unknown(self, s3_store, s3_endpoint, s3_bucket):
        """When the answer to the end of an upload is lost, that is said, and the object may be there."""

        def decide(method, path, number):
            return LOSE_THE_ANSWER if method == "POST" and "uploadId" in path else PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            with pytest.raises(errors.StorageUnavailable):
                open_store(s3_store.url, endpoint=server.url).upload_if_absent("a", [bytes(9 * MEBI)])
            assert server.requests["POST"] == 2

        assert s3_store.head("a").size == 9 * MEBI
        assert self.pending(s3_endpoint, s3_bucket) == []


class TestReads:
    """How reads meet faults."""

    def test_reads_recover_from_slow_downs(self, s3_store, s3_endpoint):
        """A read, a listing and a look that meet 503 twice are tried again and work; each refusal is counted."""
        before = throttling.count()
        s3_store.put("a", b"0123456789")

        def decide(method, path, number):
            return (503, "SlowDown") if number % 3 else PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            store = open_store(s3_store.url, endpoint=server.url)
            assert store.get("a").data == b"0123456789"
            assert store.head("a").size == 10
            assert [stamp.key for stamp in store.list()] == ["a"]
            assert server.requests == {"GET": 6, "HEAD": 3}
        assert throttling.count() - before == 6

    def test_a_put_recovers_from_slow_downs(self, s3_store, s3_endpoint):
        """So is a plain write, which may be made twice."""
        before = throttling.count()
        with faulty_server.serve(
            s3_endpoint, lambda method, path, number: (503, "SlowDown") if number < 3 else PASS_ON
        ) as server:
            open_store(s3_store.url, endpoint=server.url).put("a", b"0123456789")
            assert server.requests == {"PUT": 3}
        assert throttling.count() - before == 2
        assert s3_store.get("a").data == b"0123456789"

    def test_silence_is_no_refusal(self, s3_store, s3_endpoint):
        """A connection that is lost is tried again, and is not counted as a store that asks to wait."""
        s3_store.put("a", b"0123456789")
        before = throttling.count()
        with faulty_server.serve(
            s3_endpoint, lambda method, path, number: DROP_THE_REQUEST if number < 3 else PASS_ON
        ) as server:
            assert open_store(s3_store.url, endpoint=server.url).get("a").data == b"0123456789"
        assert throttling.count() == before

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            ((403, "AccessDenied"), errors.AccessDenied),
            ((404, "NoSuchBucket"), errors.BucketMissing),
            ((404, "NoSuchKey"), errors.ObjectMissing),
            ((412, "PreconditionFailed"), errors.PreconditionFailed),
            ((301, "PermanentRedirect"), errors.StorageError),
        ],
    )
    def test_answers_become_our_errors(self, s3_endpoint, answer, error):
        """Each answer of S3 to a read has its error, for single reads and inside sweeps, with the bucket's name."""
        with faulty_server.serve(s3_endpoint, lambda *_: answer) as server:
            store = open_store("s3://some-bucket/p", endpoint=server.url)
            [(_, swept)] = store.sweep([RangeRequest("a", ByteRange(0, 1))])
            for read in (lambda: store.get("a"), lambda: store.get_ranges("a", [ByteRange(0, 1)])):
                with pytest.raises(errors.StorageError, match="some-bucket") as caught:
                    read()
                assert type(caught.value) is error

        assert type(swept) is error

    @pytest.mark.parametrize("read", ["get", "get_ranges", "fill"])
    def test_a_cut_body_is_not_taken_for_whole(self, s3_store, s3_endpoint, read):
        """When a connection ends within a body, the read is finished by another request."""
        data = os.urandom(3 * MEBI)
        s3_store.put("a", data)

        def decide(method, path, number):
            return CUT_THE_ANSWER if number == 1 else PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            store, body = open_store(s3_store.url, endpoint=server.url), bytearray(len(data))
            reads = {
                "get": lambda: store.get("a").data,
                "get_ranges": lambda: store.get_ranges("a", [ByteRange(0, len(data))])[0],
                "fill": lambda: store.fill("a", 0, [body]) or body,
            }
            assert reads[read]() == data
            assert server.requests["GET"] == 2

    @pytest.mark.parametrize("read", ["get", "get_ranges", "fill"])
    def test_a_replaced_object_is_never_mixed(self, s3_store, s3_endpoint, monkeypatch, read):
        """Pieces of two versions of one object are not put together, even if no version was demanded."""
        monkeypatch.setattr(s3, "_REQUEST_BYTES", 8 * MEBI)
        monkeypatch.setattr(s3, "FILL_BYTES", 8 * MEBI)
        s3_store.put("a", b"a" * (40 * MEBI))
        replaced = threading.Event()

        def decide(method, path, number):
            if method == "GET" and number == 3 and not replaced.is_set():
                replaced.set()
                s3_store.put("a", b"b" * (40 * MEBI))
            return PASS_ON

        with faulty_server.serve(s3_endpoint, decide) as server:
            store, body = open_store(s3_store.url, endpoint=server.url), bytearray(40 * MEBI)
            reads = {
                "get": lambda: store.get("a").data,
                "get_ranges": lambda: store.get_ranges("a", [ByteRange(0, 40 * MEBI)])[0],
                "fill": lambda: store.fill("a", 0, [body]) or body,
            }
            try:
                seen = set(bytes(reads[read]()))
            except errors.PreconditionFailed:
                seen = set()
        assert replaced.is_set()
        assert len(seen) <= 1

    def test_a_stretch_in_few_requests(self, s3_store, s3_endpoint):
        """A full frame of ten groups is filled in by two requests, and planes that lie side by side come in one."""
        s3_store.put("a", bytes(84 * 10**6))
        with faulty_server.serve(s3_endpoint, lambda *_: PASS_ON) as server:
            store = open_store(s3_store.url, endpoint=server.url)
            store.fill("a", 0, [bytearray(84 * 10**6)])
            assert server.requests == {"GET": 2}
            store.get_ranges("a", [ByteRange(start * 2**24, 2**24 - 2880) for start in range(5)])
            assert server.requests == {"GET": 3}


class TestListing:
    """Listing of what others put into a bucket."""

    def test_unreadable_keys_do_not_end_a_listing(self, s3_store, s3_endpoint, s3_bucket):
        """Objects with keys that no store here can hold are left out, wherever they are, and all others are listed."""
        names = [f"k{number:04}" for number in range(40)]
        s3 = client(s3_endpoint)
        for name in [*names, "k0003//x", "k0007/", "k0021/a\tb", "k0030/../x"]:
            s3.put_object(Bucket=s3_bucket, Key=f"some/prefix/{name}", Body=b"1")

        assert [stamp.key for stamp in s3_store.list()] == names
        assert [stamp.key for stamp in s3_store.list("k002")] == names[20:30]

    def test_more_than_one_page(self, s3_store, s3_endpoint, s3_bucket):
        """A listing goes on after the thousand keys of a page, and a prefix in the middle costs only its part."""
        import moto.s3.models as moto_models

        backend = next(iter(moto_models.s3_backends.values()))["aws"]
        for number in range(2500):
            backend.put_object(s3_bucket, f"some/prefix/d/k{number:05}", b"1")

        assert [stamp.key for stamp in s3_store.list("d/")] == [f"d/k{number:05}" for number in range(2500)]
        assert [stamp.key for stamp in s3_store.list("d/k0149")] == [f"d/k{number:05}" for number in range(1490, 1500)]


class TestAccess:
    """Who may read, and from where."""

    @pytest.fixture(autouse=True)
    def clean(self):
        forget()
        yield
        forget()

    def test_no_credentials(self, s3_endpoint, s3_bucket, monkeypatch):
        """Without credentials the message names the bucket and the ways to give some."""
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        store = open_store(f"s3://{s3_bucket}", endpoint=s3_endpoint)

        for call in (lambda: store.get("a"), lambda: store.put_if_absent("a", b"1"), lambda: list(store.list())):
            with pytest.raises(errors.AccessDenied, match=f"{s3_bucket}.*AWS_PROFILE.*--anonymous"):
                call()

    def test_anonymous_requests_are_not_signed(self, s3_endpoint, s3_bucket):
        """Anonymous reads work without credentials and send none, even if some are there."""
        open_store(f"s3://{s3_bucket}", endpoint=s3_endpoint).put("a", b"1")
        s3 = client(s3_endpoint)
        s3.put_bucket_acl(Bucket=s3_bucket, ACL="public-read")
        s3.put_object_acl(Bucket=s3_bucket, Key="a", ACL="public-read")
        with faulty_server.serve(s3_endpoint, lambda *_: PASS_ON) as server:
            store = open_store(f"s3://{s3_bucket}", endpoint=server.url, anonymous=True)
            assert store.get("a").data == b"1"
            assert [stamp.key for stamp in store.list()] == ["a"]
            assert store.head("a").size == 1

            assert (sum(server.requests.values()), server.signed) == (3, 0)

    @pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
    def test_the_endpoint_of_the_environment(self, s3_endpoint, s3_bucket, monkeypatch, name):
        """Without an explicit endpoint both planes take the one that boto3 takes."""
        monkeypatch.setenv(name, s3_endpoint)
        store = open_store(f"s3://{s3_bucket}")

        store.put_if_absent("a", b"1")
        assert store.get("a").data == b"1"

    def test_an_explicit_endpoint_weighs_more(self, s3_endpoint, s3_bucket, monkeypatch):
        """An explicit endpoint is taken by both planes whatever the environment says."""
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        store = open_store(f"s3://{s3_bucket}", endpoint=s3_endpoint)

        store.put_if_absent("a", b"1")
        assert store.get("a").data == b"1"

    def test_a_profile(self, s3_endpoint, s3_bucket, monkeypatch, tmp_path):
        """A profile gives credentials, region and endpoint to both planes."""
        (tmp_path / "config").write_text(
            "[profile night]\nregion = eu-west-1\nservices = here\n"
            f"[services here]\ns3 =\n  endpoint_url = {s3_endpoint}\n"
        )
        (tmp_path / "credentials").write_text("[night]\naws_access_key_id = k\naws_secret_access_key = s\n")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        store = open_store(f"s3://{s3_bucket}", profile="night")

        store.put_if_absent("a", b"1")
        assert store.get("a").data == b"1"
        with pytest.raises(errors.AccessDenied, match="ProfileNotFound"):
            open_store(f"s3://{s3_bucket}", profile="day").get("a")

    def test_amazon_is_reached_under_the_name_of_the_bucket(self, monkeypatch):
        """Without any endpoint requests go to Amazon's host for the bucket in the region, over TLS."""
        from reprocess.storage.s3_clients import Options, clients

        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)

        assert clients("some-bucket", Options(anonymous=True)).config["aws_endpoint_url_s3"] == (
            "https://some-bucket.s3.amazonaws.com"
        )
        west = clients("some.bucket", Options(anonymous=True, region="us-west-2")).config
        assert west["aws_endpoint_url_s3"] == "https://s3.us-west-2.amazonaws.com"
        assert west["region"] == "us-west-2"
        assert west["client_options"]["allow_http"] is False

    def test_a_missing_bucket_is_named(self, s3_endpoint):
        """Reading, looking, listing and writing say that it is the bucket that is missing."""
        store = open_store("s3://no-such-bucket-here", endpoint=s3_endpoint)

        for call in (
            lambda: store.get("a"),
            lambda: store.head("a"),
            lambda: list(store.list()),
            lambda: store.put("a", b"1"),
            lambda: store.put_if_absent("a", b"1"),
        ):
            with pytest.raises(errors.BucketMissing, match="no-such-bucket-here"):
                call()


def _read(pickled: bytes, results: "multiprocessing.Queue[object]") -> None:
    try:
        results.put(pickle.loads(pickled).get("a").data)
    except errors.StorageError as error:
        results.put(str(error))


class TestProcesses:
    """Stores in other processes."""

    @pytest.mark.parametrize(("method", "expected"), [("spawn", b"1"), ("fork", "was forked from one")])
    def test_a_store_in_another_process(self, s3_store, method, expected):
        """A pickled store works in a fresh process; in a forked one, where it would hang, it says so."""
        s3_store.put("a", b"1")
        context = multiprocessing.get_context(method)
        results = context.Queue()
        process = context.Process(target=_read, args=(pickle.dumps(s3_store), results))
        process.start()
        result = results.get(timeout=60)
        process.join(30)

        assert (result == expected) if isinstance(expected, bytes) else (expected in result)

    def test_many_threads_share_a_store(self, s3_store):
        """Threads that read at the same time get what they asked for."""
        from tests.storage.store_contract import together

        for number in range(8):
            s3_store.put(f"k{number}", bytes([number]) * 1000)

        blobs = together(8, lambda number: s3_store.get(f"k{number}"))

        assert [blob.data for blob in blobs if isinstance(blob, Blob)] == [bytes([n]) * 1000 for n in range(8)]
