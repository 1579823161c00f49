"""What holds for the whole chain, whatever the exposure: cuts, offsets, saturation, order and units."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration import detector1
from reprocess.calibration.rate import Rate
from reprocess.exposure import Band, Slab
from tests.calibration import exposures
from tests.calibration.exposures import FGS, MIRI, NIRISS, Plan

JUMP_DET = 4
HOLES = ("mask", "saturation", "superbias", "linearity", "dark")
# Corners of detectors, with reference pixels; MIRI's reference pixels do nothing in a subarray.
ANYWHERE = (
    Plan(),
    Plan(row_start=700, column_start=900),
    Plan(detector="NRCBLONG", fast_axis=1, slow_axis=-2, row_start=2030, column_start=2034, outputs=4),
    NIRISS,
    replace(FGS, outputs=4, row_start=2040),
    MIRI,
    replace(MIRI, column_start=0),
)
few = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def plans(draw, nints=(1, 2, 3), ngroups=(1, 2, 3, 5, 9, 12), **fixed):
    """Small exposures of all instruments, with averaged frames, gaps, dark references of other readouts and holes."""
    like = draw(st.sampled_from(ANYWHERE))
    groups = draw(st.sampled_from(ngroups))
    missing = draw(st.sets(st.sampled_from(HOLES), max_size=2))
    plan = replace(
        like,
        rows=draw(st.integers(8, 18)),
        columns=draw(st.integers(6, 14)),
        nints=draw(st.sampled_from(nints)),
        ngroups=groups,
        nframes=draw(st.sampled_from([1, 4])),
        groupgap=draw(st.integers(0, 2)),
        kernel=draw(st.sampled_from([None, "plain", "pixel"])),
        brightness=draw(st.sampled_from([5.0, 500.0, 6000.0])),
        dark_groups=draw(st.sampled_from([None, max(2, groups // 2)])),
        missing=tuple(sorted({*like.missing, *missing})),
        skips=(draw(st.integers(0, 3)), draw(st.integers(0, 4))),
        seed=draw(st.integers(0, 10**6)),
    )
    return replace(plan, **fixed)


def calibrated(exposure, **parameters):
    return detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters=parameters)


def calibrated_or_refused(exposure, **parameters):
    """The result, or None where there is no rate."""
    try:
        return calibrated(exposure, **parameters)
    except errors.BadData:
        return None


def assert_same(one, other, scale=1):
    """The same bits in rate and rateints; with a scale, in units that many times larger."""
    assert (one is None) == (other is None)
    if one is None:
        return
    assert one.statuses == other.statuses
    for which in ("rate", "rateints"):
        for plane in fields(Rate):
            by = {"dq": 1, "sci": scale, "err": scale}.get(plane.name, scale**2)
            a, b = (getattr(getattr(each, which), plane.name) for each in (one, other))
            np.testing.assert_array_equal(a * a.dtype.type(by), b, err_msg=f"{which} {plane.name}")


def assert_close(ours, theirs, where=True):
    """Within some float32 steps, or a small part of the error."""
    for name in ("sci", "err", "var_poisson", "var_rnoise"):
        a, b = getattr(ours, name), getattr(theirs, name)
        slack = np.maximum(1e-6 * np.abs(b), 1e-4 * np.nan_to_num(theirs.err) ** (2 if name.startswith("var") else 1))
        fine = (np.abs(a - b) <= slack) | (np.isnan(a) & np.isnan(b)) | (a == b)
        assert (fine | ~np.asarray(where)).all(), name


class TestSlabs:
    """Slabs put together and the exposure calibrated whole."""

    @few
    @given(
        plan=plans(),
        cuts=st.sets(st.integers(1, 17), max_size=6),
        jump=st.fixed_dictionaries(
            {},
            optional={
                "minimum_sigclip_groups": st.just(3),
                "min_diffs_single_pass": st.sampled_from([2, 50]),
                "min_jump_to_flag_neighbors": st.just(4.0),
                "after_jump_flag_dn1": st.just(100.0),
                "after_jump_flag_time1": st.just(3.0),
            },
        ),
    )
    def test_give_the_same_bits_whatever_the_cut(self, plan, cuts, jump):
        """Slabs need not be of one height: any cut of the rows, with the facts of the whole, gives its bits."""
        exposure, parameters = exposures.make(plan), {"jump": jump}
        try:
            whole = calibrated(exposure, **parameters)
        except (errors.BadData, errors.Unsupported):
            return
        locality = detector1.locality(detector1.steps_for(exposure.header), parameters)
        assert not locality.whole
        edges = [0, *sorted(cut for cut in cuts if cut < plan.rows), plan.rows]
        known = {"readout": exposure.readout, "parameters": parameters}
        facts = detector1.gather_facts(exposure.raw, exposure.references, **known)
        for start, stop in pairwise(edges):
            halo = Band(max(0, start - locality.halo_rows), min(plan.rows, stop + locality.halo_rows))
            slab, rows = Slab(Band(start, stop), halo), halo.rows
            part = detector1.calibrate(exposure.raw[:, :, rows], exposure.cut(rows), slab=slab, facts=facts, **known)
            expected = replace(whole, rate=_rows(whole.rate, start, stop), rateints=_rows(whole.rateints, start, stop))
            assert_same(part, expected)


def _rows(rate, start, stop):
    return Rate(*(getattr(rate, plane.name)[..., start:stop, :] for plane in fields(Rate)))


# Steps that know of absolute levels, that take what all pixels have in common for the reference signal, or that
# leave no whole numbers.
LEVELS = ("saturation", "superbias", "refpix", "linearity", "reset", "dark_current")


class TestOffsets:
    """What all groups of a ramp have in common is no signal."""

    @few
    @given(plan=plans(ngroups=(2, 3, 5, 9, 12), kernel=None), constant=st.integers(1, 20000))
    def test_a_constant_leaves_the_slope(self, plan, constant):
        """Flags are the same; ramps without a jump, which could leave single groups, keep slope and variance."""
        exposure = exposures.make(replace(plan, brightness=min(plan.brightness, 500.0), skips=(0, 0)))
        gain = exposure.references["gain"]
        quarters = _with(gain, sci=np.round(4 * gain.arrays["sci"]) / 4)  # electrons without rounding
        references = exposure.references | {"gain": quarters}
        exposure = replace(exposure, raw=np.minimum(exposure.raw, 40000), references=references)
        higher = replace(exposure, raw=exposure.raw + np.uint16(constant))
        skip = {step.name: {"skip": True} for step in detector1.steps_for(exposure.header) if step.name in LEVELS}
        one, other = (calibrated_or_refused(each, **skip) for each in (exposure, higher))
        assert (one is None) == (other is None)
        if one is None:
            return

        for which in ("rate", "rateints"):
            lower, upper = getattr(one, which), getattr(other, which)
            np.testing.assert_array_equal(lower.dq, upper.dq)
            assert_close(upper, lower, where=(lower.dq & JUMP_DET) == 0)

    @few
    @given(plan=plans(kernel=None, missing=("linearity", "dark")), constant=st.integers(1, 5000))
    def test_a_higher_bias_changes_nothing(self, plan, constant):
        """Raw data, bias and threshold that lie higher by whole numbers are the same exposure, bit for bit."""
        exposure = exposures.make(plan)
        raw = np.clip(exposure.raw, 1, 50000)
        references = dict(exposure.references)
        for kind in ("superbias", "saturation"):
            if references[kind] is not None:
                level = np.round(np.nan_to_num(references[kind].arrays["sci"], nan=50000))
                references[kind] = _with(references[kind], sci=np.minimum(level, 50000))
        lower = replace(exposure, raw=raw, references=references)
        raised = {
            kind: reference
            and (
                _with(reference, sci=reference.arrays["sci"] + np.float32(constant))
                if kind in ("superbias", "saturation")
                else reference
            )
            for kind, reference in references.items()
        }
        higher = replace(lower, raw=raw + np.uint16(constant), references=raised)
        if plan.instrument == "MIRI" or lower.references["superbias"] is None:
            return

        reads = {"saturation": {"use_readpatt": False}}  # what averaged frames hide is told by levels above zero DN
        assert_same(calibrated_or_refused(lower, **reads), calibrated_or_refused(higher, **reads))


def _with(reference, **arrays):
    return replace(reference, arrays={**reference.arrays, **arrays})


class TestSaturation:
    @few
    @given(
        plan=plans(ngroups=(2, 3, 5, 9, 12), kernel=None, brightness=20000.0),
        seed=st.integers(0, 10**6),
    )
    def test_values_behind_it_never_matter(self, plan, seed):
        """What a pixel reads after it saturated, be it 0, changes nothing, in no pixel."""
        exposure = exposures.make(replace(plan, missing=tuple(k for k in plan.missing if k != "saturation")))
        reference = exposure.references["saturation"].arrays
        unchecked = np.isnan(reference["sci"]) | (reference["dq"] & exposures.NO_SAT_CHECK > 0)
        reached = exposure.raw >= np.where(unchecked, np.inf, reference["sci"])
        behind = np.zeros_like(reached)
        behind[:, 1:] = np.logical_or.accumulate(reached, axis=1)[:, :-1]
        behind &= ~exposures.edge(plan)
        rng = np.random.default_rng(seed)
        other = np.where(rng.random(behind.shape) < 0.1, 0, rng.integers(1, 65536, behind.shape))
        changed = replace(exposure, raw=np.where(behind, other, exposure.raw).astype(np.uint16))

        assert_same(calibrated_or_refused(exposure), calibrated_or_refused(changed))

    def test_there_is_something_behind_it(self):
        """The exposures of the property above do have groups after saturated ones, and other values before count."""
        exposure = exposures.make(Plan(rows=12, columns=12, ngroups=5, brightness=20000.0))
        again = exposures.make(Plan(rows=12, columns=12, ngroups=5, brightness=20000.0))
        again.raw[:, 0] -= 500
        saturated = (exposure.raw >= np.nan_to_num(exposure.references["saturation"].arrays["sci"], nan=1e9)).mean()

        assert saturated > 0.2
        with pytest.raises(AssertionError):
            assert_same(calibrated(exposure), calibrated(again))


class TestOrder:
    @few
    @given(plan=plans(nints=(4, 5)), seed=st.integers(0, 10**6), clipped=st.booleans())
    def test_integrations_may_come_in_any_order(self, plan, seed, clipped):
        """Each integration keeps its bits, and the mean changes by rounding; MIRI's first two have their own darks."""
        exposure = exposures.make(replace(plan, outputs=1))  # with four, the very first group is rounded otherwise
        first = exposures.MIRI_INTEGRATIONS - 1 if plan.instrument == "MIRI" else 0
        order = np.r_[:first, first + np.random.default_rng(seed).permutation(plan.nints - first)]
        parameters = {"jump": {"minimum_sigclip_groups": 4}} if clipped else {}
        try:
            one = calibrated_or_refused(exposure, **parameters)
            other = calibrated_or_refused(replace(exposure, raw=exposure.raw[order]), **parameters)
        except errors.Unsupported:
            return
        assert (one is None) == (other is None)
        if one is None:
            return

        for plane in fields(Rate):
            a, b = (getattr(each.rateints, plane.name) for each in (one, other))
            if plane.name in ("err", "var_poisson"):  # the photon noise is that of the mean rate
                np.testing.assert_allclose(a[order], b, rtol=1e-6, atol=1e-12, err_msg=plane.name)
            else:
                np.testing.assert_array_equal(a[order], b, err_msg=plane.name)
        np.testing.assert_array_equal(one.rate.dq, other.rate.dq)
        assert_close(other.rate, one.rate)


