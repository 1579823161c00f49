"""A whole trip behind the policies: they decide every request of the programme, and grant no more than it needs.

Workers, driver, operator, reader and whoever delivers raw exposures each reach the same buckets through a gate of their
own, which refuses what their role may not do.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import boto3
import pytest

from reprocess import campaign, cleaning, coordinator, errors, gatekeeping, steering, sweep, verification, versions
from reprocess.archive import root
from reprocess.coordinator import Wish
from reprocess.execution.serial import SerialExecutor
from reprocess.publication import subscriptions
from reprocess.publication.subscriptions import Subscription
from reprocess.storage import open_store
from tests import trips
from tests.infra import gate, iam
from tests.infra.accounts import ARCHIVE, LOG, RAW, account

ROLES = ("worker", "driver", "operator", "reader", "ingest")
URL, RAW_URL, REFERENCES = f"s3://{ARCHIVE}/archive", f"s3://{RAW}/jwst", f"s3://{ARCHIVE}/crds"
OTHER = "\n[parameters.superbias]\nskip = true\n"
NOTHING_MAY_CHANGE = "\n[budget.default]\nchanged_fraction = 0.0\n"


class Workers(SerialExecutor):
    """Workers that have only what a worker has: they reach the stores through another gate than the driver."""

    def __init__(self, url):
        self.url = url

    def run(self, function, tasks, **options):
        return super().run(lambda task: function(self.sent(task)), tasks, **options)

    def sent(self, task):
        there = [name for name in ("archive", "raw") if hasattr(task.payload, name)]
        places = {name: open_store(getattr(task.payload, name).url, endpoint=self.url) for name in there}
        return replace(task, payload=replace(task.payload, **places))


@pytest.fixture(scope="module")
def gates(s3_endpoint):
    """The gate of each role, before buckets that nobody has written to."""
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    for bucket in (RAW, ARCHIVE):
        client.create_bucket(Bucket=bucket)
    with contextlib.ExitStack() as stack:
        yield {role: stack.enter_context(gate.serve(account(), role)) for role in ROLES}


@pytest.fixture(scope="module")
def opened(gates):
    """Open the archive as a role."""
    return lambda role: campaign.open_archive(URL, trips.settings(endpoint=gates[role].url))


def deliver(gates):
    """Bring the simulated exposures and references where they belong, as whoever delivers them."""
    source = trips.simulated(trips.TALL)
    for prefix, url in (("raw/", RAW_URL), ("crds/", REFERENCES)):
        place = open_store(url, endpoint=gates["ingest"].url)
        for stamp in source.list(prefix):
            place.put(stamp.key.removeprefix(prefix), source.get(stamp.key).data)


@pytest.fixture(scope="module")
def trip(gates, opened, tmp_path_factory):
    """Everything that anybody does with an archive, each in a role; what came of it."""
    deliver(gates)
    made = root.ArchiveRoot(raw=(root.RawLocation(RAW_URL),), references=REFERENCES)
    campaign.init(URL, made, trips.settings(endpoint=gates["operator"].url))
    driver, operator, workers = opened("driver"), opened("operator"), Workers(gates["worker"].url)

    campaign.scan(driver)
    first = campaign.plan(driver, trips.target(options=trips.TALL), created=trips.CREATED)
    found = {"first": coordinator.run(driver, first.digest, executor=workers, wish=Wish(release="one"))}
    # A night with nothing to do, and then all again: in slabs, and with a gate that lets nothing pass.
    found["night"] = sweep.sweep(driver, trips.target(options=trips.TALL), wish=Wish())
    strict = OTHER + trips.LEAST_MEMORY + NOTHING_MAY_CHANGE
    again = campaign.plan(driver, trips.target("first", strict, options=trips.TALL), created=trips.LATER)
    found["again"] = coordinator.run(driver, again.digest, executor=workers)
    found["steered"] = steer(operator, again)
    dataset = first.items[0].dataset
    found["got"] = versions.get(opened("reader"), dataset, tmp_path_factory.mktemp("got"))
    campaign.scan(driver)
    leave(workers.url, dataset)
    found["cleaned"] = cleaning.clean(operator, keep=1, older_than_days=0.0, act=True, sleep=lambda _: None)
    found["verified"] = verification.verify(operator)
    return found


def leave(url, dataset):
    """Leave what a worker that died leaves: a file of a version that never was, and a slab of a lost campaign."""
    store = open_store(URL, endpoint=url)
    store.put_if_absent(f"products/{dataset}/never-1/{dataset}_rate.fits", b"half")
    store.put("staging/0123456789abcdef/lost/facts.npz", b"facts")


def steer(operator, plan):
    """What operators do: accept, reject, pause, resume, retry, go back, hold, release, subscribe."""
    one, other = (item for item in plan.items if item.action == "calibrate")
    gatekeeping.accept(operator, one.dataset, one.version)
    gatekeeping.reject(operator, other.dataset, other.version, why="no")
    steering.pause(operator, plan.digest, why="a look")
    steering.resume(operator, plan.digest)
    steering.retry(operator, plan.digest)
    versions.hold(operator, other.dataset, why="a look", who="me")
    versions.unhold(operator, other.dataset)
    versions.release(operator, "two")
    subscriptions.add(operator.store, Subscription("all", "file:/tmp/never"))
    subscriptions.remove(operator.store, "all")
    return versions.roll_back(operator, one.dataset, why="so")


class TestTrip:
    def test_it_works(self, trip):
        """What the policies allow is enough for the trip from raw exposures to readers, and for what operators do."""
        assert trip["first"].classes["published"] == 2
        assert trip["again"].classes["held-back"] == 2
        assert trip["steered"].what == "moved"
        assert trip["night"].summary.closes
        assert len(trip["got"].paths) >= 4
        assert {each.name for each in trip["cleaned"].gone} == {"never-1", "0123456789abcdef", "catalogue"}
        assert trip["cleaned"].problems == []
        assert trip["verified"].problems == []

    @pytest.mark.parametrize("role", ROLES)
    def test_nothing_was_refused(self, trip, gates, role):
        """No request of the programme was refused: the table of who may do what misses nothing."""
        assert gates[role].refused == []
        assert gates[role].passed

    @pytest.mark.parametrize(
        ("role", "unused"),
        [
            # Uploads are given up when something fails, and who may list a bucket is told what is missing in it.
            ("worker", {"AbortMultipartUpload", f"ListBucket arn:aws:s3:::{RAW}"}),
            # Deliveries to topics and lists of S3 Inventory are not part of the trip.
            ("driver", {"AbortMultipartUpload", "sns:Publish", "/inventory/", "/subscriptions/"}),
            ("operator", {LOG, "eks:"}),
            ("reader", {"/releases/", "/events/", "ListBucket"}),
            ("ingest", {"AbortMultipartUpload", "GetObject", "ListBucket"}),
        ],
    )
    def test_nothing_is_granted_in_vain(self, trip, gates, role, unused):
        """Every action on every place that a role's own policy allows is one that the trip has needed."""
        passed = [iam.Request("", action, f"arn:aws:s3:::{place}") for action, place in gates[role].passed]
        left = [" ".join(one) for one in granted(role) if not any(iam.covers(*one, each) for each in passed)]
        assert [one for one in left if not any(word in one for word in unused)] == []


