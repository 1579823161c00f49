"""Reference pixels against the official step."""

import pytest

from tests.calibration.exposures import Plan
from tests.parity.steps import PLANS


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(same, plan):
    """Data, flags and status are the same after the steps up to this one."""
    same("refpix", plan)


@pytest.mark.parametrize(
    "parameters",
    [
        {"odd_even_columns": False},
        {"use_side_ref_pixels": False},
        {"side_smoothing_length": 4},
        {"side_gain": 0.7, "siglimit": 2.0},
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["FGS with four outputs", "single frames"])
def test_takes_the_official_parameters(same, name, parameters):
    """Parity, sides, window, side gain and clipping."""
    same("refpix", PLANS[name], {"refpix": parameters})


@pytest.mark.parametrize("detector", [("NIRCAM", "NRCA1", "NRC_IMAGE", -1, 2), ("NIRISS", "NIS", "NIS_IMAGE", -2, -1)])
def test_full_frame(same, detector):
    """All four amplifiers, all four edges, the first group in single precision and the second in double."""
    instrument, name, exp_type, fast, slow = detector
    plan = Plan(
        rows=2048,
        columns=2048,
        outputs=4,
        ngroups=2,
        instrument=instrument,
        detector=name,
        exp_type=exp_type,
        fast_axis=fast,
        slow_axis=slow,
    )
    same("refpix", plan)
