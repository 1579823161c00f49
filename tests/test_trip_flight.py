"""Two public files of the telescope and its real rules, without any reference file."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from reprocess import campaign, inspection, story
from reprocess.publication import ledger
from tests import trips
from tests.formats import files

GUIDE_STAR_KEYS = [
    "jw01019001001_gs-acq1_2022117003102_uncal.fits",
    "jw01019001001_gs-acq2_2022117003102_uncal.fits",
    "jw01019001001_gs-fg_2022117003102-seg001_uncal.fits",
    "jw01019001001_gs-id_1_image_uncal.fits",
    "jw01019001001_gs-id_1_stacked_uncal.fits",
    "jw01019001001_gs-track_2022117003102_uncal.fits",
]


@pytest.fixture(scope="module")
def rules():
    """Directory of the real rules, laid out as a CRDS cache, or skip."""
    shared = Path(os.environ.get("REPROCESS_SHARED") or Path(__file__).parents[2] / "shared") / "crds"
    if not (shared / "mappings/jwst/jwst_0541.pmap").exists():
        pytest.skip("the rules of jwst_0541.pmap are not in REPROCESS_SHARED/crds")
    return shared


@pytest.fixture(scope="module")
def ended(rules, tmp_path_factory):
    """An archive of the two files after scan, plan and run; plan, summary, and how each candidate ended."""
    raw = tmp_path_factory.mktemp("flight")
    for name in (files.NIRCAM, files.GUIDER):
        folder = raw / "jwst" / "public" / name[:7] / name.partition("_")[0]
        folder.mkdir(parents=True)
        (folder / name).symlink_to(files.flight_file(name).absolute())
    archive = trips.make(raw=str(raw), references=str(rules))
    made, summary = trips.go(archive, replace(trips.target(), context="jwst_0541.pmap"))
    closing = ledger.close(made, ledger.read(archive.store, made.digest[:16]).values())
    return archive, made, summary, closing


class TestFlight:
    def test_the_sum_closes(self, ended):
        """Both files are candidates, neither is published, and nothing crashed."""
        archive, _, summary, closing = ended

        assert summary.closes
        assert summary.candidates == 2
        assert not set(closing.counts) & {"published", "own-error", "storage"}
        assert not trips.products(archive)

    def test_a_guide_star_acquisition_is_unsupported(self, ended):
        """It is of a kind that stage 1 does not calibrate: the message names the file and its kind, and no failure."""
        _, _, summary, closing = ended
        dataset = files.GUIDER.removesuffix("_uncal.fits")

        assert closing.classes[dataset] == "unsupported"
        assert dataset in closing.messages[dataset]
        assert "FGS_ACQ1" in closing.messages[dataset]
        assert summary.failed == 1

    def test_a_file_whose_pixels_are_cut_away_is_bad_data(self, ended):
        """The array is not what the header promises: the message names the file and both shapes."""
        _, _, _, closing = ended
        dataset = files.NIRCAM.removesuffix("_uncal.fits")
        message = closing.messages[dataset]

        assert closing.classes[dataset] == "bad-data"
        assert dataset in message
        assert message.count("(") >= 2
        assert "2048, 2048)" in message
        assert "Fetch the file again" in message

    def test_the_story_is_told(self, ended):
        """Both can be explained, against the plan and against the target."""
        archive, made, _, _ = ended
        for item in made.items:
            told = story.tell(inspection.explain(archive, item.dataset))
            assert "cannot be calibrated" in told
            assert inspection.explain(archive, item.dataset, replace(trips.target(), context="jwst_0541.pmap"))


def test_keys_of_guide_star_files():
    """Every kind of guide-star file is a candidate of its own under its own name."""
    raw = trips.fresh()
    for name in GUIDE_STAR_KEYS:
        raw.put(f"jwst/public/jw01019/jw01019001001/{name}", b"x")
    archive = trips.make(raw=raw.url)
    made = campaign.plan(archive, trips.target(), created=trips.CREATED)

    assert [item.dataset for item in made.items] == sorted(name.removesuffix("_uncal.fits") for name in GUIDE_STAR_KEYS)
    assert {item.failure_class for item in made.items} == {"bad-data"}
