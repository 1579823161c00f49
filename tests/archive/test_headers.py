"""Header sweeps."""

import pytest

from reprocess import errors
from reprocess.archive import headers
from reprocess.archive.headers import Reads
from reprocess.archive.spool import Found
from tests.archive.stores import CountingStore, dataset, fill, raw_key
from tests.formats import files


def listed(store, level="uncal"):
    return [Found(store.url, stamp, stamp.key.rpartition("/")[2].rpartition("_")[0], level) for stamp in store.list()]


class TestSweep:
    """`sweep`."""

    @pytest.mark.parametrize(("name", "shape"), [(files.NIRCAM, None), (files.GUIDER, None)])
    def test_flight_files(self, name, shape):
        """The header of a real exposure is read with one request, and what it promises is there."""
        store, reads = CountingStore(), Reads()
        store.put(name, files.flight_file(name).read_bytes())

        (entry,) = headers.sweep(store, listed(store), reads=reads)

        assert reads.requests == 1
        assert entry.dataset == name.removesuffix("_uncal.fits")
        assert entry.header["TELESCOP"] == "JWST"
        if entry.error is None:
            assert len(entry.sci_shape) == 4
        else:
            assert name in entry.error

    def test_strings_are_shared(self):
        """Equal values of many exposures are one string in memory."""
        store = CountingStore()
        fill(store, [dataset(1), dataset(2)])

        one, two = headers.sweep(store, listed(store), reads=Reads())

        assert one.header["EXP_TYPE"] is two.header["EXP_TYPE"]

    def test_foreign_exceptions_are_defects(self):
        """An exception that is none of ours is not taken for a property of the object."""
        store = CountingStore()
        fill(store, [dataset(1)])
        store.failures[raw_key(dataset(1))] = ZeroDivisionError()

        with pytest.raises(ZeroDivisionError):
            list(headers.sweep(store, listed(store), reads=Reads()))

    def test_refused(self):
        """An object that the store refuses has an entry of class storage."""
        store = CountingStore()
        fill(store, [dataset(1)])
        store.failures[raw_key(dataset(1))] = errors.AccessDenied("not allowed")

        (entry,) = headers.sweep(store, listed(store), reads=Reads())

        assert (entry.error_class, entry.error) == ("storage", "not allowed")


class TestSweepPointers:
    """`sweep_pointers`."""

    def test_grown_meanwhile(self):
        """A pointer that moved since the listing is read whole as it is now."""
        store = CountingStore()
        store.put("pointers/a.json", b"{}")
        found = listed(store)
        store.put("pointers/a.json", b"{" + b" " * 100_000 + b"}")

        (pointer,) = headers.sweep_pointers(store, found, reads=Reads())

        assert (pointer.size, pointer.error_class) == (100_002, errors.DamagedRecord.outcome_class)
        assert pointer.etag == store.head("pointers/a.json").etag

    def test_foreign_exceptions_are_defects(self):
        """An exception that is none of ours is not taken for a property of the record."""
        store = CountingStore()
        store.put("pointers/a.json", b"{}")
        store.failures["pointers/a.json"] = ZeroDivisionError()

        with pytest.raises(ZeroDivisionError):
            list(headers.sweep_pointers(store, listed(store), reads=Reads()))

    def test_gone_and_refused(self):
        """A pointer that is gone is left out; one that the store refuses says why."""
        store = CountingStore()
        store.put("pointers/a.json", b"{}")
        store.put("pointers/b.json", b"{}")
        found = listed(store)
        store.delete("pointers/a.json")
        store.failures["pointers/b.json"] = errors.AccessDenied("not allowed")

        (pointer,) = headers.sweep_pointers(store, found, reads=Reads())

        assert (pointer.key, pointer.error) == ("pointers/b.json", "not allowed")
