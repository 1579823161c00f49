import io
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from reprocess import campaign, coordinator, errors, inspection, story
from reprocess.planning import plan as plans
from tests import trips
from tests.publication.faulty import Watched

PUBLISHED = 8


class TestVerify:
    """Reading back what readers see."""

    @pytest.fixture
    def archive(self, done):
        """A copy that may be damaged."""
        archive, _, _ = done
        return replace(archive, store=trips.copy(archive.store, trips.fresh()))

    def test_all_is_well(self, archive):
        """Right after a campaign there is nothing to complain about, and every file was read."""
        check = inspection.verify(archive)

        assert (check.versions, check.files, check.problems) == (PUBLISHED, 4 * PUBLISHED, ())

    def _key(self, archive, name):
        dataset, version = sorted(trips.shown(archive).items())[0]
        return f"products/{dataset}/{version}/" + name.format(dataset)

    @pytest.mark.parametrize("name", ["{}_rate.fits", "{}_rateints.fits", "{}_quicklook.png", "provenance.json"])
    @pytest.mark.parametrize("where", [0, -1, 0.5])
    def test_a_flipped_byte(self, archive, name, where):
        """One wrong bit anywhere in any file is found, and the file is named."""
        key = self._key(archive, name)
        data = bytearray(archive.store.get(key).data)
        data[int(len(data) * where) if isinstance(where, float) else where] ^= 1
        archive.store.put(key, bytes(data))

        (problem,) = inspection.verify(archive).problems
        assert key in problem

    def test_what_is_damaged_is_made_again(self, archive):
        """A dataset that the operator calls damaged is written as a new version with the bytes of the old one."""
        key = self._key(archive, "{}_rate.fits")
        whole, dataset = archive.store.get(key).data, key.split("/")[1]
        archive.store.put(key, whole[:-1] + b"!")
        campaign.scan(archive)

        made = campaign.plan(archive, trips.target(), again=[dataset], created=trips.CREATED)
        coordinator.run(archive, made.digest)

        assert [item.dataset for item in made.items if item.action == "calibrate"] == [dataset]
        assert inspection.verify(archive).problems == ()
        assert archive.store.get(self._key(archive, "{}_rate.fits")).data == whole

    def test_only_known_datasets_are_made_again(self, archive):
        """A name that the catalogue does not have is refused, and no plan is written."""
        with pytest.raises(errors.UsageError, match="jw0"):
            campaign.plan(archive, trips.target(), again=["jw0"])

    def test_a_missing_file(self, archive):
        """A file that is gone is named."""
        key = self._key(archive, "{}_rate.fits")
        archive.store.delete(key)

        assert inspection.verify(archive).problems == (f"{key} is missing.",)

    def test_a_shorter_file(self, archive):
        """A file that was cut is named with both sizes."""
        key = self._key(archive, "{}_rate.fits")
        size = len(archive.store.get(key).data)
        archive.store.put(key, archive.store.get(key).data[:-1])

        (problem,) = inspection.verify(archive).problems
        assert problem == f"{key} has {size - 1} bytes, not {size}."

    def test_a_missing_manifest(self, archive):
        """A pointer whose version has no manifest is found, and the message says what to do."""
        archive.store.delete(self._key(archive, "manifest.json"))

        (problem,) = inspection.verify(archive).problems
        assert "no manifest" in problem
        assert "publish again" in problem

    @pytest.mark.parametrize("data", [b"", b"{}", b"{", b'{"kind":"pointer","schema":7}', b"\xff\xfe"])
    @pytest.mark.parametrize("kind", ["pointer", "manifest"])
    def test_a_damaged_record(self, archive, kind, data):
        """A pointer or manifest that is no record is one problem, and the others are still read."""
        key = self._key(archive, "manifest.json")
        if kind == "pointer":
            key = f"pointers/{sorted(trips.shown(archive))[0]}.json"
        archive.store.put(key, data)

        check = inspection.verify(archive)

        assert check.versions == PUBLISHED - 1
        (problem,) = check.problems
        assert key in problem

    def test_a_store_that_does_not_answer_is_no_damage(self, archive):
        """When the store goes away meanwhile, that is an error of the store and not a problem of the products."""

        def hook(name, key, perform):
            if key.endswith("manifest.json"):
                raise errors.StorageUnavailable(f"{key}: no answer")
            return perform()

        with pytest.raises(errors.StorageUnavailable):
            inspection.verify(replace(archive, store=Watched(archive.store, hook)))


