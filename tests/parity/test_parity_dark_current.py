"""Dark against the official step."""

import pytest

from tests.parity.steps import PLANS


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(same, plan):
    """Data, flags and status are the same after the steps up to this one."""
    same("dark_current", plan)
