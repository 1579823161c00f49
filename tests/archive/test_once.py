"""Writing immutable objects."""

import hashlib

import pytest

from reprocess import errors
from reprocess.archive import once
from tests.archive.stores import CountingStore


class TestWriteOnce:
    """`write_once`."""

    @pytest.mark.parametrize("size", [0, 1, 5000])
    def test_writes(self, size, monkeypatch):
        """Bytes arrive whole, in one request or in pieces."""
        monkeypatch.setattr(once, "PIECE_BYTES", 1024)
        store, data = CountingStore(), bytes(range(256)) * 20

        once.write_once(store, "k", data[:size])

        assert store.get("k").data == data[:size]
        assert store.digest("k") == hashlib.sha256(data[:size]).hexdigest()

    def test_taken(self):
        """A key that is taken stays as it is."""
        store = CountingStore()
        stamp = store.put("k", b"x")

        once.write_once(store, "k", b"x")

        assert store.head("k") == stamp

    def test_wrong_digest(self):
        """Bytes that are not those of the declared digest are refused."""
        with pytest.raises(errors.ChecksumMismatch):
            once.write_once(CountingStore(), "k", b"x", sha256="0" * 64)

    def test_no_answer(self, monkeypatch):
        """A store that does not answer is asked four times, with pauses, and then the error is told."""
        pauses, calls = [], []
        monkeypatch.setattr("time.sleep", pauses.append)
        store = CountingStore()

        def no_answer(*_, **__):
            calls.append(1)
            raise errors.StorageUnavailable("no answer")

        store.put_if_absent = no_answer
        with pytest.raises(errors.StorageUnavailable):
            once.write_once(store, "k", b"x")

        assert (len(calls), len(pauses)) == (4, 3)
