"""Pixels picked from a cube are those that indexing gives, whatever part of an array the cube is."""

import numpy as np
import pytest

from reprocess.calibration.picked import picked

CUBE = np.arange(2 * 3 * 12 * 10, dtype=np.float32).reshape(2, 3, 12, 10)


@pytest.mark.parametrize("rows", [slice(0, 12), slice(3, 9)])
@pytest.mark.parametrize("pixels", [[], [0], [59], [2, 3, 4, 6, 7], [0, 31, 58]])
def test_as_indexing(rows, pixels):
    """None, one, many beside each other and few far apart, of a whole array and of rows inside of one."""
    cube, chosen = CUBE[:, :, rows].reshape(2, 3, -1), np.array(pixels, np.intp)

    found = picked(cube, chosen)

    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, cube[:, :, chosen])
