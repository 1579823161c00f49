"""Every kind of exposure that is not imaging, step by step and end to end against the official pipeline."""

from dataclasses import replace

import numpy as np
import pytest

from tests.calibration.exposures import FGS, MIRI, NIRISS, Plan
from tests.calibration.interleaved import NRS, NRS2
from tests.parity import steps
from tests.parity.test_parity_end_to_end import compare

NEAR_INFRARED = {
    "NIRSpec, NRS1, a slit": replace(
        NRS, exp_type="NRS_FIXEDSLIT", rows=64, columns=256, column_start=0, row_start=960, ngroups=6, nints=2
    ),
    "NIRSpec, NRS2, a bright object": replace(
        NRS, **NRS2, exp_type="NRS_BRIGHTOBJ", rows=32, columns=128, column_start=1920, row_start=1000, nints=4
    ),
    "NIRSpec, NRS1, no edge": replace(
        NRS,
        exp_type="NRS_BRIGHTOBJ",
        rows=32,
        columns=80,
        row_start=960,
        column_start=700,
        header={"SUBARRAY": "SUB512"},
    ),
    "NIRSpec, NRS2, no edge, narrow": replace(
        NRS,
        **NRS2,
        exp_type="NRS_TACQ",
        rows=32,
        columns=32,
        row_start=900,
        column_start=11,
        ngroups=3,
        header={"SUBARRAY": "SUB32"},
        kernel="plain",
    ),
    "NIRSpec, NRS1, no edge, an output for each quarter": replace(
        NRS, exp_type="NRS_WATA", outputs=4, row_start=960, column_start=700, header={"SUBARRAY": "SUB512S"}
    ),
    "NIRSpec, NRS1, averaged frames": replace(
        NRS, exp_type="NRS_MSASPEC", nframes=4, ngroups=6, column_start=1984, row_start=8, brightness=2000
    ),
    "NIRSpec, an IRS2 pattern in a subarray": replace(
        NRS, exp_type="NRS_MSATA", rows=48, row_start=2000, header={"READPATT": "NRSIRS2RAPID"}
    ),
    "NIRISS, SOSS": replace(
        NIRISS, exp_type="NIS_SOSS", rows=64, columns=256, row_start=1792, column_start=0, ngroups=4, nints=6
    ),
    "NIRISS, SOSS, to the upper edge": replace(
        NIRISS, exp_type="NIS_SOSS", rows=256, columns=96, row_start=1792, column_start=1000, ngroups=5, nints=2
    ),
    "NIRISS, slitless": replace(NIRISS, exp_type="NIS_WFSS", row_start=1984, column_start=1984, ngroups=8),
    "NIRCam, grism time series, four outputs": Plan(
        exp_type="NRC_TSGRISM", outputs=4, rows=64, columns=256, column_start=1700, nints=5, gain_factor=1.2
    ),
    "NIRCam, grism time series, one output": Plan(
        exp_type="NRC_TSGRISM", rows=64, columns=128, column_start=0, nints=3, fast_axis=1, slow_axis=-2, row_start=1984
    ),
    "NIRCam, slitless": Plan(exp_type="NRC_WFSS", ngroups=9, nframes=4, groupgap=1),
    "NIRCam, time series": Plan(exp_type="NRC_TSIMAGE", rows=32, ngroups=4, nints=12),
    "NIRCam, lamp": Plan(exp_type="NRC_LED", ngroups=3, brightness=500),
    "FGS, flat": replace(FGS, exp_type="FGS_INTFLAT", ngroups=6, row_start=1984),
}
MID_INFRARED = {
    "MIRI, slitless prism": replace(
        MIRI,
        exp_type="MIR_LRS-SLITLESS",
        rows=96,
        columns=72,
        row_start=528,
        column_start=0,
        ngroups=7,
        nints=4,
        header={"SUBARRAY": "SLITLESSPRISM"},
    ),
    "MIRI, slit": replace(MIRI, exp_type="MIR_LRS-FIXEDSLIT", ngroups=8, skips=(2, 3)),
    "MIRI, slitless spectra": replace(MIRI, exp_type="MIR_WFSS", ngroups=9, nints=2),
    "MIRI, flat": replace(MIRI, exp_type="MIR_FLATIMAGE", ngroups=6),
    "MIRI, four-quadrant mask": replace(MIRI, exp_type="MIR_4QPM", ngroups=12, nints=3),
    "MIRI, time series": replace(MIRI, exp_type="MIR_IMAGE", rows=32, ngroups=5, nints=10),
    "MIRI, integral field, a window": replace(
        MIRI, exp_type="MIR_MRS", detector="MIRIFUSHORT", ngroups=7, nints=2, header={"CHANNEL": "12"}
    ),
}
LAST = {"NIRCAM": "dark_current", "MIRI": "refpix"}


@pytest.mark.parametrize("step", ["saturation", "superbias", "refpix", "linearity", "dark_current"])
@pytest.mark.parametrize("plan", NEAR_INFRARED.values(), ids=NEAR_INFRARED)
def test_near_infrared_steps_give_the_same_bits(same, step, plan):
    """Data, flags and status are the same after each step before jump."""
    same(step, plan)


@pytest.mark.parametrize("step", ["rscd", "refpix"])
@pytest.mark.parametrize("plan", MID_INFRARED.values(), ids=MID_INFRARED)
def test_mid_infrared_steps_give_the_same_bits(same, step, plan):
    """Data, flags and status are the same after the steps before jump."""
    same(step, plan)


@pytest.mark.parametrize("plan", [*NEAR_INFRARED.values(), *MID_INFRARED.values()], ids=[*NEAR_INFRARED, *MID_INFRARED])
def test_gives_the_same_rates(official, tmp_path, plan):
    """Rates, errors, variances, flags and statuses."""
    ours = compare(official, plan, tmp_path)

    assert np.isfinite(ours.rate.sci).mean() > 0.2


@pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
def test_full_frame_of_nirspec_gives_the_same_bits(official, tmp_path, detector):
    """Lines of the detector are columns of the file, and all four edges are used."""
    from tests.calibration import exposures

    plan = replace(NRS, rows=2048, columns=2048, outputs=4, ngroups=2, **({} if detector == "NRS1" else NRS2))
    exposure = exposures.make(plan)

    steps.assert_same(steps.after("dark_current", exposure), official.trail(exposure, tmp_path)["dark_current"])
