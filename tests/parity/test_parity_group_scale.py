"""Group scale against the official step."""

import pytest

from tests.parity.steps import PLANS


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(same, plan):
    """Data, flags and status are the same after the steps up to this one."""
    same("group_scale", plan)


def test_scales_what_was_divided_by_another_number(same):
    """The case that the step is there for is among the exposures."""
    *_, status = same("group_scale", PLANS["five frames divided by eight"])

    assert status == "COMPLETE"
