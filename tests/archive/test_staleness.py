"""Verdicts."""

from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.archive import fingerprint, headers, recipe, stage2, staleness
from reprocess.archive.partition import Pointer
from reprocess.archive.wanted import Wanted
from reprocess.exposure import DETECTOR1, CatalogueEntry, Reason, Verdict
from reprocess.formats import records
from reprocess.storage.store import Blob, Stamp
from tests.archive.test_fingerprint import FILES, PARAMETERS, RAW, STEPS, chain

NOTHING = stage2.Later()
NAMES = {kind: file.name for kind, file in FILES.items()}


def wanted(later=NOTHING, **changes):
    new = {"steps": STEPS, "parameters": PARAMETERS, "references": FILES, **changes}
    names = {kind: file.name if file else None for kind, file in new["references"].items()}
    return Wanted(chain(**changes), new["steps"], names, new["parameters"], "0.1.0", later)


def pointer(link=None, **changes):
    record = {
        "dataset": "d",
        "sequence": 3,
        "version": "v-1",
        "software": "0.1.0",
        "context": "jwst_0541.pmap",
        "raw": RAW,
        "fingerprint": fingerprint.to_record(chain() if link is None else link),
        "equivalents": [],
        "history": [],
        **changes,
    }
    return read(records.dumps("pointer", 1, record))


def read(data):
    """A record as a scan reads it."""
    stamp = Stamp("pointers/d.json", len(data), '"p"')
    return headers.read_pointer(Blob(data, stamp), dataset="d", location="s3://a")


def renamed(kind, name, **changes):
    return {**FILES, kind: replace(FILES[kind], name=name, **changes)}


