"""Scans, and the catalogue that they leave."""

import json

import numpy as np
import pytest

from reprocess import errors
from reprocess.archive import catalogue, fingerprint, scan
from reprocess.archive.keys import KeyPattern
from reprocess.formats import records
from reprocess.simulation import level1b
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule
from reprocess.storage.locate import open_store
from tests.archive.stores import CountingStore, dataset, fill, manifest, publish, raw_key
from tests.formats import files


@pytest.fixture
def raw():
    return CountingStore()


@pytest.fixture
def archive():
    return CountingStore()


RAW = {"location": "s3://r", "key": "k", "size": 5, "etag": "e"}
CHAIN = fingerprint.to_record(fingerprint.fingerprint(RAW, (), {}, {}))


def record(name, version="v-1", **changes):
    """A pointer record of a version of ours."""
    said = {"dataset": name, "version": version, "software": "1", "context": "c", "raw": RAW, "fingerprint": CHAIN}
    return {**said, "equivalents": [], "history": [], **changes}


def damaged(done):
    """Pointers whose version is not whole, by dataset."""
    every = [one for program in done.catalogue.programs for one in done.catalogue.pointers(program).values()]
    return {one.dataset: one for one in every if one.missing or one.damage}


def _edited(**changes):
    def edit(archive, pointer, place):
        archive.put(place + "manifest.json", manifest(pointer, **changes))

    return edit


def _written(name, data):
    return lambda archive, pointer, place: archive.put(place + name.format(pointer["dataset"]), data)


def _file(**changes):
    def edit(archive, pointer, place):
        (file,) = json.loads(manifest(pointer))["files"]
        archive.put(place + "manifest.json", manifest(pointer, files=[{**file, **changes}]))

    return edit


LIES = {
    "digest": (_file(sha256="0" * 64), "is not the one that was published"),
    "size": (_file(size=2), "_rate.fits has 2 bytes, and it has 1"),
    "file with another size": (_written("{}_rate.fits", b"xyz"), "_rate.fits has 1 bytes, and it has 3"),
    "file that is gone": (_file(name="other.fits"), "lists other.fits, which is gone"),
    "no rate": (_edited(files=[]), "does not list"),
    "no files": (_edited(files=None), "no usable list of files"),
    "files that are none": (_edited(files=[5]), "no usable list of files"),
    "size that is none": (_file(size="1"), "no usable list of files"),
    "dataset": (_edited(dataset=dataset(9)), f"names the dataset '{dataset(9)}', not '{dataset(2)}'"),
    "version": (_edited(version="v-7"), "names the version 'v-7', not 'v-1'"),
    "software": (_edited(software="9"), "names the software '9', not '1'"),
    "raw": (_edited(raw={**RAW, "size": 6}), "another Level 1b object"),
    "raw that is none": (_edited(raw=7), "another Level 1b object"),
    "fingerprint": (_edited(fingerprint=[]), "another fingerprint"),
    "more": (_edited(note="by hand"), "is not the one that was published"),
    "other record": (_written("manifest.json", records.dumps("pointer", 1, {})), "kind 'pointer'"),
    "other schema": (_written("manifest.json", records.dumps("manifest", 7, {})), "schema 7"),
    "other JSON": (_written("manifest.json", b"[1, 2]"), "does not say its kind"),
    "no JSON": (_written("manifest.json", b"<html>"), "no JSON"),
    "no text": (_written("manifest.json", b"\xff\xfe\x00"), "no JSON"),
    "empty": (_written("manifest.json", b""), "no JSON"),
    "nested": (_written("manifest.json", b"[" * 100_000), "nested too deeply"),
    "odd letters": (_edited(version="\ud800\x1b[2J"), "names the version"),
    "long": (_edited(version="v" * 10**6), "vvv..."),
}
ONLY_BY_DIGEST = ("digest", "more")


def datasets(archive):
    return sorted(entry.dataset for entry in catalogue.open_catalogue(archive).entries() if entry.level == "uncal")


