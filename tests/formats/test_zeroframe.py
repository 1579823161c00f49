"""ZEROFRAME of Level 1b files, by rows."""

import io

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.exposure import Band
from reprocess.formats import header, level1b, zeroframe
from tests.formats import files
from tests.formats.dict_store import DictStore

KEY = "jw01234001001_02101_00001_nrca1_uncal.fits"
FRAMES = np.random.default_rng(5).integers(0, 65536, (2, 16, 12)).astype(np.uint16)


def uncal(frames=FRAMES, *, keyword=True, after="SCI", name="ZEROFRAME"):
    """A Level 1b file with first frames, and the store and entry of it."""
    with fits.open(io.BytesIO(files.uncal()), uint=True) as file:
        file[0].header["ZEROFRAM"] = keyword
        file.insert(file.index_of(after) + 1, fits.ImageHDU(frames, name=name))
        stream = io.BytesIO()
        file.writeto(stream)
    data = stream.getvalue()
    store = DictStore({KEY: data})
    entry = level1b.read_entry(data[: header.FIRST_BYTES], store.stamp(KEY), store.url, "d", "uncal")
    store.requests.clear()
    return store, entry


class TestRead:
    """`reader`."""

    @pytest.mark.parametrize("after", ["SCI", "INT_TIMES"])
    @pytest.mark.parametrize("rows", [(0, 16), (0, 1), (5, 9), (15, 16)])
    def test_gives_the_rows(self, after, rows):
        """Any rows of all frames, wherever the extension stands, in native byte order."""
        store, entry = uncal(after=after)
        found = zeroframe.reader(store, entry)(Band(*rows))

        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, FRAMES[:, rows[0] : rows[1]])

    def test_gives_floats(self):
        """Frames that are stored as numbers with fractions stay so."""
        store, entry = uncal(FRAMES.astype(np.float32) / 3)
        found = zeroframe.reader(store, entry)(Band(2, 7))

        np.testing.assert_array_equal(found, FRAMES[:, 2:7].astype(np.float32) / 3)

    def test_reads_no_other_pixels(self):
        """Headers on the way, and the rows: less than the pixels of SCI altogether."""
        big = np.zeros((2, 16, 12), np.uint16)
        store, entry = uncal(big)
        place = zeroframe.find(store, entry)
        store.requests.clear()
        zeroframe.read(store, entry, place, Band(3, 5))

        assert [length for part in store.requests for _, length in part] == [2 * 12 * 2] * 2


class TestFind:
    """`find`."""

    def test_nothing_is_read_without_the_keyword(self):
        """A file that says it has none is not looked through."""
        store, entry = uncal(keyword=False)

        assert zeroframe.reader(store, entry) is None
        assert store.requests == []

    def test_there_may_be_none_in_spite_of_the_keyword(self):
        """A file whose keyword promises frames that it lacks is as one without."""
        store, entry = uncal(name="REFOUT")

        assert zeroframe.reader(store, entry) is None

    @pytest.mark.parametrize(
        "frames", [FRAMES[:1], FRAMES[:, :8], FRAMES[0], FRAMES.astype(np.int32)], ids=["ints", "rows", "axes", "type"]
    )
    def test_refuses_other_layouts(self, frames):
        """The message says what is there and what must be."""
        store, entry = uncal(frames)
        with pytest.raises(errors.WrongLayout, match=r"ZEROFRAME has axes .*\(2, 16, 12\)"):
            zeroframe.find(store, entry)

    def test_refuses_a_file_that_ends_within(self):
        """A file cut off is named with its size."""
        store, entry = uncal(after="INT_TIMES")
        place = zeroframe.find(store, entry)
        store.objects[KEY] = store.objects[KEY][: place.offset + 100]
        entry = level1b.read_entry(store.objects[KEY][: header.FIRST_BYTES], store.stamp(KEY), store.url, "d", "uncal")
        with pytest.raises(errors.Truncated, match="ZEROFRAME"):
            zeroframe.find(store, entry)

    def test_refuses_a_file_that_was_replaced(self):
        """Another version of the object is not read."""
        store, entry = uncal()
        place = zeroframe.find(store, entry)
        store.objects[KEY] += b" "
        with pytest.raises(errors.RawReplaced, match="Scan again"):
            zeroframe.read(store, entry, place, Band(0, 1))
