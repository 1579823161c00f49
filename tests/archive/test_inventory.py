"""Listings."""

from reprocess.archive import inventory
from reprocess.archive.inventory import Found
from reprocess.archive.keys import KeyPattern
from reprocess.storage.store import Stamp
from tests.archive.stores import CountingStore, dataset, raw_key


def found(key="k", size=1, etag="e", name="d", level="uncal", location="memory://a"):
    return Found(location, Stamp(key, size, etag), name, level)


class TestTake:
    """`take`."""

    def test_sorts_by_program(self):
        """Objects and pointers are gathered by program; nothing is read."""
        raw, archive = CountingStore(), CountingStore()
        for name in (dataset(1), dataset(2), dataset(1, "05678")):
            raw.put(raw_key(name), b"x")
        archive.put(f"pointers/{dataset(1)}.json", b"{}")
        archive.put("pointers/notes.txt", b"")

        taken = inventory.take([raw], archive, KeyPattern())

        assert {program: len(found) for program, found in taken.objects.items()} == {"01234": 2, "05678": 1}
        assert [one.dataset for one in taken.pointers["01234"]] == [dataset(1)]
        assert not raw.reads
        assert not archive.reads

    def test_everything_is_accounted_for(self):
        """Each listed object is catalogued, a stranger with a reason, or counted as ignored."""
        raw = CountingStore()
        names = [
            raw_key(dataset(1)),
            raw_key(dataset(1), "rate"),
            raw_key(dataset(1), "i2d"),
            "a_uncal.fits",
            "b.txt",
            "c.jpg",
        ]
        for key in names:
            raw.put(key, b"x")

        taken = inventory.take([raw], CountingStore(), KeyPattern())

        catalogued = sum(map(len, taken.objects.values()))
        assert (catalogued, len(taken.unparsable), taken.ignored) == (2, 1, {"i2d": 1, "other": 2})


class TestDigest:
    """`digest`."""

    def test_order_does_not_matter(self):
        """A listing is the same whatever order it came in."""
        one, two = found("a"), found("b")

        assert inventory.digest([one, two], "1") == inventory.digest([two, one], "1")

    def test_everything_else_does(self):
        """Another version, name, level, place or salt is another listing."""
        listings = [
            found(),
            found(key="x"),
            found(size=2),
            found(etag="f"),
            found(name="x"),
            found(level="rate"),
            found(location="memory://b"),
        ]

        digests = {inventory.digest([one], salt) for one in listings for salt in ("1", "2")}

        assert len(digests) == 14
