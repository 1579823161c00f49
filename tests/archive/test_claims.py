"""Claims: one at a time, as far as possible, and never for ever."""

import pytest

from reprocess import errors
from reprocess.archive.claims import claimed
from tests.archive.stores import CountingStore

KEY = "claims/one"


@pytest.fixture
def store():
    return CountingStore()


def test_given_back(store):
    """The claim is there while the block runs, and gone after it, also when the block fails."""

    def fail():
        with claimed(store, KEY, lambda: None) as found:
            assert found is None
            assert [stamp.key for stamp in store.list()] == [KEY]
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(store.list())


def test_what_another_has_made(store):
    """Whoever waits gets what the holder makes, and does not touch its claim."""
    store.put(KEY, b"another")
    looks = iter([None, None, "made"])

    with claimed(store, KEY, lambda: next(looks)) as found:
        assert found == "made"
    assert store.get(KEY).data == b"another"


def test_finished_between_the_last_look_and_the_claim(store):
    """A claim that comes free just when the work is done is no reason to do it again."""
    with claimed(store, KEY, lambda: "made") as found:
        assert found == "made"
    assert not list(store.list())


def test_overtaken(store):
    """A claim that stays as it is for too long is taken over, and its late holder leaves the new one alone."""
    with claimed(store, KEY, lambda: None), claimed(store, KEY, lambda: None, patience_s=0.1) as found:
        assert found is None
        second = store.get(KEY).data
    assert not list(store.list())

    with claimed(store, KEY, lambda: None):
        store.put(KEY, second)
    assert store.get(KEY).data == second


def test_no_claims_to_be_had(store, monkeypatch):
    """A store that does not answer for a claim does not stop the work."""

    def refuse(key, data, **options):
        raise errors.StorageUnavailable("no answer")

    monkeypatch.setattr(store, "put_if_absent", refuse)
    with claimed(store, KEY, lambda: None) as found:
        assert found is None
