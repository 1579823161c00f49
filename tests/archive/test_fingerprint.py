"""Fingerprints."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.archive import fingerprint
from reprocess.calibration.step import Step
from reprocess.exposure import ReferenceFile

RAW = {"location": "s3://raw", "key": "a_uncal.fits", "size": 10, "etag": '"1"'}
STEPS = (
    Step("dq_init", "S_DQINIT", 1, ("mask",), {"skip": False}),
    Step("jump", "S_JUMP", 2, ("gain", "readnoise"), {"rejection_threshold": 4.0, "skip": False}),
    Step("ramp_fit", "S_RAMP", 1, ("gain",), {"algorithm": "OLS_C"}),
)
PARAMETERS = {step.name: dict(step.parameters) for step in STEPS}
FILES = {
    kind: ReferenceFile(kind, f"jwst_{kind}_1.fits", f"sha-{kind}", f"pay-{kind}", 1)
    for kind in ("mask", "gain", "readnoise")
}


def chain(**changes):
    inputs = {"raw": RAW, "steps": STEPS, "parameters": PARAMETERS, "references": FILES, **changes}
    return fingerprint.fingerprint(**inputs)


def first_difference(one, other):
    return next((a.step for a, b in zip(one, other, strict=True) if a.digest != b.digest), None)


class TestFingerprint:
    """`fingerprint`."""

    def test_lists_what_decides(self):
        """Each step tells its revision, its parameters as JSON, and the files it reads, sorted."""
        raw, _, jump, _ = chain()

        assert raw.step == "raw"
        assert dict(raw.parameters) == {
            "etag": '"\\"1\\""',
            "key": '"a_uncal.fits"',
            "location": '"s3://raw"',
            "size": "10",
        }
        assert (jump.revision, jump.parameters) == (2, (("rejection_threshold", "4.0"), ("skip", "false")))
        assert jump.references == (
            ("gain", "jwst_gain_1.fits", "pay-gain"),
            ("readnoise", "jwst_readnoise_1.fits", "pay-readnoise"),
        )

    @pytest.mark.parametrize(
        ("changes", "step"),
        [
            ({"raw": {**RAW, "etag": '"2"'}}, "raw"),
            ({"raw": {**RAW, "size": 11}}, "raw"),
            ({"references": {**FILES, "mask": replace(FILES["mask"], payload="new")}}, "dq_init"),
            ({"references": {**FILES, "gain": replace(FILES["gain"], payload="new")}}, "jump"),
            ({"references": {**FILES, "readnoise": None}}, "jump"),
            ({"parameters": {**PARAMETERS, "jump": {"rejection_threshold": 5.0, "skip": False}}}, "jump"),
            ({"parameters": {**PARAMETERS, "ramp_fit": {"algorithm": "LIKELY"}}}, "ramp_fit"),
            ({"steps": (*STEPS[:2], replace(STEPS[2], revision=2))}, "ramp_fit"),
            (
                {"references": {**FILES, "gain": replace(FILES["gain"], name="other.fits", sha256="other", size=9)}},
                None,
            ),
        ],
    )
    def test_first_difference(self, changes, step):
        """A change shows first in the step that it touches, and in all that follow; a new name alone shows nowhere."""
        before, after = chain(), chain(**changes)

        assert first_difference(before, after) == step
        if step:
            at = [link.step for link in before].index(step)
            assert all(a.digest != b.digest for a, b in zip(before[at:], after[at:], strict=True))

    def test_skipped_steps(self):
        """Of a skipped step only that it is skipped counts: neither its other parameters nor its files."""
        skipped = {**PARAMETERS, "jump": {"rejection_threshold": 4.0, "skip": True}}
        otherwise = {**PARAMETERS, "jump": {"rejection_threshold": 9.0, "skip": True}}

        one = chain(parameters=skipped)
        other = chain(parameters=otherwise, references={**FILES, "readnoise": None})

        assert one == other
        assert one[-1].digest != chain()[-1].digest
        assert fingerprint.used_types(STEPS, skipped) == ("gain", "mask")

    def test_pinned(self):
        """The digest is part of what archives keep, so it never changes by accident."""
        assert chain()[-1].digest == "dff6bd265d52c031bfab29dd1a5ab82bb54c0bbb4ba4f46535c47138d1e7d136"

    @given(st.permutations(sorted(FILES)), st.permutations(sorted(PARAMETERS)))
    def test_order_of_mappings(self, files, steps):
        """The order in which inputs were gathered leaves no trace."""
        shuffled = chain(references={kind: FILES[kind] for kind in files}, parameters={s: PARAMETERS[s] for s in steps})

        assert shuffled == chain()

    def test_record(self):
        """A fingerprint survives being written as JSON."""
        assert fingerprint.from_record(json.loads(json.dumps(fingerprint.to_record(chain())))) == chain()


class TestVersionName:
    """`version_name`."""

    def test_run_key_and_incarnation(self):
        """The name has twenty hexadecimal digits of the inputs and the incarnation."""
        first, second = (fingerprint.version_name(RAW, chain(), number) for number in (1, 2))

        assert first.endswith("-1")
        assert second == first[:-1] + "2"
        assert len(first) == 22

    def test_depends_on_all_inputs(self):
        """Another raw version and another fingerprint are other names."""
        other = chain(steps=STEPS[:2])

        names = {
            fingerprint.version_name(raw, link) for raw in (RAW, {**RAW, "etag": "2"}) for link in (chain(), other)
        }

        assert len(names) == 4
