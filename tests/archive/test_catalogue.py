"""The catalogue as readers see it."""

import pytest

from reprocess import errors
from reprocess.archive import catalogue, scan
from tests.archive.stores import CountingStore, dataset, fill


@pytest.fixture
def raw():
    return CountingStore()


@pytest.fixture
def archive():
    return CountingStore()


def datasets(archive):
    return sorted(entry.dataset for entry in catalogue.open_catalogue(archive).entries())


class TestCatalogue:
    """`Catalogue`."""

    def test_reads_only_what_is_asked_for(self, raw, archive):
        """Asking for one program reads the partitions of that program alone."""
        fill(raw, [dataset(1), dataset(1, "05678")])
        found = scan.scan([raw], archive).catalogue
        archive.reads.clear()

        ((objects, _),) = found.batches(["05678"])

        assert objects.column("dataset").to_pylist() == [dataset(1, "05678")]
        assert [key for key in archive.reads if "program=" in key] == [found.generation.parts["objects"]["05678"].key]
        assert next(found.batches(["09999"]))[0].num_rows == 0

    def test_datasets(self, raw, archive):
        """The names of a program are those of its Level 1b objects; products of others have none of their own."""
        fill(raw, [dataset(1), dataset(2), dataset(1, "05678")])
        for stamp in list(raw.list()):
            raw.put(stamp.key.replace("_uncal", "_rate"), raw.get(stamp.key).data)
        found = scan.scan([raw], archive).catalogue

        assert sorted(found.datasets("01234")) == [dataset(1), dataset(2)]
        assert found.datasets("09999") == []

    def test_a_reader_keeps_its_generation(self, raw, archive):
        """What a reader opened stays as it was while scans go on."""
        fill(raw, [dataset(1)])
        before = scan.scan([raw], archive).catalogue
        fill(raw, [dataset(2)])
        scan.scan([raw], archive)

        assert [entry.dataset for entry in before.entries()] == [dataset(1)]
        assert before.rows == 1
        assert datasets(archive) == [dataset(1), dataset(2)]


class TestRemove:
    """`catalogue.superseded` and `catalogue.remove`."""

    def test_keeps_what_is_used(self, raw, archive):
        """Old partitions go, and the catalogue reads as before."""
        fill(raw, [dataset(1)])
        scan.scan([raw], archive)
        assert not catalogue.superseded(archive)
        fill(raw, [dataset(2)])
        scan.scan([raw], archive)

        old = [stamp for stamp, _ in catalogue.superseded(archive)]
        catalogue.remove(archive, old)

        assert len(old) == 1
        assert not catalogue.superseded(archive)
        assert datasets(archive) == [dataset(1), dataset(2)]

    def test_when_it_was_in_use(self, raw, archive, monkeypatch):
        """However old a partition is, it was in use until the next one of its program was written."""
        days = (f"2026-01-{day:02d}T00:00:00Z" for day in range(1, 32))
        monkeypatch.setattr("reprocess.storage.memory.iso", lambda _: next(days))
        fill(raw, [dataset(1)])
        scan.scan([raw], archive)
        fill(raw, [dataset(2)])
        scan.scan([raw], archive)
        generation = catalogue.read_generation(archive)
        ((old, until),) = catalogue.superseded(archive)

        (used,) = generation.parts[catalogue.OBJECTS].values()
        assert until == archive.head(used.key).modified > old.modified

    def test_a_scan_that_had_seen_it(self, raw, archive):
        """A scan that began before must not commit a catalogue that names what is gone: it has to read again."""
        fill(raw, [dataset(1)])
        scan.scan([raw], archive)
        base = catalogue.read_generation(archive)

        catalogue.remove(archive, [])

        assert not catalogue.commit(archive, base, base)
        assert catalogue.read_generation(archive).parts == base.parts


class TestOpenCatalogue:
    """`catalogue.open_catalogue`."""

    @pytest.mark.parametrize("data", [b"{", b'{"kind":"catalogue","schema":1}', b'{"kind":"plan","schema":1}'])
    def test_damaged(self, archive, data):
        """A record that is unreadable is refused, and the message says what to do."""
        archive.put(catalogue.CURRENT, data)

        with pytest.raises(errors.DamagedRecord, match="current"):
            catalogue.open_catalogue(archive)
