"""Reference files."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.lib import recfunctions

from reprocess import errors
from reprocess.formats.reference import payload_digest, read_reference
from tests.formats import files

RNG = np.random.default_rng(3)
IMAGE = RNG.normal(size=(8, 6)).astype("f4")
FLAGS = RNG.integers(0, 2**32, (8, 6), dtype=np.uint32)

RSCD = np.array(
    [("FULL", "FASTR1", 1, 4), ("SUB64", "SLOWR1", 2, 5)],
    [("subarray", "S17"), ("readpatt", "S12"), ("group_skip1", "i4"), ("group_skip", "i4")],
)


def digest(type="superbias", arrays=None, **options):
    """The payload digest of a reference file made on the spot."""
    return payload_digest(
        read_reference(files.reference(arrays or {"SCI": IMAGE, "DQ": FLAGS}, **options), type, "r.fits")
    )


class TestReadReference:
    """`read_reference`."""

    @pytest.mark.parametrize(
        ("type", "arrays", "names"),
        [
            ("mask", {"DQ": FLAGS}, {"dq"}),
            ("saturation", {"SCI": IMAGE, "DQ": FLAGS}, {"sci", "dq"}),
            ("superbias", {"SCI": IMAGE, "ERR": IMAGE, "DQ": FLAGS}, {"sci", "dq"}),
            ("linearity", {"COEFFS": np.ones((3, 8, 6), "f8"), "DQ": FLAGS}, {"coeffs", "dq"}),
            ("dark", {"SCI": np.ones((4, 8, 6), "f4"), "DQ": FLAGS}, {"sci", "dq"}),
            ("dark", {"SCI": np.ones((2, 4, 8, 6), "f4"), "DQ": np.zeros((2, 8, 6), "u4")}, {"sci", "dq"}),
            (
                "linearity",
                {"COEFFS": np.ones((3, 8, 6)), "INV_COEFFS": np.ones((2, 8, 6)), "DQ": FLAGS},
                {"coeffs", "inv_coeffs", "dq"},
            ),
            ("reset", {"SCI": np.ones((2, 4, 8, 6), "f4"), "DQ": FLAGS}, {"sci", "dq"}),
            ("gain", {"SCI": IMAGE.astype("f8")}, {"sci"}),
            ("readnoise", {"SCI": IMAGE}, {"sci"}),
            ("weather", {"SCI": IMAGE, "SUN": IMAGE}, {"sci", "sun"}),
        ],
    )
    def test_arrays_by_type(self, type, arrays, names):
        """Each type gives its own arrays, as native float32 and uint32."""
        reference = read_reference(files.reference(arrays), type, "r.fits")

        assert set(reference.arrays) == names
        for name, array in reference.arrays.items():
            assert array.dtype == (np.uint32 if name == "dq" else np.float32)
            assert array.dtype.isnative
            np.testing.assert_array_equal(array, arrays[name.upper()])

    def test_average_dark_current(self):
        """An image of it is read, unless it is all zero: then the keyword counts, as officially."""
        cube = np.ones((4, 8, 6), "f4")
        read, blank = (
            read_reference(files.reference({"SCI": cube, "DQ": FLAGS, "AVDRKCUR": image}), "dark", "r.fits")
            for image in (IMAGE, np.zeros_like(IMAGE))
        )

        np.testing.assert_array_equal(read.arrays["average_dark_current"], IMAGE)
        assert "average_dark_current" not in blank.arrays

    def test_table(self):
        """Columns of a table are arrays with one axis: words as bytes, numbers as int32."""
        read = read_reference(files.table("RSCD_GROUP_SKIP", RSCD), "rscd", "t.fits")

        assert read.arrays["subarray"].tolist() == [b"FULL", b"SUB64"]
        assert read.arrays["readpatt"].tolist() == [b"FASTR1", b"SLOWR1"]
        assert read.arrays["group_skip1"].tolist() == [1, 2]
        assert read.arrays["group_skip"].dtype == np.int32

    def test_table_of_numbers(self):
        """Coefficients are float32, bits uint32; a table of bad samples may be absent, or have no rows."""
        names = [f"{letter}_{output}" for letter in ("alpha", "beta") for output in range(4)]
        rows = np.arange(32, dtype="f4").view([(name, "f4") for name in names])
        bad = np.array([(4, 2, 0xFFFF0001)], [("OUTPUT", "u2"), ("ODD_EVEN", "u2"), ("MASK", "u4")])
        head = [fits.PrimaryHDU(), fits.BinTableHDU(rows, name="IRS2")]
        whole = read_reference(files.to_bytes([*head, fits.BinTableHDU(bad, name="DQ")]), "refpix", "t.fits")
        empty = read_reference(files.to_bytes([*head, fits.BinTableHDU(bad[:0], name="DQ")]), "refpix", "t.fits")
        without = read_reference(files.to_bytes(head), "refpix", "t.fits")

        assert whole.arrays["beta_3"].tolist() == [7, 15, 23, 31]
        assert whole.arrays["alpha_0"].dtype == np.float32
        assert [int(whole.arrays[name][0]) for name in ("output", "odd_even", "mask")] == [4, 2, 0xFFFF0001]
        assert sorted(empty.arrays) == sorted(without.arrays) == sorted(names)

    def test_table_of_old(self):
        """Without the column of the first integration its numbers are -1."""
        old = RSCD[["subarray", "readpatt", "group_skip"]]
        read = read_reference(files.table("RSCD_GROUP_SKIP", recfunctions.repack_fields(old)), "rscd", "t.fits")

        assert read.arrays["group_skip1"].tolist() == [-1, -1]

    @pytest.mark.parametrize(
        ("name", "rows", "words"),
        [
            ("OTHER", RSCD, "no table RSCD_GROUP_SKIP with rows"),
            ("RSCD_GROUP_SKIP", RSCD[:0], "no table RSCD_GROUP_SKIP with rows"),
            ("RSCD_GROUP_SKIP", np.zeros(2, [("subarray", "S4"), ("readpatt", "S4")]), "group_skip.*is not there"),
            (
                "RSCD_GROUP_SKIP",
                RSCD.astype([*RSCD.dtype.descr[:3], ("group_skip", "f8")]),
                "group_skip of .* is >f8",
            ),
        ],
    )
    def test_damaged_table(self, name, rows, words):
        """What is wrong with a table is named."""
        with pytest.raises(errors.DamagedReference, match=words):
            read_reference(files.table(name, rows), "rscd", "t.fits")

    def test_flags_go_through_their_table(self):
        """DQ_DEF decides what a bit means: bits move, unknown names and undefined bits vanish."""
        flags = np.array([[1, 2, 4, 8, 16, 3]], np.uint32)
        table = [(0, 1, "DO_NOT_USE"), (1, 2, "HOT"), (2, 4, "NONSENSE"), (3, 8, "REFERENCE_PIXEL")]
        reference = read_reference(files.reference({"DQ": flags}, dq_def=table), "mask", "r.fits")

        np.testing.assert_array_equal(reference.arrays["dq"], [[1, 2**11, 0, 2**31, 0, 1 | 2**11]])

    def test_table_that_changes_nothing(self):
        """Where DQ_DEF names JWST bits by their own values, undefined bits vanish all the same."""
        table = [(0, 1, "DO_NOT_USE"), (31, 2**31, "REFERENCE_PIXEL")]
        reference = read_reference(files.reference({"DQ": FLAGS}, dq_def=table), "mask", "r.fits")

        np.testing.assert_array_equal(reference.arrays["dq"], FLAGS & np.uint32(2**31 | 1))

    def test_absent_flags_are_zero(self):
        """A type whose flags may be absent gets zeros of the frame's shape."""
        reference = read_reference(files.reference({"SCI": IMAGE}), "superbias", "r.fits")

        np.testing.assert_array_equal(reference.arrays["dq"], np.zeros((8, 6), np.uint32))

    def test_keywords_that_steps_read(self):
        """Keywords of the type are there and others are not."""
        keywords = {"GAINFACT": 2.0, "AUTHOR": "someone", "SUBSTRT1": 1}
        reference = read_reference(files.reference({"SCI": IMAGE}, keywords=keywords), "gain", "r.fits")

        assert reference.keywords == {"GAINFACT": 2.0, "SUBSTRT1": 1}

    @pytest.mark.parametrize(
        ("type", "data", "words"),
        [
            ("gain", b"", "cannot be read"),
            ("gain", b"<html>503</html>", "cannot be read"),
            ("gain", files.reference({"SCI": IMAGE})[:2880], "no SCI"),
            ("superbias", files.reference({"SCI": IMAGE, "DQ": FLAGS})[:-4000], "extensions end at byte"),
            ("mask", files.reference({"SCI": IMAGE}), "no DQ"),
            ("mask", files.reference({"DQ": IMAGE}), "flags with 2 axes"),
            ("superbias", files.reference({"SCI": np.ones((2, 8, 6), "f4")}), r"shape \(2, 8, 6\)"),
            ("superbias", files.reference({"SCI": IMAGE, "DQ": FLAGS[:4]}), "different frames"),
        ],
    )
    @pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
    def test_damage(self, type, data, words):
        """What cannot be used is named with its file and type."""
        with pytest.raises(errors.DamagedReference, match=words) as caught:
            read_reference(data, type, "jwst_nircam_x_0001.fits")

        assert f"jwst_nircam_x_0001.fits ({type})" in str(caught.value)


