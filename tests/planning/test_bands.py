"""How tall bands are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration.step import Locality
from reprocess.planning import bands

FULL_FRAME = (1, 10, 2048, 2048)
SHAPES = st.tuples(st.integers(1, 300), st.integers(1, 100), st.integers(1, 2048), st.integers(1, 2048))


class TestBandRows:
    """`band_rows`."""

    @given(SHAPES, st.integers(0, 9), st.integers(1, 8), st.one_of(st.none(), st.integers(1, 10**10)))
    def test_fits(self, shape, halo, threads, limit):
        """Bands with their halos fit the limit, or it is refused because one row does not."""
        given = {"reference_bytes": 100, "threads": threads}
        least = bands.forecast_bytes(shape, 1, halo=halo, **given)
        try:
            rows = bands.band_rows(shape, Locality(halo_rows=halo), memory_limit_bytes=limit, **given)
        except errors.UsageError:
            assert limit is not None
            assert least > limit
            return

        assert 1 <= rows <= shape[2]
        if limit is not None:
            assert bands.forecast_bytes(shape, rows, halo=halo, **given) <= limit

    def test_all_rows_at_once(self):
        """If a step must see all rows, there is one band, or none where the limit does not allow it."""
        whole = Locality(halo_rows=3, whole=True)

        assert bands.band_rows(FULL_FRAME, whole, reference_bytes=100) == 2048
        with pytest.raises(errors.UsageError, match="all rows at once"):
            bands.band_rows(FULL_FRAME, whole, reference_bytes=100, memory_limit_bytes=400 * 10**6)

    def test_a_time_series(self):
        """A thousand integrations of ten groups, 320 x 320, fit 400 MB."""
        locality, series = Locality(halo_rows=3), (1000, 10, 320, 320)

        assert bands.band_rows(series, locality, reference_bytes=100, memory_limit_bytes=400 * 10**6) > 1

    def test_a_full_frame_takes_less_than_the_half_of_a_gigabyte(self):
        """Ten groups of a full frame fit 300 MB."""
        assert (
            bands.band_rows(FULL_FRAME, Locality(halo_rows=5), reference_bytes=100, memory_limit_bytes=3 * 10**8) > 20
        )