# Power of the data that each reference goes with.
POWERS = {"saturation": 1, "superbias": 1, "dark": 1, "readnoise": 1, "reset": 1, "gain": -1}


class TestUnits:
    @few
    @given(plan=plans(), exponent=st.sampled_from([-2, -1, 1]))
    def test_twice_the_gain_with_half_the_data_gives_half_the_rate(self, plan, exponent):
        """DN are a unit: in any other by a power of two the flags are the same and the numbers scale, bit for bit."""
        scale = np.float32(2.0**exponent)
        exposure = exposures.make(plan)
        exposure = replace(exposure, raw=exposure.raw.astype(np.float32))
        scaled = {kind: reference and self._scaled(reference, scale) for kind, reference in exposure.references.items()}
        other = replace(exposure, raw=exposure.raw * scale, references=scaled)
        # Pixels without a threshold saturate at 65536 DN, whatever the DN are, and averaged groups know of it.
        free = (exponent < 0 and plan.nframes == 1) or exposure.references["saturation"] is None
        parameters = {} if free else {"saturation": {"skip": True}}

        assert_same(
            calibrated_or_refused(exposure, **parameters), calibrated_or_refused(other, **parameters), scale=scale
        )

    def _scaled(self, reference, scale):
        if reference.type == "linearity":
            powers = scale ** (1 - np.arange(5, dtype=np.float32))
            return _with(reference, coeffs=reference.arrays["coeffs"] * powers[:, np.newaxis, np.newaxis])
        power = POWERS.get(reference.type)
        if power is None:
            return reference
        return _with(reference, sci=reference.arrays["sci"] * scale**power)
