"""Group scale, superbias, inter-pixel capacitance and the start of the flags."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import dq, group_scale, ipc, superbias
from reprocess.calibration.reference import Reference
from tests.calibration import exposures

READOUT = exposures.make(exposures.Plan(rows=8, columns=9)).readout


class TestGroupScale:
    """`group_scale.factor`."""

    @pytest.mark.parametrize(
        ("nframes", "divisor", "expected"), [(4, None, None), (5, None, None), (4, 4, None), (5, 8, 1.6)]
    )
    def test_is_the_divisor_over_the_frames(self, nframes, divisor, expected):
        """Nothing is done where both agree or the divisor is not known."""
        assert group_scale.factor(replace(READOUT, nframes=nframes, frame_divisor=divisor)) == expected


class TestGroupFlags:
    """`dq.group_flags`."""

    def test_only_do_not_use_reaches_the_groups(self):
        """Other flags of the mask stay with the pixel."""
        mask = np.array([[0, 1, 2048, 2049, 2**31]], np.uint32)

        assert dq.group_flags(mask).tolist() == [[0, 1, 0, 1, 0]]


class TestSuperbias:
    """`superbias.usable` and `superbias.subtract`."""

    def test_an_unknown_bias_is_not_subtracted(self):
        """NaN counts as 0; the reference is left as it was."""
        bias = np.array([[1, np.nan]], np.float32)
        data = np.full((2, 1, 2), 5, np.float32)

        assert superbias.subtract(data, bias=superbias.usable(bias)).tolist() == [[[4, 5]], [[4, 5]]]
        assert np.isnan(bias[0, 1])


def convolved(image, kernel, readout=READOUT):
    rows, columns = ipc.science_area(readout)
    return ipc.convolve(image[None], kernel=kernel, rows=rows, columns=columns, core=slice(0, len(image)))[0]


class TestIpc:
    """`ipc.convolve`."""

    INSIDE = replace(READOUT, row_start=100, column_start=100)

    def test_a_point_gives_the_kernel_turned(self):
        """One bright pixel becomes the kernel around it, in the order that a convolution has."""
        kernel = np.arange(9, dtype=np.float32).reshape(3, 3)
        image = np.zeros((8, 9), np.float32)
        image[4, 5] = 1

        found = convolved(image, kernel, self.INSIDE)

        np.testing.assert_array_equal(found[3:6, 4:7], kernel)
        assert found.sum() == kernel.sum()

    def test_reference_pixels_neither_give_nor_take(self):
        """The four pixels at the detector's edge stay, and add nothing to their neighbours."""
        image = np.full((8, 9), 100, np.float32)
        image[4:, 4:] = 0

        np.testing.assert_array_equal(convolved(image, np.full((3, 3), 0.1, np.float32)), image)

    def test_a_kernel_for_each_pixel(self):
        """Equal kernels for all pixels are one kernel."""
        kernel = np.random.default_rng(1).random((3, 3), np.float32)
        image = np.random.default_rng(2).random((8, 9), np.float32)
        many = np.broadcast_to(kernel[:, :, None, None], (3, 3, 8, 9))

        np.testing.assert_array_equal(convolved(image, many, self.INSIDE), convolved(image, kernel, self.INSIDE))

    @pytest.mark.parametrize("shape", [(3,), (2, 3), (7, 7), (3, 3, 8), (3, 3, 4, 4)])
    def test_other_kernels_are_refused(self, shape):
        """A kernel has odd sides within the halo, and for each pixel if it is for each pixel."""
        with pytest.raises(errors.DamagedReference, match="ipc reference"):
            ipc.kernel(Reference("ipc", {"sci": np.ones(shape, np.float32)}, {}), (8, 9))
