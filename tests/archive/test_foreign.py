"""Verdicts on products of others."""

from dataclasses import replace

import pytest

from reprocess.archive import foreign, stage2, staleness
from reprocess.exposure import DETECTOR1, IMAGE2, Reason, Verdict
from tests.archive.test_fingerprint import FILES, PARAMETERS
from tests.archive.test_staleness import pointer, product, renamed, wanted

OURS = {
    "RPVERS": "0.1.0",
    "R_MASK": "crds://jwst_mask_1.fits",
    "R_GAIN": "jwst_gain_1.fits",
    "R_READNO": "/x/jwst_readnoise_1.fits",
}


THEIRS = {**{key: value for key, value in OURS.items() if key != "RPVERS"}, "CAL_VER": "3.0.0"}


class TestForeign:
    """`judge` on products that carry keywords only."""

    def test_nothing_there(self):
        """Without any product the verdict is missing, from the first step on."""
        assert staleness.judge("d", wanted()) == Verdict(
            "d", "missing", (Reason("product-missing", "dq_init"),), DETECTOR1
        )

    def test_same_files_same_software(self):
        """Location prefixes and paths do not count: bare names are compared."""
        assert staleness.judge("d", wanted(), products=[product(**OURS)]).state == "current"

    def test_version_spelling(self):
        """Versions are compared as versions."""
        assert staleness.judge("d", wanted(), products=[product(**{**OURS, "RPVERS": "0.1"})]).state == "stale"
        assert staleness.judge("d", wanted(), products=[product(**{**OURS, "RPVERS": "v0.1.0"})]).state == "current"

    def test_the_same_pixels(self):
        """A product of the release that gives the same pixels is current, if its files are those of the target."""
        assert staleness.judge("d", wanted(), products=[product(**THEIRS)]) == Verdict("d", "current")

    def test_official_pipeline(self):
        """A product of an older release is stale in the steps that changed since; each reason names both."""
        verdict = staleness.judge("d", wanted(), products=[product(**{**THEIRS, "CAL_VER": "1.17.1"})])

        assert verdict.reasons == (
            Reason("software", "jump", None, "jwst 1.17.1", "jwst 3.0.0"),
            Reason("software", "ramp_fit", None, "jwst 1.17.1", "jwst 3.0.0"),
        )
        assert (verdict.state, verdict.restart) == ("stale", DETECTOR1)

    def test_step_that_did_not_run(self):
        """A change of a step that was skipped is none."""
        old = {**THEIRS, "CAL_VER": "1.17.1", "S_JUMP": "SKIPPED", "S_RAMP": "COMPLETE"}

        verdict = staleness.judge("d", wanted(), products=[product(**old)])

        assert [reason.step for reason in verdict.reasons] == ["ramp_fit"]

    def test_step_that_does_not_run(self):
        """Nor is a change of a step that the target leaves out."""
        skipping = wanted(parameters={**PARAMETERS, "jump": {**PARAMETERS["jump"], "skip": True}})

        verdict = staleness.judge("d", skipping, products=[product(**{**THEIRS, "CAL_VER": "1.17.1"})])

        assert [reason.step for reason in verdict.reasons] == ["ramp_fit"]

    def test_skipped_by_wish(self):
        """A step that every exposure has, and that was left out although it has a reference, is a reason."""
        verdict = staleness.judge("d", wanted(), products=[product(S_DQINIT="SKIPPED", **THEIRS)])
        without = wanted(references={**FILES, "mask": None})

        assert verdict.reasons == (Reason("parameter", "dq_init", None, "skip=true", "skip=false"),)
        nothing = product(S_DQINIT="SKIPPED", **{**THEIRS, "R_MASK": "NOT FOUND n/a"})
        assert staleness.judge("d", without, products=[nothing]).state == "current"

    @pytest.mark.parametrize(("groups", "state"), [(10, "stale"), (2, "current")])
    def test_skipped_by_itself(self, groups, state):
        """The jump step leaves out ramps that are too short for it; in longer ones SKIPPED was a wish."""
        skipped = product(S_JUMP="SKIPPED", NGROUPS=groups, **THEIRS)

        assert staleness.judge("d", wanted(), products=[skipped]).state == state

    def test_nothing_recorded(self):
        """The right release alone does not make a product current: which files it was made with is not known."""
        verdict = staleness.judge("d", wanted(), products=[product(CAL_VER="3.0.0")])

        assert (verdict.state, verdict.restart) == ("unknown", DETECTOR1)
        assert "reference files" in verdict.reasons[0].old

    @pytest.mark.parametrize(
        ("value", "old"),
        [("crds://jwst_gain_0.fits", "jwst_gain_0.fits"), ("N/A", None), ("/tmp/own.fits", "own.fits")],
    )
    def test_other_file(self, value, old):
        """A type whose file differs is one reason, with the first step that reads it."""
        verdict = staleness.judge("d", wanted(), products=[product(**{**OURS, "R_GAIN": value})])

        assert verdict.reasons == (Reason("reference", "jump", "gain", old, "jwst_gain_1.fits"),)

    @pytest.mark.parametrize("value", ["N/A", "n/a", "crds://N/A", "OMIT", "NOT FOUND n/a", "NOT FOUND no match", ""])
    def test_no_file_either_way(self, value):
        """Not applicable, left out or not found then, and no file now, is no difference."""
        verdict = staleness.judge(
            "d", wanted(references={**FILES, "mask": None}), products=[product(**{**OURS, "R_MASK": value})]
        )

        assert verdict.state == "current"

    def test_context_alone_says_nothing(self):
        """CRDS_CTX is that of the last stage, so a different one is no reason when every file is the same."""
        assert staleness.judge("d", wanted(), products=[product(CRDS_CTX="jwst_0001.pmap", **OURS)]).state == "current"

    def test_skipped_step(self):
        """A step that ran and should not have is a reason."""
        skipping = {**PARAMETERS, "dq_init": {"skip": True}}

        verdict = staleness.judge("d", wanted(parameters=skipping), products=[product(S_DQINIT="COMPLETE", **OURS)])

        assert verdict.reasons == (Reason("parameter", "dq_init", None, "skip=false", "skip=true"),)

    def test_own_fingerprint(self):
        """A copy of a product of ours is judged by the fingerprint in its header."""
        target = wanted()

        assert (
            staleness.judge("d", target, products=[product(RPFPRINT=target.fingerprint[-1].digest)]).state == "current"
        )

    @pytest.mark.parametrize("version", ["nightly", "0.18.3", "3.0.1", "4.1"])
    def test_unknown_release(self, version):
        """Releases whose changes are not known leave the verdict open, and say so."""
        verdict = staleness.judge("d", wanted(), products=[product(**{**THEIRS, "CAL_VER": version})])
        known = staleness.judge("d", wanted(), products=[product(**{**THEIRS, "CAL_VER": version, "R_GAIN": "N/A"})])

        assert (verdict.state, [reason.kind for reason in verdict.reasons]) == ("unknown", ["undecidable"])
        assert version in verdict.reasons[0].old
        assert known.state == "stale"

    def test_no_keywords(self):
        """A product without any usable keyword cannot be judged."""
        verdict = staleness.judge("d", wanted(), products=[product(FILTER="F200W")])

        assert (verdict.state, verdict.reasons[0].kind) == ("unknown", "undecidable")

    def test_damaged_product(self):
        """A product that cannot be read is stale because it is damaged."""
        verdict = staleness.judge("d", wanted(), products=[product(error="d_rate.fits is cut off", **OURS)])

        assert verdict.reasons == (Reason("product-damaged", "dq_init", old="d_rate.fits is cut off"),)

    def test_worst_of_two(self):
        """Rate and rateints are judged together, and a reason that both have is told once."""
        verdict = staleness.judge(
            "d", wanted(), products=[product(**OURS), product("rateints", **{**OURS, "R_MASK": "N/A"})]
        )

        assert verdict.reasons == (Reason("reference", "dq_init", "mask", None, "jwst_mask_1.fits"),)