def granted(role):
    """Each action on each place that the policy of a role allows, its last one, keys of encryption left out."""
    for statement in account().roles[role][-1]["Statement"]:
        for action in iam.listed(statement["Action"]):
            for resource in iam.listed(statement["Resource"]):
                if not action.startswith("kms:"):
                    yield action, resource


class TestUploads:
    KEY = "products/jw00000000000_00000_00000_nrca1/v-1/large.fits"

    def test_in_parts(self, gates):
        """A worker writes large files in parts, once; what it gives up it cleans away itself."""
        store = open_store(URL, endpoint=gates["worker"].url)
        parts = [bytes(9 * 2**20)] * 2
        assert store.upload_if_absent(self.KEY, parts).size == 18 * 2**20
        with pytest.raises(errors.ChecksumMismatch):
            store.upload_if_absent(self.KEY.replace("v-1", "v-2"), parts, sha256="0" * 64)
        assert gates["worker"].refused == []

    @pytest.mark.parametrize("role", ["worker", "driver", "reader"])
    def test_out_of_bounds(self, gates, role):
        """Nobody replaces what is published; neither workers nor readers move pointers; only one role writes raw."""
        with fresh(role) as url:
            store, raw = open_store(URL, endpoint=url), open_store(RAW_URL, endpoint=url)
            refused = [
                lambda: store.put(self.KEY, b"other"),
                lambda: store.delete(self.KEY),
                lambda: raw.put("new_uncal.fits", b"raw"),
                lambda: raw.delete("new_uncal.fits"),
            ]
            if role != "driver":
                refused.append(lambda: store.put_if_absent("pointers/x.json", b"{}"))
            for act in refused:
                with pytest.raises(errors.AccessDenied):
                    act()


@contextlib.contextmanager
def fresh(role):
    """A gate of a role beside the one of the trip."""
    with gate.serve(account(), role) as made:
        yield made.url


def test_who_makes_an_archive(s3_endpoint, gates, trip, opened):
    """`init` needs to write and read `archive.toml`, which operators may, and workers and drivers may not."""
    found = opened("operator").root
    with gate.serve(account(), "operator") as alone:
        campaign.init(URL, found, trips.settings(endpoint=alone.url))
        place = f"{ARCHIVE}/archive/archive.toml"
        assert alone.passed == {("s3:PutObject", place), ("s3:GetObject", place)}
    for role in ("worker", "driver"):
        with fresh(role) as url, pytest.raises(errors.AccessDenied):
            campaign.init(URL, found, trips.settings(endpoint=url))


def test_a_driver_is_no_worker(s3_endpoint, gates, trip, opened):
    """A driver that would calibrate itself is refused by the policies, and says so of each exposure."""
    with gate.serve(account(), "driver") as alone:
        archive = campaign.open_archive(URL, trips.settings(endpoint=alone.url))
        campaign.scan(archive)
        target = trips.target("first", "\n[parameters.linearity]\nskip = true\n", options=trips.TALL)
        made = campaign.plan(archive, target, created=trips.LATEST)
        summary = coordinator.run(archive, made.digest)
        assert summary.classes["storage"] == 2
        assert {each.resource.split("/")[2] for each in alone.refused} == {"products"}


def test_what_is_missing_is_not_told_to_readers(gates, opened, trip):
    """A reader may not list everything, so an object that is not there is one that may not be read."""
    with fresh("reader") as url, pytest.raises(errors.AccessDenied):
        open_store(URL, endpoint=url).get("pointers/nothing.json")
    with fresh("worker") as url:
        for place in (URL, RAW_URL):
            with pytest.raises(errors.ObjectMissing):
                open_store(place, endpoint=url).get("pointers/nothing.json")
