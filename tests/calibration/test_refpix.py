"""Reference pixels, by answers that are known by reasoning."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import detector1, refpix
from reprocess.calibration.chain import settle
from reprocess.calibration.dq import DO_NOT_USE, REFERENCE_PIXEL
from reprocess.calibration.facts import reference_signal
from reprocess.calibration.steps import NEAR_INFRARED, resolve
from reprocess.exposure import Band
from tests.calibration import exposures

OPTIONS = refpix.Options.from_parameters(resolve(NEAR_INFRARED, {})["refpix"])


class TestClippedMean:
    """`clipped_mean`."""

    def test_leaves_outliers_out(self):
        """One wild pixel among many does not count."""
        values = np.array([10, 12] * 50 + [5000], np.float32)

        assert refpix.clipped_mean(values, 3.0) == 11

    def test_equal_values(self):
        """Values without spread give their value."""
        assert refpix.clipped_mean(np.full(7, 3, np.float32), 3.0) == 3


class TestOptions:
    """`Options.from_parameters`."""

    def test_other_algorithms_are_refused(self):
        """Only the running median is there."""
        parameters = resolve(NEAR_INFRARED, {"refpix": {"refpix_algorithm": "sirs"}})["refpix"]
        with pytest.raises(errors.Unsupported, match="sirs"):
            refpix.Options.from_parameters(parameters)


def drifting(plan, fast, slow):
    """An exposure whose only signal is a drift along the detector's columns and rows, and its flags."""
    exposure = exposures.make(plan)
    references = dict.fromkeys(exposure.references)
    flags = np.where(exposures.edge(plan), np.uint32(REFERENCE_PIXEL), np.uint32(0))
    references["mask"] = replace(exposure.references["mask"], arrays={"dq": flags})
    along_columns = abs(plan.fast_axis) == 1
    frame = (fast[None] + slow[:, None]) if along_columns else (slow[None] + fast[:, None])
    raw = np.broadcast_to(frame, exposure.raw.shape).astype(np.float32)
    return replace(exposure, references=references), raw


def corrected(exposure, raw):
    settings = resolve(NEAR_INFRARED, {})
    band = Band(0, exposure.plan.rows)
    chain = settle(exposure.references, readout=exposure.readout, settings=settings, band=band)
    signal = reference_signal(raw, chain, exposure.references, settings)
    data = raw.copy()
    if signal is not None:
        for number, groups in enumerate(data):
            refpix.subtract(groups, signal, integration=number, rows=slice(0, exposure.plan.rows))
    return data


ORIENTATIONS = [(f, s) for f, s in ((1, 2), (-1, 2), (1, -2), (-1, -2), (2, 1), (-2, 1), (2, -1), (-2, -1))]


@pytest.mark.parametrize(("fast_axis", "slow_axis"), ORIENTATIONS)
class TestOrientations:
    """Layout, signal and subtraction in all ways that a detector is put into a file."""

    def test_parity_of_the_columns_is_removed(self, fast_axis, slow_axis):
        """Signals of odd and even detector columns vanish from a subarray with reference pixels at its edge."""
        plan = exposures.Plan(rows=16, columns=20, fast_axis=fast_axis, slow_axis=slow_axis, ngroups=2)
        columns = np.arange(20 if abs(fast_axis) == 1 else 16)
        exposure, raw = drifting(plan, 100 + 7 * (columns % 2), np.zeros(16 if abs(fast_axis) == 1 else 20))

        assert not corrected(exposure, raw).any()

    def test_drift_of_the_rows_is_removed(self, fast_axis, slow_axis):
        """With four outputs the sides follow a slow drift along the detector's rows."""
        plan = exposures.Plan(rows=64, columns=60, fast_axis=fast_axis, slow_axis=slow_axis, ngroups=2, outputs=4)
        lengths = (60, 64) if abs(fast_axis) == 1 else (64, 60)
        exposure, raw = drifting(plan, np.zeros(lengths[0]), 0.25 * np.arange(lengths[1]))
        data = corrected(exposure, raw)

        # Away from the ends, where the window is cut, only the constant that the columns' signal took off is left.
        middle = data[:, :, :, 10:-10] if abs(fast_axis) == 2 else data[:, :, 10:-10]
        assert np.ptp(middle) < 1e-3
        assert np.ptp(raw) > 10


class TestNothingToRead:
    """Frames without good reference pixels."""

    @pytest.mark.parametrize("outputs", [1, 4])
    def test_are_left_alone(self, outputs):
        """A subarray in the middle of the detector, or with DO_NOT_USE on all reference pixels, is not changed."""
        for start, flag in ((1000, 0), (0, DO_NOT_USE)):
            plan = exposures.Plan(rows=16, columns=16, row_start=start, column_start=start, outputs=outputs)
            exposure, raw = drifting(plan, np.arange(16.0), np.arange(16.0))
            exposure.references["mask"].arrays["dq"][:] |= np.uint32(flag)

            np.testing.assert_array_equal(corrected(exposure, raw), raw)


@pytest.mark.parametrize(("subarray", "refused"), [("FULL", True), ("SUB64P", False)])
def test_the_other_algorithm_is_for_full_frames(subarray, refused):
    """As officially, a subarray takes the running median whatever is asked for; of a full frame it is refused."""
    exposure = exposures.make(exposures.Plan(rows=12, columns=12, ngroups=3, header={"SUBARRAY": subarray}))
    wanted = {"readout": exposure.readout, "parameters": {"refpix": {"refpix_algorithm": "sirs"}}}
    if refused:
        with pytest.raises(errors.Unsupported, match="sirs"):
            detector1.calibrate(exposure.raw, exposure.references, **wanted)
        return
    plain = detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters={})
    np.testing.assert_array_equal(
        detector1.calibrate(exposure.raw, exposure.references, **wanted).rate.sci, plain.rate.sci
    )