class TestReferenceKeyword:
    """`reference_keyword`."""

    @pytest.mark.parametrize(
        ("kind", "keyword"),
        [
            ("dark", "R_DARK"),
            ("superbias", "R_SUPERB"),
            ("readnoise", "R_READNO"),
            ("linearity", "R_LINEAR"),
            ("saturation", "R_SATURA"),
            ("emicorr", "R_MIREMI"),
            ("extract1d", "R_EXTR1D"),
            ("straymask", "R_STRAY"),
        ],
    )
    def test_table(self, kind, keyword):
        """Keywords are those of the JWST data models."""
        assert foreign.reference_keyword(kind) == keyword


FLAT, OTHER_FLAT = "jwst_flat_1.fits", "jwst_flat_2.fits"
SCIENCE = {"EXP_TYPE": "NRC_IMAGE", "INSTRUME": "NIRCAM"}
CAL = {**THEIRS, "R_FLAT": f"crds://{FLAT}", "R_DISTOR": "crds://jwst_distortion_1.fits"}


def later(flat=FLAT, undecided=None):
    files = {"flat": flat, "distortion": "jwst_distortion_1.fits", "filteroffset": None, "photom": None, "area": None}
    return stage2.Later(stage2.steps_for(SCIENCE), files, undecided or {})