class TestReport:
    """Reports and status."""

    def test_status_of_a_plan_that_never_ran(self):
        """Before a run every candidate that has work is still to do, there is no remainder, and nothing is written."""
        archive = trips.make()
        made = campaign.plan(archive, trips.target(), created=trips.CREATED)
        before = trips.objects(archive.store, "")
        summary = inspection.status(archive, made.digest)

        assert (summary.to_do, summary.remainder.total, summary.closes, summary.ended) == (PUBLISHED, 0, False, False)
        assert b"has not ended" in inspection.read_report(archive, made.digest)
        assert trips.objects(archive.store, "") == before

    def test_a_run_that_was_cut_off_has_not_ended(self):
        """What is left is still to do until a run has come to its end; then nothing is."""
        archive = trips.make(options=trips.TINY)
        made = campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)
        with pytest.raises(KeyboardInterrupt):
            coordinator.run(archive, made.digest, progress=self.interrupt)
        cut = inspection.status(archive, made.digest)
        (standing,) = inspection.standings(archive, 5)
        coordinator.run(archive, made.digest)
        whole = inspection.status(archive, made.digest)

        assert (cut.to_do, cut.ended, standing.state, standing.to_do) == (1, False, "begun", 1)
        assert (whole.to_do, whole.ended, whole.closes) == (0, True, True)

    def interrupt(self, *_):
        raise KeyboardInterrupt

    def test_a_remainder_after_the_end_is_an_alarm(self, done):
        """When a run has ended and outcomes are missing, those candidates are a remainder."""
        archive, made, _ = done
        other = replace(archive, store=trips.copy(archive.store, trips.fresh()))
        for key in trips.objects(other.store, f"campaigns/{made.digest[:16]}/outcomes/"):
            other.store.delete(key)
        summary = inspection.status(other, made.digest)

        assert (summary.to_do, summary.remainder.total, summary.closes) == (0, PUBLISHED, False)
        assert [each.state for each in inspection.standings(other, 1)] == ["remainder"]

    def test_both_reports_are_kept(self, done):
        """Text and page lie beside the plan; the page has pictures and needs nothing from elsewhere."""
        archive, made, _ = done
        place = f"campaigns/{made.digest[:16]}/report"
        text, html = (archive.store.get(f"{place}.{kind}").data.decode() for kind in ("txt", "html"))

        assert re.search(r"remainder +0\n", text)
        assert html == inspection.read_report(archive, made.digest).decode()
        assert html.count("data:image/png;base64") == PUBLISHED
        assert "http://" not in html.replace("http://www.w3.org", "")


