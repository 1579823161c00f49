import contextlib
import hashlib
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from reprocess import campaign, closing, coordinator, errors, inspection
from reprocess.archive import keys
from reprocess.execution.dask.executor import DaskExecutor
from reprocess.publication import lease, ledger
from reprocess.publication import pointer as pointers
from reprocess.simulation.options import SimulationOptions
from reprocess.storage.counting import CountingStore
from tests import trips
from tests.publication.faulty import Killed, Watched

PUBLISHED = 8


def counted(archive):
    """The archive with stores that count what is asked of them."""
    raw = {url: CountingStore(store) for url, store in archive.raw.items()}
    return replace(archive, store=CountingStore(archive.store), raw=raw)


def neutral(data, digest):
    """The bytes of a product without the name of its plan."""
    return data.replace(digest.encode(), b"=" * len(digest))


class TestTrip:
    """Scan, plan, run."""

    def test_the_sum_closes(self, done):
        """Each candidate ends in exactly one class, and nobody fails."""
        _, _, summary = done

        assert {name: count for name, count in summary.classes.items() if count} == {"published": PUBLISHED}
        assert summary.closes
        assert summary.failed == 0

    def test_each_published_version_is_whole(self, done):
        """Each pointer shows a version with products, picture, provenance and manifest, and nothing else exists."""
        archive, made, _ = done
        names = {"_rate.fits", "_rateints.fits", "_quicklook.png", "provenance.json", "manifest.json"}
        wanted = {
            f"products/{dataset}/{version}/{dataset if name[0] == '_' else ''}{name}"
            for dataset, version in trips.shown(archive).items()
            for name in names
        }

        assert set(trips.products(archive)) == wanted
        assert trips.shown(archive) == {item.dataset: item.version for item in made.items if item.version}

    def test_attempts_give_the_same_bytes(self, done):
        """The same plan in another archive root gives the same plan and the same bytes."""
        archive, made, _ = done
        other = trips.make()
        again, _ = trips.go(other)

        assert again.digest == made.digest
        assert trips.products(other) == trips.products(archive)

    def test_slabs_give_the_same_bytes(self):
        """Exposures that are cut give the files of whole ones, apart from the name of the plan that they carry."""
        archives = [trips.make(options=trips.TALL) for _ in range(2)]
        plans = [
            trips.go(archive, trips.target(extra=extra, options=trips.TALL))[0]
            for archive, extra in zip(archives, ("", trips.LEAST_MEMORY), strict=True)
        ]

        assert [item.rows_per_slab for item in plans[0].items] == [0, 0]
        assert all(0 < item.rows_per_slab < 64 for item in plans[1].items)
        assert trips.shown(archives[0]) == trips.shown(archives[1])
        for key in trips.products(archives[0]):
            if key.endswith((".fits", ".png")):
                whole, slabs = (
                    neutral(archive.store.get(key).data, made.digest)
                    for archive, made in zip(archives, plans, strict=True)
                )
                assert whole == slabs, key
        assert not list(archives[1].store.list("staging/"))

    def test_raw_is_never_written(self, done):
        """No call that writes or deletes reaches a raw location."""
        archive = counted(trips.make())
        trips.go(archive)

        for store in archive.raw.values():
            assert set(store.requests) <= {"list", "sweep", "get", "get_ranges", "fill", "head"}

    @pytest.mark.slow
    @pytest.mark.parametrize("workers", [1, 2])
    def test_workers_give_the_same_bytes(self, tmp_path, workers):
        """Dask workers, however many, write the bytes that this process writes, whole and in slabs."""
        archives, targets = [], []
        for options, extra in ((trips.SMALL, ""), (trips.TALL, trips.LEAST_MEMORY)):
            raw = tmp_path / f"raw{options.exposures}"
            trips.copy(trips.simulated(options).below("raw"), trips.open_store(str(raw)))
            archives.append(
                [
                    trips.make(str(tmp_path / f"{name}{options.exposures}"), raw=str(raw), options=options)
                    for name in ("serial", "dask")
                ]
            )
            targets.append(trips.target(extra=extra, options=options))
        with DaskExecutor.local(workers, memory_limit_bytes=2 * 10**9) as executor:
            for (serial, dask), wanted in zip(archives, targets, strict=True):
                for archive, each in ((serial, None), (dask, executor)):
                    _, summary = trips.go(archive, wanted, executor=each)
                    assert summary.closes
                    assert not summary.failed

        for serial, dask in archives:
            assert trips.products(serial) == trips.products(dask)
            assert trips.shown(serial) == trips.shown(dask)

    @pytest.mark.slow
    def test_a_worker_that_dies_is_replaced(self, tmp_path):
        """The unit of a worker that was killed is done again, and its product is the same."""
        trips.copy(trips.simulated(trips.TINY).below("raw"), trips.open_store(str(tmp_path / "raw")))
        archive = trips.make(str(tmp_path / "archive"), raw=str(tmp_path / "raw"), options=trips.TINY)
        healthy = trips.make(str(tmp_path / "healthy"), raw=str(tmp_path / "raw"), options=trips.TINY)
        trips.go(healthy, trips.target(options=trips.TINY))
        deadly = {url: trips.Deadly(tmp_path / "raw") for url in archive.raw}
        with DaskExecutor.local(1, memory_limit_bytes=2 * 10**9) as executor:
            made, summary = trips.go(replace(archive, raw=deadly), trips.target(options=trips.TINY), executor=executor)

        assert (tmp_path / "somebody-died").exists()
        assert summary.classes["published"] == 2
        assert max(outcome.attempt for outcome in ledger.read(archive.store, made.digest[:16]).values()) == 2
        assert trips.products(archive) == trips.products(healthy)


