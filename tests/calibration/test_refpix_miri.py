"""MIRI's reference pixels, by answers that are known by reasoning."""

import numpy as np
import pytest

from reprocess.calibration import refpix_miri
from reprocess.calibration.refpix_miri import Edge, Options

BOTH, ALL_ROWS = Options(parity=True, clip=3.0), Options(parity=False, clip=3.0)
ROWS, COLUMNS = 6, 12
LEVELS = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])


def ramp(ngroups=3, ends=(0, 0)):
    """An integration whose amplifiers drift by parity, with a first group of its own in each pixel."""
    parity, amplifier = np.arange(ROWS)[:, None] % 2, np.arange(COLUMNS) % 4
    drift = LEVELS[parity, amplifier] * np.arange(ngroups)[:, None, None]
    data = drift + np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    data[1:, :, :4] += ends[0]
    data[1:, :, -4:] += ends[1]
    return data.astype(np.float32)


def levels(data, options=BOTH, bad=()):
    """The levels of an integration; `bad` pixels are DO_NOT_USE."""
    flags = np.zeros((ROWS, COLUMNS), np.uint32)
    for place in bad:
        flags[place] = 1
    edges = (Edge.of(data, flags, columns) for columns in (slice(0, 4), slice(-4, None)))
    return refpix_miri.measure(*edges, options)


class TestMeasure:
    """`measure`."""

    def test_by_amplifier_and_parity(self):
        """The first group has no signal, the others have what they drifted by since."""
        found = levels(ramp())

        assert not found[0].any()
        np.testing.assert_array_equal(found[1:], [LEVELS, 2 * LEVELS])

    def test_both_ends_count_alike(self):
        """The mean of both ends is taken."""
        np.testing.assert_array_equal(levels(ramp(ends=(10, 0)))[1], LEVELS + 5)

    def test_without_parity(self):
        """All rows share a signal."""
        np.testing.assert_array_equal(levels(ramp(), ALL_ROWS)[1], np.repeat(LEVELS.mean(axis=0)[None], 2, axis=0))

    def test_bad_pixels_do_not_count(self):
        """A wild pixel that is DO_NOT_USE changes nothing."""
        data = ramp()
        data[1:, 2, 1] += 1000

        np.testing.assert_array_equal(levels(data, bad=[(2, 1)])[1], LEVELS)
        assert levels(data)[1, 0, 1] != LEVELS[0, 1]

    @pytest.mark.parametrize("options", [BOTH, ALL_ROWS])
    def test_nothing_is_measured_where_an_amplifier_has_no_good_pixel(self, options):
        """One end without any is enough."""
        assert not levels(ramp(), options, bad=[(slice(None), 10)]).any()


class TestSubtract:
    """`subtract`."""

    @pytest.mark.parametrize("start", [0, 1, 3])
    def test_leaves_the_first_group_everywhere(self, start):
        """Rows are counted in the frame, wherever the block begins."""
        data = ramp()
        signal = refpix_miri.Signal(levels(data)[None])
        block = refpix_miri.subtract(data[:, start:].copy(), signal, integration=0, rows=slice(start, ROWS))

        np.testing.assert_array_equal(block, np.broadcast_to(data[0, start:], block.shape))
