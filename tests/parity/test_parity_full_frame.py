"""One full frame of each instrument, files in and files out, against the official pipeline."""

from dataclasses import replace

import pytest

from tests.calibration import exposures
from tests.calibration.exposures import FGS, MIRI_FULL, NIRCAM_FULL, NIRISS

FULL = {"rows": 2048, "columns": 2048, "outputs": 4}
PLANS = {
    "NIRCam": replace(NIRCAM_FULL, ngroups=5, nframes=2, dark_groups=5, dark_nframes=2),
    "NIRISS": replace(NIRISS, **FULL, ngroups=4, dark_groups=4),
    "FGS": replace(FGS, **FULL, ngroups=3, dark_groups=3),
    "MIRI": MIRI_FULL,
}


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_command_gives_the_official_products(beside, plan):
    """Amplifiers, odd and even columns, both edges, and all rows."""
    beside(exposures.make(plan), f"{plan.instrument} full frame")
