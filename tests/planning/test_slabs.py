"""Slabs."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration.step import Locality
from reprocess.planning import slabs

SHAPES = st.tuples(st.integers(1, 50), st.integers(1, 60), st.integers(1, 2048), st.integers(1, 2048))
HALOS = st.integers(0, 40)


class TestCut:
    """`cut`."""

    @given(st.integers(1, 4000), st.integers(0, 4000), HALOS)
    def test_covers_each_row_once(self, rows, step, halo):
        """Cores follow each other without gap or overlap from the first row to the last."""
        found = slabs.cut(rows, step, halo)

        assert [row for slab in found for row in range(slab.core.start, slab.core.stop)] == list(range(rows))

    @given(st.integers(1, 4000), st.integers(1, 4000), HALOS)
    def test_halo(self, rows, step, halo):
        """The padded band reaches a halo further on each side, except where the image ends."""
        for slab in slabs.cut(rows, step, halo):
            assert slab.padded.start == max(0, slab.core.start - halo)
            assert slab.padded.stop == min(rows, slab.core.stop + halo)

    def test_whole(self):
        """No rows per slab means one slab that is the image."""
        (slab,) = slabs.cut(2048, 0, 5)

        assert (slab.core, slab.padded) == (slab.padded, slab.core)
        assert len(slab.core) == 2048


class TestRowsPerSlab:
    """`rows_per_slab`."""

    @given(SHAPES, st.integers(251 * 10**6, 4 * 10**9), HALOS)
    def test_fits_the_limit(self, shape, limit, halo):
        """Every slab with its halo is forecast to fit, and as few slabs are made as the limit allows."""
        try:
            step = slabs.rows_per_slab(shape, limit, Locality(halo))
        except errors.PlanError:
            assert slabs.forecast_bytes(shape, 1 + 2 * halo) > limit  # not even one row fits
            return
        cut = slabs.cut(shape[2], step, halo)
        assert all(slabs.forecast_bytes(shape, len(slab.padded)) <= limit for slab in cut)
        assert (step == 0) == (slabs.forecast_bytes(shape) <= limit)

    @given(SHAPES, st.integers(251 * 10**6, 4 * 10**9), HALOS)
    def test_equal_slabs(self, shape, limit, halo):
        """The last slab is smaller than the others by less than the number of slabs."""
        try:
            step = slabs.rows_per_slab(shape, limit, Locality(halo))
        except errors.PlanError:
            assume(False)
        cut = slabs.cut(shape[2], step, halo)
        assert len(cut[0].core) - len(cut[-1].core) < len(cut)

    def test_impossible(self):
        """A limit that not even one row fits is refused with the size that it must have."""
        shape = (10, 100, 2048, 2048)
        least = slabs.forecast_bytes(shape, 11)

        with pytest.raises(errors.PlanError, match=f"{least / 1e6:.0f} MB .* Raise memory_limit_mb"):
            slabs.rows_per_slab(shape, 251 * 10**6, Locality(5))


class TestReferenceBytesPerPixel:
    """`reference_bytes_per_pixel`."""

    def test_large_darks_count(self):
        """A dark with many groups makes slabs smaller; flat references have a floor."""
        dark = 2048 * 2048 * 800

        assert slabs.reference_bytes_per_pixel([1000]) == slabs.FEWEST_REFERENCE_BYTES
        assert slabs.reference_bytes_per_pixel([dark, dark]) == 1600
        shape = (1, 10, 2048, 2048)
        few, many = (slabs.rows_per_slab(shape, 10**9, Locality(), reference_bytes=size) for size in (64, 1600))
        assert many < few


class TestForecastBytes:
    """`forecast_bytes`."""

    @given(SHAPES, st.integers(0, 3))
    def test_grows(self, shape, axis):
        """More of anything never needs less."""
        larger = tuple(length + (index == axis) for index, length in enumerate(shape))

        assert slabs.forecast_bytes(larger) > slabs.forecast_bytes(shape)


def test_an_exposure_that_must_be_seen_whole_is_not_cut():
    """Where a step must see all rows at once, too little memory is an error and not a cut."""
    shape = (1, 10, 2048, 2048)

    assert slabs.rows_per_slab(shape, 10**11, Locality(whole=True)) == 0
    with pytest.raises(errors.PlanError, match="all rows at once"):
        slabs.rows_per_slab(shape, 10**9, Locality(whole=True))
