from hypothesis import given
from hypothesis import strategies as st

from reprocess.storage.store import Scatter


@given(st.lists(st.integers(0, 9), max_size=6), st.lists(st.integers(1, 7), min_size=1), st.randoms())
def test_pieces_in_any_order_fill_the_buffers(sizes, steps, random):
    """However the whole is cut and in whatever order pieces come, each byte has its place in the row of buffers."""
    targets = [bytearray(size) for size in sizes]
    scatter = Scatter(targets)
    whole, pieces, start = bytes(range(sum(sizes))), [], 0
    while start < len(whole):
        step = steps[len(pieces) % len(steps)]
        pieces.append((start, whole[start : start + step]))
        start += step
    random.shuffle(pieces)
    for piece in pieces:
        scatter.put(*piece)

    assert scatter.size == len(whole)
    assert b"".join(targets) == whole
