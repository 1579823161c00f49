import errno
import json
import os
import pickle
import tempfile
from dataclasses import replace

import pytest

from reprocess import campaign, errors, worker
from reprocess.execution.executor import Task
from reprocess.formats import prepared
from reprocess.planning import slabs
from reprocess.settings import CacheSettings
from reprocess.shelf import Shelf
from reprocess.storage.counting import CountingStore
from tests import trips
from tests.publication.faulty import Watched


@pytest.fixture(scope="module")
def planned():
    """An archive, and a plan of which nothing has run."""
    archive = trips.make(options=trips.TALL)
    return archive, campaign.plan(archive, trips.target(options=trips.TALL), created=trips.CREATED)


@pytest.fixture
def desk(planned):
    """A root of its own with prepared references, and what the first exposure's units are told."""
    archive, made = planned
    store = trips.copy(archive.store, trips.fresh())
    item = made.items[0]
    for reference in item.references:
        outcome = worker.run(Task(reference.name, "", worker.Preparation(store, reference)))
        assert (outcome.outcome_class, outcome.message) == (worker.STAGED, "")
    (raw,) = archive.raw.values()
    return worker.Work(store, raw, replace(made, items=()), item)


def run(work, part="whole", **changes):
    """Do one unit in this process, told as a worker would be."""
    told = replace(work, part=part, **changes)
    return worker.run(Task(f"{work.item.dataset}/{part}", work.item.dataset, told))


def in_slabs(work, rows):
    """Do all units of an exposure that is cut into bands of so many rows; the outcomes."""
    bands = slabs.cut(work.item.entry.sci_shape[-2], rows, worker.halo(work.item))
    outcomes = [run(work, "facts"), *(run(work, "slab", slab=band) for band in bands), run(work, "assembly")]
    return outcomes


def files(work):
    """Digests of everything below products/."""
    return trips.objects(work.archive, "products/")


class TestWhole:
    """An exposure in one unit."""

    def test_writes_a_version(self, desk):
        """The version of the plan is written with its manifest, and the outcome says what it took."""
        outcome = run(desk)

        assert (outcome.outcome_class, outcome.version, outcome.temporary) == (worker.WRITTEN, desk.item.version, False)
        assert f"products/{desk.item.dataset}/{desk.item.version}/manifest.json" in files(desk)
        assert {"read", "references", "calibrate", "write", "cpu"} <= set(outcome.seconds)
        assert outcome.bytes_read > desk.item.entry.size * 0.9
        assert outcome.bytes_written > 100_000
        assert outcome.peak_bytes > 10**7

    def test_a_second_time_reads_no_pixels(self, desk):
        """A version that exists is not made again, and no byte of the raw object is read."""
        run(desk)
        before = files(desk)
        raw = CountingStore(desk.raw)
        outcome = run(desk, raw=raw)

        assert outcome.outcome_class == worker.WRITTEN
        assert not raw.requests
        assert files(desk) == before

    def test_moves_no_pointer(self, desk):
        """Workers write versions; nothing that readers look at changes."""
        run(desk)

        assert not list(desk.archive.list("pointers/"))

    def test_reads_only_the_pixels_and_the_tail(self, desk):
        """The raw object is read about once."""
        raw = CountingStore(desk.raw)
        run(desk, raw=raw)

        assert raw.bytes_read.total() < 1.2 * desk.item.entry.size

    def test_can_be_sent(self, desk):
        """What a unit is told and what it answers can be pickled."""
        told = Task("u", desk.item.dataset, desk)

        assert pickle.loads(pickle.dumps(told)).payload.item == desk.item


class TestMachine:
    """What the workers of one machine share."""

    def test_references_are_fetched_once_for_all(self, desk, tmp_path, monkeypatch):
        """A worker that starts later finds the references on the disk, and its products are the same."""
        plain = replace(desk, archive=trips.copy(desk.archive, trips.fresh(), "references/"))
        run(plain)
        cache = CacheSettings(directory=str(tmp_path))
        run(desk, cache=cache)
        whole = files(desk)
        later = replace(desk, archive=trips.fresh())
        monkeypatch.setattr(worker, "_SHELF", Shelf(0))
        outcome = run(later, cache=cache)

        assert (outcome.outcome_class, outcome.message) == (worker.WRITTEN, "")
        assert files(later) == whole == files(plain)

    def test_references_that_changed_on_their_way(self, desk, tmp_path, monkeypatch):
        """Arrays in the bucket that are not those that were prepared are a damaged reference."""
        (dark,) = (reference for reference in desk.item.references if reference.type == "dark")
        prefix = worker.prepared_prefix(dark)
        chunk = next(stamp.key for stamp in desk.archive.list(prefix) if "/sci/c/" in stamp.key)
        data = desk.archive.get(chunk).data
        desk.archive.put(chunk, data[:-4] + bytes(4))
        monkeypatch.setattr(worker, "_SHELF", Shelf(0))
        outcome = run(desk, cache=CacheSettings(directory=str(tmp_path)))

        assert outcome.outcome_class == errors.DamagedReference.outcome_class
        assert "prepared" in outcome.message
        assert not files(desk)


