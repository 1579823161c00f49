"""IRS2 frames of NIRSpec against the official pipeline: the refpix step, those before it, and all of stage 1."""

from dataclasses import fields, replace

import numpy as np
import pytest

from reprocess.calibration import detector1, irs2
from reprocess.calibration.rate import Rate
from tests.calibration import interleaved
from tests.calibration.interleaved import IRS2, NRS2
from tests.parity import steps

OFFICIAL_NAMES = {"sci": "data"}
PLANS = {
    "NRS1, bright, averaged frames": replace(IRS2, ngroups=3, nframes=4, brightness=2500),
    "NRS2, two integrations, a kernel": replace(IRS2, **NRS2, ngroups=2, nints=2, kernel="plain", seed=5),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(official, tmp_path, plan):
    """Data, flags of groups and pixels, and status are the same after refpix and after the last step before jump."""
    exposure = interleaved.make(plan)
    trail = official.trail(exposure, tmp_path)

    for step in ("refpix", "dark_current"):
        steps.assert_same(steps.after(step, exposure), trail[step])


def test_flags_are_those_of_the_official_saturation_step(official, tmp_path):
    """The rule for the second group counts: it flags pixels that the thresholds alone do not."""
    exposure = interleaved.make(replace(PLANS["NRS1, bright, averaged frames"], seed=3))
    normal = irs2.normal_rows("NRS1")
    official_flags = official.trail(exposure, tmp_path)["saturation"][1][:, :, normal]
    _, flags, _, _ = steps.after("refpix", exposure)
    level = exposure.references["saturation"].arrays["sci"]
    early = (flags[:, 1] & 2 != 0) & ~(exposure.raw[:, 1, normal] >= level)

    np.testing.assert_array_equal(flags, official_flags)
    assert early.sum() > 100


def test_gives_the_same_rates(official, tmp_path):
    """Rates, errors, variances, flags and statuses."""
    exposure = interleaved.make(replace(IRS2, ngroups=4))
    ours = detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters={})
    rate, rateints = official.detector1(exposure, tmp_path)

    for our, their in ((ours.rate, rate), (ours.rateints, rateints)):
        for name in (field.name for field in fields(Rate)):
            expected = np.array(getattr(their, OFFICIAL_NAMES.get(name, name)))
            if name == "dq":
                np.testing.assert_array_equal(our.dq, expected)
            else:
                np.testing.assert_allclose(getattr(our, name), expected, rtol=5e-7, atol=1e-7, err_msg=name)
    assert ours.statuses["refpix"] == rate.meta.cal_step.refpix == "COMPLETE"
    assert np.isfinite(ours.rate.sci).mean() > 0.2


def test_gives_the_same_products(beside):
    """From files to files, with thresholds of its own for bad reference samples."""
    plan = replace(IRS2, **NRS2, ngroups=3, nints=2, seed=9)

    beside(interleaved.make(plan), "IRS2", {"refpix": {"ovr_corr_mitigation_ftr": 2.0}})
