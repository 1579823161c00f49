"""The limits themselves: what is within them and what is not."""

import numpy as np
import pytest

from tests.parity import limits


def products():
    """Planes of a product of 20 x 20 pixels, twice."""
    rng = np.random.default_rng(1)
    planes = {name: rng.uniform(1, 2, (20, 20)).astype(np.float32) for name in limits.NUMBERS}
    planes["DQ"] = np.zeros((20, 20), np.uint32)
    return planes, {name: plane.copy() for name, plane in planes.items()}


def test_alike():
    """Equal products have no difference, NaN and infinity included."""
    ours, theirs = products()
    for planes in (ours, theirs):
        planes["SCI"][1, 1], planes["ERR"][2, 2] = np.nan, np.inf
    found = limits.difference(ours, theirs)

    assert found.within
    assert (found.flags, sum(found.not_alike.values()), max(found.of_limit.values())) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "factor", "within"),
    [
        ("SCI", 1 + 1e-4, True),  # a small part of the error
        ("SCI", 1 + 2e-3, False),
        ("ERR", 1 + 2e-3, False),
        ("VAR_POISSON", 1 + 1e-4, True),
        ("VAR_POISSON", 1 + 5e-3, False),
        ("VAR_RNOISE", 1 + 5e-6, True),
        ("VAR_RNOISE", 1 + 2e-5, False),
        ("SCI", np.nan, False),
        ("VAR_RNOISE", np.nan, False),
    ],
)
def test_one_number(name, factor, within):
    """One pixel of a small array decides."""
    ours, theirs = products()
    ours[name][3, 4] *= np.float32(factor)
    found = limits.difference(ours, theirs)

    assert found.within is within
    assert found.not_alike[name] + found.not_numbers[name] == 1


@pytest.mark.parametrize(("pixels", "within"), [(1, True), (2, False)])
def test_flags(pixels, within):
    """One pixel of a small array may have other flags, and then its numbers do not count."""
    ours, theirs = products()
    ours["DQ"][0, :pixels] = 4
    ours["SCI"][0, :pixels] = np.nan

    assert limits.difference(ours, theirs).within is within
