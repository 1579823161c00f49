import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.calibration import sigma_clip

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN among the values is on purpose


def by_definition(values, threshold):
    """One column at a time, with every sum made anew."""
    hits = np.zeros(values.shape, bool)
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column])
        left = values[known, column].astype(np.float64)
        for _ in range(5):
            if not left.size:
                break
            reach = threshold * np.std(left)
            low, high = np.median(left) - reach, np.median(left) + reach
            inside = (left >= low) & (left <= high)
            hits[:, column] = known & ((values[:, column] < low) | (values[:, column] > high))
            left = left[inside]
            if inside.all():
                break
    return hits


def series(seed, count, *, outliers, step=None):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 3, (count, 40)) + rng.choice([0, 50, 1e4], size=40)
    hit = rng.random(values.shape) < outliers
    values += hit * 10 ** rng.uniform(0, 8, values.shape) * rng.choice([-1, 1], values.shape)
    if step:
        values = np.round(values / step) * step
    values[rng.random(values.shape) < 0.01] = np.nan
    values[rng.random(values.shape) < 0.002] = np.inf
    return values.astype(np.float32)


class TestClipped:
    @settings(max_examples=60, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.sampled_from([1, 2, 3, 5, 20, 63, 64, 65, 150]),
        outliers=st.sampled_from([0.0, 0.02, 0.3]),
        step=st.sampled_from([None, 1.0, 3.0]),
        threshold=st.sampled_from([1.5, 2.0, 4.0]),
    )
    def test_is_the_definition(self, seed, count, outliers, step, threshold):
        """Values outside the last bounds are told, as if every look had summed everything anew."""
        values = series(seed, count, outliers=outliers, step=step)

        np.testing.assert_array_equal(sigma_clip.clipped(values, threshold), by_definition(values, threshold))

    @pytest.mark.parametrize("value", [0.0, 0.1, -7e8])
    def test_equal_values(self, value):
        """Nothing deviates where all is the same, whatever rounding does to the sums."""
        assert not sigma_clip.clipped(np.full((101, 3), value, np.float32), 4.0).any()

    def test_nothing_known(self):
        """NaN and infinite values are not told."""
        values = np.full((7, 2), np.nan, np.float32)
        values[:, 1] = np.inf

        assert not sigma_clip.clipped(values, 4.0).any()

    def test_columns_do_not_matter_to_each_other(self):
        """A pixel's values decide alone, whichever pixels are worked on with it."""
        values = series(5, 120, outliers=0.05)
        together = sigma_clip.clipped(values, 3.0)

        for column in range(values.shape[1]):
            alone = sigma_clip.clipped(values[:, column : column + 1], 3.0)
            np.testing.assert_array_equal(alone[:, 0], together[:, column])
