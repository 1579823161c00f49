from __future__ import annotations

import itertools
from functools import partial

import pytest

from reprocess import errors
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication import publish
from reprocess.storage.counting import CountingStore
from tests.publication import samples
from tests.publication.faulty import ByContent, Fault, Killed, Watched

OLD, NEW = "v1-1", "v2-1"


def publish_version(store, version, *, writer, **options):
    files = {name: partial(parts, data) for name, data in samples.files(version).items()}
    manifest = publish.write_version(store, samples.draft(version, **options), files, patience=samples.HURRIED)
    return publish.move_pointer(store, manifest, writer=writer, patience=samples.HURRIED)


def parts(data, size=1000):
    """Cut bytes as a product writer does."""
    return (data[start : start + size] for start in range(0, len(data), size))


def contents(store) -> dict[str, bytes]:
    return {stamp.key: store.get(stamp.key).data for stamp in store.list("products/")}


def seen_by_a_reader(store) -> str | None:
    """Version that a reader sees, after checking that it is whole."""
    pointer, _ = pointers.read(store, samples.DATASET)
    if pointer is None:
        return None
    manifest = publish.read_version(store, samples.DATASET, pointer.version)
    assert manifest is not None
    assert publish.verify_version(store, manifest) == ()
    for file in manifest.files:
        assert store.get(manifest.prefix + file.name).data == samples.files(pointer.version)[file.name]
    return pointer.version


@pytest.fixture
def store():
    return samples.memory_store()


@pytest.fixture(params=[16 * 2**20, 500], ids=["single", "parts"])
def either_way(request, monkeypatch):
    """Small files go in one request; with the low limit all but the smallest go in parts."""
    monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", request.param)


class TestWriteVersion:
    def test_files_and_manifest(self, store, either_way):
        """A version is its files and a manifest with their sizes and digests."""
        manifest = publish.write_version(store, samples.draft(NEW), samples.files(NEW))

        assert [file.name for file in manifest.files] == sorted(samples.files(NEW))
        assert publish.read_version(store, samples.DATASET, NEW) == manifest
        assert publish.verify_version(store, manifest) == ()

    def test_twice(self, store, either_way):
        """Writing a version again changes nothing."""
        publish_version(store, NEW, writer="a")
        before = contents(store)

        assert publish_version(store, NEW, writer="b") == "already"
        assert contents(store) == before

    @pytest.mark.parametrize("declared", [True, False])
    def test_other_bytes(self, store, either_way, declared):
        """A file that is there with other bytes is never overwritten, whether its digest was declared or not."""
        name = f"{samples.DATASET}_rate.fits"
        key = manifests.prefix(samples.DATASET, NEW) + name
        (store.put_if_absent if declared else store.put)(key, b"from another campaign")

        with pytest.raises(errors.PublicationError, match=name):
            publish_version(store, NEW, writer="a")
        assert store.get(key).data == b"from another campaign"
        assert publish.read_version(store, samples.DATASET, NEW) is None

    def test_our_bytes_without_a_digest(self, store, either_way):
        """A file that is there with our bytes is ours, also if its writer declared no digest."""
        for name, data in samples.files(NEW).items():
            store.put(manifests.prefix(samples.DATASET, NEW) + name, data)

        assert publish_version(store, NEW, writer="a") == "published"

    def test_other_manifest(self, store):
        """A version whose manifest tells another story is refused."""
        publish.write_version(store, samples.draft(NEW), samples.files(NEW))

        with pytest.raises(errors.PublicationError, match="manifest"):
            publish.write_version(store, samples.draft(NEW, created="2027-01-01T00:00:00.000"), samples.files(NEW))

    def test_the_source_fails(self, store, either_way):
        """A failure of what makes the bytes is raised as it is, also if the same file exists already."""
        publish_version(store, NEW, writer="a")

        def failing():
            yield samples.files(NEW)[f"{samples.DATASET}_rate.fits"][:600]
            raise errors.Truncated("raw.fits ends early")

        with pytest.raises(errors.Truncated):
            publish.write_version(store, samples.draft(NEW), {f"{samples.DATASET}_rate.fits": failing})

    def test_the_store_hides_the_failure(self, store, monkeypatch):
        """A failure of the source is told also if the store makes a failure of its own out of it."""
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 100)

        def hook(name, key, perform):
            try:
                return perform()
            except errors.BadData as error:
                raise errors.StorageUnavailable("the upload broke off") from error

        def failing():
            yield b"x" * 600
            raise errors.Truncated("raw.fits ends early")

        with pytest.raises(errors.Truncated):
            publish.write_version(
                Watched(store, hook), samples.draft(NEW), {"a.fits": failing()}, patience=samples.HURRIED
            )

    def test_no_answer_for_what_is_there(self, store, monkeypatch):
        """Without an answer, parts that come only once are digested to the end and compared with what is stored."""
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 100)
        publish.write_version(store, samples.draft(NEW), {"a.fits": b"x" * 500})
        fault = Fault(1, errors.StorageUnavailable("no answer"), after=False)

        manifest = publish.write_version(
            Watched(store, fault), samples.draft(NEW), {"a.fits": iter([b"x" * 50] * 10)}, patience=samples.HURRIED
        )

        assert manifest.files[0].size == 500

    def test_parts_that_come_only_once(self, store, monkeypatch):
        """An answer that was lost is looked up, so parts that cannot be made again are not needed again."""
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 100)
        fault = Fault(1, errors.StorageUnavailable("lost"), after=True)
        files = {"a.fits": iter([b"x" * 80, b"y" * 80])}

        manifest = publish.write_version(Watched(store, fault), samples.draft(NEW), files, patience=samples.HURRIED)

        assert publish.verify_version(store, manifest) == ()

    def test_little_memory(self, store, monkeypatch):
        """Large content passes in parts: the store gets the first of them before the last was made."""
        made, taken = [], []
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 100)

        def hook(name, key, perform):
            if name == "upload_if_absent":
                taken.append(len(made))
            return perform()

        source = ((made.append(i), b"z" * 30)[1] for i in range(50))
        publish.write_version(Watched(store, hook), samples.draft(NEW), {"a.fits": source})

        assert taken[0] < 10
        assert len(made) == 50

    def test_a_full_frame_is_one_request(self, store):
        """A rate of 2048 x 2048 pixels is written in one request, whatever parts it comes in."""
        counted = CountingStore(store)
        plane = bytes(2**24)
        publish.write_version(counted, samples.draft(NEW), {"a_rate.fits": lambda: itertools.repeat(plane, 5)})

        assert counted.requests == {"put_if_absent": 2}


