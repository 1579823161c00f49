"""Verdicts."""

from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.archive import fingerprint, headers, recipe, staleness
from reprocess.archive.partition import Pointer
from reprocess.archive.staleness import Wanted
from reprocess.exposure import CatalogueEntry, Reason, Verdict
from reprocess.formats import records
from reprocess.storage.store import Blob, Stamp
from tests.archive.test_fingerprint import FILES, PARAMETERS, RAW, STEPS, chain

NAMES = {kind: file.name for kind, file in FILES.items()}


def wanted(**changes):
    new = {"steps": STEPS, "parameters": PARAMETERS, "references": FILES, **changes}
    names = {kind: file.name if file else None for kind, file in new["references"].items()}
    return Wanted(chain(**changes), new["steps"], names, new["parameters"], "0.1.0")


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

        assert staleness.judge("d", wanted(), pointer=lost) == Verdict("d", "stale", (damaged,), STEPS[0].name)
        both = staleness.judge("d", renewed, pointer=lost)
        assert (both.reasons[0], both.restart) == (damaged, STEPS[0].name)
        assert both.reasons[1:] == staleness.judge("d", renewed, pointer=pointer()).reasons != ()

    def test_current(self):
        """What was made with the same inputs is current, and nothing has to run."""
        assert staleness.judge("d", wanted(), pointer=pointer()) == Verdict("d", "current")

    def test_other_software_same_revisions(self):
        """A release of this package that changes no result makes nothing stale."""
        made = pointer(software="0.0.9")

        assert staleness.judge("d", wanted(), pointer=made).state == "current"

    @pytest.mark.parametrize(
        ("changes", "reason", "restart"),
        [
            (
                {"references": renamed("gain", "jwst_gain_2.fits", payload="new")},
                Reason("reference", "jump", "gain", "jwst_gain_1.fits", "jwst_gain_2.fits"),
                "jump",
            ),
            (
                {"references": {**FILES, "mask": None}},
                Reason("reference", "dq_init", "mask", "jwst_mask_1.fits", None),
                "dq_init",
            ),
            (
                {"parameters": {**PARAMETERS, "jump": {"rejection_threshold": 5.0, "skip": False}}},
                Reason("parameter", "jump", None, "rejection_threshold=4.0", "rejection_threshold=5.0"),
                "jump",
            ),
            (
                {"steps": (*STEPS[:2], replace(STEPS[2], revision=4))},
                Reason("software", "ramp_fit", None, "ramp_fit revision 1", "ramp_fit revision 4"),
                "ramp_fit",
            ),
        ],
    )
    def test_one_change(self, changes, reason, restart):
        """One change gives one reason, and work restarts at the step that it touches."""
        verdict = staleness.judge("d", wanted(**changes), pointer=pointer())

        assert verdict == Verdict("d", "stale", (reason,), restart)

    def test_raw_changed(self):
        """A replaced raw object makes everything stale, from the first step on."""
        before = {**RAW, "etag": '"0"'}
        verdict = staleness.judge("d", wanted(), pointer=pointer(chain(raw=before), raw=before))

        (reason,) = verdict.reasons
        assert (verdict.state, verdict.restart, reason.kind, reason.step) == (
            "stale",
            "dq_init",
            "raw-changed",
            "dq_init",
        )

    def test_several_changes(self):
        """Every reason is told, in the order of the steps; work restarts at the earliest."""
        changes = {
            "references": renamed("readnoise", "jwst_readnoise_2.fits", payload="new"),
            "parameters": {**PARAMETERS, "ramp_fit": {"algorithm": "LIKELY"}},
        }

        verdict = staleness.judge("d", wanted(**changes), pointer=pointer())

        assert [(reason.kind, reason.step) for reason in verdict.reasons] == [
            ("reference", "jump"),
            ("parameter", "ramp_fit"),
        ]
        assert verdict.restart == "jump"

    def test_new_step_and_gone_step(self):
        """A step that comes or goes is a change of software."""
        more = staleness.judge("d", wanted(), pointer=pointer(chain(steps=STEPS[:2])))
        fewer = staleness.judge("d", wanted(steps=STEPS[:2]), pointer=pointer())

        assert more == Verdict("d", "stale", (Reason("software", "ramp_fit", new="ramp_fit revision 1"),), "ramp_fit")
        assert fewer == Verdict("d", "stale", (Reason("software", "ramp_fit", old="ramp_fit revision 1"),), "jump")

    def test_other_order(self):
        """The same steps in another order are stale for a reason that is told."""
        verdict = staleness.judge("d", wanted(steps=(STEPS[1], STEPS[0], STEPS[2])), pointer=pointer())

        assert (verdict.state, verdict.restart) == ("stale", "jump")
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


OURS = {
    "RPVERS": "0.1.0",
    "R_MASK": "crds://jwst_mask_1.fits",
    "R_GAIN": "jwst_gain_1.fits",
    "R_READNO": "/x/jwst_readnoise_1.fits",
}


class TestForeign:
    """`judge` on products that carry keywords only."""

    def test_nothing_there(self):
        """Without any product the verdict is missing, from the first step on."""
        assert staleness.judge("d", wanted()) == Verdict(
            "d", "missing", (Reason("product-missing", "dq_init"),), "dq_init"
        )

    def test_same_files_same_software(self):
        """Location prefixes and paths do not count: bare names are compared."""
        assert staleness.judge("d", wanted(), products=[product(**OURS)]).state == "current"

    def test_version_spelling(self):
        """Versions are compared as versions."""
        assert staleness.judge("d", wanted(), products=[product(**{**OURS, "RPVERS": "0.1"})]).state == "stale"
        assert staleness.judge("d", wanted(), products=[product(**{**OURS, "RPVERS": "v0.1.0"})]).state == "current"

    def test_official_pipeline(self):
        """A product of another software is stale, and the reason names both."""
        theirs = product(CAL_VER="1.20.2", R_MASK="crds://jwst_mask_1.fits")

        verdict = staleness.judge("d", wanted(), products=[theirs])

        assert verdict.reasons == (Reason("software", "dq_init", None, "CAL_VER 1.20.2", "reprocess 0.1.0"),)
        assert (verdict.state, verdict.restart) == ("stale", "dq_init")

    @pytest.mark.parametrize(
        ("value", "old"),
        [("crds://jwst_gain_0.fits", "jwst_gain_0.fits"), ("N/A", None), ("/tmp/own.fits", "own.fits")],
    )
    def test_other_file(self, value, old):
        """A type whose file differs is one reason, with the first step that reads it."""
        verdict = staleness.judge("d", wanted(), products=[product(**{**OURS, "R_GAIN": value})])

        assert verdict.reasons == (Reason("reference", "jump", "gain", old, "jwst_gain_1.fits"),)

    def test_no_file_either_way(self):
        """Not applicable then and no file now is no difference."""
        verdict = staleness.judge(
            "d", wanted(references={**FILES, "mask": None}), products=[product(**{**OURS, "R_MASK": "N/A"})]
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

    def test_odd_version(self):
        """A CAL_VER that is no version is told as it stands."""
        verdict = staleness.judge("d", wanted(), products=[product(CAL_VER="nightly")])

        assert verdict.reasons[0].old == "CAL_VER nightly"

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
        assert staleness.reference_keyword(kind) == keyword


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
