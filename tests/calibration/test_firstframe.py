"""The first group of MIRI ramps."""

import numpy as np
import pytest

from reprocess.calibration import firstframe

FIRST_SATURATED = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)


@pytest.mark.parametrize(("bright", "kept"), [(True, [[1, 1, 1], [0, 0, 0]]), (False, [[0, 0, 0], [0, 0, 0]])])
def test_bright_pixels_keep_it(bright, kept):
    """A pixel that is saturated in the third group keeps its first one, if that is asked for, and is marked."""
    groupdq, pixeldq = np.full((5, 2, 3), 4, np.uint8), np.full((2, 3), 8, np.uint32)
    firstframe.flag(groupdq, pixeldq, firstframe.kept(FIRST_SATURATED, bright=bright))
    kept = np.array(kept, bool)

    np.testing.assert_array_equal(groupdq[0], np.where(kept, 4, 5))
    assert (groupdq[1:] == 4).all()
    np.testing.assert_array_equal(pixeldq, np.where(kept, 8 | 1 << 28, 8))