class TestCrashes:
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_killed_at_every_call(self, either_way, after):
        """Killed at any store call, readers see the old version whole or the new one whole; doing it again mends it."""
        undisturbed = samples.memory_store()
        publish_version(undisturbed, OLD, writer="w0")
        publish_version(undisturbed, NEW, writer="w1")
        for number in itertools.count(1):
            store = samples.memory_store()
            publish_version(store, OLD, writer="w0")
            fault = Fault(number, Killed(), after=after)
            try:
                publish_version(Watched(store, fault), NEW, writer="w1")
            except Killed:
                assert seen_by_a_reader(store) in (OLD, NEW)
            if not fault.struck:
                break
            assert publish_version(store, NEW, writer="w2") in ("published", "already")
            assert seen_by_a_reader(store) == NEW
            assert contents(store) == contents(undisturbed)
            assert [commit.version for commit in pointers.read(store, samples.DATASET)[0].chain] == [OLD, NEW]
        assert number > 5

    @pytest.mark.parametrize("after", [False, True], ids=["refused", "answer-lost"])
    @pytest.mark.parametrize("first", [True, False], ids=["first-version", "second-version"])
    def test_no_answer_at_every_call(self, either_way, after, first):
        """A call without an answer, effective or not, is settled in the same run, and nothing happens twice."""
        for number in itertools.count(1):
            store = ByContent(samples.memory_store())
            if not first:
                publish_version(store, OLD, writer="w0")
            fault = Fault(number, errors.StorageUnavailable("no answer"), after=after)

            assert publish_version(Watched(store, fault), NEW, writer="w1") == "published"

            assert seen_by_a_reader(store) == NEW
            chain = pointers.read(store, samples.DATASET)[0].chain
            assert [commit.version for commit in chain] == [NEW] if first else [OLD, NEW]
            if not fault.struck:
                break

    def test_no_answer_at_all(self, store):
        """A store that never answers is an error in the end, and a temporary one."""

        def hook(name, key, perform):
            raise errors.StorageUnavailable("no answer")

        with pytest.raises(errors.StorageUnavailable) as caught:
            publish_version(Watched(store, hook), NEW, writer="w1")
        assert caught.value.temporary


def written(store, version, **options):
    return publish.write_version(store, samples.draft(version, **options), samples.files(version))


def move(store, manifest, writer, **options):
    return publish.move_pointer(store, manifest, writer=writer, patience=samples.HURRIED, **options)


