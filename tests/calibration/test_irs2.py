"""The layout of IRS2 frames."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import irs2
from reprocess.calibration.reference import Reference
from reprocess.exposure import Band
from tests.calibration import exposures
from tests.calibration.interleaved import IRS2, NRS


def readout_of(plan, rows=3200):
    return exposures.Readout.from_header(exposures._header(plan), (plan.nints, plan.ngroups, rows, plan.columns))


class TestRows:
    """Which rows of the raw frame are what."""

    def test_normal_rows_fill_the_detector(self):
        """There are as many rows with normal pixels as the detector has, in four outputs of 512."""
        normal = irs2.normal_rows("NRS1").reshape(5, 640)

        assert normal.sum(axis=1).tolist() == [0, 512, 512, 512, 512]
        assert normal[1].tolist()[:30] == [*[True] * 8, *[False] * 4, *[True] * 16, *[False] * 2]

    def test_the_second_detector_is_turned(self):
        """The reference output is at the other end."""
        np.testing.assert_array_equal(irs2.normal_rows("NRS2"), irs2.normal_rows("NRS1")[::-1])

    def test_reference_samples_are_their_own_mirror_image(self):
        """So the pattern is the same for both directions of reading."""
        between = irs2.between()

        np.testing.assert_array_equal(between, between[::-1])
        assert between.sum() == 5 * 32 * 4

    @pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
    def test_a_position_has_the_row_that_the_turned_frame_has_there(self, detector):
        """`row_of` and `in_detector` agree."""
        frame = np.broadcast_to(np.arange(3200)[:, None], (3200, 2048))
        lines = irs2.in_detector(frame, detector)

        assert [lines[5, 17], lines[5, 3000]] == [irs2.row_of(17, detector), irs2.row_of(3000, detector)]


class TestTime:
    """The order of reading."""

    @pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
    def test_normal_pixels_come_back(self, detector):
        """To time and back gives the normal rows of the frame."""
        frame = np.random.default_rng(1).normal(size=(3200, 2048)).astype(np.float32)
        back = irs2.in_detector(irs2.from_time(irs2.to_time(irs2.in_detector(frame, detector))), detector)

        np.testing.assert_array_equal(back, frame[irs2.normal_rows(detector)])

    def test_samples_keep_their_order_and_leave_gaps(self):
        """One place before and one after each step aside are empty, and eight at the end of the line."""
        samples, places = irs2.sample_places()
        gaps = sorted(set(range(712)) - set(places.tolist()))

        assert (np.diff(places) > 0).all()
        assert len(samples) == 640
        assert gaps[:4] == [8, 13, 30, 35]
        assert gaps[-8:] == list(range(704, 712))

    def test_neighbouring_outputs_are_read_towards_each_other(self):
        """The first sample in time is at the outer end of outputs 0, 2 and 4, and at the inner end of 1 and 3."""
        lines = np.broadcast_to(np.arange(3200, dtype=np.float32), (2048, 3200))

        assert irs2.to_time(lines)[:, 0, 0].tolist() == [639, 640, 1919, 1920, 3199]


class TestReadout:
    """What the header tells."""

    def test_the_file_has_more_rows_than_the_frame(self):
        """Only a full frame in an IRS2 pattern is interleaved."""
        full = readout_of(IRS2)
        small = readout_of(replace(NRS, header={"READPATT": "NRSIRS2"}), 64)

        assert (full.interleaved, full.raw_rows, full.rows, full.raw_shape[-2]) == (True, 3200, 2048, 3200)
        assert (small.interleaved, small.raw_rows) == (False, 64)

    def test_refuses_frames_without_the_samples(self):
        """2048 rows are not what the pattern promises."""
        with pytest.raises(errors.WrongLayout, match="3200"):
            readout_of(IRS2, 2048)

    @pytest.mark.parametrize(
        ("header", "named"), [({"NRS_NORM": 32}, "NRS_NORM"), ({"NRS_REF": 2}, "NRS_REF"), ({"DETECTOR": "X"}, "X")]
    )
    def test_refuses_other_layouts(self, header, named):
        """There are no coefficients for other numbers of samples, nor for other detectors."""
        plan = replace(IRS2, header={**IRS2.header, **header})

        with pytest.raises(errors.Unsupported, match=named):
            irs2.check(readout_of(plan))


class TestReferences:
    """References that are laid out like the raw data."""

    def test_mask_and_superbias_have_the_rows_of_the_file(self):
        """Others have those of the frame."""
        readout = readout_of(IRS2)

        assert irs2.reference_shape("superbias", readout) == (3200, 2048)
        assert irs2.reference_shape("gain", readout) == (2048, 2048)
        assert irs2.raw_band("mask", Band(0, 2048), readout) == Band(0, 3200)
        assert irs2.raw_band("mask", Band(3, 9), readout_of(NRS, 64)) == Band(3, 9)

    def test_a_mask_of_another_readout_is_refused(self):
        """It would mark the wrong pixels."""
        mask = Reference("mask", {"dq": np.zeros((2048, 4), np.uint32)}, {}, "mask.fits")

        with pytest.raises(errors.DamagedReference, match=r"mask\.fits.*\(2048, 4\).*3200"):
            irs2.select({"mask": mask}, irs2.normal_rows("NRS1"))