class TestStandings:
    """The plans of an archive."""

    @pytest.fixture
    def archive(self, done):
        """The archive with two more plans."""
        archive, _, _ = done
        archive = replace(archive, store=trips.copy(archive.store, trips.fresh()))
        campaign.plan(archive, trips.target("second"), created=trips.LATEST)
        campaign.plan(archive, trips.target("second"), created=trips.LATER, where="INSTRUME = 'FGS'")
        return archive

    def test_the_newest_first(self, archive):
        """All plans are listed by their creation, each with what it judged, what was done, and its state."""
        found = inspection.standings(archive, 10)

        assert [each.created for each in found] == [trips.LATEST, trips.LATER, trips.CREATED]
        assert (found[2].candidates, found[2].to_do, found[2].done, found[2].state) == (
            PUBLISHED,
            0,
            PUBLISHED,
            "ended",
        )
        assert found[1].where == "INSTRUME = 'FGS'"
        assert 0 < found[1].candidates < PUBLISHED

    def test_no_plan_is_read_whole(self, archive):
        """The list is made of outlines, whose size does not grow with the archive; as many as are asked for."""
        read = []
        watched = Watched(archive.store, lambda name, key, perform: (read.append((name, key)), perform())[1])
        inspection.standings(replace(archive, store=watched), 2)

        assert sum(key.endswith("/outline.json") for _, key in read) == 2
        assert not [key for name, key in read if name == "get" and key.endswith("/plan.json")]

    def test_without_an_outline(self, archive):
        """A plan whose outline is gone is read instead, and says the same."""
        before = inspection.standings(archive, 10)
        for key in trips.objects(archive.store, "campaigns/"):
            if key.endswith("/outline.json"):
                archive.store.delete(key)

        assert inspection.standings(archive, 10) == before

    def test_a_plan_that_cannot_be_read(self, archive):
        """It is listed with its problem, and the others are listed all the same."""
        archive.store.put("campaigns/0123456789abcdef/plan.json", b"{}")
        found = inspection.standings(archive, 10)

        assert [each.state for each in found].count("unreadable") == 1
        assert "plan.json is not a plan" in found[-1].problem
        assert inspection.explain(archive, sorted(trips.shown(archive))[0])


class TestStaleness:
    """What judgements leave behind."""

    def test_each_judgement_of_the_whole_catalogue_leaves_a_record(self, expected):
        """Counts are those of the plan, bytes those of the raw objects, and a plan of a part leaves nothing."""
        archive = trips.make()
        first, _ = trips.go(archive)
        campaign.scan(archive)
        campaign.plan(archive, trips.target("second"), created=trips.LATER, where="INSTRUME = 'FGS'")
        second = campaign.plan(archive, trips.target("second"), created=trips.LATEST)
        newest, oldest = inspection.staleness(archive, 10)
        sizes = {stamp.key: stamp.size for raw in archive.raw.values() for stamp in raw.list()}
        stale = [item for item in second.items if item.verdict.state == "stale"]

        assert (oldest.plan, newest.plan) == (first.digest, second.digest)
        for found, made in ((oldest, first), (newest, second)):
            counts = plans.counts(made)["verdict"]
            assert {state: found.of_state(state).count for state in counts} == counts
            assert (found.total.count, found.total.bytes) == (PUBLISHED, sum(sizes.values()))
        assert newest.of_state("stale").bytes == sum(sizes[item.entry.key] for item in stale)
        assert {cause.type for cause in newest.causes} == {
            reason.reference_type for item in stale for reason in item.verdict.reasons
        }
        assert (newest.stale_since, newest.oldest_product) == (trips.LATEST, trips.CREATED)

    def test_it_grows_old_until_it_is_done(self):
        """What stays stale is as old as the judgement that found it first; when it is done nothing is stale."""
        archive = trips.make()
        trips.go(archive)
        campaign.scan(archive)
        campaign.plan(archive, trips.target("second"), created=trips.LATER)
        trips.go(archive, trips.target("second"), created=trips.LATEST)
        again = inspection.staleness(archive, 1)[0]
        campaign.scan(archive)
        campaign.plan(archive, trips.target("second"), created="2026-11-24T00:00:00.000")

        assert again.stale_since == trips.LATER
        assert inspection.staleness(archive, 1)[0].stale_since == ""

    def test_the_same_plan_again(self):
        """Planning the same twice leaves one record."""
        archive = trips.make(options=trips.TINY)
        for _ in range(2):
            campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)

        assert len(inspection.staleness(archive, 10)) == 1


