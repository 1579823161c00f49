"""References on the disk of a machine."""

import json
import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.formats import prepared, reference_cache, region
from reprocess.formats.reference_cache import ReferenceCache
from reprocess.storage import open_store

RNG = np.random.default_rng(5)
PREFIX = "references/prepared/abc/dark.zarr"
DARK = Reference(
    type="dark",
    arrays={
        "sci": RNG.normal(size=(3, 300, 200)).astype("f4"),
        "dq": RNG.integers(0, 2**32, (300, 200), dtype=np.uint32),
    },
    keywords={"NFRAMES": 1, "EXPTIME": 10.5, "SUBARRAY": "FULL", "SUBSTRT1": 1, "SUBSTRT2": 1},
    name="dark.fits",
)
TABLE = Reference(
    type="rscd",
    arrays={"readpatt": np.array([b"FAST", b"SLOW"]), "group_skip": np.array([1, 2], np.int32)},
    keywords={},
    name="rscd.fits",
)
EVERYTHING = {"corner": (0, 0), "shape": (300, 200)}


@pytest.fixture
def store(tmp_path):
    """A directory with one prepared dark."""
    store = open_store(str(tmp_path / "store"))
    prepared.write_prepared(store, PREFIX, DARK)
    return store


@pytest.fixture
def cache(tmp_path):
    return ReferenceCache(tmp_path / "cache")


@pytest.fixture
def fetched(monkeypatch):
    """Prefixes that were opened to be fetched."""
    found = []
    inner = prepared.open_whole
    monkeypatch.setattr(prepared, "open_whole", lambda store, prefix: found.append(prefix) or inner(store, prefix))
    return found


@pytest.fixture(autouse=True)
def checked(monkeypatch):
    """This process has checked nothing yet."""
    monkeypatch.setattr(reference_cache, "_CHECKED", set())


def same(one, other):
    """Two references are alike in everything that calibration sees."""
    assert (one.type, one.name, dict(one.keywords)) == (other.type, other.name, dict(other.keywords))
    assert one.arrays.keys() == other.arrays.keys()
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name])
        assert array.dtype == other.arrays[name].dtype
        assert array.flags.c_contiguous


class TestContent:
    @pytest.mark.parametrize(
        ("corner", "shape"), [((0, 0), (300, 200)), ((0, 0), (1, 1)), ((250, 190), (50, 10)), ((7, 0), (90, 200))]
    )
    def test_is_what_the_store_gives(self, store, cache, corner, shape):
        """Any part, at the first time and later, is the part that is read without a cache."""
        direct = region.read_region(store, PREFIX, corner=corner, shape=shape)
        for _ in range(2):
            same(cache.read_region(store, PREFIX, "abc", corner=corner, shape=shape), direct)

    @pytest.mark.parametrize("band", [1, 2**20])
    def test_in_bands_of_any_height(self, store, cache, monkeypatch, band):
        """However many rows are fetched at a time, the arrays are the same."""
        monkeypatch.setattr(prepared, "_BAND_BYTES", band)

        same(cache.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)

    def test_tables(self, store, cache):
        """Tables, of text too, are given whole."""
        prepared.write_prepared(store, "table", TABLE)
        for _ in range(2):
            same(cache.read_region(store, "table", "table", corner=(0, 0), shape=(5, 5)), TABLE)

    def test_pages_are_shared(self, store, cache):
        """What is not cut is mapped, and cannot be written to."""
        found = cache.read_region(store, PREFIX, "abc", **EVERYTHING).arrays["sci"]

        base = found
        while not isinstance(base, np.memmap):
            base = base.base
        assert not found.flags.writeable
        assert np.shares_memory(found, base)

    def test_a_reference_that_does_not_cover(self, store, cache):
        """A part outside the reference is refused as it is without a cache."""
        with pytest.raises(errors.DamagedReference, match="does not cover"):
            cache.read_region(store, PREFIX, "abc", corner=(200, 0), shape=(200, 200))

    def test_what_was_prepared_is_what_is_kept(self, store, cache):
        """Arrays that are not those whose digests were noted when they were prepared are refused."""
        right = prepared.digests(DARK)
        with pytest.raises(errors.DamagedReference, match="not those that were prepared"):
            cache.read_region(store, PREFIX, "abc", **EVERYTHING, digests=lambda: {**right, "sci": "0" * 64})

        same(cache.read_region(store, PREFIX, "abc", **EVERYTHING, digests=lambda: right), DARK)

    def test_nothing_prepared(self, store, cache):
        """A reference that is not prepared is missing, and leaves nothing behind."""
        with pytest.raises(errors.ObjectMissing, match="Prepare"):
            cache.read_region(store, "elsewhere", "abc", **EVERYTHING)
        assert not [path for path in cache.directory.iterdir() if path.is_dir()]


def read(url, directory, barrier, results):
    """Read once from another process; tells how often it fetched."""
    count, inner = [], prepared.open_whole
    prepared.open_whole = lambda store, prefix: count.append(1) or inner(store, prefix)
    barrier.wait()
    found = ReferenceCache(directory).read_region(open_store(url), PREFIX, "abc", **EVERYTHING)
    results.put((len(count), prepared.digests(found)))


