import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.storage import ByteRange, ranges

WANTED = st.lists(st.builds(ByteRange, st.integers(0, 500), st.integers(0, 60)), max_size=20)


class TestMerge:
    @given(WANTED, st.integers(0, 50), st.integers(1, 200))
    def test_every_range_is_covered_once(self, wanted, gap, limit):
        """Each range that is not empty is wholly inside the one extent that it is a member of."""
        extents = ranges.merge(wanted, gap_bytes=gap, limit_bytes=limit)

        members = [index for extent in extents for index in extent.members]
        assert sorted(members) == [index for index, part in enumerate(wanted) if part.length]
        for extent in extents:
            for index in extent.members:
                assert extent.start <= wanted[index].start
                assert wanted[index].start + wanted[index].length <= extent.end

    @given(WANTED, st.integers(0, 50), st.integers(1, 200))
    def test_no_extent_is_larger_than_needed(self, wanted, gap, limit):
        """An extent begins and ends with a member, and only a single range is longer than the limit."""
        for extent in ranges.merge(wanted, gap_bytes=gap, limit_bytes=limit):
            parts = [wanted[index] for index in extent.members]
            assert extent.start == min(part.start for part in parts)
            assert extent.end == max(part.start + part.length for part in parts)
            assert extent.end - extent.start <= max(limit, *(part.length for part in parts), 0)

    def test_close_ranges_are_one_request_and_far_ones_are_not(self):
        """Ranges join across a gap of the given size and not across one byte more."""
        near = [ByteRange(20, 5), ByteRange(0, 10)]

        assert ranges.merge(near, gap_bytes=10, limit_bytes=100) == [ranges.Extent(0, 25, (1, 0))]
        assert len(ranges.merge(near, gap_bytes=9, limit_bytes=100)) == 2


@given(st.integers(0, 100), st.integers(0, 300), st.integers(1, 50))
def test_pieces_follow_each_other(start, length, piece):
    """A stretch cut into pieces is the pieces end to end, none empty and none too long."""
    pieces = ranges.cut(start, start + length, piece)

    assert [index for one in pieces for index in range(*one)] == list(range(start, start + length))
    assert all(0 < end - begin <= piece for begin, end in pieces)


def test_past_end_names_size_and_range():
    """The error of a short object says what was asked and what is there."""
    error = ranges.past_end("s3://b/a", 5, 15, 10)

    assert isinstance(error, errors.StorageError)
    with pytest.raises(errors.StorageError, match="s3://b/a has 10 bytes, so bytes 5 to 15"):
        raise error
