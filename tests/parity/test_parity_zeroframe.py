"""The ZEROFRAME after the steps before jump, and what it does to rates, against the official pipeline."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess.calibration import chain, detector1, facts, zeroframe
from reprocess.calibration.steps import resolve, steps_of
from reprocess.exposure import Band
from tests.calibration import exposures
from tests.calibration.exposures import FGS, NIRISS, Plan
from tests.parity.steps import before_jump
from tests.parity.test_parity_end_to_end import assert_close, official_rates

PLANS = {
    "subarray with reference pixels": Plan(ngroups=3, nframes=4, nints=2, brightness=3000),
    "one group": Plan(ngroups=1, nframes=8, brightness=3000),
    "no reference pixels": Plan(ngroups=3, nframes=4, row_start=700, column_start=900, brightness=9000),
    "four outputs": Plan(ngroups=3, nframes=2, nints=3, rows=48, outputs=4, brightness=3000),
    "upper corner with four outputs": Plan(
        ngroups=2, fast_axis=1, slow_axis=-2, row_start=1984, column_start=1990, columns=58, outputs=4, nframes=2
    ),
    "NIRISS": replace(NIRISS, ngroups=3, nframes=4, row_start=64, brightness=3000),
    "FGS with four outputs": replace(FGS, ngroups=3, nframes=4, rows=40, outputs=4, brightness=3000),
    "inverse polynomials": Plan(ngroups=3, nframes=4, inverse=True, brightness=3000),
    "divided frames and a kernel": Plan(ngroups=3, nframes=5, frame_divisor=8, kernel="plain", brightness=3000),
    "nothing given": Plan(missing=("mask", "saturation", "superbias", "linearity", "dark"), nframes=4),
}
SINGLE = {"ramp_fit": {"suppress_one_group": False}}


def first_frames(exposure):
    """First frames that reach all that the steps look at: full pixels, pixels that read nothing, reference pixels."""
    rng = np.random.default_rng(3)
    frames = exposure.raw[:, 0].astype(float) + rng.normal(0, 20, exposure.raw[:, 0].shape)
    frames[rng.random(frames.shape) < 0.01] = 65535
    frames[rng.random(frames.shape) < 0.01] = 0
    return np.clip(np.round(frames), 0, 65535).astype(np.uint16)


def theirs(official, exposure, frames, folder, parameters):
    """The official ZEROFRAME after the steps before jump."""
    pipe = official.pipeline(exposure, folder, parameters)
    model = official.science(exposure, folder)
    model.zeroframe, model.meta.exposure.zero_frame = frames.astype(np.float32), True
    for name in before_jump(exposure):
        model = getattr(pipe, name).run(model)
    return np.array(model.zeroframe)


def ours(exposure, frames, parameters):
    """Ours."""
    readout = exposure.readout
    settings = resolve(steps_of(readout.exp_type), {**SINGLE, **parameters})
    signal = facts.zeroframe_signal([frames], exposure.references, readout=readout, settings=settings)
    settled = chain.settle(exposure.references, readout=readout, settings=settings, band=Band(0, readout.rows))
    return zeroframe.prepare(frames, settled, signal)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(official, tmp_path, plan):
    """The same pixels are 0, and the others have the same bits."""
    exposure = exposures.make(plan)
    frames = first_frames(exposure)
    made = ours(exposure, frames, {})

    np.testing.assert_array_equal(made, theirs(official, exposure, frames, tmp_path, {}))
    assert (made != 0).mean() > 0.01


@pytest.mark.parametrize(
    "parameters",
    [
        {"saturation": {"n_pix_grow_sat": 0}},
        {"saturation": {"n_pix_grow_sat": 2}},
        {"saturation": {"skip": True}, "superbias": {"skip": True}},
        {"refpix": {"use_side_ref_pixels": False}},
        {"refpix": {"skip": True}},
        {"linearity": {"skip": True}},
    ],
    ids=repr,
)
def test_takes_the_official_parameters(official, tmp_path, parameters):
    """Growth by other layers, no side reference pixels, and steps that are skipped."""
    exposure = exposures.make(PLANS["four outputs"])
    frames = first_frames(exposure)

    made = ours(exposure, frames, parameters)
    np.testing.assert_array_equal(made, theirs(official, exposure, frames, tmp_path, parameters))


@pytest.mark.parametrize("name", ["four outputs", "NIRISS", "one group", "inverse polynomials"])
def test_gives_the_same_rates(official, tmp_path, monkeypatch, name):
    """The whole of stage 1 with the ZEROFRAME of bright ramps and single groups that count."""
    plan = replace(PLANS[name], brightness=20000)
    exposure = exposures.make(plan)
    frames = first_frames(exposure)
    plain = official.science

    def science(*args, **known):
        model = plain(*args, **known)
        model.zeroframe, model.meta.exposure.zero_frame = frames.astype(np.float32), True
        return model

    monkeypatch.setattr(official, "science", science)
    rate, rateints, _ = official_rates(official, exposure, tmp_path, SINGLE)
    known = {"readout": exposure.readout, "parameters": SINGLE}
    made = detector1.calibrate(exposure.raw, exposure.references, zeroframe=frames, **known)
    without = detector1.calibrate(exposure.raw, exposure.references, **known)

    assert_close(made.rate, rate)
    assert_close(made.rateints, rateints)
    same = np.array_equal(made.rate.sci, without.rate.sci, equal_nan=True)
    assert same == (plan.ngroups == 1)  # officially a lone group that is lost stays lost