class TestMovePointer:
    def test_a_lost_race_is_decided_again(self, store):
        """A writer that lost the race moves the pointer from where the winner left it."""
        old, new = written(store, OLD), written(store, NEW)
        raced = []

        def hook(name, key, perform):
            if name == "put_if_absent" and not raced:
                raced.append(move(store, old, "rival"))
            return perform()

        assert move(Watched(store, hook), new, "w") == "published"
        pointer, _ = pointers.read(store, samples.DATASET)
        assert [(commit.version, commit.sequence, commit.writer) for commit in pointer.chain] == [
            (OLD, 1, "rival"),
            (NEW, 2, "w"),
        ]

    def test_overtaken_while_the_answer_was_lost(self, store):
        """A commit whose answer was lost is recognised in the chain although others came after it."""
        old, new, newest = written(store, OLD), written(store, NEW), written(store, "v3-1")
        move(store, old, "w0")

        def hook(name, key, perform):
            result = perform()
            if name == "compare_and_swap":
                move(store, newest, "rival")
                raise errors.StorageUnavailable("answer lost")
            return result

        assert move(Watched(store, hook), new, "w") == "published"
        pointer, _ = pointers.read(store, samples.DATASET)
        assert [commit.version for commit in pointer.chain] == [OLD, NEW, "v3-1"]

    def test_a_late_write_does_not_match_again(self):
        """A swap that arrives late fails, even if the same version is shown again by then (ETags by content)."""
        store = ByContent(samples.memory_store())
        old, new = written(store, OLD), written(store, NEW)
        move(store, old, "w")
        _, etag = pointers.read(store, samples.DATASET)
        move(store, new, "w")
        move(store, old, "w", back=True)

        with pytest.raises(errors.PreconditionFailed):
            store.compare_and_swap(pointers.key(samples.DATASET), b"late", etag=etag)

    def test_not_back_by_accident(self, store):
        """Publishing a version that readers saw before does not take back what came later."""
        old, new = written(store, OLD), written(store, NEW)
        move(store, old, "w0")
        move(store, new, "w1")

        assert move(store, old, "w2") == "already"
        assert seen_by_a_reader(store) == NEW

    def test_an_older_plan_comes_late(self, store):
        """A version of an older plan is refused when readers see one of a later plan."""
        move(store, written(store, NEW, created="2026-11-22T00:00:00.000"), "w1")

        with pytest.raises(errors.Overtaken, match=OLD):
            move(store, written(store, OLD, created="2026-11-21T00:00:00.000"), "w0")
        assert seen_by_a_reader(store) == NEW

    def test_back_on_purpose(self, store):
        """A rollback shows the earlier version again, as a new commit, and is idempotent."""
        old, new = written(store, OLD), written(store, NEW)
        for manifest in (old, new):
            move(store, manifest, "w0")

        assert move(store, old, "w1", back=True) == "published"
        assert move(store, old, "w2", back=True) == "already"
        pointer, _ = pointers.read(store, samples.DATASET)
        assert [commit.version for commit in pointer.chain] == [OLD, NEW, OLD]

    def test_equivalents(self, store):
        """A fingerprint proved equivalent is noted once beside the version that readers see, and kept."""
        manifest = written(store, NEW)
        move(store, manifest, "w")

        assert move(store, manifest, "w", equivalents=["d1"]) == "published"
        assert move(store, manifest, "w", equivalents=["d1"]) == "already"
        move(store, manifest, "w", equivalents=["d0"])
        assert pointers.read(store, samples.DATASET)[0].equivalents == ("d0", "d1")

    def test_the_pointer_is_deleted_meanwhile(self, store):
        """A pointer that vanishes while it is moved is not made anew, because its chain would be lost."""
        move(store, written(store, OLD), "w")

        def hook(name, key, perform):
            if name == "compare_and_swap":
                store.delete(key)
            return perform()

        with pytest.raises(errors.PublicationError, match="deleted"):
            move(Watched(store, hook), written(store, NEW), "w")

    def test_always_overtaken_by_others(self, store):
        """A writer that never wins gives up in the end, with an error and without harm."""
        new, rivals = written(store, NEW), (written(store, f"r{i}-1") for i in itertools.count())

        def hook(name, key, perform):
            if name in ("put_if_absent", "compare_and_swap"):
                move(store, next(rivals), "rival")
            return perform()

        with pytest.raises(errors.StorageError):
            move(Watched(store, hook), new, "w")
        assert not pointers.read(store, samples.DATASET)[0].has(NEW)


class TestVerifyVersion:
    @pytest.mark.parametrize(
        ("damage", "word"),
        [
            (lambda store, key: store.delete(key), "missing"),
            (lambda store, key: store.put(key, b"short"), "bytes"),
            (lambda store, key: store.put(key, store.get(key).data[::-1]), "digest"),
        ],
        ids=["gone", "cut", "changed"],
    )
    def test_damage(self, store, damage, word):
        """A file that is gone, cut or changed is named."""
        manifest = written(store, NEW)
        name = manifest.files[0].name

        damage(store, manifest.prefix + name)

        (problem,) = publish.verify_version(store, manifest)
        assert name in problem
        assert word in problem
