"""Archives with products of stage 2 that others made, from the listing to the report."""

import hashlib
import re

import pytest
from astropy.io import fits

from reprocess import campaign, coordinator, inspection, story, terminal
from reprocess.archive import root
from reprocess.planning.plan import counts
from reprocess.reporting import plaintext
from reprocess.target import read_target
from tests import trips
from tests.archive import small_rules
from tests.archive.stores import dataset, fill, raw_key
from tests.formats import files

FIRST, OTHER_FLAT, OTHER_WORDS = "jwst_9001.pmap", "jwst_9002.pmap", "jwst_9003.pmap"
FLAT = "jwst_nircam_flat_{:04d}.fits"
DISTORTION = "jwst_nircam_distortion_0001.asdf"
STAGE_1 = {f"R_{kind[:6].upper()}": f"crds://{small_rules.file_name(kind)}" for kind in small_rules.TYPES}
RATE = {"CAL_VER": "3.0.0", "CRDS_CTX": FIRST, **STAGE_1}
CAL = {**RATE, "S_FLAT": "COMPLETE", "R_FLAT": f"crds://{FLAT.format(1)}", "R_DISTOR": f"crds://{DISTORTION}"}
WITHOUT_FLAT = {**RATE, "S_FLAT": "SKIPPED", "R_DISTOR": f"crds://{DISTORTION}"}
RATE_AND_CAL, CAL_ALONE, NO_FLAT, RATE_ALONE = (dataset(number) for number in range(1, 5))
TOUCHED = (RATE_AND_CAL, CAL_ALONE)


def product(header):
    """The bytes of a product with a header of somebody else's."""
    return files.to_bytes([fits.PrimaryHDU(header=fits.Header(header)), fits.ImageHDU(files.planes().sci, name="SCI")])


def context(store, name, flat):
    rules = {"flat": FLAT.format(flat), "distortion": DISTORTION}
    return small_rules.add_context(store, name, more=rules)


def target(name):
    return read_target(f'context = "{name}"\nsoftware = ">=0.1"\n', name="target.toml")


def judged(archive, name, again=()):
    return campaign.plan(archive, target(name), created=trips.CREATED, again=again)


@pytest.fixture(scope="module")
def archive():
    """Four exposures calibrated by the official pipeline; three contexts. Nobody changes it but for plans."""
    raw, references, url = trips.fresh(), trips.fresh(), trips.fresh().url
    small_rules.add_files(references)
    for name, flat in ((FIRST, 1), (OTHER_FLAT, 2), (OTHER_WORDS, 1)):
        context(references, name, flat)
    fill(raw, [RATE_AND_CAL, CAL_ALONE, NO_FLAT, RATE_ALONE])
    made = {(RATE_AND_CAL, "cal"): CAL, (CAL_ALONE, "cal"): CAL, (NO_FLAT, "cal"): WITHOUT_FLAT}
    made |= {(each, "rate"): RATE for each in (RATE_AND_CAL, NO_FLAT, RATE_ALONE)}
    for (name, level), header in made.items():
        raw.put(raw_key(name, level), product(header))
    campaign.init(url, root.ArchiveRoot(raw=(root.RawLocation(raw.url),), references=references.url), trips.settings())
    opened = campaign.open_archive(url, trips.settings())
    campaign.scan(opened)
    return opened


def test_the_context_they_were_made_with(archive):
    """Products of the release that gives the same pixels, made with the files of the target, are current."""
    made = judged(archive, FIRST)

    assert made.items == ()
    assert counts(made)["verdict"] == {"current": 4}


def test_only_a_flat_changed(archive):
    """Work would begin with stage 2, for those that used the flat and for nobody else; the plan says so."""
    made = judged(archive, OTHER_FLAT)

    assert tuple(item.dataset for item in made.items) == TOUCHED
    assert counts(made)["restart"] == {"image2": 2}
    assert counts(made)["reason"] == {"reference: flat": 2}
    for item in made.items:
        (reason,) = item.verdict.reasons
        assert (reason.step, reason.old, reason.new) == ("flat_field", FLAT.format(1), FLAT.format(2))
        assert (item.verdict.state, item.action, item.failure_class) == ("stale", "fail", "unsupported")


def test_the_plan_says_where_work_begins(archive):
    """In words, for people; the JSON has the name of the stage."""
    made = judged(archive, OTHER_FLAT)

    assert "2  the rate product (image2), not built yet" in terminal.plan_text(made, "ARCHIVE")
    assert [record.get("restart") for record in terminal.plan_records(made)][1:] == ["image2", "image2", None, None]


def test_the_campaign_says_what_it_cannot_do(archive):
    """Such units end as unsupported, nothing is written, the sum closes, and the message says what to do instead."""
    made = judged(archive, OTHER_FLAT)
    summary = coordinator.run(archive, made.digest)

    assert {name: count for name, count in summary.classes.items() if count} == {"current": 2, "unsupported": 2}
    assert summary.closes
    assert not trips.products(archive)
    report = " ".join(plaintext.render(summary).split())
    assert all(name in report for name in TOUCHED)
    assert "image2" in report
    assert "official pipeline" in report


