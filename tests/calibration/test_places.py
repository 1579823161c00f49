"""Rows and columns of few pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reprocess.calibration.places import places


@given(hnp.arrays(bool, st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_are_those_of_numpy(mask):
    """Any image, an empty one too, contiguous or not."""
    for image in (mask, mask[::2], mask.T):
        for found, expected in zip(places(image), np.nonzero(image), strict=True):
            np.testing.assert_array_equal(found, expected)
