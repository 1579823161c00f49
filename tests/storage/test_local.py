import multiprocessing
import os
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from reprocess import errors
from reprocess.storage import Store, open_store
from tests.storage.store_contract import StoreContract
from tests.storage.store_model import machine


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


class TestLocalStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return open_store(str(tmp_path))


def test_random_operations(tmp_path):
    """A directory does what a dictionary does."""
    model = machine(lambda: open_store(tempfile.mkdtemp(dir=tmp_path)))
    run_state_machine_as_test(model, settings=settings(max_examples=25, deadline=None, stateful_step_count=30))


def test_equal_bodies_have_different_etags(store):
    """An ETag never comes twice, even when equal bytes are written in the same tick of the clock."""
    etags = [store.put("a", b"same").etag for _ in range(100)]
    for _ in range(100):
        etags.append(store.compare_and_swap("a", b"same", etag=etags[-1]).etag)

    assert len(set(etags)) == 200


def test_time_going_backwards_repeats_no_etag(store, tmp_path):
    """A version written while the clock is behind the one before still has an ETag of its own."""
    before = store.put("a", b"same").etag
    future = 2**61
    os.utime(tmp_path / "a", ns=(future, future))
    ahead = store.head("a").etag

    assert len({before, ahead, store.put("a", b"same").etag, store.put("a", b"same").etag}) == 4


def test_nothing_is_left_beside_the_objects(store, tmp_path):
    """Side files are hidden from listings, removed after failures, and cannot be named by keys."""
    store.put("d/a", b"1")
    with pytest.raises(errors.AlreadyExists):
        store.put_if_absent("d/a", b"2")
    (tmp_path / "d" / ".reprocess-left-by-a-crash.part").write_bytes(b"half")

    assert [stamp.key for stamp in store.list()] == ["d/a"]
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [
        ".reprocess-left-by-a-crash.part",
        ".reprocess-lock",
        "a",
    ]
    with pytest.raises(errors.StorageError, match="begin with"):
        store.get("d/.reprocess-left-by-a-crash.part")


def test_a_key_cannot_leave_the_root(tmp_path):
    """Neither dots nor absolute keys reach a file outside."""
    (tmp_path / "secret").write_text("outside")
    store = open_store(str(tmp_path / "root"))
    store.put("a", b"1")

    for key in ("../secret", str(tmp_path / "secret"), "b/../../secret"):
        with pytest.raises(errors.StorageError):
            store.get(key)


def test_a_missing_root_is_not_an_empty_store(tmp_path):
    """A mistyped directory is an error for readers; a writer makes it."""
    store = open_store(str(tmp_path / "typo"))

    with pytest.raises(errors.BucketMissing, match="typo"):
        list(store.list())
    with pytest.raises(errors.BucketMissing, match="typo"):
        store.get("a")
    store.put_if_absent("a/b", b"1")
    assert store.get("a/b").data == b"1"


def test_a_file_is_no_directory(store):
    """A key below another key cannot be a file: reading says missing, writing says why."""
    store.put("a", b"1")
    store.put("d/e", b"1")

    for key in ("a/b", "d"):
        with pytest.raises(errors.ObjectMissing):
            store.get(key)
        with pytest.raises(errors.StorageError):
            store.put(key, b"2")
        with pytest.raises(errors.StorageError):
            store.put_if_absent(key, b"2")
    assert [stamp.key for stamp in store.list()] == ["a", "d/e"]


def test_files_of_others_are_objects(store, tmp_path):
    """What was copied into the directory is listed and read; its ETag changes when it is replaced."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x_uncal.fits").write_bytes(b"SIMPLE")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    before = store.head("d/x_uncal.fits")

    assert [stamp.key for stamp in store.list()] == ["d/x_uncal.fits", "link/x_uncal.fits"]
    (tmp_path / "d" / "x_uncal.fits").write_bytes(b"SIMPLE AGAIN")
    with pytest.raises(errors.PreconditionFailed):
        store.get("d/x_uncal.fits", etag=before.etag)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions_are_named(store, tmp_path):
    """A file that may not be read raises AccessDenied."""
    store.put("a", b"1")
    (tmp_path / "a").chmod(0)

    with pytest.raises(errors.AccessDenied, match="owner and mode"):
        store.get("a")


def test_a_full_disk_is_named():
    """What the operating system refuses is an error of storage with its reason."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    with pytest.raises(errors.StorageError, match=r"/dev"):
        open_store("/dev").put("full/a", b"1")


def test_without_hard_links_one_of_many_wins(store, monkeypatch):
    """On a file system that has no hard links put-if-absent still has one winner."""
    from reprocess.storage import local
    from tests.storage.store_contract import together

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(local.os, "link", refused)

    results = together(8, lambda index: store.put_if_absent("a", b"%d" % index))

    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert {type(result) for result in results if isinstance(result, Exception)} == {errors.AlreadyExists}


def _count(pickled: bytes, times: int) -> None:
    store = pickle.loads(pickled)
    for _ in range(times):
        while True:
            blob = store.get("n")
            try:
                store.compare_and_swap("n", b"%d" % (int(blob.data) + 1), etag=blob.stamp.etag)
            except errors.PreconditionFailed:
                continue
            break


def test_processes_lose_no_increment(store):
    """Processes that read, add one and swap until it works count exactly."""
    store.put("n", b"0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(pickle.dumps(store), 25)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert store.get("n").data == b"75"
