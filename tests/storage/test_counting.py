import pickle

import pytest

from reprocess import errors
from reprocess.storage import ByteRange, RangeRequest, open_store
from reprocess.storage.counting import CountingStore
from tests.storage.store_contract import StoreContract


class TestCountingStoreKeepsTheContract(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        return CountingStore(open_store(str(tmp_path)))


@pytest.fixture
def store():
    inner = open_store(f"memory://counting-{id(object())}")
    for stamp in list(inner.list()):
        inner.delete(stamp.key)
    return CountingStore(inner)


def test_calls_and_bytes_are_counted_by_kind(store):
    """Each call counts once by its name, with the bytes it moved, also through a store below."""
    store.put("a", b"12345")
    store.below("b").put("c", b"123")
    store.get("a")
    store.get_ranges("a", [ByteRange(0, 2), ByteRange(4, 1)])
    list(store.sweep([RangeRequest("a", ByteRange(0, 4)), RangeRequest("none", ByteRange(0, 4))]))
    list(store.list())
    store.upload_if_absent("u", [b"12", b"345"])

    assert store.requests == {"put": 2, "get": 1, "get_ranges": 1, "sweep": 2, "list": 1, "upload_if_absent": 1}
    assert store.bytes_written == {"put": 8, "upload_if_absent": 5}
    assert store.bytes_read == {"get": 5, "get_ranges": 3, "sweep": 4}


def test_failures_count_and_reset_forgets(store):
    """A call that fails was a call; after a reset everything is zero."""
    with pytest.raises(errors.ObjectMissing):
        store.head("none")
    assert store.requests == {"head": 1}

    store.reset()
    assert not store.requests


def test_a_pickled_counter_begins_at_zero(store):
    """Counts stay in the process that made them."""
    store.put("a", b"1")

    assert not pickle.loads(pickle.dumps(store)).requests
