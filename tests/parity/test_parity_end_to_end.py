"""The whole of stage 1 against the official pipeline."""

from dataclasses import fields, replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import detector1
from reprocess.calibration.rate import Rate
from tests.calibration import exposures
from tests.calibration.exposures import FGS, NIRISS, Plan
from tests.parity.steps import MIRI_PLANS

OFFICIAL_NAMES = {"sci": "data"}
PLANS = {
    "NIRCam subarray": Plan(ngroups=6),
    "NIRCam subarray, two groups": Plan(ngroups=2),
    "NIRCam subarray, one group": Plan(ngroups=1),
    "NIRCam subarray, eleven groups and more": Plan(ngroups=13, nframes=4, nints=2),
    "NIRCam averaged frames, bright": Plan(ngroups=6, nframes=4, groupgap=1, nints=3, brightness=2000),
    "NIRCam everything at once": Plan(ngroups=7, nframes=5, frame_divisor=8, kernel="plain", gain_factor=1.3, nints=2),
    "NIRISS": replace(NIRISS, ngroups=8, nints=2, row_start=64),
    "NIRISS AMI": replace(NIRISS, exp_type="NIS_AMI", ngroups=5, nints=6, rows=40),
    "FGS": replace(FGS, ngroups=5, outputs=4),
    "short dark, averaged": Plan(ngroups=6, nframes=2, groupgap=1, dark_groups=7),
    "nothing but gain and read noise": Plan(missing=("mask", "saturation", "superbias", "linearity", "dark")),
}


def official_rates(official, exposure, folder, parameters=None):
    """Both official results by the names of `Rate`, and the statuses."""
    rate, rateints = official.detector1(exposure, folder, parameters)
    results = [
        {f.name: np.array(getattr(model, OFFICIAL_NAMES.get(f.name, f.name))) for f in fields(Rate)}
        for model in (rate, rateints)
    ]
    steps = detector1.steps_for(exposure.header)
    status = {s.name: getattr(rate.meta.cal_step, official.STATUS.get(s.name, s.name)) for s in steps}
    return *results, status


def assert_close(ours, theirs):
    """Flags and the places of NaN are the same; numbers agree to a few float32 steps."""
    np.testing.assert_array_equal(ours.dq, theirs["dq"])
    for name, limit in (("sci", 5e-7), ("err", 5e-7), ("var_poisson", 5e-7), ("var_rnoise", 5e-7)):
        our = getattr(ours, name)
        assert our.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(our), np.isnan(theirs[name]), err_msg=name)
        np.testing.assert_allclose(our, theirs[name], rtol=limit, atol=1e-7, err_msg=name)


def compare(official, plan, folder, parameters=None):
    """Run both and compare rate, rateints and statuses."""
    exposure = exposures.make(plan)
    rate, rateints, status = official_rates(official, exposure, folder, parameters)
    ours = detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters=parameters or {})
    assert ours.statuses == status
    assert_close(ours.rate, rate)
    assert_close(ours.rateints, rateints)
    return ours


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_rates(official, tmp_path, plan):
    """Rates, errors, variances, flags and statuses with references that have NaN and DO_NOT_USE in them."""
    ours = compare(official, plan, tmp_path)

    assert np.isfinite(ours.rate.sci).mean() > 0.2


@pytest.mark.parametrize("plan", MIRI_PLANS.values(), ids=MIRI_PLANS)
def test_gives_the_same_rates_for_miri(official, tmp_path, plan):
    """MIRI's own order of steps, groups left out at both ends of the ramp, darks and resets by integration."""
    ours = compare(official, plan, tmp_path)

    assert np.isfinite(ours.rate.sci).mean() > 0.2


def test_full_frame(official, tmp_path):
    """A NIRCam full frame with four amplifiers."""
    compare(official, replace(exposures.NIRCAM_FULL, ngroups=4), tmp_path)


@pytest.mark.parametrize(
    "parameters",
    [
        {"jump": {"skip": True}},
        {"superbias": {"skip": True}, "linearity": {"skip": True}},
        {"jump": {"rejection_threshold": 6.0, "flag_4_neighbors": False}, "refpix": {"side_gain": 0.5}},
        {"ramp_fit": {"suppress_one_group": False}, "dark_current": {"average_dark_current": 0.02}},
    ],
    ids=repr,
)
def test_takes_the_official_parameters(official, tmp_path, parameters):
    """Skipped steps and other thresholds."""
    compare(official, Plan(ngroups=6, brightness=300), tmp_path, parameters)


def test_makes_no_rate_where_everything_is_saturated(official, tmp_path):
    """The official pipeline returns nothing; here that is an error that says why."""
    exposure = exposures.make(Plan(rows=16, columns=16, ngroups=3))
    exposure.raw[:] = 65535
    exposure.references["saturation"].arrays["sci"][:] = 60000
    exposure.references["saturation"].arrays["dq"][:] = 0

    assert official.detector1(exposure, tmp_path) == (None, None)
    with pytest.raises(errors.BadData, match="saturated"):
        detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters={})


@pytest.mark.parametrize("missing", [(), ("dark",)])
def test_an_average_dark_current_of_the_target_needs_a_dark(official, tmp_path, missing):
    """The parameter counts only where the step runs."""
    compare(official, Plan(rows=32, missing=missing), tmp_path, {"dark_current": {"average_dark_current": 5.0}})


def test_an_average_dark_current_of_the_reference_counts(official, tmp_path):
    """AVDRKCUR of the dark enters the Poisson variance."""
    exposure = exposures.make(Plan(rows=32, columns=32))
    dark = exposure.references["dark"]
    exposure.references["dark"] = replace(dark, keywords={**dark.keywords, "AVDRKCUR": 0.5})
    rate, _, _ = official_rates(official, exposure, tmp_path)
    ours = detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters={})

    assert_close(ours.rate, rate)
