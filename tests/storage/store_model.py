"""Random operations on a store, compared with a dictionary that is taken to be right."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reprocess import errors
from reprocess.storage import ByteRange, Store

KEYS = st.sampled_from(["a", "b/c", "b/d", "b-e", "b.e/f", "bé", "b/c+ %", "c/d/e/f"])
BODIES = st.binary(max_size=40)
PREFIXES = st.sampled_from(["", "b", "b/", "b/c", "c/d/", "x", "a"])


def machine(make: Callable[[], Store]) -> type[RuleBasedStateMachine]:
    """Make the state machine of a backend; `make` gives an empty store."""

    class StoreModel(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.store = make()
            self.model: dict[str, bytes] = {}
            self.etags: dict[str, str] = {}
            self.past: dict[str, list[str]] = {}

        def wrote(self, key: str, data: bytes, etag: str) -> None:
            if key in self.etags:
                self.past.setdefault(key, []).append(self.etags[key])
            self.model[key], self.etags[key] = data, etag

        def removed(self, key: str) -> None:
            self.past.setdefault(key, []).append(self.etags.pop(key))
            del self.model[key]

        def stale(self, key: str) -> str:
            """An earlier ETag that is not the present one, or one that never was."""
            earlier = [etag for etag in self.past.get(key, []) if etag != self.etags.get(key)]
            return earlier[-1] if earlier else '"0123456789abcdef0123456789abcdef"'

        @rule(key=KEYS, data=BODIES)
        def put(self, key, data):
            self.wrote(key, data, self.store.put(key, data).etag)

        @rule(key=KEYS, data=BODIES, upload=st.booleans())
        def put_if_absent(self, key, data, upload):
            def write():
                if upload:
                    return self.store.upload_if_absent(key, [data[:3], data[3:]])
                return self.store.put_if_absent(key, data)

            if key in self.model:
                with pytest.raises(errors.AlreadyExists):
                    write()
            else:
                self.wrote(key, data, write().etag)

        @rule(key=KEYS, data=BODIES)
        def swap(self, key, data):
            if key in self.model:
                self.wrote(key, data, self.store.compare_and_swap(key, data, etag=self.etags[key]).etag)

        @rule(key=KEYS, data=BODIES)
        def swap_a_stale_version(self, key, data):
            expected = errors.PreconditionFailed if key in self.model else errors.ObjectMissing
            with pytest.raises(expected):
                self.store.compare_and_swap(key, data, etag=self.stale(key))

        @rule(key=KEYS, named=st.booleans())
        def delete(self, key, named):
            if key in self.model:
                self.store.delete(key, etag=self.etags[key] if named else "")
                self.removed(key)
            else:
                self.store.delete(key, etag=self.stale(key) if named else "")

        @rule(key=KEYS)
        def delete_a_stale_version(self, key):
            if key in self.model:
                with pytest.raises(errors.PreconditionFailed):
                    self.store.delete(key, etag=self.stale(key))

        @rule(key=KEYS, start=st.integers(0, 45), length=st.integers(0, 45))
        def read(self, key, start, length):
            if key not in self.model:
                with pytest.raises(errors.ObjectMissing):
                    self.store.get(key)
                return
            data = self.model[key]
            blob = self.store.get(key, etag=self.etags[key])
            assert (blob.data, blob.stamp.etag) == (data, self.etags[key])
            if length and start + length > len(data):
                with pytest.raises(errors.StorageError):
                    self.store.get_ranges(key, [ByteRange(start, length)])
            elif length:
                assert self.store.get_ranges(key, [ByteRange(start, length)]) == [data[start : start + length]]

        @rule(prefix=PREFIXES, after=KEYS)
        def list_after(self, prefix, after):
            names = sorted((key for key in self.model if key.startswith(prefix) and key > after), key=str.encode)
            assert [stamp.key for stamp in self.store.list(prefix, after=after)] == names

        @rule(prefix=PREFIXES)
        def list_prefix(self, prefix):
            found = [(stamp.key, stamp.size, stamp.etag) for stamp in self.store.list(prefix)]
            names = sorted((key for key in self.model if key.startswith(prefix)), key=str.encode)
            assert found == [(key, len(self.model[key]), self.etags[key]) for key in names]

        @invariant()
        def everything_is_there(self):
            assert {stamp.key for stamp in self.store.list()} == set(self.model)

    return StoreModel
