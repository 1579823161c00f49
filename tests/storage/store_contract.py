"""The contract of `Store` as tests. A backend inherits the class and gives a fixture `store` that is empty."""

import hashlib
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pytest

from reprocess import errors
from reprocess.storage import Blob, ByteRange, RangeRequest, Stamp, Store

ODD_KEYS = [
    "a b",
    "a%20b",
    "a+b",
    "a#b?c=d&e",
    "ä/ö",
    "a\\b",
    "{x}",
    "~",
    "a..b",
    "it's",
    "%",
    ".hidden/x",
    "a:b,c;d@e",
]
BAD_KEYS = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "../a", "a/./b", "a\0b", "a\nb", "x" * 1025, "\ud800"]
MEBI = 2**20


def together(number: int, action: Callable[[int], object]) -> list[object]:
    """Call `action(i)` from `number` threads at the same moment; errors of storage count as results."""
    start = threading.Barrier(number)

    def one(index: int) -> object:
        start.wait()
        try:
            return action(index)
        except errors.StorageError as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def body(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(size)


class StoreContract:
    """What every store does."""

    verifies_checksums = True
    """Whether wrong bytes are refused; moto's server does not look."""

    def test_get_gives_what_was_put(self, store: Store):
        """An object is read back whole, with the stamp of its version."""
        stamp = store.put("a/b", b"0123456789")

        blob = store.get("a/b")

        assert blob.data == b"0123456789"
        assert isinstance(blob.data, bytes)
        assert (blob.stamp.key, blob.stamp.size, blob.stamp.etag) == ("a/b", 10, stamp.etag)

    def test_an_empty_object_is_an_object(self, store: Store):
        """Zero bytes can be written, listed and read in every way."""
        store.put("empty", b"")

        assert store.get("empty").data == b""
        assert store.head("empty").size == 0
        assert [stamp.key for stamp in store.list()] == ["empty"]
        [(_, swept)] = store.sweep([RangeRequest("empty", ByteRange(0, 100))])
        assert isinstance(swept, Blob)
        assert swept.data == b""

    @pytest.mark.parametrize("size", [8 * MEBI - 1, 8 * MEBI, 8 * MEBI + 1, 19 * MEBI])
    def test_a_large_object_is_read_whole(self, store: Store, size: int):
        """Objects around and above the size of one request come back byte for byte."""
        data = body(size)
        store.put("large", data)

        assert store.get("large").data == data
        assert store.get_ranges("large", [ByteRange(0, size)]) == [data]

    @pytest.mark.parametrize("data", [bytearray(b"12345"), memoryview(b"012345")[1:], memoryview(b"12345")])
    def test_every_buffer_can_be_written(self, store: Store, data: bytearray | memoryview):
        """bytes, bytearray and memoryview are written alike by every method."""
        store.put("put", data)
        store.put_if_absent("absent", data)
        store.upload_if_absent("upload", [data])
        store.compare_and_swap("put", data, etag=store.head("put").etag)

        assert {store.get(key).data for key in ("put", "absent", "upload")} == {b"12345"}

    def test_a_missing_object_is_named(self, store: Store):
        """Reading what is not there raises ObjectMissing with the key in it."""
        store.put("there", b"1")

        for read in (store.get, store.head, store.digest, lambda key: store.get_ranges(key, [ByteRange(0, 1)])):
            with pytest.raises(errors.ObjectMissing, match="not/there"):
                read("not/there")

    def test_a_version_can_be_demanded(self, store: Store):
        """Reads with the ETag of an earlier version raise PreconditionFailed; with the present one they work."""
        old = store.put("a", b"first").etag
        new = store.put("a", b"second").etag

        assert old != new
        assert store.get("a", etag=new).data == b"second"
        assert store.get_ranges("a", [ByteRange(1, 2)], etag=new) == [b"ec"]
        with pytest.raises(errors.PreconditionFailed):
            store.get("a", etag=old)
        with pytest.raises(errors.PreconditionFailed):
            store.get_ranges("a", [ByteRange(1, 2)], etag=old)
        answers = dict(store.sweep([RangeRequest("a", ByteRange(0, 3), old), RangeRequest("a", ByteRange(0, 3), new)]))
        assert [type(answer) for _, answer in sorted(answers.items(), key=lambda pair: pair[0].etag == new)] == [
            errors.PreconditionFailed,
            Blob,
        ]

    def test_ranges_come_in_the_order_given(self, store: Store):
        """Ranges that are close, far apart, overlapping, empty, repeated or backwards are each given exactly."""
        data = body(5 * MEBI)
        store.put("a", data)
        wanted = [(4 * MEBI, 7), (0, 10), (5, 10), (9, 0), (0, 10), (5 * MEBI - 1, 1), (2, 3 * MEBI), (11, 1)]

        got = store.get_ranges("a", [ByteRange(*pair) for pair in wanted])

        assert [bytes(view) for view in got] == [data[start : start + length] for start, length in wanted]
        assert store.get_ranges("a", []) == []

    @pytest.mark.parametrize("part", [(0, 11), (9, 2), (10, 1), (100, 1)])
    def test_a_range_past_the_end_is_an_error(self, store: Store, part: tuple[int, int]):
        """A range that is not wholly there raises StorageError with key and size, and never gives fewer bytes."""
        store.put("a/b", b"0123456789")

        with pytest.raises(errors.StorageError, match=r"a/b has 10 bytes"):
            store.get_ranges("a/b", [ByteRange(0, 2), ByteRange(*part)])

    @pytest.mark.parametrize("sizes", [[], [0], [40], [3, 0, 20, 1], [1] * 9])
    def test_buffers_are_filled_one_after_the_other(self, store: Store, sizes: list[int]):
        """Buffers of any sizes are filled as if they were one, from any byte on, of the version that was named."""
        data = body(50)
        etag = store.put("a/b", data).etag
        targets = [bytearray(size) for size in sizes]

        store.fill("a/b", 7, [memoryview(target) for target in targets], etag=etag)

        assert b"".join(targets) == data[7 : 7 + sum(sizes)]
        store.put("a/b", data[::-1])
        with pytest.raises(errors.PreconditionFailed):
            store.fill("a/b", 7, [bytearray(1)], etag=etag)
        with pytest.raises(errors.ObjectMissing, match="not/there"):
            store.fill("not/there", 0, [bytearray(1)])

    @pytest.mark.parametrize("start", [1, 10, 100])
    def test_filling_past_the_end_is_an_error(self, store: Store, start: int):
        """A stretch that is not wholly there raises StorageError with key and size."""
        store.put("a/b", b"0123456789")

        with pytest.raises(errors.StorageError, match=r"a/b has 10 bytes"):
            store.fill("a/b", start, [bytearray(5), bytearray(5)])

    def test_a_negative_range_is_an_error(self, store: Store):
        """Negative starts and lengths are refused, not read from the end."""
        store.put("a", b"0123456789")

        for part in (ByteRange(-1, 1), ByteRange(0, -1)):
            with pytest.raises(errors.StorageError):
                store.get_ranges("a", [part])
            [(_, answer)] = store.sweep([RangeRequest("a", part)])
            assert isinstance(answer, errors.StorageError)

    def test_a_sweep_answers_every_request_once(self, store: Store):
        """Each request has one answer; ends of objects cut it short and failures stand in its place."""
        for number in range(30):
            store.put(f"k{number:02}", b"x" * number)
        wanted = [RangeRequest(f"k{number:02}", ByteRange(1, 20)) for number in range(33)] + [
            RangeRequest("a//b", ByteRange(0, 1))
        ]

        answers = dict(store.sweep(iter(wanted), concurrency=7))

        assert set(answers) == set(wanted)
        for number, request in enumerate(wanted[:30]):
            answer = answers[request]
            assert isinstance(answer, Blob)
            assert answer.data == b"x" * max(0, min(20, number - 1))
            assert (answer.stamp.key, answer.stamp.size) == (request.key, number)
        assert {type(answers[request]) for request in wanted[30:33]} == {errors.ObjectMissing}
        assert type(answers[wanted[33]]) is errors.StorageError

    def test_a_sweep_does_not_run_ahead(self, store: Store):
        """Requests are drawn as answers are taken, so endless sources are no matter, and a sweep may be left early."""
        store.put("a", b"1")
        drawn = 0

        def endless() -> Iterator[RangeRequest]:
            nonlocal drawn
            while True:
                drawn += 1
                yield RangeRequest("a", ByteRange(0, 1))

        answers = list(islice(store.sweep(endless(), concurrency=4), 20))

        assert len(answers) == 20
        assert drawn <= 24

    def test_a_sweep_over_a_listing_of_the_same_store(self, store: Store):
        """The requests of a sweep may come from the store that is swept."""
        for number in range(10):
            store.put(f"k{number}", b"1")

        answers = list(store.sweep(RangeRequest(stamp.key, ByteRange(0, 1), stamp.etag) for stamp in store.list()))

        assert sorted(request.key for request, answer in answers if isinstance(answer, Blob)) == [
            f"k{number}" for number in range(10)
        ]

    def test_a_listing_is_in_the_order_of_keys(self, store: Store):
        """Keys come in the order of their bytes, whatever directories they seem to be in."""
        names = ["b", "a/c", "a-b", "a/b/c", "a.d", "ab", "a/b-", "é", "z/1", "Z"]
        for name in names:
            store.put(name, name.encode())

        found = list(store.list())

        assert [stamp.key for stamp in found] == sorted(names, key=str.encode)
        assert all(stamp == store.head(stamp.key) or stamp.modified for stamp in found)
        assert [(stamp.size, stamp.etag) for stamp in found] == [
            (store.head(stamp.key).size, store.head(stamp.key).etag) for stamp in found
        ]

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["a-b/3", "a/1", "a/12", "a/2/x", "ab/4", "b"]),
            ("a", ["a-b/3", "a/1", "a/12", "a/2/x", "ab/4"]),
            ("a/", ["a/1", "a/12", "a/2/x"]),
            ("a/1", ["a/1", "a/12"]),
            ("a/2/", ["a/2/x"]),
            ("a/2/x", ["a/2/x"]),
            ("a/2/x/", []),
            ("a/3", []),
            ("c/d", []),
            ("zzz", []),
        ],
    )
    def test_a_prefix_is_a_string(self, store: Store, prefix: str, expected: list[str]):
        """A listing gives the keys that begin with the characters of the prefix, be it a directory or not."""
        for name in ("a-b/3", "a/1", "a/12", "a/2/x", "ab/4", "b"):
            store.put(name, b"1")

        assert [stamp.key for stamp in store.list(prefix)] == expected
        assert [stamp.key for stamp in store.below("a").list("1")] == ["1", "12"]

    def test_a_listing_goes_on_after_a_key(self, store: Store):
        """With `after` a listing gives what it gives without, less what is not later than that string."""
        for name in ("a-b/3", "a/1", "a/12", "a/2/x", "ab/4", "b"):
            store.put(f"deep/{name}", b"1")
        below = store.below("deep")

        for prefix in ("", "a", "a/", "a/2", "b"):
            whole = list(below.list(prefix))
            for after in ("a", "a-b/3", "a/", "a/1", "a/15", "a/2/x", "a/2/x/y", "aa", "b", "zzz", "%"):
                assert list(below.list(prefix, after=after)) == [one for one in whole if one.key > after]

    def test_the_prefixes_of_a_level(self, store: Store):
        """Each beginning of keys up to the next slash is told once, in order, and objects at the level are not."""
        for name in ("a-b/3", "a/1/x/y", "a/1/z", "a/12", "a/2/x", "b", "é/1"):
            store.put(f"deep/{name}", b"1")
        below = store.below("deep")

        found = {prefix: list(below.prefixes(prefix)) for prefix in ("", "a/", "a/2/", "not/there/")}

        assert found == {"": ["a-b/", "a/", "é/"], "a/": ["a/1/", "a/2/"], "a/2/": [], "not/there/": []}

    def test_a_level_ends_with_a_slash(self, store: Store):
        """What is no level of keys is refused."""
        for prefix in ("a", "/", "a//", "../"):
            with pytest.raises(errors.StorageError):
                store.prefixes(prefix)

    def test_a_level_without_order_is_not_looked_through(self, store: Store):
        """Of a level with more names than the limit the prefixes found are a beginning of all."""
        for number in range(5):
            store.put(f"{number}/x", b"1")

        some = list(store.prefixes(limit=2))

        assert some == [f"{number}/" for number in range(len(some))]
        assert len(some) >= 2

    def test_a_listing_of_nothing_is_empty(self, store: Store):
        """Below a prefix where nothing was written there is nothing."""
        store.put("a", b"1")

        assert list(store.below("not/there").list()) == []

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_keys_are_kept_as_they_are(self, store: Store, key: str):
        """Every way of writing and of reading means the same object by a key with odd characters."""
        store.put(f"put/{key}", b"1")
        stamp = store.put_if_absent(f"absent/{key}", b"2")
        store.compare_and_swap(f"absent/{key}", b"3", etag=stamp.etag)

        assert store.get(f"put/{key}").data == b"1"
        assert store.get_ranges(f"absent/{key}", [ByteRange(0, 1)]) == [b"3"]
        assert [found.key for found in store.list()] == [f"absent/{key}", f"put/{key}"]
        assert [found.key for found in store.list(f"put/{key}")] == [f"put/{key}"]
        assert store.head(f"put/{key}").size == 1
        store.delete(f"put/{key}")
        assert [found.key for found in store.list("put/")] == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_bad_keys_are_refused(self, store: Store, key: str):
        """Keys that could leave the root or that some store cannot hold are refused by every method."""
        for call in (
            lambda: store.get(key),
            lambda: store.get_ranges(key, [ByteRange(0, 1)]),
            lambda: store.head(key),
            lambda: store.put(key, b"1"),
            lambda: store.put_if_absent(key, b"1"),
            lambda: store.upload_if_absent(key, [b"1"]),
            lambda: store.compare_and_swap(key, b"1", etag="x"),
            lambda: store.digest(key),
            lambda: store.delete(key),
        ):
            with pytest.raises(errors.StorageError):
                call()

    @pytest.mark.parametrize("prefix", ["..", "../a", "/a", "a//", "a/../b", "a\0"])
    def test_bad_prefixes_are_refused(self, store: Store, prefix: str):
        """A prefix that no key can have is refused where the store would otherwise look elsewhere."""
        with pytest.raises(errors.StorageError):
            store.below(prefix)
        with pytest.raises(errors.StorageError):
            store.zarr(prefix)
        if prefix != "..":  # "..x" is a key
            with pytest.raises(errors.StorageError):
                list(store.list(prefix))

    def test_put_if_absent_writes_once(self, store: Store):
        """The first writer of a key wins, the second is told so and changes nothing."""
        stamp = store.put_if_absent("a/b", b"first", content_type="text/plain")

        with pytest.raises(errors.AlreadyExists, match="a/b"):
            store.put_if_absent("a/b", b"second")

        assert store.get("a/b").data == b"first"
        assert store.head("a/b").etag == stamp.etag
        assert stamp.modified.endswith("Z")

    def test_the_declared_digest_is_kept(self, store: Store):
        """SHA-256 of what was written on condition can be asked for later."""
        expected = hashlib.sha256(b"first").hexdigest()
        store.put_if_absent("computed", b"first")
        store.put_if_absent("declared", b"first", sha256=expected)
        store.upload_if_absent("uploaded", [b"fi", b"rst"], sha256=expected)

        assert [store.digest(key) for key in ("computed", "declared", "uploaded")] == [expected] * 3

    def test_wrong_bytes_are_refused(self, store: Store):
        """Bytes that differ from the declared SHA-256 raise ChecksumMismatch and do not appear."""
        wrong = hashlib.sha256(b"other").hexdigest()

        with pytest.raises(errors.ChecksumMismatch):
            store.upload_if_absent("upload", [b"first"], sha256=wrong)
        with pytest.raises(errors.ChecksumMismatch):
            store.upload_if_absent("large", [bytes(9 * MEBI)], sha256=wrong)
        if self.verifies_checksums:
            with pytest.raises(errors.ChecksumMismatch):
                store.put_if_absent("put", b"first", sha256=wrong)
            assert list(store.list()) == []

    def test_one_of_many_writers_wins(self, store: Store):
        """Of eight that write a free key at once exactly one succeeds, and its bytes are there."""
        for round_ in range(5):
            results = together(8, lambda index, key=f"k{round_}": store.put_if_absent(key, b"%d" % index))

            winners = [index for index, result in enumerate(results) if isinstance(result, Stamp)]
            assert len(winners) == 1, results
            assert store.get(f"k{round_}").data == b"%d" % winners[0]
            losers = {type(result) for result in results if not isinstance(result, Stamp)}
            assert losers <= {errors.AlreadyExists, errors.CommitConflict}

    def test_one_of_many_swappers_wins(self, store: Store):
        """Of eight that swap the same version at once exactly one succeeds, and its bytes are there."""
        etag = store.put("a", b"begin").etag
        for round_ in range(5):
            results = together(8, lambda i, r=round_, e=etag: store.compare_and_swap("a", b"%d-%d" % (r, i), etag=e))

            winners = [index for index, result in enumerate(results) if isinstance(result, Stamp)]
            assert len(winners) == 1, results
            assert store.get("a").data == b"%d-%d" % (round_, winners[0])
            losers = {type(result) for result in results if not isinstance(result, Stamp)}
            assert losers <= {errors.PreconditionFailed, errors.CommitConflict}
            etag = store.head("a").etag

    def test_a_counter_loses_no_increment(self, store: Store):
        """Threads that read, add one and swap until it works count exactly."""
        store.put("n", b"0")

        def add(_: int) -> None:
            for _ in range(5):
                while True:
                    blob = store.get("n")
                    try:
                        store.compare_and_swap("n", b"%d" % (int(blob.data) + 1), etag=blob.stamp.etag)
                    except (errors.PreconditionFailed, errors.CommitConflict):
                        continue
                    break

        assert together(4, add) == [None] * 4

        assert store.get("n").data == b"20"

    def test_a_swap_needs_the_present_version(self, store: Store):
        """A swap of an old version, a missing object or no version at all changes nothing and says which."""
        old = store.put("a", b"1").etag
        new = store.compare_and_swap("a", b"2", etag=old)

        with pytest.raises((errors.PreconditionFailed, errors.CommitConflict)):
            store.compare_and_swap("a", b"3", etag=old)
        with pytest.raises(errors.ObjectMissing):
            store.compare_and_swap("b", b"3", etag=old)
        with pytest.raises(errors.StorageError, match="ETag"):
            store.compare_and_swap("a", b"3", etag="")

        assert store.get("a").data == b"2"
        assert store.head("a").etag == new.etag
        assert [stamp.key for stamp in store.list()] == ["a"]

    @pytest.mark.parametrize("sizes", [[], [0], [3, 0, 4], [5 * MEBI] * 4, [17 * MEBI + 1]])
    def test_parts_of_any_size_make_an_object(self, store: Store, sizes: list[int]):
        """An upload is its parts one after the other, be they nothing, small or large."""
        parts = [body(size, seed) for seed, size in enumerate(sizes)]

        stamp = store.upload_if_absent("a", iter(parts))

        assert store.get("a").data == b"".join(parts)
        assert (stamp.size, stamp.etag) == (sum(sizes), store.head("a").etag)

    @pytest.mark.parametrize("size", [10, 9 * MEBI])
    def test_an_upload_does_not_overwrite(self, store: Store, size: int):
        """Parts for a key that is taken raise AlreadyExists and leave the object alone."""
        store.put("a", b"first")

        with pytest.raises(errors.AlreadyExists):
            store.upload_if_absent("a", [bytes(size)])

        assert store.get("a").data == b"first"

    @pytest.mark.parametrize("size", [10, 17 * MEBI])
    @pytest.mark.parametrize("error", [ZeroDivisionError("source"), errors.PreconditionFailed("source")])
    def test_a_failed_upload_leaves_nothing(self, store: Store, size: int, error: Exception):
        """When the source of the parts fails, its own error passes and no object appears."""

        def parts() -> Iterator[bytes]:
            yield bytes(size)
            raise error

        with pytest.raises(type(error), match="source") as caught:
            store.upload_if_absent("a", parts())

        assert caught.value is error

        assert list(store.list()) == []

    def test_delete_takes_only_the_version_named(self, store: Store):
        """With an ETag only that version is removed; what is not there is no error."""
        old = store.put("a", b"1").etag
        new = store.put("a", b"2").etag

        with pytest.raises(errors.PreconditionFailed):
            store.delete("a", etag=old)
        assert store.get("a").data == b"2"
        store.delete("a", etag=new)
        store.delete("a", etag=new)
        store.delete("a")
        store.delete("never/there")

        assert list(store.list()) == []

    def test_below_moves_the_root(self, store: Store):
        """A store below a prefix means the same objects by shorter keys."""
        below = store.below("a/b")
        below.put("c", b"1")

        assert store.get("a/b/c").data == b"1"
        assert [stamp.key for stamp in below.list()] == ["c"]
        assert below.get("c").stamp.key == below.head("c").key == "c"
        assert below.url == store.url + "/a/b"
        assert store.below("a/").below("b").url == below.url
        assert store.below("") is store

    def test_a_pickled_store_is_the_same_place(self, store: Store):
        """A store passes through pickle by its URL, small and without secrets."""
        store.put("a", b"1")

        data = pickle.dumps(store)

        assert len(data) < 1000
        assert b"secret" not in data
        assert pickle.loads(data).get("a").data == b"1"

    def test_zarr_arrays_are_objects(self, store: Store):
        """An array written through Zarr is read back, is seen by a listing, and is gone when its objects are."""
        import zarr

        pixels = np.arange(24, dtype="f4").reshape(4, 6)
        zarr.create_array(store.zarr("deep/er"), name="x", data=pixels, chunks=(2, 6))

        assert np.array_equal(zarr.open_group(store.zarr("deep"), path="er", mode="r")["x"][2:3], pixels[2:3])
        assert [stamp.key for stamp in store.list("deep/er/x/c")] == ["deep/er/x/c/0/0", "deep/er/x/c/1/0"]
        for stamp in store.list("deep/"):
            store.delete(stamp.key)
        assert list(store.list()) == []

    def test_a_reader_never_sees_half(self, store: Store):
        """While an object is overwritten, each read gives one of the versions whole."""
        versions = [bytes([letter]) * (MEBI // 2) for letter in b"abc"]
        store.put("a", versions[0])
        stop = threading.Event()

        def read(_: int) -> set[bytes]:
            seen = set()
            while not stop.is_set():
                seen.add(store.get("a").data)
            return seen

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read, number) for number in range(2)]
            for number in range(12):
                store.put("a", versions[number % 3])
            stop.set()

        assert set().union(*(reader.result() for reader in readers)) <= set(versions)
