from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.publication import manifest
from reprocess.publication import pointer as pointers
from tests.publication import samples
from tests.publication.faulty import Watched


def chain_of(*versions: str) -> pointers.Pointer:
    pointer = None
    for version in versions:
        pointer = pointers.advance(pointer, samples.draft(version), writer="w")
    return pointer


class TestAdvance:
    def test_the_first(self):
        """The first pointer has sequence 1 and no history."""
        pointer = chain_of("v1-1")

        assert (pointer.sequence, pointer.history, pointer.version) == (1, (), "v1-1")

    def test_the_chain_keeps_every_commit(self):
        """Each pointer carries all commits before it, in order, with growing sequence numbers."""
        pointer = chain_of("v1-1", "v2-1", "v1-1", "v3-1")

        assert [(commit.version, commit.sequence) for commit in pointer.chain] == [
            ("v1-1", 1),
            ("v2-1", 2),
            ("v1-1", 3),
            ("v3-1", 4),
        ]

    def test_equivalents_belong_to_a_version(self):
        """Equivalents are kept while the version stays and dropped when it changes."""
        first = pointers.advance(None, samples.draft("v1-1"), writer="w", equivalents=["b", "a"])
        same = pointers.advance(first, samples.draft("v1-1"), writer="w", equivalents=["c"])
        other = pointers.advance(same, samples.draft("v2-1"), writer="w")

        assert (first.equivalents, same.equivalents, other.equivalents) == (("a", "b"), ("a", "b", "c"), ())

    def test_the_manifest_is_noted(self):
        """A pointer has the digest of its version's manifest as it is stored; a tombstone has none."""
        made = samples.draft("v1-1")
        pointer = pointers.advance(None, made, writer="w")

        assert pointer.manifest == hashlib.sha256(manifest.to_bytes(made)).hexdigest()
        assert pointers.retire(pointer, writer="w", why="").manifest == ""

    def test_no_two_pointers_have_the_same_bytes(self):
        """Going back and forth between the same versions never repeats a body, so an old ETag cannot match again."""
        bodies = [pointers.to_bytes(chain_of(*("v1-1", "v2-1") * i, "v1-1")) for i in range(4)]

        assert len(set(bodies)) == 4


class TestBytes:
    def test_round_trip(self):
        """What is written is read back."""
        pointer = chain_of("v1-1", "v2-1")

        assert pointers.from_bytes(pointers.to_bytes(pointer), name="p") == pointer

    def test_of_an_earlier_release(self):
        """A pointer that does not tell the digest of its manifest is read; the digest is not known."""
        record = json.loads(pointers.to_bytes(chain_of("v1-1")))
        del record["manifest"]

        assert pointers.from_bytes(json.dumps(record).encode(), name="p").manifest == ""

    @pytest.mark.parametrize("data", [b"", b"[]", b'{"kind":"pointer","schema":99}', b'{"kind":"pointer","schema":1}'])
    def test_damage(self, data):
        """Bytes that are no whole pointer of a known schema are refused by name."""
        with pytest.raises(errors.DamagedRecord, match=r"pointers/x\.json"):
            pointers.from_bytes(data, name="pointers/x.json")


class TestRead:
    def test_none(self):
        """A dataset that was never published has no pointer."""
        assert pointers.read(samples.memory_store(), samples.DATASET) == (None, "")

    def test_time_of_the_commit(self):
        """The time of a commit is the store's, and goes into the history with the next one."""
        store = samples.memory_store()
        store.put(pointers.key(samples.DATASET), pointers.to_bytes(chain_of("v1-1")))

        present, etag = pointers.read(store, samples.DATASET)
        following = pointers.advance(present, samples.draft("v2-1"), writer="w")

        assert etag == store.head(pointers.key(samples.DATASET)).etag
        assert len(present.committed) == len("2026-11-21T02:00:00.000")
        assert following.history[0].committed == present.committed

    @pytest.mark.parametrize(
        ("modified", "committed"),
        [
            ("2026-11-21T05:00:00.123456+03:00", "2026-11-21T02:00:00.123"),
            ("2026-11-21T02:00:00Z", "2026-11-21T02:00:00.000"),
            ("2026-11-20T00:00:00Z", "2026-11-21T01:00:00.000"),
            ("", "2026-11-21T01:00:00.000"),
        ],
    )
    def test_times_never_go_back(self, modified, committed):
        """Times are UTC with milliseconds, and a store whose clock went back does not put the chain out of order."""
        store = samples.memory_store()
        pointer = chain_of("v1-1", "v2-1")
        history = (replace(pointer.history[0], committed="2026-11-21T01:00:00.000"),)
        store.put(pointers.key(samples.DATASET), pointers.to_bytes(replace(pointer, history=history)))

        def hook(name, key, perform):
            blob = perform()
            return replace(blob, stamp=replace(blob.stamp, modified=modified))

        assert pointers.read(Watched(store, hook), samples.DATASET)[0].committed == committed


class TestAsOf:
    @pytest.mark.parametrize(
        ("time", "version"),
        [("2026-01-01", None), ("2026-02-01", "v1-1"), ("2026-03-15", "v2-1"), ("2026-12-31", "v3-1")],
    )
    def test_what_readers_saw(self, time, version):
        """At a time, readers saw the last version that was committed until then."""
        history = tuple(pointers.Commit(f"v{n}-1", n, "w", "c", f"2026-0{n + 1}-01T00:00:00.000") for n in (1, 2))
        pointer = pointers.Pointer(
            samples.DATASET,
            "v3-1",
            3,
            "w",
            "c",
            "p",
            "t",
            "x",
            "s",
            history=history,
            committed="2026-04-01T00:00:00.000",
        )

        commit = pointers.as_of(pointer, f"{time}T12:00:00.000")

        assert (commit.version if commit else None) == version
