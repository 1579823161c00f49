import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.calibration import quiet_sizes, two_point
from reprocess.calibration.quiet_sizes import Thresholds

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN among the values is on purpose

PIXELS = 300


def differences(seed, count, *, step=None):
    """Differences of all kinds: quiet, with large and small jumps up and down, equal ones, unknown ones."""
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.0, 3.0, 200.0, 1e4], size=PIXELS)
    noise = rng.choice([0.0, 1.0, 100.0, 400.0], size=PIXELS)
    values = rate + rng.normal(size=(count, PIXELS)) * np.sqrt(rate + noise)
    values += (rng.random(values.shape) < 0.2) * 10 ** rng.uniform(0, 4, values.shape) * rng.choice([-1, 1, 1])
    # Jumps that are as large as the threshold, but for rounding.
    edge = rng.random(PIXELS) < 0.2
    values[:, edge] = 64.0
    values[-1, edge] = 64 + rng.choice([4, 5, 6]) * np.sqrt(64 + noise[edge])
    if step:
        values = np.round(values / step) * step
    values[rng.random(values.shape) < 0.02] = np.nan
    return values.astype(np.float32), noise


def hits(found, shape):
    mask = np.zeros(shape, bool)
    mask[found.difference, found.pixel] = True
    return mask


def closely(values, noise, thresholds):
    """The iterative search of all pixels without any short cut."""
    return hits(two_point.doubtful_jumps(values.copy(), noise, thresholds), values.shape)


class TestIterative:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.sampled_from([1, 2, 3, 4, 5, 8, 9, 30, 70]),
        step=st.sampled_from([None, 1.0, 16.0]),
        thresholds=st.sampled_from([Thresholds(4, 5, 6), Thresholds(0, 0, 0), Thresholds(2, 1, 0.5)]),
    )
    def test_whole_rows_find_what_single_ranks_do(self, seed, count, step, thresholds):
        """What single precision calls certain is what double precision finds, and the rest is told to be doubtful."""
        values, noise = differences(seed, count, step=step)
        found, doubtful, theirs = two_point.iterative_jumps(values.copy(), noise, thresholds)
        mask = hits(found, values.shape)
        assert not mask[:, doubtful].any()
        np.testing.assert_array_equal(theirs, values[:, doubtful])
        mask[:, doubtful] = closely(theirs, noise[doubtful], thresholds)

        np.testing.assert_array_equal(mask, closely(values, noise, thresholds))

    def test_few_are_doubtful(self):
        """Nearly all jumps are found by whole rows, which is what makes the search cheap."""
        rng = np.random.default_rng(1)
        values = rng.normal(100, 12, (9, 5000)).astype(np.float32)
        values[rng.integers(0, 9, 5000), np.arange(5000)] += rng.exponential(900, 5000)
        found, doubtful, _ = two_point.iterative_jumps(values, np.full(5000, 44.0), Thresholds(4, 5, 6))

        assert len(found.pixel) > 4000
        assert len(doubtful) < 10


class TestQuickLook:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.sampled_from([1, 2, 3, 4, 5, 9, 12, 30]),
        iterative=st.booleans(),
        threshold=st.sampled_from([0.0, 2.0, 4.0]),
    )
    def test_never_misses(self, seed, count, iterative, threshold):
        """A pixel that has a jump is always looked at."""
        values, noise = differences(seed, count)
        thresholds = Thresholds(threshold, threshold + 1, threshold + 2)
        suspect = two_point.may_have_jumps(values, noise.astype(np.float32), thresholds, iterative=iterative)
        if iterative:
            jumps = closely(values, noise, thresholds)
        else:
            jumps = hits(two_point.single_pass_jumps(values, noise, thresholds), values.shape)

        assert not (jumps.any(axis=0) & ~suspect).any()


class TestSinglePass:
    @pytest.mark.parametrize("count", [1, 2, 10, 19, 80])
    def test_is_the_definition(self, count):
        """Everything further from the median than the threshold is found, with its size."""
        values, noise = differences(count, count)
        with np.errstate(all="ignore"):
            centre = np.nanmedian(values.astype(np.float64), axis=0)
            size = np.abs(values - centre) / quiet_sizes.sigma(centre, noise)
        found = two_point.single_pass_jumps(values, noise, Thresholds(4, 5, 6))

        np.testing.assert_array_equal(hits(found, values.shape), size > 4)
        np.testing.assert_array_equal(found.size, size[found.difference, found.pixel])
