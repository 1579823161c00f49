"""Pairwise combinations of everything that stage 1 can meet, files in and files out, against the official pipeline."""

import pytest

from tests.pairs import all_pairs
from tests.parity import cases

MATRIX = all_pairs(cases.FACTORS, allowed=cases.allowed)


def name(case):
    """Levels of a case in the order of the factors."""
    return ", ".join(str(level) for level in case.values())


@pytest.mark.parametrize("number", range(len(MATRIX)), ids=lambda number: f"{number}: {name(MATRIX[number])}")
def test_command_gives_the_official_products(beside, number):
    """Rate and rateints are within the limits, and the headers say the same of every step."""
    case = MATRIX[number]
    beside(cases.make(case, seed=1000 + number), name(case))
