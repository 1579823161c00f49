"""Catalogue entries and slabs of Level 1b files."""

import gzip
import io
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.exposure import Band
from reprocess.formats import header, level1b, tail
from tests.formats import files
from tests.formats.dict_store import DictStore

KEY = "jw01234/jw01234001001_02101_00001_nrca1_uncal.fits"


def scan(data, level="uncal"):
    """The entry of an object with these bytes, and the store that holds it."""
    store = DictStore({KEY: data})
    return level1b.read_entry(data[: header.FIRST_BYTES], store.stamp(KEY), store.url, "d", level), store


class TestReadEntry:
    """`read_entry`."""

    def test_says_where_the_pixels_are(self):
        """Offset and shape of SCI are those that astropy finds, and the kept keywords are there."""
        data = files.uncal()
        entry, _ = scan(data)
        with fits.open(io.BytesIO(data)) as file:
            assert entry.sci_offset == file["SCI"].fileinfo()["datLoc"]

        assert entry.sci_shape == (2, 3, 16, 12)
        assert entry.header["DETECTOR"] == "NRCA1"
        assert "BITPIX" not in entry.header

    def test_long_headers_take_a_second_read(self):
        """A header past the first range asks for more bytes and then gives the same entry as the whole object."""
        data = files.uncal(extra_cards=1000)
        more, store = scan(data)

        assert isinstance(more, header.NeedMore)
        entry = level1b.read_entry(data[: more.length], store.stamp(KEY), store.url, "d", "uncal")
        assert entry == level1b.read_entry(data, store.stamp(KEY), store.url, "d", "uncal")

    def test_guide_star_file(self):
        """A guide-star file, which lacks many keywords, gives an entry."""
        entry, _ = scan(files.flight_file(files.GUIDER).read_bytes())

        assert entry.sci_shape == (6, 2, 128, 128)
        assert entry.header["EXP_TYPE"] == "FGS_ACQ1"

    def test_not_a_number_is_kept_as_text(self):
        """A keyword that is NaN is kept as written, so that a later message can quote it."""
        data = files.uncal().replace(b"TGROUP  =             21.47354", b"TGROUP  =                  NaN")
        entry, _ = scan(data)

        assert entry.header["TGROUP"] == "NaN"

    @pytest.mark.parametrize(
        ("spoil", "error", "words"),
        [
            (lambda data: data[:-20000], errors.Truncated, "data of SCI end"),
            (lambda data: data[:2880], errors.MissingExtension, "ends after its primary"),
            (lambda data: data.replace(b"EXTNAME = 'SCI ", b"EXTNAME = 'ERR "), errors.MissingExtension, "'ERR'"),
            (lambda data: data.replace(b"BZERO   =                32768", b"BZERO   =                    0"),
             errors.WrongLayout, "BZERO = 0"),
            (lambda data: data.replace(b"NAXIS4  =                    2", b"NAXIS4  =                  'a'"),
             errors.WrongLayout, "NAXIS4 = 'a'"),
            (lambda data: files.uncal(np.zeros((3, 16, 12), "u2")), errors.WrongLayout, "NAXIS = 3"),
            (lambda data: files.uncal(np.zeros((2, 3, 16, 12), "f4")), errors.WrongLayout, "BITPIX = -32"),
            (gzip.compress, errors.WrongLayout, "gzip"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_used(self, spoil, error, words):
        """Each kind of damage has its own error, which names the file and the value."""
        data = files.uncal(files.pixels((2, 3, 64, 64)))
        with pytest.raises(error, match=words) as caught:
            scan(spoil(data))

        assert KEY in str(caught.value)

    def test_tile_compressed(self):
        """A tile-compressed image is refused by name."""
        image = fits.CompImageHDU(np.zeros((64, 64), "i2"), name="SCI")
        with pytest.raises(errors.WrongLayout, match="ZIMAGE"):
            scan(files.to_bytes([fits.PrimaryHDU(), image]))

    def test_products_have_their_own_layout(self):
        """A file whose name says rate must hold a two-axis float image."""
        with pytest.raises(errors.WrongLayout, match="NAXIS = 4, not 2"):
            scan(files.uncal(), level="rate")

    def test_broken_entry_keeps_the_reason(self):
        """An object that was refused has an entry with the class and the message of its error."""
        store = DictStore({KEY: b"x"})
        entry = level1b.broken_entry(errors.Truncated("too short"), store.stamp(KEY), store.url, "d", "uncal")

        assert (entry.error_class, entry.error, entry.sci_shape) == ("bad-data", "too short", None)


class TestCheckLayout:
    """`check_layout`."""

    def test_accepts_what_the_header_promises(self):
        """A file whose array has the promised shape passes."""
        level1b.check_layout(scan(files.uncal())[0])

    def test_flight_file_without_its_pixels(self):
        """A file whose pixels were cut away is refused with both shapes."""
        entry, _ = scan(files.flight_file(files.NIRCAM).read_bytes())
        with pytest.raises(errors.WrongLayout, match=r"\(1, 1, 1, 1\).*\(1, 10, 2048, 2048\)"):
            level1b.check_layout(entry)

    def test_segments_count_their_own_integrations(self):
        """In a segment, INTSTART and INTEND give the number of integrations, not NINTS."""
        level1b.check_layout(scan(files.uncal(primary={"NINTS": 10, "INTSTART": 3, "INTEND": 4}))[0])

    def test_missing_size(self):
        """A size that is not in the header is named."""
        with pytest.raises(errors.MissingKeyword, match="SUBSIZE1"):
            level1b.check_layout(scan(files.uncal(primary={"SUBSIZE1": None}))[0])


class TestReadSlab:
    """`read_slab`."""

    @pytest.mark.parametrize("band", [Band(0, 16), Band(0, 1), Band(5, 9), Band(15, 16)])
    def test_rows_are_those_of_the_file(self, band):
        """A slab is the rows of the whole array, over all 16 bits, and belongs to the caller."""
        data = files.pixels()
        entry, store = scan(files.uncal(data))
        slab = level1b.read_slab(store, entry, band)

        np.testing.assert_array_equal(slab, data[:, :, band.rows])
        assert slab.dtype == np.uint16
        assert slab.flags.writeable

    def test_all_rows_are_one_stretch(self):
        """The whole exposure is read in one range, a band in one range for each group, and nothing beside."""
        entry, store = scan(files.uncal())
        level1b.read_slab(store, entry, Band(0, 16))
        level1b.read_slab(store, entry, Band(4, 6))

        whole, band = store.requests
        assert whole == [(entry.sci_offset, 2 * 3 * 16 * 12 * 2)]
        assert [length for _, length in band] == [2 * 12 * 2] * 6

    def test_large_bands_come_in_flights(self, monkeypatch):
        """Reading in many small pieces and flights gives the same array."""
        monkeypatch.setattr(level1b, "_PIECE_BYTES", 64)
        monkeypatch.setattr(level1b, "_FLIGHT_BYTES", 200)
        data = files.pixels()
        entry, store = scan(files.uncal(data))

        np.testing.assert_array_equal(level1b.read_slab(store, entry, Band(1, 15)), data[:, :, 1:15])
        assert all(sum(length for _, length in flight) <= 200 for flight in store.requests)

    @pytest.mark.parametrize("block", [1, 7, 2**19])
    def test_bytes_are_swapped_everywhere(self, monkeypatch, block):
        """The array is the same in blocks of any length."""
        monkeypatch.setattr(level1b, "_BLOCK_PIXELS", block)
        data = files.pixels()
        entry, store = scan(files.uncal(data))

        np.testing.assert_array_equal(level1b.read_slab(store, entry, Band(0, 16)), data)

    def test_replaced_object(self):
        """An object that is not the version of the scan is refused."""
        entry, store = scan(files.uncal())
        store.objects[KEY] = files.uncal(primary={"TITLE": "other"})
        with pytest.raises(errors.RawReplaced, match="no longer the version"):
            level1b.read_slab(store, entry, Band(0, 2))

    def test_rows_outside(self):
        """Rows that the exposure does not have are refused."""
        entry, store = scan(files.uncal())
        with pytest.raises(errors.WrongLayout, match="0 to 16"):
            level1b.read_slab(store, entry, Band(10, 17))

    def test_flight_file(self):
        """The pixels of a flight file are those that astropy reads."""
        path = files.flight_file(files.GUIDER)
        entry, store = scan(path.read_bytes())

        np.testing.assert_array_equal(level1b.read_slab(store, entry, Band(10, 50)), fits.getdata(path)[:, :, 10:50])


class TestReadWhole:
    """`read_whole`."""

    def test_one_request_gives_all(self):
        """Pixels, headers and tables are those of separate reads, and the file was read once."""
        data = files.pixels()
        entry, store = scan(files.uncal(data))
        pixels, rest = level1b.read_whole(store, entry)
        metadata = tail.read_tail(rest, entry)

        assert store.requests == [[(0, entry.size)]]
        np.testing.assert_array_equal(pixels, data)
        apart = tail.read_tail(store, entry)
        np.testing.assert_array_equal(metadata.int_times, apart.int_times)
        assert replace(metadata, int_times=None) == replace(apart, int_times=None)

    def test_much_behind_the_pixels_is_left(self, monkeypatch):
        """Where much follows the pixels it is not read along, and can be read still."""
        monkeypatch.setattr(level1b, "_REST_BYTES", 100)
        entry, store = scan(files.uncal())
        pixels, rest = level1b.read_whole(store, entry)

        assert store.requests == [[(0, entry.sci_offset + pixels.nbytes)]]
        assert tail.read_tail(rest, entry).primary == tail.read_tail(store, entry).primary

    def test_replaced_object(self):
        """An object that is not the version of the scan is refused."""
        entry, store = scan(files.uncal())
        store.objects[KEY] = files.uncal(primary={"TITLE": "other"})
        with pytest.raises(errors.RawReplaced, match="no longer the version"):
            level1b.read_whole(store, entry)


class TestReadFrames:
    """`read_frames`."""

    @pytest.mark.parametrize(("limit", "pieces"), [(2**28, 2), (2 * 16 * 12 * 2, 4), (1, 6)])
    def test_pieces_make_the_exposure(self, limit, pieces):
        """Pieces come in order, each within the limit or of one group, and together are the array."""
        data = files.pixels()
        entry, store = scan(files.uncal(data))
        read = list(level1b.read_frames(store, entry, memory_limit_bytes=limit))

        assert len(read) == pieces
        for piece in read:
            groups = slice(piece.group, piece.group + len(piece.data))
            np.testing.assert_array_equal(piece.data, data[piece.integration, groups])
        assert sum(len(piece.data) for piece in read) == 6
