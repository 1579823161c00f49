import numpy as np

from reprocess.calibration import jump
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ring import Ring
from tests.calibration import ramps as make
from tests.calibration.large_events import ellipse


def noisy(patch_dn):
    data = np.random.default_rng(1).normal(0, 7, (1, 14, 80, 80)).astype(np.float32)
    data[0, 6:] += patch_dn * ellipse((80, 80), 40, 40, (10, 10), 0)
    return make.plain(data, gain=1.0, readnoise=10.0)


def found(ramps, **parameters):
    def flags(wanted):
        given = {"find_showers": wanted, **parameters}
        readout = make.readout(ramps, instrument="MIRI")
        return jump.detect(Ramp(*ramps.arrays[:3]), *ramps.arrays[3:], readout=readout, parameters=given).groupdq

    return (flags(True) != flags(False))[0].sum(axis=(1, 2))


def test_patch_below_the_threshold_of_jumps():
    """A faint patch is flagged in its group and for the time after it, and nowhere else."""
    changed = found(noisy(20))
    assert np.flatnonzero(changed).tolist() == [6, 7]
    assert changed[6] > 150


def test_noise_has_no_showers():
    """Noise alone is not flagged."""
    assert not found(noisy(0)).any()


def test_time_after():
    """The groups after a shower are those that begin within the time."""
    assert np.flatnonzero(found(noisy(20), time_masked_after_shower=0.0)).tolist() == [6]


def test_ring_sums():
    """Sums over a ring are those over its pixels one by one, for any radii."""
    image = np.random.default_rng(2).integers(0, 50, (20, 23)).astype(np.float32)
    rows, columns = np.mgrid[-6:7, -6:7]
    for inner, width in ((1, 2.6), (0, 2), (2.5, 3), (0.5, 0)):
        square = rows**2 + columns**2
        ring = (square >= inner**2) & (square <= (inner + width) ** 2)
        padded, good = np.pad(image, 6), np.pad(image > 20, 6, constant_values=True)
        total, count = (np.zeros(image.shape) for _ in range(2))
        for row, column in np.argwhere(ring):
            total += padded[row : row + 20, column : column + 23]
            count += good[row : row + 20, column : column + 23]
        np.testing.assert_array_equal(Ring(inner, width).total(image), total)
        np.testing.assert_array_equal(Ring(inner, width).count(image > 20), count)