def cal(**changes):
    return product("cal", **{**CAL, **changes})


class TestStage2:
    """`judge` on products of stage 2."""

    CHANGED = (Reason("reference", "flat_field", "flat", FLAT, OTHER_FLAT),)

    @pytest.mark.parametrize("rate", [{"pointer": pointer()}, {"products": [product(**THEIRS)]}, {}])
    def test_only_a_flat_changed(self, rate):
        """Stage 1 stays as it is, whoever made it and whether it is there: work begins with the rate product."""
        products = [*rate.get("products", []), cal()]
        known = {"pointer": rate.get("pointer"), "products": products}

        assert staleness.judge("d", wanted(later=later()), **known) == Verdict("d", "current")
        changed = staleness.judge("d", wanted(later=later(OTHER_FLAT)), **known)
        assert changed == Verdict("d", "stale", self.CHANGED, IMAGE2)

    def test_stage_1_too(self):
        """If stage 1 has to run again, work begins there, and what else changed is told."""
        target = wanted(references=renamed("gain", "jwst_gain_2.fits", payload="new"), later=later(OTHER_FLAT))
        verdict = staleness.judge("d", target, pointer=pointer(), products=[cal()])

        gain = Reason("reference", "jump", "gain", "jwst_gain_1.fits", "jwst_gain_2.fits")
        assert verdict == Verdict("d", "stale", (gain, *self.CHANGED), DETECTOR1)

    def test_made_of_an_older_rate(self):
        """A product whose own stage 1 read other files than the current rate product is made again from that."""
        verdict = staleness.judge(
            "d", wanted(later=later()), pointer=pointer(), products=[cal(R_GAIN="jwst_gain_0.fits")]
        )

        old = Reason("reference", "jump", "gain", "jwst_gain_0.fits", "jwst_gain_1.fits")
        assert verdict == Verdict("d", "stale", (old,), IMAGE2)

    def test_never_used_a_flat(self):
        """Without a product of stage 2, or of a kind that has no flat, a flat changes nothing."""
        assert staleness.judge("d", wanted(later=later(OTHER_FLAT)), pointer=pointer()).state == "current"
        assert staleness.judge("d", wanted(), pointer=pointer(), products=[cal()]).state == "current"
        unrecorded = cal()
        del unrecorded.header["R_FLAT"]
        for target in (later(OTHER_FLAT), later(None, {"flat": "no rule matches"})):
            verdict = staleness.judge("d", wanted(later=target), pointer=pointer(), products=[unrecorded])
            assert verdict.state == "current"
        skipped = cal(S_FLAT="SKIPPED")
        verdict = staleness.judge("d", wanted(later=later(OTHER_FLAT)), pointer=pointer(), products=[skipped])
        assert verdict.state == "current"

    def test_software_of_stage_2(self):
        """A release that changed a step of stage 2 makes that stage stale."""
        rate = product(**THEIRS)
        same = staleness.judge("d", wanted(later=later()), products=[rate, cal(CAL_VER="2.0.1")])
        older = staleness.judge("d", wanted(later=later()), products=[rate, cal(CAL_VER="1.19.1")])

        assert same == Verdict("d", "current")  # what stage 1 was made by is told by the rate product, not by this one
        assert older.restart == IMAGE2
        assert older.reasons == (Reason("software", "photom", None, "jwst 1.19.1", "jwst 3.0.0"),)

    def test_no_release(self):
        """A product that does not tell its release is judged by its files."""
        silent = cal()
        del silent.header["CAL_VER"]

        assert staleness.judge("d", wanted(later=later()), pointer=pointer(), products=[silent]).state == "current"
        changed = staleness.judge("d", wanted(later=later(OTHER_FLAT)), pointer=pointer(), products=[silent])
        assert changed == Verdict("d", "stale", self.CHANGED, IMAGE2)

    def test_undecided(self):
        """A type that cannot be selected leaves the verdict open."""
        target = wanted(later=later(None, {"flat": "no rule matches"}))
        verdict = staleness.judge("d", target, pointer=pointer(), products=[cal()])

        assert (verdict.state, verdict.restart) == ("unknown", IMAGE2)

    def test_damaged(self):
        """A product of stage 2 that cannot be read is stale, and stage 1 is not."""
        verdict = staleness.judge(
            "d", wanted(later=later()), pointer=pointer(), products=[product("cal", error="d_cal.fits is cut off")]
        )

        assert (verdict.state, verdict.restart, verdict.reasons[0].kind) == ("stale", IMAGE2, "product-damaged")


