"""Level 1b files with damaged bytes, through the whole room."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Band
from reprocess.formats import level1b, product, tail
from reprocess.formats.header import NeedMore
from tests.formats import files
from tests.formats.dict_store import DictStore
from tests.formats.test_product import INFO

WHOLE = files.uncal(tree={"meta": {"a": 1}})
KEY = "x_uncal.fits"


def way_of_one_exposure(data):
    """Scan, check, read and write a product from these bytes."""
    store = DictStore({KEY: data})
    entry = level1b.read_entry(data, store.stamp(KEY), store.url, "x", "uncal")
    assert not isinstance(entry, NeedMore)
    level1b.check_layout(entry)
    level1b.read_slab(store, entry, Band(0, 4))
    for block in product.write_rate(files.planes(), tail.read_tail(store, entry), INFO):
        assert block is not None


@pytest.mark.filterwarnings("ignore")
class TestDamage:
    """Only errors of this package come out."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, len(WHOLE) - 1),
                st.binary(min_size=1, max_size=3) | st.sampled_from([b"'", b"9", b" ", b"="]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    @example(changes=[(408, b" ")])
    @example(changes=[(5200, b"\x80")])
    def test_changed_bytes(self, changes):
        """A file with a few bytes changed is used, or refused as bad data that names the file."""
        data = bytearray(WHOLE)
        for place, value in changes:
            data[place : place + len(value)] = value
        self.check(bytes(data))

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, len(WHOLE) - 1))
    def test_cut_off(self, length):
        """A file that was cut off is refused, unless only padding is gone."""
        self.check(WHOLE[:length])

    @staticmethod
    def check(data):
        """Go the whole way; bad data must name the file."""
        refused = None
        try:
            way_of_one_exposure(data)
        except errors.BadData as error:
            refused = error

        assert refused is None or KEY in str(refused)
