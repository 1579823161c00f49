"""Exposures that were never seen before, with parameters and faults to match, against the official pipeline.

Other ones than usual, or more of them:

    REPROCESS_PARITY_SEED=77 REPROCESS_PARITY_CASES=200 make parity
"""

import os

import pytest

from tests.parity import chance

FIRST = int(os.environ.get("REPROCESS_PARITY_SEED", "1")) * 10**6
CASES = int(os.environ.get("REPROCESS_PARITY_CASES", "16"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + CASES))
def test_drawn_exposure_gives_the_official_products(beside, seed):
    """Whatever is drawn, the products are within the limits and the headers say the same of every step."""
    drawn = chance.draw(seed)
    exposure, covered = drawn.make()
    beside(exposure, str(drawn), drawn.parameters, covered)
