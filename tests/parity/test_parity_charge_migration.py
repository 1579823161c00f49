"""Charge migration against the official step, alone and in the whole of stage 1."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess.calibration import charge_migration
from tests.calibration import exposures
from tests.calibration.exposures import NIRISS, Plan
from tests.parity.steps import after
from tests.parity.test_parity_end_to_end import compare

CHARGELOSS = 128
PLANS = {
    "NIRISS": replace(NIRISS, ngroups=8, nints=2, row_start=64, brightness=3000),
    "averaged frames": Plan(ngroups=6, nframes=4, groupgap=1, nints=2, brightness=2000),
    "three groups": Plan(ngroups=3, brightness=9000),
    "two groups": Plan(ngroups=2, brightness=9000),
}


@pytest.mark.parametrize("threshold", [25000.0, 9000.0, -5.0])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(official, tmp_path, plan, threshold):
    """The flags of every group are the same after the step."""
    exposure = exposures.make(plan)
    pipe = official.pipeline(exposure, tmp_path, {"charge_migration": {"skip": False, "signal_threshold": threshold}})
    data, groupdq, pixeldq, _ = after("dark_current", exposure)
    model = official.science(exposure, tmp_path)
    model.data, model.groupdq, model.pixeldq = data.copy(), groupdq.copy(), pixeldq.copy()
    theirs = pipe.charge_migration.run(model)
    if plan.ngroups >= charge_migration.FEWEST_GROUPS:
        charge_migration.flag(data, groupdq, threshold)
        assert (groupdq & CHARGELOSS).any()

    np.testing.assert_array_equal(groupdq, theirs.groupdq)
    done = "COMPLETE" if plan.ngroups >= charge_migration.FEWEST_GROUPS else "SKIPPED"
    assert theirs.meta.cal_step.charge_migration == done


@pytest.mark.parametrize("threshold", [25000.0, 9000.0])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_rates(official, tmp_path, plan, threshold):
    """Rates, variances, flags and statuses are the same with the step."""
    wanted = {"charge_migration": {"skip": False, "signal_threshold": threshold}}
    done = compare(official, plan, tmp_path, wanted)

    assert done.statuses["charge_migration"] == ("COMPLETE" if plan.ngroups > 2 else "SKIPPED")
