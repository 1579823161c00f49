import dataclasses

import numpy as np
import pytest

from reprocess.simulation import drift
from reprocess.simulation.instruments import DETECTORS, subarrays
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule


def level(detector_name, region_name):
    """The level of the first group of a readout, as an image."""
    detector = DETECTORS[detector_name]
    region = next(one for one in subarrays(detector.instrument) if one.name == region_name)
    first = schedule(SimulationOptions(exposures=1))[0]
    taken = dataclasses.replace(first, mode=dataclasses.replace(first.mode, detector=detector, subarray=region))
    image = next(drift.levels(taken, np.random.default_rng(5)))
    return np.broadcast_to(image, (region.rows, region.columns))


@pytest.mark.parametrize(("detector", "along"), [("NRCA1", 1), ("NRCA2", 1), ("NIS", 0), ("GUIDER2", 0)])
def test_outputs_lie_side_by_side_along_the_fast_axis(detector, along):
    """A full frame has four bands of two parities; in NIRISS and the FGS they are bands of rows."""
    image = level(detector, "FULL") if along else level(detector, "FULL").T
    odd_even = image[0] - image[0, 0]
    for band in range(4):
        part = odd_even[512 * band : 512 * (band + 1)]
        assert np.ptp(part[::2]) < 1e-3
        assert np.ptp(part[1::2]) < 1e-3
    assert np.abs(np.diff(odd_even)).max() > 0.1


def test_a_subarray_has_one_output():
    """Through one output there is one level for odd columns and one for even ones."""
    image = level("NRCA1", "SUB160")
    assert len(np.unique(image)) == 2
    assert np.ptp(image[:, ::2]) == 0.0


def test_miri_outputs_take_turns():
    """Columns repeat every four and rows every two."""
    image = level("MIRIMAGE", "FULL")
    np.testing.assert_array_equal(image[:, :4], image[:, 4:8])
    np.testing.assert_array_equal(image[:2], image[2:4])
    assert len(np.unique(image)) == 8


def test_drift_is_small_where_no_reference_pixel_is_read():
    """A subarray inside the detector drifts far less than the noise of a read."""
    assert np.abs(level("NRCA1", "SUB64P")).max() < 0.2
    assert np.abs(level("NRCA1", "SUB160")).max() > 0.5