class TestInNameOnly:
    """Files of other names and the same payload."""

    SAME = staticmethod(lambda kind, old, new: (kind, old, new) == ("gain", "jwst_gain_0.fits", "jwst_gain_1.fits"))

    def test_costs_nothing(self):
        """A product that was made with the same pixels under another name is stale in name only."""
        target = replace(wanted(), is_same=self.SAME)
        verdict = staleness.judge("d", target, products=[product(**{**THEIRS, "R_GAIN": "jwst_gain_0.fits"})])

        told = Reason("reference", "jump", "gain", "jwst_gain_0.fits", "jwst_gain_1.fits")
        assert verdict == Verdict("d", "stale-in-name-only", (told,))

    def test_beside_a_real_change(self):
        """What changed in name only is no reason for work that something else causes."""
        target = replace(wanted(), is_same=self.SAME)
        made = product(**{**THEIRS, "R_GAIN": "jwst_gain_0.fits", "R_MASK": "jwst_mask_0.fits"})
        verdict = staleness.judge("d", target, products=[made])

        assert [reason.reference_type for reason in verdict.reasons] == ["mask"]
        assert verdict.restart == DETECTOR1

    def test_only_stage_2_is_left(self):
        """If nothing of stage 1 changed but names, work begins with the rate product."""
        target = replace(wanted(later=later(OTHER_FLAT)), is_same=self.SAME)
        rate = product(**{**THEIRS, "R_GAIN": "jwst_gain_0.fits"})
        verdict = staleness.judge("d", target, products=[rate, cal(R_GAIN="jwst_gain_0.fits")])

        assert (verdict.restart, verdict.reasons) == (IMAGE2, TestStage2.CHANGED)


def test_a_file_that_was_not_recorded():
    """A step that ran, and of which the header does not say with which file, leaves the verdict open."""
    header = {**{key: value for key, value in THEIRS.items() if key != "R_GAIN"}, "S_JUMP": "COMPLETE"}

    verdict = staleness.judge("d", wanted(), products=[product(**header)])

    assert (verdict.state, [reason.kind for reason in verdict.reasons]) == ("unknown", ["undecidable"])
    assert "R_GAIN" in verdict.reasons[0].old