class TestExplain:
    """One dataset's story."""

    def test_of_what_was_published(self, done):
        """It names the raw object, the version that readers see, what made it, and the verdict."""
        archive, made, _ = done
        item = made.items[0]
        told = story.tell(inspection.explain(archive, item.dataset))

        for word in (item.entry.key, item.version, "jwst_9001.pmap", "jwst_nircam_dark_9001.fits"):
            assert word in told

    def test_against_a_target(self, done, expected):
        """Against another target it tells every reference that changed, and the earliest step."""
        archive, _, _ = done
        campaign.scan(archive)
        before = trips.objects(archive.store, "campaigns/")
        dataset = next(name for name, each in sorted(expected.items()) if each["state"] == "stale")
        told = story.tell(inspection.explain(archive, dataset, trips.target("second")))

        assert "It is stale:" in told
        for reason in expected[dataset]["reasons"]:
            assert f"from {reason['old']} to {reason['new']}" in told
        assert trips.objects(archive.store, "campaigns/") == before

    def test_what_was_published_after_the_last_scan_counts(self):
        """It is judged by what readers see now, not by what they saw when the archive was scanned."""
        archive = trips.make(options=trips.TINY)
        made, _ = trips.go(archive, trips.target(options=trips.TINY))

        account = inspection.explain(archive, made.items[0].dataset, trips.target(options=trips.TINY))

        assert "It is current" in story.tell(account)

    @pytest.mark.parametrize(
        "text",
        [
            "{}_uncal.fits",
            "{}_rate.fits",
            "{}_rateints.fits",
            "some/where/{}_uncal.fits",
            "s3://bucket/jwst/public/{}_uncal.fits",
            "pointers/{}.json",
            "s3://bucket/archive/products/{}/0123-1/provenance.json",
            "{}_quicklook.png",
            "{}_rate",
        ],
    )
    def test_a_file_stands_for_its_dataset(self, done, text):
        """The name of a file, a key and a URL are as good as the name of the dataset."""
        archive, made, _ = done
        dataset = made.items[0].dataset

        assert inspection.explain(archive, text.format(dataset)).item.dataset == dataset

    @pytest.mark.parametrize("text", ["{}x", "{}9_uncal.fits"])
    def test_nearly_a_dataset(self, done, text):
        """Of a name that the catalogue does not have the nearest ones are told."""
        archive, made, _ = done
        dataset = made.items[0].dataset

        with pytest.raises(errors.UsageError, match=rf"nearest are .*{dataset}"):
            inspection.explain(archive, text.format(dataset))

    def test_before_any_plan(self):
        """Where nothing was planned the message says what to do."""
        archive = trips.make(options=trips.TINY)
        dataset = next(iter(next(iter(archive.raw.values())).list())).key.rpartition("/")[2]

        with pytest.raises(errors.UsageError, match="--target"):
            inspection.explain(archive, dataset)

    def test_products_of_others(self):
        """What somebody else made of an exposure is known, with its header."""
        raw = trips.copy(trips.simulated(trips.TINY).below("raw"), trips.fresh())
        key = next(stamp.key for stamp in raw.list())
        stream = io.BytesIO()
        primary = fits.PrimaryHDU(header=fits.Header({"CAL_VER": "1.9.0"}))
        fits.HDUList([primary, fits.ImageHDU(np.zeros((4, 4), np.float32), name="SCI")]).writeto(stream)
        raw.put(key.replace("_uncal", "_rate"), stream.getvalue())
        raw.put(key.replace("_uncal", "_cal"), b"nothing" * 9999)
        archive = trips.make(raw=raw.url, options=trips.TINY)
        account = inspection.explain(archive, key, trips.target(options=trips.TINY))

        cal, rate = account.elsewhere

        assert [cal.key, rate.key] == [key.replace("_uncal", "_cal"), key.replace("_uncal", "_rate")]
        assert rate.header["CAL_VER"] == "1.9.0"
        assert f"{rate.key} (CAL_VER 1.9.0)" in story.tell(account)
        assert f"{cal.key} cannot be read" in story.tell(account)

    @pytest.mark.parametrize("dataset", ["nobody", "", "../../etc/passwd", "a\0b", "x" * 3000])
    @pytest.mark.parametrize("name", [None, "second"])
    def test_of_nothing(self, done, dataset, name):
        """A dataset that nobody knows is a wrong request, whatever its name looks like."""
        with pytest.raises(errors.UsageError, match="dataset"):
            inspection.explain(done[0], dataset, trips.target(name) if name else None)
