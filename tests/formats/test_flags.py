"""Flags of reference files in JWST bits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reprocess.formats import flags

NAMES = st.sampled_from(["DO_NOT_USE", "SATURATED", "HOT", "DEAD", "REFERENCE_PIXEL", "NONSENSE"])
BIT_OF = {"DO_NOT_USE": 0, "SATURATED": 1, "DEAD": 10, "HOT": 11, "REFERENCE_PIXEL": 31}


class TestToJwst:
    """`to_jwst`."""

    @given(
        st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8),
        st.lists(st.tuples(st.integers(0, 31).map(lambda bit: 1 << bit), NAMES), max_size=6),
    )
    def test_pixel_by_pixel(self, values, meanings):
        """A pixel has exactly the bits of the known mnemonics whose value it has."""
        mapped = flags.to_jwst(np.array(values, np.uint32), meanings)

        for stored, found in zip(values, mapped.tolist(), strict=True):
            bits = {1 << BIT_OF[name] for value, name in meanings if stored & value and name in BIT_OF}
            assert found == sum(bits)
