"""The same protocols on the stores that people use: a directory, and S3."""

from __future__ import annotations

import numpy as np
import pytest

from reprocess import errors
from reprocess.exposure import Band, Outcome
from reprocess.publication import assemble, ledger, publish
from reprocess.publication import pointer as pointers
from reprocess.storage import open_store
from tests.publication import samples
from tests.publication.faulty import Fault, Killed, Watched

# More than one part of a multipart upload.
LARGE = np.random.default_rng(3).bytes(9 * 2**20)
SMALL = LARGE[: 2**16]


@pytest.fixture(params=["memory", "local", "s3"])
def store(request, tmp_path):
    if request.param == "memory":
        return samples.memory_store()
    return open_store(str(tmp_path)) if request.param == "local" else request.getfixturevalue("s3_store")


def blocks(data, size=2**14):
    return (data[start : start + size] for start in range(0, len(data), size))


def publish_version(store, version, writer, data=SMALL):
    files = {"large.fits": lambda: blocks(data), "small.json": f'{{"version":"{version}"}}'.encode()}
    manifest = publish.write_version(store, samples.draft(version), files, patience=samples.HURRIED)
    return publish.move_pointer(store, manifest, writer=writer, patience=samples.HURRIED)


class TestPublication:
    def test_two_versions(self, store, monkeypatch):
        """Versions follow each other, each is whole, and the times of their commits are the store's, in order."""
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 2**20)
        assert publish_version(store, "v1-1", "w1", LARGE) == "published"
        assert publish_version(store, "v2-1", "w2", LARGE) == "published"
        assert publish_version(store, "v2-1", "w3", LARGE) == "already"

        pointer, _ = pointers.read(store, samples.DATASET)
        first, second = pointer.chain
        assert "2026" <= first.committed <= second.committed
        for commit in pointer.chain:
            manifest = publish.read_version(store, samples.DATASET, commit.version)
            assert publish.verify_version(store, manifest) == ()
            assert store.get(manifest.prefix + "large.fits").data == LARGE

    def test_a_race(self, store):
        """The loser of a race for the pointer decides again and both commits are in the chain."""
        manifests = [
            publish.write_version(store, samples.draft(version), {"a": version.encode()}) for version in ("a-1", "b-1")
        ]
        publish.move_pointer(store, publish.write_version(store, samples.draft("o-1"), {"a": b"o"}), writer="o")
        raced = []

        def hook(name, key, perform):
            if name == "compare_and_swap" and not raced:
                raced.append(publish.move_pointer(store, manifests[0], writer="rival"))
            return perform()

        answer = publish.move_pointer(Watched(store, hook), manifests[1], writer="w", patience=samples.HURRIED)

        assert (answer, raced) == ("published", ["published"])
        assert [commit.version for commit in pointers.read(store, samples.DATASET)[0].chain] == ["o-1", "a-1", "b-1"]

    @pytest.mark.parametrize("number", [1, 3, 5])
    def test_killed(self, store, monkeypatch, number):
        """Killed after a call, readers see the old version, and doing it again publishes the new one."""
        monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", 2**12)
        publish_version(store, "v1-1", "w1")
        with pytest.raises(Killed):
            publish_version(Watched(store, Fault(number, Killed(), after=True)), "v2-1", "w2")

        assert pointers.read(store, samples.DATASET)[0].version == ("v1-1" if number < 5 else "v2-1")
        assert publish_version(store, "v2-1", "w3") == ("published" if number < 5 else "already")
        assert publish.verify_version(store, publish.read_version(store, samples.DATASET, "v2-1")) == ()

    def test_other_bytes(self, store, monkeypatch):
        """Large and small files that differ from what is there are refused."""
        publish_version(store, "v1-1", "w1")
        for limit in (2**12, 2**24):
            monkeypatch.setattr(publish, "SINGLE_PUT_BYTES", limit)
            with pytest.raises(errors.PublicationError, match=r"large\.fits"):
                publish.write_version(store, samples.draft("v1-1"), {"large.fits": lambda: blocks(SMALL[::-1])})


class TestLedger:
    def test_runs(self, store):
        """Runs append beside each other."""
        for number in (1, 2):
            book = ledger.begin(store, "c")
            book.append(Outcome("u", "d", "published", message=str(number)))
            book.flush()

        assert ledger.read(store, "c")["u"].message == "2"


class TestStaging:
    def test_slabs(self, store):
        """Slabs are staged, read late and cleared."""
        whole = np.arange(4 * 24 * 5, dtype=np.float32).reshape(4, 24, 5)
        prefix = assemble.prefix("c", samples.DATASET)
        for band in (Band(16, 24), Band(0, 16)):
            assemble.stage_slab(store, prefix, band, {"sci": whole[:, band.rows], "mean": whole[0, band.rows]})

        staged = assemble.open_staged(store, prefix, rows=24).arrays
        np.testing.assert_array_equal(staged["sci"][1:3], whole[1:3])
        np.testing.assert_array_equal(staged["mean"][10:20], whole[0, 10:20])
        np.testing.assert_array_equal(np.asarray(staged["sci"]), whole)
        assemble.clear_staging(store, prefix)
        assert list(store.list()) == []
        with pytest.raises(errors.PublicationError, match="missing"):
            assemble.open_staged(store, prefix, rows=24)
