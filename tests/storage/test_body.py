import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.storage import body


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_one_buffer_is_a_body(kind):
    """A buffer of any kind is a body of one piece."""
    data = kind(b"12345")

    assert [bytes(piece) for piece in body.pieces(data)] == [b"12345"]
    assert body.size(data) == 5


def test_sizes_are_in_bytes():
    """Wide elements count by their bytes, and empty buffers are left out."""
    wide = memoryview(bytearray(8)).cast("d")

    assert body.size([wide, b"", b"1"]) == 9
    assert len(body.pieces([wide, b"", b"1"])) == 2


@given(st.lists(st.binary(max_size=6), max_size=6), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9))))
def test_reads_as_a_file_does(parts, reads):
    """From any byte, in steps of any length, a reader gives the bytes of the joined body."""
    reader, whole = body.BodyReader(parts), b"".join(parts)
    assert len(reader) == len(whole)
    for start, size in reads:
        assert reader.seek(start) == reader.tell() == start
        assert len(reader.read(size)) <= size
        reader.seek(start)
        assert b"".join(iter(lambda size=size: bytes(reader.read(size)), b"")) == whole[start:]


def test_seeks_from_the_end_and_from_where_it_is():
    """All three ways of naming a place work, as clients use them to find the length."""
    reader = body.BodyReader([b"123", b"456"])

    assert reader.seek(0, io.SEEK_END) == 6
    assert reader.seek(-4, io.SEEK_CUR) == 2
    assert (bytes(reader.read()), bytes(reader.read())) == (b"3", b"456")
