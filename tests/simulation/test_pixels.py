import dataclasses

import numpy as np
import pytest

from reprocess.simulation import chance, pixels
from reprocess.simulation.instruments import DETECTORS, Subarray, subarray


def window(row, column, rows, columns):
    return Subarray("GENERIC", row, column, rows, columns, 1, 1.0)


@pytest.mark.parametrize("name", ["NRCA1", "MIRIMAGE"])
def test_parts_of_a_detector_agree_where_they_overlap(name):
    """A pixel has the same properties in every subarray that it is read in."""
    detector = DETECTORS[name]
    outer = pixels.build(detector, window(0, 0, 96, 64), 1)
    inner = pixels.build(detector, window(32, 8, 40, 32), 1)
    for field in dataclasses.fields(outer):
        value = getattr(outer, field.name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value[32:72, 8:40], getattr(inner, field.name))


def test_detectors_and_seeds_are_different():
    """No two detectors and no two seeds share their bias pattern."""
    region = window(100, 100, 16, 16)
    made = [pixels.build(DETECTORS[name], region, seed).bias for name in ("NRCA1", "NRCA2") for seed in (1, 2)]
    assert len({bias.tobytes() for bias in made}) == 4


def test_reference_pixels_are_the_border():
    """Four pixels on all sides of a near-infrared array, on two sides of MIRI's; they collect nothing."""
    corner = pixels.build(DETECTORS["NIS"], window(2032, 2032, 16, 16), 1)
    border = (corner.kind & pixels.REFERENCE) != 0
    assert border[-4:].all()
    assert border[:, -4:].all()
    assert not border[:-4, :-4].any()
    assert not corner.dark[border].any()
    assert not corner.efficiency[border].any()
    miri = pixels.build(DETECTORS["MIRIMAGE"], subarray("MIRI", "SUB64"), 1)
    assert ((miri.kind & pixels.REFERENCE) != 0).all(axis=0).tolist() == [True] * 4 + [False] * 68


def test_bounded_normal_numbers_have_the_moments_of_a_normal():
    """Mean 0 and standard deviation 1 to the sampling error of a quarter of a million pixels."""
    numbers = chance.normal(window(0, 0, 512, 512), "moments")
    assert abs(numbers.mean()) < 4 / 512
    assert numbers.std() == pytest.approx(1.0, abs=0.006)
    assert np.abs(numbers).max() < 3.5


def test_unusual_pixels_are_few():
    """About four pixels in a thousand have a flaw, and each has one."""
    kind = pixels.build(DETECTORS["NRCALONG"], window(500, 500, 400, 400), 1).kind
    assert 0.002 < np.count_nonzero(kind) / kind.size < 0.006
    assert set(np.unique(kind)) <= {0, *(1 << bit for bit in range(8))}
