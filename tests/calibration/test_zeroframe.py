"""The ZEROFRAME on its way to the fit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration import chain, detector1, zeroframe
from reprocess.calibration.steps import resolve, steps_of
from reprocess.exposure import Band
from tests.calibration import exposures
from tests.calibration.exposures import MIRI, NIRISS, Plan

SINGLE = {"ramp_fit": {"suppress_one_group": False}}
PLANS = st.builds(
    lambda transposed, **fields: Plan(**fields, **(transposed or {})),
    rows=st.integers(9, 24),
    columns=st.integers(8, 20),
    nints=st.integers(1, 3),
    ngroups=st.sampled_from([1, 3]),
    nframes=st.sampled_from([1, 4]),
    row_start=st.sampled_from([0, 1000, 2024]),
    column_start=st.sampled_from([0, 3, 2028]),
    outputs=st.sampled_from([1, 4]),
    brightness=st.sampled_from([20.0, 3000.0, 40000.0]),
    seed=st.integers(0, 10**6),
    transposed=st.sampled_from([None, {"fast_axis": -2, "slow_axis": -1}]),
)


def first_frames(exposure):
    """Frames with pixels that are full and pixels that read nothing."""
    rng = np.random.default_rng(exposure.plan.seed)
    frames = exposure.raw[:, 0].copy()
    frames[rng.random(frames.shape) < 0.02] = 65535
    frames[rng.random(frames.shape) < 0.02] = 0
    return frames


def prepared(exposure, frames, band, facts, parameters):
    """The rows of a band after the steps before jump."""
    references = exposure.cut(band.rows)
    wanted = resolve(steps_of(exposure.plan.exp_type), parameters)
    settled = chain.settle(references, readout=exposure.readout, settings=wanted, band=band)
    return zeroframe.prepare(frames[:, band.rows], settled, facts.zeroframe_signal)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=PLANS, height=st.integers(1, 24), layers=st.integers(0, 2))
def test_slabs_give_the_same_bits(plan, height, layers):
    """Rows of any cut, with the halo of the chain, are those of the whole frame."""
    exposure = exposures.make(plan)
    frames = first_frames(exposure)
    parameters = {**SINGLE, "saturation": {"n_pix_grow_sat": layers}}
    halo = detector1.locality(detector1.steps_for(exposure.header), parameters).halo_rows
    known = {"readout": exposure.readout, "parameters": parameters}
    facts = detector1.gather_facts(exposure.raw, exposure.references, zeroframes=iter(frames), **known)
    whole = prepared(exposure, frames, Band(0, plan.rows), facts, parameters)
    for start in range(0, plan.rows, height):
        core = slice(start, min(plan.rows, start + height))
        band = Band(max(0, start - halo), min(plan.rows, core.stop + halo))
        part = prepared(exposure, frames, band, facts, parameters)

        np.testing.assert_array_equal(part[:, core.start - band.start : core.stop - band.start], whole[:, core])


def test_what_cannot_be_used_is_0():
    """A pixel that is full is 0 with its neighbours, one that reads nothing alone; others are not."""
    exposure = exposures.make(Plan(rows=12, columns=12, ngroups=3, missing=("mask", "dark")))
    exposure.references["saturation"].arrays["sci"][:] = 60000
    exposure.references["saturation"].arrays["dq"][:] = 0
    frames = np.full((1, 12, 12), 20000, np.uint16)
    frames[0, 3, 3], frames[0, 8, 8] = 60000, 0
    known = {"readout": exposure.readout, "parameters": SINGLE}
    facts = detector1.gather_facts(exposure.raw, exposure.references, zeroframes=[frames], **known)
    made = prepared(exposure, frames, Band(0, 12), facts, SINGLE)

    lost = np.zeros((12, 12), bool)
    lost[2:5, 2:5] = lost[8, 8] = True
    np.testing.assert_array_equal(made[0] == 0, lost)


@pytest.mark.parametrize(
    ("plan", "parameters", "needed"),
    [
        (Plan(), {}, False),
        (Plan(), SINGLE, True),
        (replace(NIRISS, ngroups=1), {}, True),
        (MIRI, SINGLE, False),
    ],
)
def test_is_needed_only_where_single_groups_count(plan, parameters, needed):
    """By default a ramp with one good group has no rate, so the frame is not even read."""
    readout = exposures.make(replace(plan, rows=8, columns=8)).readout

    assert detector1.needs_zeroframe(readout, parameters) == needed


class TestRefusals:
    """Frames that are not those of the exposure."""

    @pytest.mark.parametrize("shape", [(1, 11, 12), (2, 12, 12), (12, 12)])
    def test_of_another_shape(self, shape):
        """The axes are held against the readout."""
        exposure = exposures.make(Plan(rows=12, columns=12, ngroups=3))
        with pytest.raises(errors.WrongLayout, match="ZEROFRAME"):
            detector1.calibrate(
                exposure.raw,
                exposure.references,
                readout=exposure.readout,
                parameters=SINGLE,
                zeroframe=np.zeros(shape, np.uint16),
            )

    def test_too_few(self):
        """Facts are gathered from the frames of all integrations."""
        exposure = exposures.make(Plan(rows=12, columns=12, ngroups=3, nints=2))
        with pytest.raises(errors.WrongLayout, match="2 integrations"):
            detector1.gather_facts(
                exposure.raw,
                exposure.references,
                readout=exposure.readout,
                parameters=SINGLE,
                zeroframes=[exposure.raw[0, 0]],
            )

    def test_of_interleaved_reference_pixels(self):
        """NIRSpec's IRS2 patterns are refused, by the name of the pattern."""
        readout = exposures.make(Plan(rows=12, columns=12, ngroups=3)).readout
        interleaved = replace(readout, read_pattern="NRSIRS2", rows=2048)
        with pytest.raises(errors.Unsupported, match="NRSIRS2"):
            zeroframe.check(np.zeros((1, 2048, 12), np.uint16), interleaved, 2048)


def test_slab_needs_the_frame_only_where_it_matters():
    """With single groups suppressed a ZEROFRAME changes nothing."""
    exposure = exposures.make(Plan(rows=12, columns=12, ngroups=3))
    known = {"readout": exposure.readout, "parameters": {}}
    with_it = detector1.calibrate(exposure.raw, exposure.references, zeroframe=exposure.raw[:, 0], **known)
    without = detector1.calibrate(exposure.raw, exposure.references, **known)

    np.testing.assert_array_equal(with_it.rate.sci, without.rate.sci)
