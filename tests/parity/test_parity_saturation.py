"""Saturation against the official step."""

import pytest

from tests.parity.steps import PLANS


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_gives_the_same_bits(same, plan):
    """Data, flags and status are the same after the steps up to this one."""
    same("saturation", plan)


@pytest.mark.parametrize(
    "parameters", [{"n_pix_grow_sat": 0}, {"n_pix_grow_sat": 2}, {"use_readpatt": False}], ids=repr
)
def test_takes_the_official_parameters(same, parameters):
    """Growth by other layers, and groups taken as single reads."""
    same("saturation", PLANS["bright"], {"saturation": parameters})


def test_meets_groups_that_hide_saturation(same):
    """The exposures have groups that only the rules for averaged frames make unusable."""
    plan = PLANS["bright"]
    _, with_rules, _, _ = same("saturation", plan)
    _, without, _, _ = same("saturation", plan, {"saturation": {"use_readpatt": False}})

    lost = (with_rules & 1 != 0) & (without & 1 == 0)
    assert lost[:, 1].any()
    assert lost[:, 2:].any()