def test_only_the_words_of_a_rule_changed(archive):
    """Rules of other names that select the same files plan nothing."""
    made = judged(archive, OTHER_WORDS)

    assert made.items == ()
    assert made.digest != judged(archive, FIRST).digest


def test_nothing_but_stage_1_is_mirrored(archive):
    """The flats are compared by name: no file of stage 2 is asked for, so it need not be there."""
    judged(archive, OTHER_FLAT)

    assert not [stamp.key for stamp in archive.store.list("references/") if "flat" in stamp.key]


class TestBesideOurs:
    """An archive with versions of ours, beside which somebody has put products of stage 2."""

    FLATS, OTHER, COMMENT = "jwst_9101.pmap", "jwst_9102.pmap", "jwst_9103.pmap"
    FLAT_READER, NO_READER = "jw01234001001_02101_00001_nrca1", "jw01234001001_02101_00002_nrcalong"

    @staticmethod
    def rewritten(store, key, *changes):
        """Put a mapping with other words under another name."""
        text = store.get(f"crds/mappings/jwst/{key}").data.decode()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        lines = text.splitlines(keepends=True)
        checksum = hashlib.sha1("".join(line for line in lines if "sha1sum" not in line).encode()).hexdigest()
        name = re.search(r"'name' : '(.+)'", text)[1]
        kept = "".join(f"    'sha1sum' : '{checksum}',\n" if "sha1sum" in line else line for line in lines)
        store.put(f"crds/mappings/jwst/{name}", kept.encode())

    @classmethod
    def deliver(cls, store, number, flat, words="flat"):
        """Put a context of which nothing but the rule on flats is new."""
        rule, imap = f"jwst_nircam_flat_{number}.rmap", f"jwst_nircam_{number}.imap"
        gain = [("jwst_nircam_gain_9001.rmap", rule), ("'GAIN'", "'FLAT'"), ("gain of the simulated archive", words)]
        files_ = [(f"jwst_nircam_gain_{each}.fits", FLAT.format(flat)) for each in (9001, 9002)]
        cls.rewritten(store, "jwst_nircam_gain_9001.rmap", *gain, *files_)
        cls.rewritten(
            store,
            "jwst_nircam_9001.imap",
            ("'jwst_nircam_9001.imap'", f"'{imap}'"),
            ("'FLAT' : 'N/A'", f"'FLAT' : '{rule}'"),
        )
        cls.rewritten(
            store, "jwst_9001.pmap", ("jwst_nircam_9001.imap", imap), ("'jwst_9001.pmap'", f"'jwst_{number}.pmap'")
        )

    @pytest.fixture(scope="class")
    @classmethod
    def ours(cls):
        """Two exposures that we have published, and a product of stage 2 beside each: one has used a flat."""
        place = trips.copy(trips.simulated(trips.TINY), trips.fresh())
        for number, flat, words in ((9101, 1, "flats"), (9102, 2, "flats"), (9103, 1, "flats, told in other words")):
            cls.deliver(place, number, flat, words)
        archive = trips.make(raw=f"{place.url}/raw", references=f"{place.url}/crds", options=trips.TINY)
        trips.go(archive, target(cls.FLATS))
        for name, flat in ((cls.FLAT_READER, {"R_FLAT": FLAT.format(1)}), (cls.NO_READER, {"S_FLAT": "SKIPPED"})):
            place.put(f"raw/{raw_key(name, 'cal')}", product({"CAL_VER": "2.0.1", "R_DISTOR": "N/A", **flat}))
        campaign.scan(archive)
        return archive

    def test_only_a_flat_changed(self, ours):
        """Our versions stay as they are; the product that used the flat is told, and the other one is not touched."""
        made = judged(ours, self.OTHER)

        assert counts(made)["verdict"] == {"current": 1, "stale": 1}
        (item,) = made.items
        assert (item.dataset, item.verdict.restart, item.failure_class) == (self.FLAT_READER, "image2", "unsupported")

    def test_only_a_comment_changed(self, ours):
        """A rule with other words about the same files plans nothing."""
        assert counts(judged(ours, self.COMMENT))["verdict"] == {"current": 2}

    def test_our_version_is_damaged(self, ours):
        """That stage 2 is stale and cannot be made again does not keep our own version from being made again."""
        made = judged(ours, self.OTHER, again=[self.FLAT_READER])

        (item,) = made.items
        assert (item.action, item.verdict.restart) == ("calibrate", "detector1")
        assert item.version.endswith("-2")

    def test_it_is_told_in_plain_words(self, ours):
        """What changed, and that it is stage 2 alone that would have to run."""
        told = story.tell(inspection.explain(ours, self.FLAT_READER, target(self.OTHER)))

        assert f"flat_field: the flat reference changed from {FLAT.format(1)} to {FLAT.format(2)}." in told
        assert "only stage 2 (image2) would have to run again" in told
