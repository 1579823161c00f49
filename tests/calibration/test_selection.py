import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reprocess.calibration import selection

FINITE = st.floats(-1e6, 1e6, width=32)


class TestOrderStatistics:
    @pytest.mark.parametrize("length", [*range(1, 35), 63, 64, 65, 90])
    def test_every_rank_is_that_of_a_sort(self, length):
        """Whatever the number of rows, rank k is what a sort puts in place k."""
        values = np.random.default_rng(length).integers(0, length, (length, 40)).astype(np.float32)

        np.testing.assert_array_equal(selection.ordered(values.copy()), np.sort(values, axis=0))

    @pytest.mark.parametrize("length", [2, 5, 9, 19, 70])
    def test_ranks_alone_are_those_of_all(self, length):
        """Steps that are left out because nobody wants their result change no wanted rank."""
        values = np.random.default_rng(length).normal(size=(length, 40))
        expected = np.sort(values, axis=0)
        ranks = (0, (length - 1) // 2, length // 2, length - 1)

        for rank, row in zip(ranks, selection.order_statistics(values.copy(), ranks), strict=True):
            np.testing.assert_array_equal(row, expected[rank])

    def test_few_ranks_take_fewer_steps(self):
        """A median takes fewer steps than a sort."""
        assert len(selection.network(19, (9,))) < len(selection.network(19, tuple(range(19))))


class TestMedianOfKnown:
    @given(hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(7)), elements=FINITE | st.just(np.nan)))
    def test_is_the_median_without_nan(self, values):
        """It is the median of what is not NaN, in double precision, and NaN where all is."""
        found = selection.median_of_known(values.copy())

        for column, median in zip(values.T.astype(np.float64), found, strict=True):
            known = column[~np.isnan(column)]
            np.testing.assert_array_equal(median, np.median(known) if known.size else np.nan)
