"""MIRI's steps before jump against the official ones, in MIRI's order."""

import numpy as np
import pytest

from tests.calibration import exposures
from tests.parity import steps
from tests.parity.steps import BEFORE_JUMP, MIRI_PLANS

FLUX_ESTIMATED = 1 << 28


@pytest.mark.parametrize("step", BEFORE_JUMP["MIRI"])
@pytest.mark.parametrize("plan", MIRI_PLANS.values(), ids=MIRI_PLANS)
def test_gives_the_same_bits(same, plan, step):
    """Data, flags and status are the same after the steps up to this one."""
    same(step, plan)


@pytest.mark.parametrize(
    "parameters",
    [
        {"refpix": {"odd_even_rows": False}},
        {"refpix": {"siglimit": 2.0}},
        {"refpix": {"skip": True}},
        {"saturation": {"n_pix_grow_sat": 0}},
        {"saturation": {"n_pix_grow_sat": 3}},
        {"rscd": {"skip": True}, "lastframe": {"skip": True}},
        {"reset": {"skip": True}},
    ],
    ids=repr,
)
def test_takes_the_official_parameters(same, parameters):
    """Parity of the rows, clipping, growth of saturation, and steps that are skipped."""
    same("refpix", MIRI_PLANS["MIRI full frame"], parameters)


@pytest.mark.parametrize("kind", ["mask", "dark", "reset"])
def test_an_amplifier_without_good_reference_pixels(official, tmp_path, kind):
    """One amplifier whose odd rows are DO_NOT_USE at one end stops the step, whatever reference says so."""
    exposure = exposures.make(exposures.MIRI_FULL)
    exposure.references[kind].arrays["dq"][..., 1::2, 1030] |= np.uint32(1)
    ours = steps.after("refpix", exposure)
    before = steps.after("dark_current", exposure)
    steps.assert_same(ours, official.trail(exposure, tmp_path)["refpix"])

    assert ours[3] == "COMPLETE"
    assert np.abs(ours[0] - before[0]).max() < 0.1


def test_meets_pixels_that_keep_groups(same):
    """The exposures have pixels that saturate so early that fewer of their first groups are left out."""
    _, groupdq, pixeldq, status = same("rscd", MIRI_PLANS["MIRI, bright"])

    kept = pixeldq & FLUX_ESTIMATED != 0
    assert status == "COMPLETE"
    assert 0.01 < kept.mean() < 0.9
    assert (groupdq[0, 3][kept] & 1 == 0).any()
    assert np.all(groupdq[0, 0][~kept] & 1)


@pytest.mark.parametrize("bright", [True, False])
@pytest.mark.parametrize("name", ["MIRI, bright", "MIRI subarray, three groups", "MIRI, averaged frames"])
def test_leaves_out_the_first_group(same, name, bright):
    """The step that is officially deprecated still gives the same bits where it is asked for."""
    wanted = {"firstframe": {"skip": False, "bright_use_group1": bright}}
    for step in ("firstframe", "refpix"):
        same(step, MIRI_PLANS[name], wanted)