class TestOurs:
    """`judge` on versions of ours."""

    def test_files_that_are_gone(self):
        """A version that lost files is stale from the first step on, and says what is gone beside what changed."""
        lost = replace(pointer(), missing=("manifest.json", "rate.fits"))
        text = "gone from the published version: manifest.json, rate.fits"
        damaged = Reason("product-damaged", STEPS[0].name, old=text)
        renewed = wanted(references={**FILES, "mask": None})

        assert staleness.judge("d", wanted(), pointer=lost) == Verdict("d", "stale", (damaged,), DETECTOR1)
        both = staleness.judge("d", renewed, pointer=lost)
        assert (both.reasons[0], both.restart) == (damaged, DETECTOR1)
        assert both.reasons[1:] == staleness.judge("d", renewed, pointer=pointer()).reasons != ()

    def test_a_manifest_that_lies(self):
        """A version whose manifest lies is stale from the first step on, and says how, after what is gone."""
        lying = replace(pointer(), damage="manifest.json is no JSON")
        both = replace(lying, missing=("rate.fits",))

        (reason,) = staleness.judge("d", wanted(), pointer=lying).reasons
        assert reason == Reason("product-damaged", STEPS[0].name, old="manifest.json is no JSON")
        (reason,) = staleness.judge("d", wanted(), pointer=both).reasons
        assert reason.old == "gone from the published version: rate.fits; manifest.json is no JSON"

    def test_current(self):
        """What was made with the same inputs is current, and nothing has to run."""
        assert staleness.judge("d", wanted(), pointer=pointer()) == Verdict("d", "current")

    def test_other_software_same_revisions(self):
        """A release of this package that changes no result makes nothing stale."""
        made = pointer(software="0.0.9")

        assert staleness.judge("d", wanted(), pointer=made).state == "current"

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            (
                {"references": renamed("gain", "jwst_gain_2.fits", payload="new")},
                Reason("reference", "jump", "gain", "jwst_gain_1.fits", "jwst_gain_2.fits"),
            ),
            (
                {"references": {**FILES, "mask": None}},
                Reason("reference", "dq_init", "mask", "jwst_mask_1.fits", None),
            ),
            (
                {"parameters": {**PARAMETERS, "jump": {"rejection_threshold": 5.0, "skip": False}}},
                Reason("parameter", "jump", None, "rejection_threshold=4.0", "rejection_threshold=5.0"),
            ),
            (
                {"steps": (*STEPS[:2], replace(STEPS[2], revision=4))},
                Reason("software", "ramp_fit", None, "ramp_fit revision 1", "ramp_fit revision 4"),
            ),
        ],
    )
    def test_one_change(self, changes, reason):
        """One change gives one reason, which tells the step that it touches; stage 1 has to run again."""
        verdict = staleness.judge("d", wanted(**changes), pointer=pointer())

        assert verdict == Verdict("d", "stale", (reason,), DETECTOR1)

    def test_raw_changed(self):
        """A replaced raw object makes everything stale, from the first step on."""
        before = {**RAW, "etag": '"0"'}
        verdict = staleness.judge("d", wanted(), pointer=pointer(chain(raw=before), raw=before))

        (reason,) = verdict.reasons
        assert (verdict.state, verdict.restart, reason.kind, reason.step) == (
            "stale",
            DETECTOR1,
            "raw-changed",
            "dq_init",
        )
        assert (reason.old, reason.new) == ("etag=0", f"etag={RAW['etag'].strip(chr(34))}")

    def test_several_changes(self):
        """Every reason is told, in the order of the steps."""
        changes = {
            "references": renamed("readnoise", "jwst_readnoise_2.fits", payload="new"),
            "parameters": {**PARAMETERS, "ramp_fit": {"algorithm": "LIKELY"}},
        }

        verdict = staleness.judge("d", wanted(**changes), pointer=pointer())

        assert [(reason.kind, reason.step) for reason in verdict.reasons] == [
            ("reference", "jump"),
            ("parameter", "ramp_fit"),
        ]
        assert verdict.restart == DETECTOR1

    def test_new_step_and_gone_step(self):
        """A step that comes or goes is a change of software."""
        more = staleness.judge("d", wanted(), pointer=pointer(chain(steps=STEPS[:2])))
        fewer = staleness.judge("d", wanted(steps=STEPS[:2]), pointer=pointer())

        assert more == Verdict("d", "stale", (Reason("software", "ramp_fit", new="ramp_fit revision 1"),), DETECTOR1)
        assert fewer == Verdict("d", "stale", (Reason("software", "ramp_fit", old="ramp_fit revision 1"),), DETECTOR1)

    def test_other_order(self):
        """The same steps in another order are stale for a reason that is told."""
        verdict = staleness.judge("d", wanted(steps=(STEPS[1], STEPS[0], STEPS[2])), pointer=pointer())

        assert (verdict.state, verdict.restart) == ("stale", DETECTOR1)
        assert [reason.kind for reason in verdict.reasons] == ["software"]

    def test_in_name_only(self):
        """A file with a new name and the same payload is told, and costs no work."""
        verdict = staleness.judge("d", wanted(references=renamed("gain", "jwst_gain_2.fits")), pointer=pointer())

        reason = Reason("reference", "jump", "gain", "jwst_gain_1.fits", "jwst_gain_2.fits")
        assert verdict == Verdict("d", "stale-in-name-only", (reason,))

    def test_equivalents(self):
        """A recipe that was proved to give the same payload counts as current, for the same raw object."""
        changed = {"references": renamed("gain", "g", payload="new")}
        proved = pointer(equivalents=[recipe.digest(chain(**changed))])

        assert staleness.judge("d", wanted(**changed), pointer=proved) == Verdict("d", "current")
        assert staleness.judge("d", wanted(**changed, raw={**RAW, "etag": "new"}), pointer=proved).state == "stale"

    @pytest.mark.parametrize(
        "damaged",
        [
            read(b"{"),
            read(b'{"kind":"pointer","schema":1}'),
            pointer(raw={"key": "of another exposure"}),
            Pointer("d", "s3://a", "pointers/d.json", 1, '"p"', recipe="[[1]]"),
            Pointer(
                "d", "s3://a", "pointers/d.json", 1, '"p"', error_class="storage", error="pointers/d.json: refused"
            ),
        ],
    )
    def test_damaged_pointer(self, damaged):
        """A pointer that cannot be read is not guessed at: the verdict is unknown and names it."""
        verdict = staleness.judge("d", wanted(), pointer=damaged)

        assert verdict.state == "unknown"
        assert "pointers/d.json" in verdict.reasons[0].old

    def test_ours_weighs_more_than_theirs(self):
        """Where we have published, products of others do not matter."""
        assert staleness.judge("d", wanted(), pointer=pointer(), products=[product(CAL_VER="1.0")]).state == "current"


def product(level="rate", error=None, **header):
    keywords = {key.replace("__", "-"): value for key, value in header.items()}
    return CatalogueEntry("d", level, "s3://raw", f"d_{level}.fits", 1, "e", keywords, error=error)


class TestSatisfies:
    """`satisfies`."""

    @pytest.mark.parametrize(
        ("version", "asked", "expected"),
        [
            ("0.1.0", "0.1.0", True),
            ("0.1", "0.1.0", True),
            ("0.10.0", ">=0.9,<1", True),
            ("0.9.0", ">=0.10", False),
            ("0.2.0rc1", ">=0.1", True),
            ("0.1.0", "0.2.0", False),
        ],
    )
    def test_versions(self, version, asked, expected):
        """Versions are ordered as versions, not as text."""
        assert staleness.satisfies(version, asked) is expected

    def test_no_version(self):
        """What is neither a version nor a range is refused."""
        with pytest.raises(errors.TargetError, match="newest"):
            staleness.satisfies("0.1.0", "newest")
