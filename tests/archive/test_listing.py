"""Listings of ranges side by side."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.archive import listing
from reprocess.storage import Store
from reprocess.storage.memory import MemoryStore
from tests.archive.stores import CountingStore, dataset, raw_key


class PagedStore(MemoryStore):
    """A memory store that answers like a server, and writes down where listings begin."""

    def __init__(self, name, prefix=""):
        super().__init__(name, prefix)
        self.lists = []

    @property
    def answers_by_page(self):
        return True

    def list(self, prefix="", *, after=""):
        self.lists.append(after)
        yield from super().list(prefix, after=after)


@pytest.fixture
def store():
    return PagedStore(CountingStore().url.removeprefix("memory://"))


def keys_of(store, prefix=""):
    return sorted(stamp.key for stamp in chain.from_iterable(listing.pages(store, prefix)))


LAYOUTS = {
    "public": lambda n: raw_key(dataset(n, f"{n % 7:05d}")),
    "flat": lambda n: f"{dataset(n, f'{n * 37 % 9000:05d}')}_uncal.fits",
    "one folder": lambda n: f"a/b/c/{n:05d}.fits",
    "a folder each": lambda n: f"{n:05d}/x.fits",
    "mixed": lambda n: f"a/{n}" if n % 3 else f"{n}" if n % 2 else f"a/{n}/b/{n}",
}


class TestPages:
    """`pages`."""

    @pytest.mark.parametrize("layout", LAYOUTS)
    def test_the_same_as_one_after_the_other(self, store, monkeypatch, layout):
        """Whatever the layout, ranges side by side give exactly the objects of one listing, each once."""
        monkeypatch.setattr(listing, "PAGE", 10)
        monkeypatch.setattr(listing, "_NAMES", 100)
        for number in range(300):
            store.put(LAYOUTS[layout](number), b"1")

        found = list(chain.from_iterable(listing.pages(store)))

        assert sorted(found, key=lambda stamp: stamp.key) == list(MemoryStore.list(store))

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.text("ab/jw0é", min_size=1, max_size=8), max_size=40), st.sampled_from(["", "a/", "jw0/"]))
    def test_any_keys(self, names, prefix):
        """For any set of keys the same holds below any prefix."""
        store = PagedStore(CountingStore().url.removeprefix("memory://"))
        for name in names:
            try:
                store.put(name, b"1")
            except errors.StorageError:
                continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "PAGE", 2)
            found = keys_of(store, prefix)

        assert found == [stamp.key for stamp in MemoryStore.list(store, prefix)]

    def test_a_small_listing_costs_one(self, store):
        """Less than a page needs no cut."""
        store.put("a/b", b"1")

        assert keys_of(store) == ["a/b"]
        assert store.lists == [""]

    def test_several_at_a_time(self, store, monkeypatch):
        """A long listing is cut into ranges, but into far fewer than there are prefixes."""
        monkeypatch.setattr(listing, "PAGE", 10)
        for number in range(900):
            store.put(f"{number % 30:02d}/{number:04d}", b"1")

        found = sorted(stamp.key for stamp in chain.from_iterable(listing.pages(store, concurrency=4)))

        assert len(found) == 900
        begun = [after for after in store.lists if after]
        assert 2 <= len(begun) == len(set(begun)) <= 20  # how many depends on which thread is first

    def test_local_directories_are_walked_once(self, tmp_path, monkeypatch):
        """Where no server answers, more than one listing would be work for nothing."""
        from reprocess.storage.counting import CountingStore as Counting
        from reprocess.storage.local import LocalStore

        monkeypatch.setattr(listing, "PAGE", 2)
        store = Counting(LocalStore(tmp_path))
        for name in ("a/1", "a/2", "b/1", "c"):
            store.put(name, b"1")

        assert keys_of(store) == ["a/1", "a/2", "b/1", "c"]
        assert (store.requests["list"], store.requests["prefixes"]) == (1, 0)

    def test_an_error_is_not_lost(self, store, monkeypatch):
        """When one range fails, the listing fails; a part is never taken for the whole."""
        monkeypatch.setattr(listing, "PAGE", 10)
        for number in range(100):
            store.put(f"{number % 9}/{number:04d}", b"1")
        whole = store.list

        def failing(prefix="", *, after=""):
            if after.startswith("5"):
                raise errors.StorageUnavailable("no answer")
            yield from whole(prefix, after=after)

        store.list = failing
        with pytest.raises(errors.StorageUnavailable):
            keys_of(store)

    def test_in_a_bucket(self, s3_store: Store, monkeypatch):
        """A real client lists the same."""
        monkeypatch.setattr(listing, "PAGE", 5)
        for number in range(40):
            s3_store.put(f"{number % 4}/{number:02d}", b"1")

        assert s3_store.answers_by_page
        assert keys_of(s3_store) == [stamp.key for stamp in s3_store.list()]
