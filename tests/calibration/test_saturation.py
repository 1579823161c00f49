"""Saturation, by answers that are known by reasoning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from reprocess.calibration import saturation
from reprocess.calibration.dq import AD_FLOOR, DO_NOT_USE, NO_SAT_CHECK, SATURATED


def limits(level=1000.0, shape=(7, 7), flags=0):
    return saturation.threshold(np.full(shape, level, np.float32), np.full(shape, flags, np.uint32))


def ramp(*values, shape=(7, 7), quiet=10):
    """Groups that are quiet but in the middle pixel."""
    groups = np.full((len(values), *shape), quiet, np.uint16)
    groups[:, 3, 3] = values
    return groups


class TestThreshold:
    """`threshold`."""

    def test_nan_and_no_sat_check_are_never_reached(self):
        """The converter's largest value is below the level of a pixel without a check, and NaN is flagged."""
        level, flags = np.array([[np.nan, 5, 5]], np.float32), np.array([[0, NO_SAT_CHECK, 0]], np.uint32)

        found = saturation.threshold(level, flags)

        assert found.level.tolist() == [[65536, 65536, 5]]
        assert found.flags.tolist() == [[NO_SAT_CHECK, NO_SAT_CHECK, 0]]


class TestFirstSaturated:
    """`first_saturated`."""

    @given(
        levels=st.lists(st.floats(-10, 70000, width=32), min_size=4, max_size=4),
        values=st.lists(st.integers(0, 65535), min_size=12, max_size=12),
    )
    def test_whole_numbers_and_floats_agree(self, levels, values):
        """The first group at or above the threshold is the same in uint16, in float32 and by definition."""
        level = saturation.threshold(np.array(levels, np.float32).reshape(2, 2), np.zeros((2, 2), np.uint32))
        groups = np.array(values, np.uint16).reshape(3, 2, 2)
        reached = groups.astype(np.float32) >= level.level
        expected = np.where(reached.any(axis=0), reached.argmax(axis=0), 3)

        assert (saturation.first_saturated(groups, level) == expected).all()
        assert (saturation.first_saturated(groups.astype(np.float32), level) == expected).all()

    def test_nan_does_not_saturate(self):
        """A reading that is not a number is below every threshold."""
        groups = np.full((2, 7, 7), np.nan, np.float32)

        assert (saturation.first_saturated(groups, limits()) == 2).all()

    def test_many_groups(self):
        """More groups than a byte counts are counted."""
        assert saturation.first_saturated(ramp(*[10] * 299, 2000), limits())[3, 3] == 299


class TestGrow:
    """`grow`."""

    @given(seed=st.integers(0, 2**32 - 1), layers=st.integers(0, 3), rows=st.integers(1, 6), columns=st.integers(1, 6))
    def test_is_the_dilation_of_every_group(self, seed, layers, rows, columns):
        """The grown first groups flag what growing the flags of each group by a square flags, at any size."""
        first = np.random.default_rng(seed).integers(0, 5, (rows, columns)).astype(np.uint8)
        grown = saturation.grow(first, layers)
        square = np.ones((2 * layers + 1, 2 * layers + 1))

        for group in range(4):
            assert ((grown <= group) == ndimage.binary_dilation(first <= group, square)).all()


class TestFlagGroups:
    """`flag_groups`."""

    def test_saturation_stays_and_the_floor_does_not(self):
        """Once saturated, always saturated; a reading of 0 is lost by itself."""
        groups = ramp(2000, 0, 10)
        first = saturation.first_saturated(groups, limits())

        flags = saturation.flag_groups(groups, first, np.zeros((7, 7), np.uint8))

        assert flags[:, 3, 3].tolist() == [SATURATED, SATURATED | AD_FLOOR | DO_NOT_USE, SATURATED]
        assert not flags[:, 0].any()


def averaged(groups, nframes, bias=None, layers=1, level=1000.0):
    """Flags of an integration after both rules."""
    settled = limits(level)
    first = saturation.grow(saturation.first_saturated(groups, settled), layers)
    flags = saturation.flag_groups(groups, first, np.zeros((7, 7), np.uint8))
    averaging = saturation.Averaging(nframes, bias, layers)
    saturation.flag_averaged(groups, flags, first=first, limits=settled, averaging=averaging)
    return flags


class TestFlagAveraged:
    """`flag_averaged`."""

    def test_single_frames_hide_nothing(self):
        """With one frame in a group no group is lost before the first saturated one."""
        assert not (averaged(ramp(10, 999, 1500), 1) & DO_NOT_USE).any()

    @pytest.mark.parametrize(("value", "lost"), [(874, False), (875, True)])
    def test_an_average_that_reaches_the_diluted_threshold(self, value, lost):
        """Frames 9 to 12 average to 10.5/12 of the last: from 875 on the group began to saturate; a square is lost."""
        flags = averaged(ramp(10, 20, value, 1500), 4)

        square = np.zeros((7, 7), bool)
        square[2:5, 2:5] = lost
        assert ((flags[2] & DO_NOT_USE != 0) == square).all()
        assert not (flags[[0, 1, 3]] & DO_NOT_USE).any()

    def test_a_late_event_in_the_second_group(self):
        """A rise of more than a fourth of the room below the threshold loses the second group, that pixel only."""
        quiet, late = averaged(ramp(0x10, 258, 1500), 4), averaged(ramp(0x10, 263, 1500), 4)

        assert not (quiet[1] & DO_NOT_USE).any()
        assert np.argwhere(late[1] & DO_NOT_USE).tolist() == [[3, 3]]

    def test_an_unknown_bias_loses_nothing(self):
        """Without a number for the bias the rule for the second group says nothing."""
        bias = np.full((7, 7), np.nan, np.float32)

        assert not (averaged(ramp(16, 263, 1500), 4, bias)[1] & DO_NOT_USE).any()