class TestPayloadDigest:
    """`payload_digest`."""

    def test_header_only_redelivery(self):
        """Author, dates, history, pedigree, description and USEAFTER do not change the digest."""
        words = {"AUTHOR": "b", "DATE": "2026-01-01", "PEDIGREE": "GROUND", "DESCRIP": "z", "USEAFTER": "2020-01-01"}

        assert digest() == digest(keywords=words, history=("delivered again",))

    def test_unread_extension(self):
        """An extension that no step reads does not change the digest."""
        assert digest() == digest(arrays={"SCI": IMAGE, "ERR": IMAGE, "DQ": FLAGS})

    def test_storage_does_not_matter(self):
        """The same numbers in another data type of the file have the same digest."""
        assert digest("gain", {"SCI": IMAGE}) == digest("gain", {"SCI": IMAGE.astype("f8")})

    def test_one_bit_matters(self):
        """One changed flag, one changed pixel and one changed keyword each change the digest."""
        flags, image = FLAGS.copy(), IMAGE.copy()
        flags[2, 3] ^= 1
        image[0, 0] = np.nextafter(image[0, 0], np.float32(9))
        digests = {
            digest(),
            digest(arrays={"SCI": IMAGE, "DQ": flags}),
            digest(arrays={"SCI": image, "DQ": FLAGS}),
            digest(keywords={"SUBSTRT1": 5}),
            digest("saturation"),
        }

        assert len(digests) == 5

    def test_one_cell_matters(self):
        """A changed word or number of a table changes the digest, a column that nobody reads does not."""

        def of(rows):
            return payload_digest(read_reference(files.table("RSCD_GROUP_SKIP", rows), "rscd", "t.fits"))

        word, number = RSCD.copy(), RSCD.copy()
        word["readpatt"][0], number["group_skip"][1] = "FAST", 6
        more = recfunctions.append_fields(RSCD, "note", [1, 2], usemask=False)

        assert len({of(RSCD), of(word), of(number)}) == 3
        assert of(more) == of(RSCD)

    def test_keywords_of_the_reset_matter(self):
        """How much of the cube counts is in its keywords."""
        cube = {"SCI": np.ones((2, 4, 8, 6), "f4"), "DQ": FLAGS}

        assert digest("reset", cube, keywords={"NINTS": 2}) != digest("reset", cube, keywords={"NINTS": 1})
