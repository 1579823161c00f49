"""Prepared references."""

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.formats import prepared, region
from tests.formats import files
from tests.formats.dict_store import DictStore

RNG = np.random.default_rng(4)
DARK = Reference(
    type="dark",
    arrays={
        "sci": RNG.normal(size=(3, 600, 10)).astype("f4"),
        "dq": RNG.integers(0, 2**32, (600, 10), dtype=np.uint32),
    },
    keywords={"NFRAMES": 1, "EXPTIME": 10.5, "SUBARRAY": "FULL"},
)
PREFIX = "references/prepared/abc"


@pytest.fixture
def store():
    """A store with one prepared dark."""
    store = DictStore()
    prepared.write_prepared(store, PREFIX, DARK)
    return store


def objects(store):
    """The bytes below the prefix by key."""
    return {key: value.to_bytes() for key, value in store.zarr(PREFIX)._store_dict.items()}


class TestPrepared:
    """`write_prepared` and `read_prepared`."""

    @pytest.mark.parametrize(
        ("rows", "columns"),
        [
            (slice(None), slice(None)),
            (slice(0, 1), slice(None)),
            (slice(250, 300), slice(2, 7)),
            (slice(599, 600), slice(9, 10)),
        ],
    )
    def test_windows(self, store, rows, columns):
        """A window is the same cut of the arrays, in native byte order, with the keywords."""
        read = prepared.read_prepared(store, PREFIX, rows=rows, columns=columns)

        assert (read.type, dict(read.keywords)) == ("dark", DARK.keywords)
        for name, array in DARK.arrays.items():
            np.testing.assert_array_equal(read.arrays[name], array[..., rows, columns])
            assert read.arrays[name].dtype == array.dtype
            assert read.arrays[name].flags.c_contiguous

    def test_only_the_chunks_of_the_rows_are_read(self, store):
        """A window within one band of chunks needs no other chunk."""
        chunks = store.zarr(PREFIX)._store_dict
        for key in [key for key in chunks if "/c/" in key and not (key.endswith("/c/0/1/0") or key.endswith("/c/1/0"))]:
            chunks[key] = type(chunks[key]).from_bytes(b"damaged")
        read = prepared.read_prepared(store, PREFIX, rows=slice(256, 512), columns=slice(None))

        np.testing.assert_array_equal(read.arrays["sci"], DARK.arrays["sci"][:, 256:512])
        np.testing.assert_array_equal(read.arrays["dq"], DARK.arrays["dq"][256:512])

    def test_same_bytes_again(self, store):
        """Writing the same reference again gives the same objects."""
        other = DictStore()
        prepared.write_prepared(other, PREFIX, DARK)

        assert objects(store) == objects(other)

    def test_writers_that_meet(self, store, monkeypatch):
        """Writing over what is there deletes nothing on the way and leaves the same objects."""
        before = objects(store)
        for name in ("delete", "delete_dir", "clear"):
            monkeypatch.setattr(type(store.zarr(PREFIX)), name, None)
        prepared.write_prepared(store, PREFIX, DARK)

        assert objects(store) == before

    def test_other_layout_in_the_way(self, store):
        """An array of another shape below the prefix is refused, not mixed with."""
        other = Reference(type="dark", arrays={"sci": DARK.arrays["sci"][:2]}, keywords={})
        with pytest.raises(errors.DamagedReference, match="laid out otherwise"):
            prepared.write_prepared(store, PREFIX, other)

    def test_reference_without_arrays(self):
        """A reference that is all keywords can be prepared."""
        store = DictStore()
        prepared.write_prepared(store, PREFIX, Reference(type="refpix", arrays={}, keywords={"A": 1}))

        assert prepared.read_prepared(store, PREFIX, rows=slice(0, 4), columns=slice(0, 4)).keywords == {"A": 1}

    @pytest.mark.parametrize(
        "reference",
        [
            Reference("rscd", {"readpatt": np.array([b"FASTR1", b"SLOW"]), "group_skip": np.array([1, 4], "i4")}, {}),
            Reference("ipc", {"sci": RNG.normal(size=(3, 3)).astype("f4")}, {"SUBSTRT1": 1}),
        ],
        ids=["table", "kernel"],
    )
    @pytest.mark.filterwarnings("error")
    def test_what_has_no_frames_stays_whole(self, reference):
        """Columns of a table and a kernel for all pixels come back as they were, whatever the window."""
        store = DictStore()
        prepared.write_prepared(store, "p", reference)
        read = region.read_region(store, "p", corner=(100, 200), shape=(64, 64))
        cut = region.cut(reference, corner=(100, 200), shape=(64, 64))

        for found in (read, cut):
            assert set(found.arrays) == set(reference.arrays)
            for name, array in reference.arrays.items():
                assert found.arrays[name].dtype == array.dtype
                np.testing.assert_array_equal(found.arrays[name], array)

    def test_a_kernel_for_each_pixel_is_cut(self):
        """It has frames as its last two axes."""
        kernel = Reference("ipc", {"sci": RNG.normal(size=(3, 3, 20, 30)).astype("f4")}, {})
        store = DictStore()
        prepared.write_prepared(store, "p", kernel)
        read = region.read_region(store, "p", corner=(4, 5), shape=(6, 7))

        np.testing.assert_array_equal(read.arrays["sci"], kernel.arrays["sci"][..., 4:10, 5:12])

    def test_nothing_there(self):
        """A prefix without a reference is named."""
        with pytest.raises(errors.ObjectMissing, match="elsewhere"):
            prepared.read_prepared(DictStore(), "elsewhere", rows=slice(0, 1), columns=slice(0, 1))

    def test_lost_chunk(self, store):
        """Where a chunk is gone, data are NaN and flags have every bit, so nothing passes for good."""
        chunks = store.zarr(PREFIX)._store_dict
        for key in [key for key in chunks if "/c/" in key]:
            del chunks[key]
        read = prepared.read_prepared(store, PREFIX, rows=slice(0, 9), columns=slice(0, 9))

        assert np.isnan(read.arrays["sci"]).all()
        assert (read.arrays["dq"] == 2**32 - 1).all()

    def test_damaged_chunk(self, store):
        """A damaged chunk is an error."""
        chunks = store.zarr(PREFIX)._store_dict
        key = next(key for key in chunks if "dq/c/" in key)
        chunks[key] = type(chunks[key]).from_bytes(b"damaged")
        with pytest.raises(errors.ReprocessError, match=PREFIX):
            prepared.read_prepared(store, PREFIX, rows=slice(None), columns=slice(None))

    @pytest.mark.parametrize("rows", [slice(590, 601), slice(-5, 10), slice(4, 4)])
    def test_window_outside(self, store, rows):
        """A window that is empty or reaches outside the frame is refused instead of cut."""
        with pytest.raises(errors.DamagedReference, match="outside"):
            prepared.read_prepared(store, PREFIX, rows=rows, columns=slice(None))


class TestRowsPerChunk:
    """`rows_per_chunk`."""

    @pytest.mark.parametrize(
        ("shape", "rows"),
        [
            ((2048, 2048), 256),
            ((12, 2048, 2048), 128),
            ((4, 100, 2048, 2048), 16),
            ((64, 64), 64),
            ((40, 1024, 1032), 64),
        ],
    )
    def test_chunks_stay_small(self, shape, rows):
        """Chunks hold up to 16 MiB, but never fewer than 16 rows."""
        assert prepared.rows_per_chunk(shape, 4) == rows


class TestRateintsZarr:
    """`write_rateints_zarr`."""

    def test_every_plane_is_there(self):
        """All planes can be read back, with axis names and attributes."""
        import zarr

        store, planes = DictStore(), files.planes((3, 16, 12))
        prepared.write_rateints_zarr(store, "p", planes, {"DETECTOR": "NRCA1"})
        root = zarr.open_group(store=store.zarr("p"), mode="r")

        assert root.attrs["DETECTOR"] == "NRCA1"
        for name in ("sci", "err", "dq", "var_poisson", "var_rnoise"):
            np.testing.assert_array_equal(root[name][...], getattr(planes, name))
            assert root[name].metadata.dimension_names == ("integration", "row", "column")