class TestAgain:
    """What happens when nothing, or something, has changed."""

    def test_not_over_a_damaged_pointer(self):
        """Of what readers see nobody can tell which version it is: not even on request is anything made over it."""
        archive = trips.make(options=trips.TINY)
        wanted = trips.target(options=trips.TINY)
        made, _ = trips.go(archive, wanted)
        dataset = made.items[0].dataset
        archive.store.put(pointers.key(dataset), b"{")
        campaign.scan(archive)

        again = campaign.plan(archive, wanted, again=(dataset,), created=trips.LATER)

        (item,) = again.items
        assert (item.dataset, item.action, item.failure_class) == (dataset, "fail", "publication")

    def test_just_published_is_current(self, done):
        """What was published under a context is current under it, without any work."""
        archive, _, _ = done
        campaign.scan(archive)
        made = campaign.plan(archive, trips.target(), created=trips.LATER)
        states = [verdict.state for verdict in made.verdicts()]

        assert states == ["current"] * PUBLISHED
        assert not [item for item in made.items if item.action == "calibrate"]

    def test_another_context_makes_stale_what_it_changes(self, done, expected):
        """Under the second context each verdict and each reason is the one of the simulator's own record."""
        archive, _, _ = done
        campaign.scan(archive)
        made = campaign.plan(archive, trips.target("second"), created=trips.LATER)
        judged = list(made.verdicts())

        assert {verdict.dataset: verdict.state for verdict in judged} == {
            verdict.dataset: expected[verdict.dataset]["state"] for verdict in judged
        }
        for verdict in judged:
            found = {(reason.reference_type, reason.old, reason.new) for reason in verdict.reasons}
            reasons = expected[verdict.dataset]["reasons"]
            assert found == {(reason["type"], reason["old"], reason["new"]) for reason in reasons}

    def test_only_what_is_stale_is_redone_and_then_all_is_current(self, expected):
        """The second campaign writes versions of stale datasets alone; after it nothing is stale."""
        archive = trips.make()
        trips.go(archive)
        before = trips.products(archive)
        campaign.scan(archive)
        _, summary = trips.go(archive, trips.target("second"), created=trips.LATER)
        campaign.scan(archive)
        last = campaign.plan(archive, trips.target("second"), created=trips.LATEST)
        redone = {key.split("/")[1] for key in set(trips.products(archive)) - set(before)}

        assert redone == {name for name, each in expected.items() if each["state"] == "stale"}
        assert summary.classes["published"] == len(redone)
        assert summary.classes["current"] == PUBLISHED - len(redone)
        assert before.items() <= trips.products(archive).items()
        assert not last.items

    def test_the_same_digest_again_does_nothing(self):
        """Running a plan again reads no raw object, records no outcome and leaves all but the report alone."""
        archive = counted(trips.make())
        made, summary = trips.go(archive)
        before = trips.objects(archive.store, "")
        for store in (archive.store, *archive.raw.values()):
            store.reset()

        again = coordinator.run(archive, made.digest)
        changed = {key for key, digest in trips.objects(archive.store, "").items() if before.get(key) != digest}

        assert again.classes == summary.classes
        assert not any(store.requests for store in archive.raw.values())
        assert changed <= {f"campaigns/{made.digest[:16]}/report.{kind}" for kind in ("txt", "html")}

    def test_scanning_again_reads_nothing(self):
        """A scan of an unchanged archive lists, and reads no raw object, no product and no pointer."""
        archive = counted(trips.make())
        trips.go(archive)
        campaign.scan(archive)
        for store in (archive.store, *archive.raw.values()):
            store.reset()

        again = campaign.scan(archive)

        assert (again.new, again.changed, again.requests, again.pointers) == (0, 0, 0, 0)
        assert all(set(store.requests) == {"list"} for store in archive.raw.values())
        assert set(archive.store.requests) <= {"list", "get"}  # its own record of the catalogue is one get
        assert archive.store.requests["get"] <= 2

    @pytest.mark.parametrize("lost", [("manifest.json",), ("rate.fits",), ("manifest.json", "rate.fits")])
    def test_products_that_are_gone_are_made_again(self, lost):
        """Deleted products are noticed by the next scan, are the only work of its plan, and readers see new ones."""
        archive = counted(trips.make(options=trips.TINY))
        wanted = trips.target(options=trips.TINY)
        trips.go(archive, wanted)
        (dataset, version), *others = sorted(trips.shown(archive).items())
        before = trips.rate(archive, dataset)
        for key, what in keys.needed(dataset, version).items():
            if what in lost:
                archive.store.delete(key)
        for store in archive.raw.values():
            store.reset()

        campaign.scan(archive)
        assert all(set(store.requests) == {"list"} for store in archive.raw.values())
        made, summary = trips.go(archive, wanted, created=trips.LATER)
        campaign.scan(archive)
        again = campaign.plan(archive, wanted, created=trips.LATEST)

        (verdict,) = (one for one in made.verdicts() if one.state != "current")
        assert (verdict.dataset, [reason.kind for reason in verdict.reasons]) == (dataset, ["product-damaged"])
        assert (summary.classes["published"], summary.closes) == (1, True)
        assert dict(others).items() <= trips.shown(archive).items()
        assert trips.shown(archive)[dataset] != version
        after = trips.rate(archive, dataset)
        assert all(np.array_equal(after[name], before[name], equal_nan=True) for name in before)
        assert {one.state for one in again.verdicts()} == {"current"}

    def test_going_back_to_an_earlier_context_shows_its_products(self):
        """When a target goes back, readers see what it asks for, and everything is current."""
        archive = trips.make()
        for name, created in (("first", trips.CREATED), ("second", trips.LATER), ("first", trips.LATEST)):
            made, _ = trips.go(archive, trips.target(name), created=created)
            campaign.scan(archive)
        found = [pointers.read(archive.store, dataset)[0] for dataset in trips.shown(archive)]
        after = campaign.plan(archive, trips.target(), created=trips.LATEST)

        assert {verdict.state for verdict in after.verdicts()} == {"current"}
        assert max(len(pointer.history) for pointer in found) == 2
        assert {item.dataset: item.version for item in made.items if item.action == "calibrate"}.items() <= (
            trips.shown(archive).items()
        )

    def test_a_plan_after_a_run_that_was_cut_off_can_be_run(self):
        """Files that a dead campaign left behind without a manifest do not stand in the way of the next plan."""
        archive = trips.make(options=trips.TINY)
        wanted = trips.target(options=trips.TINY)
        first = campaign.plan(archive, wanted, created=trips.CREATED)
        dying = replace(archive, store=Watched(archive.store, Death(lambda key: key.endswith("manifest.json"))))
        with pytest.raises(Killed):
            coordinator.run(dying, first.digest)
        assert trips.products(archive)

        campaign.scan(archive)
        _, summary = trips.go(archive, wanted, created=trips.LATER)

        assert summary.classes["published"] == 2
        assert not inspection.verify(archive).problems


