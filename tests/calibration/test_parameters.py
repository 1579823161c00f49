"""Values of parameters."""

import pytest

from reprocess import errors
from reprocess.calibration import detector1, parameters


def test_numbers_take_the_type_of_their_default():
    """5 and 5.0 are the same wish."""
    found = parameters.checked(
        detector1.NEAR_INFRARED, {"jump": {"rejection_threshold": 5}, "saturation": {"n_pix_grow_sat": 2.0}}
    )

    assert repr(found["jump"]["rejection_threshold"]) == "5.0"
    assert repr(found["saturation"]["n_pix_grow_sat"]) == "2"


def test_defaults_are_in_range():
    """Every default of every step passes."""
    for steps in (detector1.NEAR_INFRARED, detector1.MID_INFRARED):
        given = {step.name: dict(step.parameters) for step in steps}
        assert parameters.checked(steps, given) == given


def test_steps_of_other_instruments():
    """Wishes for steps that the exposure does not have are left out."""
    assert "rscd" not in parameters.checked(detector1.NEAR_INFRARED, {"rscd": {"skip": True}})


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), float("inf"), "high", True, [1], None])
def test_no_thresholds(value):
    """What is no threshold is refused by the name of the parameter and the value."""
    with pytest.raises(errors.UsageError, match=r"jump\.rejection_threshold = "):
        parameters.checked(detector1.NEAR_INFRARED, {"jump": {"rejection_threshold": value}})


@pytest.mark.parametrize("value", [-1, None, 2])
def test_group_numbers(value):
    """A negative group number stands for none, as officially."""
    assert (
        parameters.checked(detector1.NEAR_INFRARED, {"ramp_fit": {"firstgroup": value}})["ramp_fit"]["firstgroup"]
        == value
    )
