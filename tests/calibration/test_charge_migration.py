"""Groups so bright that charge moves to the neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reprocess.calibration import charge_migration

LOST = 128 | 1


def flagged(data, flags=None, threshold=100.0):
    groupdq = np.zeros(data.shape, np.uint8) if flags is None else flags.copy()
    charge_migration.flag(data, groupdq, threshold)
    return groupdq


def one_bright(group=2, at=(3, 3), ngroups=5):
    """A ramp of 7 x 7 pixels with one value above the threshold, in one group only."""
    data = np.zeros((1, ngroups, 7, 7), np.float32)
    data[0, group, *at] = 101
    return data


class TestFlag:
    """`flag`."""

    def test_from_the_first_bright_group_to_the_end(self):
        """The pixel and its four neighbours are lost from there on, though later groups are faint; no other is."""
        groupdq = flagged(one_bright())
        cross = np.zeros((7, 7), bool)
        cross[3, 2:5] = cross[2:5, 3] = True

        np.testing.assert_array_equal(groupdq[0, 2:] == LOST, np.broadcast_to(cross, (3, 7, 7)))
        assert not groupdq[0, :2].any()

    @pytest.mark.parametrize("at", [(0, 0), (6, 6), (0, 6), (6, 0)])
    def test_at_corners(self, at):
        """Neighbours outside of the frame are none: nothing wraps around."""
        assert np.count_nonzero(flagged(one_bright(at=at))[0, -1]) == 3

    @pytest.mark.parametrize(("value", "count"), [(100.0, 0), (np.nan, 0), (np.inf, 5)])
    def test_the_threshold_itself_is_not_above(self, value, count):
        """Only values above the threshold count; NaN is not."""
        data = one_bright()
        data[data == 101] = value

        assert np.count_nonzero(flagged(data)[0, -1]) == count

    @pytest.mark.parametrize(("bits", "first"), [(1, 5), (3, 2), (65, 2), (2, 2)])
    def test_a_group_that_is_do_not_use_alone_is_not_looked_at(self, bits, first):
        """DO_NOT_USE and nothing else hides a bright group, other flags do not; the flags stay."""
        data = one_bright()
        flags = np.zeros(data.shape, np.uint8)
        flags[0, 2, 3, 3] = bits
        groupdq = flagged(data, flags)

        np.testing.assert_array_equal(groupdq[0, :, 3, 2] == LOST, np.arange(5) >= first)
        assert groupdq[0, 2, 3, 3] == (bits | LOST if first == 2 else bits)

    @given(
        data=hnp.arrays(np.float32, (2, 4, 5, 6), elements=st.sampled_from([0.0, 50.0, 101.0, float("nan")])),
        flags=hnp.arrays(np.uint8, (2, 4, 5, 6), elements=st.sampled_from([0, 1, 2, 3, 4, 64])),
    )
    def test_is_what_its_rule_says(self, data, flags):
        """The rule spelled out pixel by pixel gives the same flags."""
        expected = flags.copy()
        for i, g, y, x in np.argwhere((data > 100) & (flags != 1)):
            for down, right in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
                if 0 <= y + down < 5 and 0 <= x + right < 6:
                    expected[i, g:, y + down, x + right] |= LOST

        np.testing.assert_array_equal(flagged(data, flags), expected)
