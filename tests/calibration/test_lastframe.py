"""The last group of MIRI ramps."""

import numpy as np

from reprocess.calibration import lastframe


def test_only_the_last_group_of_each_integration_is_left_out():
    """DO_NOT_USE is added to what the last group has already, and nothing else changes."""
    flags = np.full((2, 4, 1, 1), 2, np.uint8)
    lastframe.flag(flags)

    assert flags[..., 0, 0].tolist() == [[2, 2, 2, 3], [2, 2, 2, 3]]