class TestSlabs:
    """An exposure in several units."""

    @pytest.mark.parametrize("rows", [64, 63, 33, 17, 5])
    def test_are_the_whole_byte_for_byte(self, desk, rows):
        """However it is cut, every file of the version, provenance and manifest included, is the one of the whole."""
        run(desk)
        whole = files(desk)
        other = replace(desk, archive=trips.copy(desk.archive, trips.fresh(), "references/"))
        outcomes = in_slabs(other, rows)

        assert {outcome.outcome_class for outcome in outcomes[:-1]} == {worker.STAGED}
        assert outcomes[-1].outcome_class == worker.WRITTEN, outcomes[-1].message
        assert files(other) == whole
        assert not list(other.archive.list("staging/"))

    def test_facts_that_only_slabs_can_tell(self, desk):
        """If all slabs together show that their facts were wrong, the assembly has them calibrated anew."""
        given = {**desk.item.parameters["charge_migration"], "skip": False, "signal_threshold": -1e9}
        item = replace(desk.item, parameters={**desk.item.parameters, "charge_migration": given})
        whole, cut = (replace(desk, item=item, archive=trips.copy(desk.archive, trips.fresh())) for _ in range(2))
        run(whole)
        outcomes = in_slabs(cut, 17)

        assert {outcome.outcome_class: outcome.message for outcome in outcomes} == {
            worker.STAGED: "",
            worker.WRITTEN: "",
        }
        assert outcomes[-1].seconds["calibrate"] > 0
        assert files(cut) == files(whole)

    def test_in_any_order_and_twice(self, desk):
        """Slabs may be done in any order and more than once."""
        run(desk)
        whole = files(desk)
        other = replace(desk, archive=trips.copy(desk.archive, trips.fresh(), "references/"))
        bands = slabs.cut(64, 20, worker.halo(desk.item))
        run(other, "facts")
        for band in (*reversed(bands), *bands[:2]):
            run(other, "slab", slab=band)
        run(other, "assembly")

        assert files(other) == whole

    def test_a_slab_that_is_missing(self, desk):
        """An assembly without all of its slabs writes nothing visible and says which rows are missing."""
        bands = slabs.cut(64, 20, worker.halo(desk.item))
        run(desk, "facts")
        for band in (bands[0], *bands[2:]):
            run(desk, "slab", slab=band)
        outcome = run(desk, "assembly")

        assert outcome.outcome_class not in (worker.WRITTEN, worker.STAGED, "own-error")
        assert desk.item.dataset in outcome.message
        assert not files(desk)

    def test_a_slab_without_facts(self, desk):
        """A slab before its facts is a failure with the name of what is missing."""
        (band, *_) = slabs.cut(64, 20, worker.halo(desk.item))
        outcome = run(desk, "slab", slab=band)

        assert outcome.outcome_class == "storage"
        assert "facts" in outcome.message


