import pytest

from reprocess.storage import ByteRange, open_store
from reprocess.storage.counting import CountingStore
from reprocess.storage.held import HeldRanges

DATA = bytes(range(100))


@pytest.fixture
def store():
    """Counts what is read of two objects."""
    inner = open_store(f"memory://held-{id(object())}")
    inner.put("a", DATA)
    inner.put("b", DATA[::-1])
    return CountingStore(inner)


def test_what_is_held_is_not_read(store):
    """Ranges within a stretch come from memory, others from the store in one call, all in the order given."""
    held = HeldRanges(store, "a", {0: DATA[:10], 90: bytearray(DATA[90:])})
    wanted = [ByteRange(0, 10), ByteRange(5, 6), ByteRange(90, 10), ByteRange(50, 2), ByteRange(95, 0)]

    assert [bytes(view) for view in held.get_ranges("a", wanted)] == [
        DATA[part.start : part.start + part.length] for part in wanted
    ]
    assert store.requests == {"get_ranges": 1}
    assert store.bytes_read["get_ranges"] == 8


def test_other_objects_are_read(store):
    """What is held is of one object only."""
    held = HeldRanges(store, "a", {0: DATA})

    assert held.get_ranges("b", [ByteRange(0, 1)]) == [DATA[99:]]
    assert held.get_ranges("a", [ByteRange(99, 1)]) == [DATA[99:]]
    assert store.requests == {"get_ranges": 1}
