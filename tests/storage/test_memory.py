import itertools
import pickle

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from reprocess.storage import Store, open_store
from tests.storage.store_contract import StoreContract
from tests.storage.store_model import machine

_names = (f"test-{number}" for number in itertools.count())


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return open_store(f"memory://{next(_names)}")


def test_random_operations():
    """A memory store does what a dictionary does."""
    model = machine(lambda: open_store(f"memory://{next(_names)}/below"))
    run_state_machine_as_test(model, settings=settings(max_examples=50, deadline=None, stateful_step_count=30))


def test_stores_of_one_name_share_objects():
    """A name means the same objects everywhere in a process, and another name others."""
    open_store("memory://shared-name").put("a", b"1")

    assert open_store("memory://shared-name").get("a").data == b"1"
    assert pickle.loads(pickle.dumps(open_store("memory://shared-name"))).get("a").data == b"1"
    assert list(open_store("memory://another-name").list()) == []


def test_equal_bodies_have_different_etags():
    """An ETag never comes twice, so A, B, A is noticed."""
    store = open_store(f"memory://{next(_names)}")

    assert len({store.put("a", b"same").etag for _ in range(10)}) == 10