class TestOnce:
    def test_is_fetched_once(self, store, cache, fetched):
        """The second reader, also of another part, asks the store for nothing."""
        cache.read_region(store, PREFIX, "abc", **EVERYTHING)
        nothing = open_store("memory://there-is-nothing")
        cache.read_region(nothing, PREFIX, "abc", corner=(3, 3), shape=(9, 9))

        assert fetched == [PREFIX]

    def test_threads_that_meet(self, store, cache, fetched):
        """Of several threads that need it at the same moment one fetches it."""
        threads = [
            threading.Thread(target=cache.read_region, args=(store, PREFIX, "abc"), kwargs=EVERYTHING) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert fetched == [PREFIX]

    def test_processes_that_meet(self, store, cache):
        """Of several processes that need it at the same moment one fetches it, and all get the same."""
        context = multiprocessing.get_context("fork")
        barrier, results = context.Barrier(3), context.Queue()
        workers = [context.Process(target=read, args=(store.url, cache.directory, barrier, results)) for _ in range(3)]
        for worker in workers:
            worker.start()
        found = [results.get(timeout=30) for _ in workers]
        for worker in workers:
            worker.join()

        assert sorted(count for count, _ in found) == [0, 0, 1]
        assert all(digests == prepared.digests(DARK) for _, digests in found)


class TestDisk:
    """Whatever is wrong with the disk costs time only."""

    @pytest.mark.parametrize("name", ["sci.npy", "record.json"])
    @pytest.mark.parametrize("damage", ["cut", "changed", "gone", "empty"])
    def test_damage_is_found_and_mended(self, store, cache, monkeypatch, fetched, name, damage):
        """A file that was cut, changed or removed is not used by the next process: the reference is fetched anew."""
        cache.read_region(store, PREFIX, "abc", **EVERYTHING)
        path = cache.directory / "abc" / name
        data = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes({"cut": data[:-9], "changed": data[:-9] + b"#" * 9, "empty": b""}[damage])
        monkeypatch.setattr(reference_cache, "_CHECKED", set())

        for _ in range(2):
            same(cache.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)
        assert fetched == [PREFIX] * 2

    def test_a_place_that_cannot_be_written(self, store, tmp_path, caplog):
        """Without a directory references come from the store, and the log says why."""
        (tmp_path / "file").write_text("")
        cache = ReferenceCache(tmp_path / "file" / "cache")

        same(cache.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)
        assert "cannot keep abc" in caplog.text

    def test_a_full_disk(self, store, cache, monkeypatch):
        """A disk that fills up while a reference is written leaves nothing of it."""

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reference_cache, "_write", full)
        same(cache.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)

        assert not [path for path in cache.directory.iterdir() if path.is_dir()]

    def test_a_disk_with_little_room(self, store, cache, monkeypatch):
        """What would fill the disk is not begun."""
        monkeypatch.setattr(reference_cache, "SPARED_BYTES", 2**62)

        same(cache.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)
        assert not [path for path in cache.directory.iterdir() if path.is_dir()]

    def test_a_larger_one_than_the_limit(self, store, tmp_path):
        """What alone is over the limit is not kept, and pushes nothing out."""
        small = ReferenceCache(tmp_path / "cache", limit_bytes=10**5)
        prepared.write_prepared(store, "table", TABLE)
        small.read_region(store, "table", "table", corner=(0, 0), shape=(5, 5))

        same(small.read_region(store, PREFIX, "abc", **EVERYTHING), DARK)
        assert {path.name for path in small.directory.iterdir() if path.is_dir()} == {"table"}

    def test_the_least_recently_used_goes(self, store, tmp_path, fetched):
        """Over the limit, what was not used for the longest time is removed; who has it mapped keeps it."""
        size = sum(array.nbytes for array in DARK.arrays.values())
        cache = ReferenceCache(tmp_path / "cache", limit_bytes=int(2.5 * size))
        held = cache.read_region(store, PREFIX, "b", **EVERYTHING)
        cache.read_region(store, PREFIX, "a", **EVERYTHING)
        os.utime(cache.directory / "a", (2, 2))
        os.utime(cache.directory / "b", (1, 1))
        cache.read_region(store, PREFIX, "c", **EVERYTHING)

        assert {path.name for path in cache.directory.iterdir() if path.is_dir()} == {"a", "c"}
        same(held, DARK)

    def test_use_is_noted(self, store, cache):
        """Reading one counts as its use."""
        cache.read_region(store, PREFIX, "a", **EVERYTHING)
        os.utime(cache.directory / "a", (1, 1))
        cache.read_region(store, PREFIX, "a", **EVERYTHING)

        assert (cache.directory / "a").stat().st_mtime > 1

    def test_what_the_dead_left(self, store, cache):
        """What a process left that died while it fetched is removed by the next one."""
        left = cache.directory / "abc.partial-1"
        left.mkdir(parents=True)
        (left / "sci.npy").write_bytes(b"half")
        cache.read_region(store, PREFIX, "abc", **EVERYTHING)

        assert [path.name for path in cache.directory.iterdir() if path.is_dir()] == ["abc"]

    def test_the_record_is_readable(self, store, cache):
        """Whoever looks into the directory finds plain arrays and a record of what they are."""
        cache.read_region(store, PREFIX, "abc", **EVERYTHING)
        place = Path(cache.directory / "abc")

        record = json.loads((place / "record.json").read_text())
        assert (record["type"], record["name"]) == ("dark", "dark.fits")
        np.testing.assert_array_equal(np.load(place / "sci.npy"), DARK.arrays["sci"])