def point(archive, name, **payload):
    archive.put(f"pointers/{name}.json", records.dumps("pointer", 1, record(name, **payload)))


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

    def test_one_request_for_each_object(self, raw, archive):
        """Headers as long as those of the observatory: at most 1.05 requests for each new object."""
        options = SimulationOptions(exposures=40, shape=(64, 64), groups=2)
        for exposure in schedule(options):
            frames = [np.zeros(options.shape, np.uint16)] * 2
            raw.put(exposure.key.removeprefix("raw/"), b"".join(level1b.file_parts(exposure, frames)))

        done = scan.scan([raw], archive)

        instruments = {entry.header["INSTRUME"] for entry in done.catalogue.entries()}
        assert (done.unreadable, done.new, len(instruments)) == (0, 40, 4)
        assert sum(raw.reads.values()) == done.requests <= 1.05 * 40

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
        raw.put(raw_key(dataset(1), "i2d"), b"x")

        done = scan.scan([raw], archive)

        (entry,) = done.catalogue.entries()
        assert entry.error_class == "bad-data"
        assert "odd_uncal.fits" in entry.error
        assert done.ignored == {"other": 1, "i2d": 1}
        assert (done.unreadable, dict(raw.reads)) == (1, {})

    def test_what_only_a_judgement_can_refuse(self, raw, archive):
        """Two objects of one name, no date, an unknown kind of exposure: rows like others, and not read again."""
        fill(raw, [dataset(1)])
        raw.put(f"copy/{dataset(1)}_uncal.fits", files.uncal())
        fill(raw, [dataset(2)], primary={"DATE-OBS": None})
        fill(raw, [dataset(3)], primary={"EXP_TYPE": "NRC_NEW"})

        done = scan.scan([raw], archive)
        raw.reads.clear()
        again = scan.scan([raw], archive)

        rows = [
            (one.dataset, one.header.get("EXP_TYPE"), "DATE-OBS" in one.header) for one in again.catalogue.entries()
        ]
        assert sorted(rows) == [
            (dataset(1), "NRC_IMAGE", True),
            (dataset(1), "NRC_IMAGE", True),
            (dataset(2), "NRC_IMAGE", False),
            (dataset(3), "NRC_NEW", True),
        ]
        assert (done.new, done.unreadable, again.unchanged, dict(raw.reads)) == (4, 0, 4, {})

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

    def test_products_that_are_gone(self, raw, archive):
        """A published version whose files vanish is noticed, and so is their return; other versions do not matter."""
        fill(raw, [dataset(1), dataset(2), dataset(1, "05678")])
        for name in (dataset(1), dataset(2), dataset(1, "05678")):
            for version in ("v-0", "v-1"):
                publish(archive, record(name, version))

        def gone():
            found = damaged(scan.scan([raw], archive))
            assert not any(pointer.damage for pointer in found.values())
            return {name: pointer.missing for name, pointer in found.items()}

        assert gone() == {}
        raw.reads.clear()
        archive.reads.clear()
        archive.delete(f"products/{dataset(1)}/v-0/manifest.json")
        assert gone() == {}
        archive.delete(f"products/{dataset(2)}/v-1/{dataset(2)}_rate.fits")
        assert gone() == {dataset(2): ("rate.fits",)}
        archive.delete(f"products/{dataset(2)}/v-1/manifest.json")
        assert gone() == {dataset(2): ("manifest.json", "rate.fits")}
        publish(archive, record(dataset(2)))
        assert gone() == {}
        assert not raw.reads
        assert not [key for key in archive.reads if dataset(1) in key]

    def test_manifests_are_read_once(self, raw, archive):
        """A new version costs one read of its pointer and one of its manifest; later scans read neither."""
        fill(raw, [dataset(1), dataset(2)])
        publish(archive, record(dataset(1)))
        publish(archive, record(dataset(2)))
        first = scan.scan([raw], archive)
        assert [archive.reads[f"products/{dataset(1)}/v-1/manifest.json"], first.requests] == [1, 6]
        archive.reads.clear()

        again = scan.scan([raw], archive)
        assert (set(archive.reads), again.requests) == ({"catalogue/current.json"}, 0)

        publish(archive, record(dataset(2), "v-2"))
        archive.put(f"products/{dataset(1)}/v-9/manifest.json", b"of a version that nobody sees")
        moved = scan.scan([raw], archive)
        assert moved.requests == 2
        assert not [key for key in archive.reads if dataset(1) in key]
        assert damaged(moved) == {}

    @pytest.mark.parametrize(
        ("lie", "sha"), [*((lie, True) for lie in LIES), *((lie, False) for lie in (*ONLY_BY_DIGEST, "size", "empty"))]
    )
    def test_a_manifest_that_lies(self, raw, archive, lie, sha):
        """It is found by one read, told in a sentence, kept as long as nothing changes, and harms no neighbour."""
        change, said = LIES[lie]
        names = [dataset(1), dataset(2), dataset(1, "05678")]
        fill(raw, names)
        for name in names:
            publish(archive, record(name, **({} if sha else {"manifest": ""})))
        assert damaged(scan.scan([raw], archive)) == {}
        archive.reads.clear()
        change(archive, record(dataset(2)), f"products/{dataset(2)}/v-1/")

        done = scan.scan([raw], archive)
        kept = scan.scan([raw], archive)
        fill(raw, [dataset(7)])
        beside = scan.scan([raw], archive)

        if lie in ONLY_BY_DIGEST and not sha:
            assert damaged(done) == {}  # an earlier release did not note the digest; `verify` reads the files back
        else:
            assert list(damaged(done)) == [dataset(2)]
            assert said in damaged(done)[dataset(2)].damage
        assert damaged(done) == damaged(kept) == damaged(beside)
        assert (done.requests, kept.requests, beside.requests) == (1, 0, 1)
        assert not [key for key in archive.reads if not key.startswith("catalogue/") and dataset(2) not in key]

        publish(archive, record(dataset(2), **({} if sha else {"manifest": ""})))
        assert damaged(scan.scan([raw], archive)) == {}

    def test_a_manifest_that_is_refused(self, raw, archive):
        """It says nothing of the product: the row has an error of the store, and the next scan tries again."""
        fill(raw, [dataset(1), dataset(2)])
        publish(archive, record(dataset(1)))
        publish(archive, record(dataset(2)))
        key = f"products/{dataset(1)}/v-1/manifest.json"
        archive.failures[key] = errors.AccessDenied("not allowed")
        refused = scan.scan([raw], archive)
        archive.failures.clear()
        archive.reads.clear()

        done = scan.scan([raw], archive)

        assert damaged(refused) == damaged(done) == {}
        (pointer, whole) = (refused.catalogue.pointers("01234")[dataset(number)] for number in (1, 2))
        assert (pointer.error_class, whole.error_class) == ("storage", None)
        assert "manifest of version v-1" in pointer.error
        assert "not allowed" in pointer.error
        assert done.catalogue.pointers("01234")[dataset(1)].error is None
        assert {name for name in archive.reads if not name.startswith("catalogue/")} == {
            key,
            f"pointers/{dataset(1)}.json",
        }

    def test_a_manifest_replaced_meanwhile(self, raw, archive):
        """A manifest replaced between listing and reading is judged as it is now, and again when it is listed so."""
        fill(raw, [dataset(1)])
        publish(archive, record(dataset(1)))
        key, listed = f"products/{dataset(1)}/v-1/manifest.json", archive.list

        def replace_after_listing(prefix="", **options):
            yield from list(listed(prefix, **options))
            if prefix == "products/":
                archive.put(key, b"{" + b" " * 5000)

        archive.list = replace_after_listing
        done = scan.scan([raw], archive)
        archive.list = listed
        again = scan.scan([raw], archive)

        assert "no JSON" in damaged(done)[dataset(1)].damage
        assert damaged(again)[dataset(1)].damage == damaged(done)[dataset(1)].damage
        assert (again.requests, scan.scan([raw], archive).requests) == (1, 0)

    def test_a_manifest_gone_meanwhile(self, raw, archive):
        """A manifest that vanished between listing and reading is missing when the next scan lists."""
        fill(raw, [dataset(1)])
        publish(archive, record(dataset(1)))
        key, listed = f"products/{dataset(1)}/v-1/manifest.json", archive.list

        def delete_after_listing(prefix="", **options):
            yield from list(listed(prefix, **options))
            if prefix == "products/":
                archive.delete(key)

        archive.list = delete_after_listing
        assert damaged(scan.scan([raw], archive)) == {}
        archive.list = listed
        assert damaged(scan.scan([raw], archive))[dataset(1)].missing == ("manifest.json",)

    def test_published_while_it_scans(self, raw, archive):
        """A pointer that moved after the products were listed is not said to lack the files of its new version."""
        fill(raw, [dataset(1)])
        publish(archive, record(dataset(1)))
        listed = archive.list

        def publish_after_listing(prefix="", **options):
            yield from list(listed(prefix, **options))
            if prefix == "products/":
                publish(archive, record(dataset(1), "v-2"))

        archive.list = publish_after_listing
        done = scan.scan([raw], archive)
        archive.list = listed
        again = scan.scan([raw], archive)

        for each in (done, again):
            (pointer,) = each.catalogue.pointers("01234").values()
            assert (pointer.version, pointer.missing, pointer.damage) == ("v-2", (), "")

    def test_object_replaced_meanwhile(self, raw, archive):
        """An object replaced between listing and reading is described as it is now, with one more read."""
        fill(raw, [dataset(1)])
        listed = raw.list

        def replace_after_listing(prefix="", **options):
            yield from list(listed(prefix, **options))
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

        def delete_after_listing(prefix="", **options):
            yield from list(listed(prefix, **options))
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

        scan.scan([raw], archive, progress=lambda *told: seen.append(told))

        assert seen == [(2, None, "objects listed"), (1, 2, "headers"), (2, 2, "headers")]

    def test_the_total_is_known_early(self, raw, archive, monkeypatch):
        """From the first header on progress says how many there will be, over all batches."""
        monkeypatch.setattr(scan, "_BATCH", 2)
        fill(raw, [dataset(number, f"{program:05d}") for program in range(1, 6) for number in (1, 2)])
        seen = []

        scan.scan([raw], archive, progress=lambda done, total, word: seen.append((done, total, word)))

        assert [one for one in seen if one[2] == "headers"] == [(done, 10, "headers") for done in range(1, 11)]


def fits_rate():
    from astropy.io import fits

    header = fits.Header({"CAL_VER": "1.20.0", "CRDS_CTX": "jwst_0500.pmap"})
    planes = files.planes()
    return [fits.PrimaryHDU(header=header), fits.ImageHDU(planes.sci, name="SCI")]
