"""The digested payload of FITS files."""

import io
import itertools

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from reprocess.formats import payload
from tests.formats import files
from tests.formats.test_product import rate, rateints

CUBE = rateints()


class TestOf:
    def test_places(self):
        """Every array is where astropy finds it, with its axes; ASDF is left out."""
        found = payload.of(CUBE)
        assert payload.KEYWORDS in found

        with fits.open(io.BytesIO(CUBE)) as file:
            named = {hdu.name: hdu for hdu in file if hdu.name not in ("PRIMARY", "ASDF")}
            assert set(found) == {*named, payload.KEYWORDS}
            for name, hdu in named.items():
                place = found[name]
                assert place["offset"] == hdu.fileinfo()["datLoc"]
                if place["dtype"] == "row":
                    assert payload.pixels(place) == len(hdu.data)
                else:
                    assert tuple(place["shape"]) == hdu.data.shape
                    assert np.dtype(place["dtype"]) == hdu.data.dtype.newbyteorder("=")

    @given(st.lists(st.integers(0, len(CUBE)), max_size=12))
    def test_parts_do_not_matter(self, cuts):
        """However a file comes in parts, its payload is the same."""
        digester = payload.Digester()
        edges = [0, *sorted(cuts), len(CUBE)]
        for start, stop in itertools.pairwise(edges):
            digester.update(memoryview(CUBE)[start:stop])

        assert digester.finish() == payload.of(CUBE)

    def test_every_array_and_keyword(self):
        """Any other value of an array, or of a science keyword, gives another payload."""
        planes = files.planes()
        planes.dq[5, 5] ^= 1
        before, after = payload.of(rate()), payload.of(rate(planes))

        assert {name for name in before if before[name] != after[name]} == {"DQ"}
        data = rate()
        at = data.index(b"FILTER  = 'F200W")
        changed = payload.of(data[: at + 11] + b"F090W" + data[at + 16 :])
        assert {name for name in before if before[name] != changed[name]} == {payload.KEYWORDS}
        assert set(before[payload.KEYWORDS].items()) ^ set(changed[payload.KEYWORDS].items()) == {
            ("PRIMARY", before[payload.KEYWORDS]["PRIMARY"]),
            ("PRIMARY", changed[payload.KEYWORDS]["PRIMARY"]),
        }

    @pytest.mark.parametrize("data", [b"", b"no FITS", CUBE[:-1], CUBE[:9000], CUBE[1:], b"\xff" * 6000, b" " * 2**21])
    def test_no_whole_file(self, data):
        """What is no whole FITS file has no payload."""
        assert payload.of(data) == {}

    @given(st.integers(0, 8600), st.binary(min_size=1, max_size=4))
    def test_damaged_headers(self, place, junk):
        """Whatever stands in a header, there is a payload or none; nothing is raised."""
        found = payload.of(CUBE[:place] + junk + CUBE[place + len(junk) :])

        assert found == {} or payload.KEYWORDS in found
