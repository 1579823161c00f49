"""Linearity, by answers that are known by reasoning."""

import numpy as np

from reprocess.calibration import linearity
from reprocess.calibration.dq import NO_LIN_CORR

HOT = 2048


class TestUsable:
    """`usable`."""

    def test_replaces_what_cannot_be_used_by_the_identity(self):
        """NO_LIN_CORR, NaN anywhere and a linear term of 0 give 0, 1, 0 and the flag; others stay."""
        good, flagged, unknown, flat = [1, 2, 3], [1, 2, 3], [1, 2, np.nan], [1, 0, 3]
        coefficients = np.array([good, flagged, unknown, flat], np.float32).T[:, None]

        found, flags = linearity.usable(coefficients, np.array([[HOT, NO_LIN_CORR, HOT, 0]], np.uint32))

        assert found[:, 0].T.tolist() == [[1, 2, 3], [0, 1, 0], [0, 1, 0], [0, 1, 0]]
        assert flags.tolist() == [[HOT, NO_LIN_CORR, HOT | NO_LIN_CORR, NO_LIN_CORR]]
        assert found.dtype == np.float32


class TestCorrect:
    """`correct`."""

    def test_evaluates_the_polynomial(self):
        """1 + 2 x + 3 x^2, and saturated groups keep their value."""
        coefficients = np.array([1, 2, 3], np.float32)[:, None, None]
        data = np.array([2, 3, -1], np.float32)[:, None, None]

        assert linearity.correct(data, coefficients=coefficients, saturated=None).ravel().tolist() == [17, 34, 2]
        kept = linearity.correct(data, coefficients=coefficients, saturated=data == 3)
        assert kept.ravel().tolist() == [17, 3, 2]
        assert kept.dtype == np.float32

    def test_the_identity_changes_no_bit(self):
        """0, 1, 0 returns the data as they are, also where they are large or tiny."""
        data = np.random.default_rng(1).normal(0, 1e4, (3, 4, 5)).astype(np.float32)
        identity = np.array([0, 1, 0], np.float32)[:, None, None]

        np.testing.assert_array_equal(linearity.correct(data, coefficients=identity, saturated=None), data)