class TestFailures:
    """Nothing raises: everything becomes an outcome of its own class."""

    @pytest.mark.parametrize(
        ("error", "ended", "temporary"),
        [
            (errors.StorageUnavailable("no answer"), "storage", True),
            (errors.AccessDenied("no"), "storage", False),
            (errors.BadData("bad"), "bad-data", False),
            (errors.Unsupported("kind"), "unsupported", False),
            (MemoryError("64 GiB"), "out-of-memory", False),
            (ZeroDivisionError("oops"), "own-error", False),
            (RecursionError("deep"), "own-error", False),
        ],
    )
    def test_each_error_has_its_class(self, desk, error, ended, temporary):
        """Our errors keep their class; lack of memory and defects have one too; the message names the dataset."""

        def hook(name, key, perform):
            raise error

        outcome = run(desk, raw=Watched(desk.raw, hook))

        assert (outcome.outcome_class, outcome.temporary) == (ended, temporary)
        assert desk.item.dataset in outcome.message
        assert not files(desk)

    @pytest.mark.parametrize("named", [None, "/scratch/reprocess-1"])
    def test_a_full_disk(self, desk, monkeypatch, named):
        """A worker whose disk is full says so and what to do; the exposure is tried again, nothing is left of it."""

        def full(*words, **more):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), named)

        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "TemporaryDirectory", full)
            outcome = run(desk)

        assert (outcome.outcome_class, outcome.temporary) == ("storage", True)
        assert f"{named or tempfile.gettempdir()}: No space left on device. Make room" in outcome.message
        assert not files(desk)
        assert run(desk).outcome_class == worker.WRITTEN

    def test_a_disk_that_fills_up_with_zarr(self, desk, tmp_path, monkeypatch):
        """What is put aside as Zarr before it is published is a file like any other: its failure has a class."""
        write = prepared.write_rateints_zarr

        def full(store, *words, **more):
            def hook(name, key, perform):
                raise errors.StorageError(f"{store.url}/{key}: No space left on device. Check the file system.")

            write(Watched(store, hook), *words, **more)

        with monkeypatch.context() as patch:
            patch.setattr(prepared, "write_rateints_zarr", full)
            outcome = run(desk, zarr=True)

        assert outcome.outcome_class == "storage"
        assert "No space left on device" in outcome.message
        assert not [key for key in files(desk) if key.endswith("manifest.json")]
        assert run(desk, zarr=True).outcome_class == worker.WRITTEN

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_who_wants_to_stop_is_let_through(self, desk, error):
        """An interrupt is no failure of a unit."""

        def hook(name, key, perform):
            raise error

        with pytest.raises(error):
            run(desk, raw=Watched(desk.raw, hook))

    def test_prepared_arrays_that_are_gone(self, desk):
        """A prepared reference that somebody removed is a failure that names it."""
        dark = next(reference for reference in desk.item.references if reference.type == "dark")
        for stamp in list(desk.archive.list(worker.prepared_prefix(dark))):
            desk.archive.delete(stamp.key)
        outcome = run(desk)

        assert outcome.outcome_class in ("storage", "reference")
        assert dark.sha256 in outcome.message

    def test_another_content_under_the_same_version(self, desk):
        """A file of the version that has other bytes is never overwritten; no manifest is written."""
        key = f"products/{desk.item.dataset}/{desk.item.version}/{desk.item.dataset}_rate.fits"
        desk.archive.put(key, b"other")
        outcome = run(desk)

        assert outcome.outcome_class == "publication"
        assert key in outcome.message
        assert desk.archive.get(key).data == b"other"
        assert not any(key.endswith("manifest.json") for key in files(desk))


class TestPreparation:
    """References to arrays."""

    def test_damaged_mirror(self, desk):
        """A mirrored file that is damaged ends the unit with its name, and is not marked as ready."""
        reference = desk.item.references[0]
        store = trips.fresh()
        store.put(f"references/files/{reference.sha256}/{reference.name}", b"damaged")
        outcome = worker.run(Task("u", "", worker.Preparation(store, reference)))

        assert outcome.outcome_class == "reference"
        assert reference.name in outcome.message
        assert not list(store.list("references/ready/"))

    def test_twice(self, desk):
        """Preparing again changes no byte."""
        before = trips.objects(desk.archive, "references/")
        for reference in desk.item.references:
            worker.run(Task("u", "", worker.Preparation(desk.archive, reference)))

        assert trips.objects(desk.archive, "references/") == before


def test_the_log_is_in_the_order_of_the_chain(desk):
    """What the product says of its steps does not depend on the order in which their statuses come."""
    statuses = {"ramp_fit": "COMPLETE", "dq_init": "SKIPPED", "jump": "COMPLETE"}
    logs = [
        worker.product_info(desk.plan, desk.item, dict(order)).log
        for order in (statuses.items(), sorted(statuses.items()))
    ]

    assert logs[0] == logs[1]
    assert [line.partition(":")[0] for line in logs[0]] == ["dq_init", "jump", "ramp_fit"]


def test_provenance_names_everything(desk):
    """The provenance record holds the raw object, each reference and the plan."""
    run(desk)
    place = f"products/{desk.item.dataset}/{desk.item.version}/provenance.json"
    text = json.dumps(json.loads(desk.archive.get(place).data))

    for word in (desk.item.entry.key, desk.plan.digest, *(reference.name for reference in desk.item.references)):
        assert word in text
