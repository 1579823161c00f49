"""Scans, and the catalogue that they leave."""

import pytest

from reprocess import errors
from reprocess.archive import catalogue, scan
from reprocess.archive.keys import KeyPattern
from reprocess.formats import records
from reprocess.storage.locate import open_store
from tests.archive.stores import CountingStore, dataset, fill, raw_key
from tests.formats import files


@pytest.fixture
def raw():
    return CountingStore()


@pytest.fixture
def archive():
    return CountingStore()


def datasets(archive):
    return sorted(entry.dataset for entry in catalogue.open_catalogue(archive).entries() if entry.level == "uncal")


def point(archive, name, **payload):
    archive.put(f"pointers/{name}.json", records.dumps("pointer", 1, {"dataset": name, **payload}))


class TestScan:
    """`scan.scan`."""

    def test_reads_each_header_once(self, raw, archive):
        """A new object costs one ranged read, and its keywords and layout are in the catalogue."""
        fill(raw, [dataset(1), dataset(2), dataset(1, "05678")])

        done = scan.scan([raw], archive)

        assert (done.new, done.changed, done.unchanged, done.vanished, done.unreadable) == (3, 0, 0, 0, 0)
        assert set(raw.reads.values()) == {1}
        assert done.requests == 3
        (entry, *_) = done.catalogue.entries(["05678"])
        assert (entry.header["FILTER"], entry.sci_shape) == ("F200W", (2, 3, 16, 12))

    def test_unchanged_archive_is_not_read(self, raw, archive):
        """Scanning an unchanged archive again reads no raw object, no product and no pointer."""
        fill(raw, [dataset(n) for n in range(5)])
        raw.put(raw_key(dataset(0), "rate"), files.uncal())
        raw.put("odd_uncal.fits", b"")
        point(archive, dataset(0))
        scan.scan([raw], archive)
        raw.reads.clear()
        archive.reads.clear()
        before = catalogue.read_generation(archive)

        done = scan.scan([raw], archive)

        assert not raw.reads
        assert set(archive.reads) == {"catalogue/current.json"}
        assert (done.new, done.changed, done.unchanged, done.vanished, done.requests) == (0, 0, 6, 0, 0)
        assert catalogue.read_generation(archive).sequence == before.sequence

    def test_only_what_changed_is_read(self, raw, archive):
        """New and replaced objects are read, the others are kept, and what vanished is dropped."""
        fill(raw, [dataset(n) for n in range(4)])
        scan.scan([raw], archive)
        raw.reads.clear()
        raw.put(raw_key(dataset(1)), files.uncal(primary={"FILTER": "F090W"}))
        raw.delete(raw_key(dataset(2)))
        fill(raw, [dataset(9)])

        done = scan.scan([raw], archive)

        assert (done.new, done.changed, done.unchanged, done.vanished) == (1, 1, 2, 1)
        assert set(raw.reads) == {raw_key(dataset(1)), raw_key(dataset(9))}
        filters = {entry.dataset: entry.header["FILTER"] for entry in done.catalogue.entries()}
        assert filters == {dataset(0): "F200W", dataset(1): "F090W", dataset(3): "F200W", dataset(9): "F200W"}

    def test_a_program_vanishes(self, raw, archive):
        """A program without any object left leaves the catalogue."""
        fill(raw, [dataset(1), dataset(1, "05678")])
        scan.scan([raw], archive)
        raw.delete(raw_key(dataset(1)))

        done = scan.scan([raw], archive)

        assert (done.vanished, done.unchanged) == (1, 1)
        assert datasets(archive) == [dataset(1, "05678")]

    def test_long_header(self, raw, archive):
        """A header that goes on past the first range costs a second read, and no third."""
        fill(raw, [dataset(1)], extra_cards=900)

        done = scan.scan([raw], archive)

        assert done.requests == 2
        assert next(done.catalogue.entries()).sci_shape == (2, 3, 16, 12)

    @pytest.mark.parametrize("data", [b"", b"no FITS", files.uncal()[:4000], files.uncal()[:7000]])
    def test_unreadable_objects_stay(self, raw, archive, data):
        """An object that cannot be read is a candidate with its reason, and it is not read again until it changes."""
        raw.put(raw_key(dataset(1)), data)
        fill(raw, [dataset(2)])

        done = scan.scan([raw], archive)
        raw.reads.clear()
        again = scan.scan([raw], archive)

        broken, good = sorted(done.catalogue.entries(), key=lambda entry: entry.key)
        assert broken.error_class == "bad-data"
        assert raw_key(dataset(1)) in broken.error
        assert good.error is None
        assert (done.unreadable, again.unreadable, dict(raw.reads)) == (1, 1, {})

    def test_refused_objects_are_tried_again(self, raw, archive):
        """What the store refused may be readable next time, so it is asked for again, alone."""
        fill(raw, [dataset(1), dataset(2)])
        raw.failures[raw_key(dataset(1))] = errors.AccessDenied("no")
        refused = scan.scan([raw], archive)
        raw.failures.clear()
        raw.reads.clear()

        done = scan.scan([raw], archive)

        assert [entry.error_class for entry in refused.catalogue.entries()] == ["storage", None]
        assert [entry.error_class for entry in done.catalogue.entries()] == [None, None]
        assert dict(raw.reads) == {raw_key(dataset(1)): 1}

    def test_unparsable_keys(self, raw, archive):
        """A Level 1b file without a name is a candidate with its reason, unread; other strangers are only counted."""
        raw.put("odd_uncal.fits", b"x")
        raw.put("notes.txt", b"x")
        raw.put(raw_key(dataset(1), "cal"), b"x")

        done = scan.scan([raw], archive)

        (entry,) = done.catalogue.entries()
        assert entry.error_class == "bad-data"
        assert "odd_uncal.fits" in entry.error
        assert done.ignored == {"other": 1, "cal": 1}
        assert (done.unreadable, dict(raw.reads)) == (1, {})

    def test_own_pattern(self, raw, archive):
        """The archive's own key pattern names the objects, also those that were read under another one."""
        raw.put("uncal/night-7.fits", files.uncal())
        done = scan.scan([raw], archive, pattern=KeyPattern(r"(?P<level>\w+)/(?P<dataset>[^/]+)\.fits"))
        again = scan.scan([raw], archive, pattern=KeyPattern(r"(?P<level>\w+)/(?P<dataset>night)-7\.fits"))

        assert [entry.dataset for entry in done.catalogue.entries()] == ["night-7"]
        assert [entry.dataset for entry in again.catalogue.entries()] == ["night"]

    def test_products_and_pointers(self, raw, archive):
        """Products beside the raw object and our pointers are kept too; they are read again only when they change."""
        fill(raw, [dataset(1), dataset(2)])
        raw.put(raw_key(dataset(1), "rate"), files.to_bytes(fits_rate()))
        point(archive, dataset(2), version="a-1")
        point(archive, dataset(3, "09999"), version="orphan")
        first = scan.scan([raw], archive)
        archive.reads.clear()
        point(archive, dataset(2), version="b-1")

        done = scan.scan([raw], archive)

        products = [entry for entry in done.catalogue.entries() if entry.level == "rate"]
        pointer = done.catalogue.pointers("01234")[dataset(2)]
        assert first.pointers == 2
        assert [product.header["CAL_VER"] for product in products] == ["1.20.0"]
        assert pointer.etag == archive.head(f"pointers/{dataset(2)}.json").etag
        assert {key for key in archive.reads if key.startswith("pointers/")} == {f"pointers/{dataset(2)}.json"}

    def test_object_replaced_meanwhile(self, raw, archive):
        """An object replaced between listing and reading is described as it is now, with one more read."""
        fill(raw, [dataset(1)])
        listed = raw.list

        def replace_after_listing(prefix=""):
            yield from list(listed(prefix))
            raw.put(raw_key(dataset(1)), files.uncal(primary={"FILTER": "F090W"}))

        raw.list = replace_after_listing
        done = scan.scan([raw], archive)
        raw.list = listed
        raw.reads.clear()
        again = scan.scan([raw], archive)

        (entry,) = done.catalogue.entries()
        assert (entry.header["FILTER"], entry.etag, done.requests) == ("F090W", raw.head(entry.key).etag, 2)
        assert list(again.catalogue.entries()) == [entry]
        assert not raw.reads

    def test_object_gone_meanwhile(self, raw, archive):
        """An object that vanished between listing and reading is no candidate."""
        fill(raw, [dataset(1), dataset(2)])
        listed = raw.list

        def delete_after_listing(prefix=""):
            yield from list(listed(prefix))
            raw.delete(raw_key(dataset(1)))

        raw.list = delete_after_listing

        assert [entry.dataset for entry in scan.scan([raw], archive).catalogue.entries()] == [dataset(2)]

    def test_two_scans_at_once(self, raw, archive):
        """The slower of two scans keeps what the faster one found, and reads nothing twice that both need."""
        fill(raw, [dataset(1)])

        def other_scan():
            fill(raw, [dataset(2)])
            scan.scan([raw], archive)

        archive.before_swap = other_scan
        done = scan.scan([raw], archive)

        assert datasets(archive) == [dataset(1), dataset(2)]
        assert done.catalogue.generation.sequence == 1
        assert raw.reads[raw_key(dataset(2))] == 1

    def test_cut_off(self, raw, archive):
        """A scan that died before it moved the catalogue shows nothing, and the next one reads no header again."""
        fill(raw, [dataset(1), dataset(1, "05678")])

        def die():
            raise KeyboardInterrupt

        archive.before_swap = die
        with pytest.raises(KeyboardInterrupt):
            scan.scan([raw], archive)
        with pytest.raises(errors.ArchiveError, match="no catalogue"):
            catalogue.open_catalogue(archive)
        raw.reads.clear()
        done = scan.scan([raw], archive)

        assert not raw.reads
        assert done.catalogue.rows == 2

    def test_lost_answer(self, raw, archive):
        """A commit whose answer was lost is recognised as done."""
        fill(raw, [dataset(1)])
        put = archive.put_if_absent

        def lose_answer(key, data, **options):
            put(key, data, **options)
            if key == catalogue.CURRENT:
                raise errors.StorageUnavailable("no answer")

        archive.put_if_absent = lose_answer

        assert scan.scan([raw], archive).catalogue.generation.sequence == 1

    def test_overtaken_for_ever(self, raw, archive):
        """A scan that never gets its turn says so."""
        fill(raw, [dataset(1)])
        scan.scan([raw], archive)
        swap = archive.compare_and_swap

        def overtake(key, data, *, etag):
            swap(key, archive.get(key).data + b" ", etag=etag)
            return swap(key, data, etag=etag)

        archive.compare_and_swap = overtake
        fill(raw, [dataset(2)])
        with pytest.raises(errors.CommitConflict, match="were faster"):
            scan.scan([raw], archive)

    def test_many_programs(self, raw, archive, monkeypatch):
        """Programs are swept in batches, and none is lost or read twice."""
        monkeypatch.setattr(scan, "_BATCH", 3)
        names = [dataset(number, f"{program:05d}") for program in range(1, 6) for number in (1, 2)]
        fill(raw, names)

        done = scan.scan([raw], archive)

        assert datasets(archive) == names
        assert (done.requests, set(raw.reads.values())) == (10, {1})

    def test_lost_partition(self, raw, archive):
        """A partition that somebody deleted is made again."""
        fill(raw, [dataset(1), dataset(1, "05678")])
        done = scan.scan([raw], archive)
        archive.delete(done.catalogue.generation.parts["objects"]["05678"].key)

        again = scan.scan([raw], archive)

        assert again.requests == 1
        assert datasets(archive) == [dataset(1), dataset(1, "05678")]

    def test_in_directories(self, tmp_path):
        """Directories serve as well as buckets."""
        for name in ("raw", "archive"):
            (tmp_path / name).mkdir()
        raw, archive = (open_store(str(tmp_path / name)) for name in ("raw", "archive"))
        fill(raw, [dataset(1)])

        first = scan.scan([raw], archive)
        again = scan.scan([raw], archive)

        assert (first.new, again.unchanged, again.requests) == (1, 1, 0)
        assert datasets(archive) == [dataset(1)]

    def test_progress(self, raw, archive):
        """Progress counts up to what has to be read."""
        fill(raw, [dataset(1), dataset(2)])
        seen = []

        scan.scan([raw], archive, progress=lambda done, total: seen.append((done, total)))

        assert seen == [(1, 2), (2, 2)]


def fits_rate():
    from astropy.io import fits

    header = fits.Header({"CAL_VER": "1.20.0", "CRDS_CTX": "jwst_0500.pmap"})
    planes = files.planes()
    return [fits.PrimaryHDU(header=header), fits.ImageHDU(planes.sci, name="SCI")]
