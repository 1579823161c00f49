"""What products carry over from the Level 1b file."""

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.formats import tail
from tests.formats import files
from tests.formats.dict_store import DictStore
from tests.formats.test_level1b import KEY, scan


def read(data):
    """The metadata of a file, and the store it came from."""
    entry, store = scan(data)
    return tail.read_tail(store, entry), store


class TestReadTail:
    """`read_tail`."""

    def test_headers_are_whole(self):
        """Both headers come as they are stored, strings in several cards included."""
        metadata, _ = read(files.uncal())

        assert fits.Header.fromstring(metadata.primary)["TITLE"] == files.KEYWORDS["TITLE"]
        assert fits.Header.fromstring(metadata.sci)["S_REGION"] == files.SCIENCE["S_REGION"][0]

    def test_integration_times(self):
        """INT_TIMES is found behind other extensions and read in native byte order."""
        metadata, _ = read(files.uncal())

        np.testing.assert_array_equal(metadata.int_times, files.int_times(2))
        assert metadata.int_times.dtype == tail.INT_TIMES

    def test_no_pixel_is_read(self):
        """The ranges that are read leave out the science data."""
        data = files.uncal(files.pixels((2, 3, 64, 64)))
        _, store = read(data)
        entry, _ = scan(data)
        end = entry.sci_offset + 2 * 3 * 64 * 64 * 2

        ranges = [part for request in store.requests for part in request]
        assert len(ranges) == 2
        assert all(start + length <= entry.sci_offset or start >= end for start, length in ranges)

    def test_asdf_metadata(self):
        """Metadata that only the ASDF tree holds is kept, as plain values."""
        tree = {"meta": {"exposure": {"read_times": [1.0, 2.0]}}, "cal_logs": {"earlier": ["a line"]}}
        metadata, _ = read(files.uncal(tree=tree))

        assert metadata.meta["exposure"]["read_times"] == [1.0, 2.0]
        assert metadata.logs == {"earlier": ["a line"]}

    def test_flight_file(self):
        """A file without INT_TIMES has none, and its own ASDF tree is read."""
        metadata, _ = read(files.flight_file(files.NIRCAM).read_bytes())

        assert metadata.int_times is None
        assert metadata.meta["instrument"]["detector"] == "NRCA2"

    def test_replaced_object(self):
        """An object that is not the version of the scan is refused."""
        entry, _ = scan(files.uncal())
        with pytest.raises(errors.RawReplaced):
            tail.read_tail(DictStore({KEY: files.uncal(times=False)}), entry)

    @pytest.mark.parametrize(
        ("spoil", "error", "words"),
        [
            (lambda data: data.replace(b"int_mid_BJD_TDB", b"int_mid_XYZ_TDB"), errors.WrongLayout, "INT_TIMES"),
            (lambda data: data.replace(b"#ASDF 1.0.0", b"#ASDF oops!"), errors.WrongLayout, "ASDF extension"),
            (lambda data: data[:-4000], errors.Truncated, "ends within"),
        ],
    )
    def test_damage(self, spoil, error, words):
        """A damaged extension is named."""
        with pytest.raises(error, match=words):
            read(spoil(files.uncal(tree={"meta": {"a": list(range(2000))}})))
