"""Headers read from the first bytes."""

import warnings

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.formats import header, keywords
from tests.formats import files

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30).map(str.rstrip)
VALUES = st.one_of(
    PRINTABLE,
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
)


def parse(data, **options):
    """Parse the header at byte 0 of a whole file."""
    return header.parse_header(data, name="x_uncal.fits", size=len(data), **options)


class TestParseValue:
    """`parse_value`."""

    @given(VALUES, PRINTABLE)
    def test_reads_what_astropy_writes(self, value, comment):
        """Any value that FITS can hold comes back as it was written, type included."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a long comment is cut
            image = fits.Card("KEYWORD", value, comment).image[:80]
        # twenty columns do not hold every float; strings astropy itself misreads where quotes and slashes meet
        expected = fits.Card.fromstring(image).value if isinstance(value, float) else value
        read = header.parse_value(image[10:].encode())

        assert (read, type(read)) == (expected, type(expected))

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (b"'it''s' / a comment with ' in it", "it's"),
            (b"''''", "'"),
            (b"''", ""),
            (b"  1.5D3 / FORTRAN", 1500.0),
            (b" NaN / bad", "NaN"),
            (b" 1E999", "1E999"),
            (b" 1_000", "1_000"),
            (b"  / no value", None),
            (b"T", True),
        ],
    )
    def test_odd_values(self, field, value):
        """Quotes are unescaped, FORTRAN exponents understood, and what is no finite number stays text."""
        assert header.parse_value(field) == value


class TestParseHeader:
    """`parse_header`."""

    def test_agrees_with_astropy_on_a_flight_file(self):
        """Every keyword of a flight header has the value that astropy gives it, but for strings in several cards."""
        data = files.flight_file(files.NIRCAM).read_bytes()
        unit = parse(data)
        expected = fits.Header.fromstring(data[: unit.end])

        assert unit.header == {key: expected[key] for key in expected if key not in ("", "COMMENT")}
        assert unit.end == 17280

    def test_keeps_only_what_is_wanted(self):
        """Keywords outside `wanted` are not in the result."""
        unit = parse(files.uncal(primary={"S_JUMP": "COMPLETE", "XOFFSET": 1.0}), wanted=keywords.WANTED)

        assert "S_JUMP" in unit.header
        assert "XOFFSET" not in unit.header

    def test_first_of_equal_keywords_counts(self):
        """A keyword that occurs twice has its first value."""
        head = fits.Header()
        head["SIMPLE"] = True
        head.append(("A", 1), end=True)
        head.append(("A", 2), end=True)

        assert parse(head.tostring().encode()).header["A"] == 1

    def test_long_header_asks_for_more(self):
        """A header that goes on past the bytes given asks for more until it ends, and then is the same."""
        data = files.uncal(extra_cards=2000)
        given_bytes, calls = header.FIRST_BYTES, 0
        while isinstance(unit := header.parse_header(data[:given_bytes], name="x", size=len(data)), header.NeedMore):
            assert given_bytes < unit.length <= len(data)
            given_bytes, calls = unit.length, calls + 1

        assert calls > 0
        assert unit == parse(data)

    @pytest.mark.parametrize(
        ("data", "error", "words"),
        [
            (b"", errors.Truncated, "0 bytes"),
            (b"\x1f\x8b" + bytes(5000), errors.WrongLayout, "gzip"),
            (b"hello world".ljust(2880), errors.UnreadableHeader, "hello"),
            (b"SIMPLE  =" + b" " * 2871, errors.Truncated, "within the header"),
            (b"SIMPLE  =" + b" " * header.BLOCK * 600, errors.UnreadableHeader, "no END"),
        ],
    )
    def test_what_is_no_header(self, data, error, words):
        """Bytes that are no FITS header are named with what is wrong with them."""
        size = len(data) + (10**9 if "END" in words else 0)
        with pytest.raises(error, match=words) as caught:
            header.parse_header(data, name="x_uncal.fits", size=size)

        assert "x_uncal.fits" in str(caught.value)

    def test_undecodable_byte(self):
        """A byte that FITS forbids is named with its place."""
        data = bytearray(files.uncal())
        data[500] = 0xE9

        with pytest.raises(errors.UnreadableHeader, match="byte 500 of its header is 0xe9"):
            parse(bytes(data))


class TestDataBytes:
    """`data_bytes`."""

    def test_counts_what_astropy_counts(self):
        """The data units of images and tables have the length that astropy gives them."""
        with fits.open(files.flight_file(files.GUIDER)) as file:
            for hdu in file:
                assert header.padded(header.data_bytes(dict(hdu.header), name="x")) == hdu.fileinfo()["datSpan"]

    @pytest.mark.parametrize(
        "change", [{"NAXIS": "2"}, {"NAXIS1": -1}, {"NAXIS2": None}, {"BITPIX": 7}, {"NAXIS": 10**9}]
    )
    def test_impossible_layouts(self, change):
        """A layout that no data can have is refused by name."""
        cards = {"BITPIX": 16, "NAXIS": 2, "NAXIS1": 3, "NAXIS2": 4, **change}
        with pytest.raises(errors.WrongLayout, match=next(iter(change))):
            header.data_bytes({key: value for key, value in cards.items() if value is not None}, name="x_uncal.fits")