class Death:
    """A hook that lets every store call die from a moment on: the n-th call, or the first write of a chosen key.

    What threads do at times of their own, renewing a lease and asking what operators want, is no call of the run's.
    """

    def __init__(self, when):
        self.when = when
        self.calls = 0
        self.dead = False

    def __call__(self, name, key, perform):
        if threading.current_thread().name.startswith(("lease", "control")):
            return perform()
        self.calls += 1
        chosen = self.when(key) if callable(self.when) else self.calls >= self.when
        if self.dead or (chosen and (not callable(self.when) or name.startswith(("put", "upload")))):
            self.dead = True
            raise Killed
        return perform()


class TestKilled:
    """A coordinator that dies at any store call."""

    @pytest.fixture(scope="class", params=[(trips.TINY, ""), (trips.TALL, trips.LEAST_MEMORY)], ids=["whole", "slabs"])
    def healthy(self, request):
        """What to make and aim at, what an undisturbed run leaves, and how many store calls it makes."""
        options, extra = request.param
        wanted = trips.target(extra=extra, options=options)
        for _ in range(2):  # the first run may have to fetch the references that this machine keeps from then on
            archive = trips.make(options=options)
            hook = Death(10**9)
            made = campaign.plan(archive, wanted, created=trips.CREATED)
            coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest)
        return options, wanted, trips.products(archive), hook.calls

    @pytest.mark.slow
    def test_anywhere_and_run_again(self, healthy):
        """Whatever call was the last, running again gives the same bytes, one version each, and a sum that closes."""
        options, wanted, products, calls = healthy
        for number in sorted({1, 2, calls - 1, calls, *range(3, calls, max(1, calls // 12))}):
            archive = trips.make(options=options)
            made = campaign.plan(archive, wanted, created=trips.CREATED)
            with pytest.raises(Killed):
                coordinator.run(replace(archive, store=Watched(archive.store, Death(number))), made.digest)
            assert trips.shown(archive).keys() <= {item.dataset for item in made.items}
            assert not inspection.verify(archive).problems
            with contextlib.suppress(errors.ObjectMissing):
                archive.store.delete(lease.key(made.digest[:16]))  # as if its silence had been watched for long enough

            summary = coordinator.run(archive, made.digest)

            assert summary.closes, number
            assert summary.classes["published"] == 2, number
            assert trips.products(archive) == products, number
            assert {pointers.read(archive.store, item.dataset)[0].sequence for item in made.items} == {1}, number
            assert not list(archive.store.list("staging/"))


class TestTruth:
    """Products against what the simulator put into the pixels."""

    @pytest.mark.slow
    @pytest.mark.parametrize("instrument", ["NIRCAM", "NIRISS", "FGS"])
    def test_rates_are_the_simulated_ones_within_their_errors(self, instrument):
        """(rate - truth) / error has a median of 0 and a width of 1 over the usable pixels."""
        options = SimulationOptions(exposures=4, shape=(128, 128), groups=8, instruments=(instrument,), seed=5)
        archive = trips.make(options=options)
        _, summary = trips.go(archive, trips.target(options=options))
        pulls = []
        for dataset in trips.shown(archive):
            truth = trips.planes(trips.simulated(options).get(f"truth/{dataset}_truth.fits").data)
            found = trips.rate(archive, dataset)
            usable = (truth["USABLE"] == 1) & (found["DQ"] & 1 == 0)
            assert usable.sum() > 0.8 * (truth["USABLE"] == 1).sum()
            pulls.append(((found["SCI"] - truth["RATE"]) / found["ERR"])[usable])
        pull = np.concatenate(pulls)
        median = np.median(pull)

        assert summary.classes["published"] == 4
        assert np.isfinite(pull).all()
        assert abs(median) < 0.05
        assert 0.95 < 1.4826 * np.median(np.abs(pull - median)) < 1.1


class TestFindPlan:
    """Plans by their digest."""

    @pytest.mark.parametrize("digest", ["", "abc", "xyzxyzxyz", "../../etc/passwd", "0x1234567"])
    def test_what_is_no_digest(self, done, digest):
        """Anything but six or more hexadecimal digits is refused, and the message says what a digest is."""
        with pytest.raises(errors.PlanError, match="hexadecimal"):
            campaign.find_plan(done[0], digest)

    def test_unknown(self, done):
        """A digest that no plan has is an error that says where digests come from."""
        with pytest.raises(errors.PlanError, match=r"no plan 0{12}.*reprocess plan"):
            campaign.find_plan(done[0], "0" * 12)

    @pytest.mark.parametrize("length", [6, 16, 30, 64])
    def test_shortened(self, done, length):
        """A digest may be shortened, and written in capitals."""
        archive, made, _ = done

        assert campaign.find_plan(archive, made.digest[:length].upper()) == made

    def test_a_long_digest_that_is_wrong_at_its_end(self, done):
        """All digits count, not only those that name the campaign."""
        archive, made, _ = done
        wrong = made.digest[:-1] + ("0" if made.digest[-1] != "0" else "1")

        with pytest.raises(errors.PlanError, match="Plan again"):
            campaign.find_plan(archive, wrong)

    def test_ambiguous(self, done):
        """Digits that begin two plans are refused and the message says so."""
        archive, made, _ = done
        other = trips.copy(archive.store, trips.fresh(), "campaigns/")
        other.put(f"campaigns/{made.digest[:8]}{'f' * 8}/plan.json", b"{}")

        with pytest.raises(errors.PlanError, match="2 plans"):
            campaign.find_plan(replace(archive, store=other), made.digest[:8])

    @pytest.mark.parametrize(
        "edit",
        [
            lambda text: text.replace('"action":"calibrate"', '"action":"none"', 1),
            lambda text: text.replace("jwst_9001.pmap", "jwst_9002.pmap"),
            lambda text: text[:-40],
            lambda text: "",
            lambda text: "[]",
            lambda text: text.replace('"schema":3', '"schema":99'),
        ],
        ids=["action", "context", "truncated", "empty", "list", "schema"],
    )
    def test_edited_by_hand(self, done, edit):
        """A plan that was edited or damaged is not run."""
        archive, made, _ = done
        other = trips.copy(archive.store, trips.fresh())
        key = f"campaigns/{made.digest[:16]}/plan.json"
        other.put(key, edit(other.get(key).data.decode()).encode())

        with pytest.raises(errors.PlanError, match=r"[Pp]lan.* again"):
            coordinator.run(replace(archive, store=other), made.digest)

    def test_resealed_under_another_name(self, done):
        """A plan with a right digest that lies under another campaign's name is not taken for it."""
        archive, made, _ = done
        other = trips.copy(archive.store, trips.fresh())
        other.put("campaigns/0123456789abcdef/plan.json", other.get(f"campaigns/{made.digest[:16]}/plan.json").data)

        with pytest.raises(errors.PlanError, match="not 0123456789"):
            campaign.find_plan(replace(archive, store=other), "0123456789abcdef")

    def test_made_by_another_version(self, done, monkeypatch):
        """A plan is run by the version of the package that made it and by no other."""
        archive, made, _ = done
        monkeypatch.setattr(coordinator, "__version__", "99.0")

        with pytest.raises(errors.PlanError, match=r"for reprocess .* this is 99\.0"):
            coordinator.run(archive, made.digest)


class TestReport:
    """The report that a campaign leaves."""

    def test_a_picture_that_is_gone_does_not_stop_the_report(self, done):
        """A report is written even where a quick look or a manifest is missing."""
        archive, made, _ = done
        other = replace(archive, store=trips.copy(archive.store, trips.fresh()))
        for key in trips.products(other):
            if key.endswith((".png", "manifest.json")):
                other.store.delete(key)

        assert closing.write_report(other, made).closes


def test_digests_are_of_the_bytes(done):
    """Each manifest declares the SHA-256 of its files, and each plan is kept as it was sealed."""
    archive, made, _ = done
    for dataset, version in trips.shown(archive).items():
        body = json.loads(archive.store.get(f"products/{dataset}/{version}/manifest.json").data)
        assert body["plan"] == made.digest
        for file in body["files"]:
            data = archive.store.get(f"products/{dataset}/{version}/{file['name']}").data
            assert (hashlib.sha256(data).hexdigest(), len(data)) == (file["sha256"], file["size"])
