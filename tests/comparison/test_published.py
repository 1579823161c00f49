"""A new version held against what readers see."""

import dataclasses
import json

import pytest

from reprocess import errors
from reprocess.comparison import published
from reprocess.publication import manifest as manifests
from reprocess.publication import publish
from reprocess.storage.counting import CountingStore
from reprocess.target import Budget
from tests.comparison import versions
from tests.publication import samples
from tests.publication.faulty import Watched

RATE = versions.planes()


@pytest.fixture
def store():
    return CountingStore(samples.memory_store())


@pytest.fixture
def old(store):
    """A version that readers see."""
    made = versions.version(store, "v1-1", RATE, fingerprint=versions.chain(1))
    publish.move_pointer(store, made, writer="w")
    store.reset()
    return made


def later(store, rate=RATE, name="v2-1", revision=2, **changes):
    """A new version, from another recipe."""
    made = versions.version(store, name, rate, fingerprint=versions.chain(revision), **changes)
    store.reset()
    return made


def difference(store, made, **changes):
    return published.difference(store, made, **{"budget": Budget(), **changes})


class TestDifference:
    def test_identical(self, store, old):
        """Two requests tell that nothing differs."""
        found = difference(store, later(store))

        assert found == {
            "against": old.version,
            "verdict": "identical",
            "reasons": [],
            "extensions": {},
            "keywords": {},
            "wcs_changed": False,
        }
        assert store.requests == {"get": 2}

    @pytest.mark.usefixtures("old")
    def test_within_and_outside(self, store):
        """The budget decides, and the record is JSON."""
        made = later(store, versions.moved(RATE, sci=1))
        within, outside = difference(store, made), difference(store, made, budget=Budget(changed_fraction=0.1))

        assert (within["verdict"], within["reasons"]) == ("within", [])
        assert outside["verdict"] == "outside"
        assert outside["reasons"][0].startswith("rate/SCI: 99.5 % of the pixels changed")
        assert outside["extensions"] == within["extensions"]
        assert json.loads(json.dumps(outside, allow_nan=False)) == outside

    def test_nothing_published(self, store):
        """Where readers see nothing there is nothing to compare with: one request."""
        assert difference(store, later(store)) == {}
        assert store.requests == {"get": 1}

    def test_published_already(self, store, old):
        """A version is not compared with itself."""
        assert difference(store, old) == {}

    @pytest.mark.usefixtures("old")
    def test_another_raw_object(self, store):
        """The same science from another Level 1b object is shown: a pointer cannot say that it is equivalent."""
        made = later(store, raw={"location": "s3://raw", "key": "k", "size": 1, "etag": "other"})

        assert difference(store, made)["verdict"] == "within"

    @pytest.mark.usefixtures("old")
    def test_made_again(self, store):
        """What was made again from the same inputs, or to replace damage, is shown though nothing differs."""
        again = later(store, name="v1-2", revision=1)
        assert difference(store, again)["verdict"] == "within"
        assert difference(store, later(store), replaces_damage=True)["verdict"] == "within"

    @pytest.mark.usefixtures("old")
    def test_other_files(self, store):
        """A version with files that the published one has not is shown, though the science is the same."""
        made = versions.version(store, "v2-1", RATE, fingerprint=versions.chain(2), more={"a_quicklook.png": b"png"})
        found = difference(store, made)

        assert (found["verdict"], found["extensions"]) == ("within", {})
        assert "other files" in found["reasons"][0]

    @pytest.mark.parametrize("lost", ["manifest.json", f"{versions.DATASET}_rate.fits"])
    @pytest.mark.parametrize("damage", ["gone", "cut"])
    def test_damage(self, store, old, lost, damage):
        """A published version that cannot be read is told, and the new one may replace it."""
        key = old.prefix + lost
        data = store.get(key).data
        store.delete(key)
        if damage == "cut":
            store.put(key, data[: len(data) // 3])
        found = difference(store, later(store, versions.moved(RATE, sci=1, err=1)))

        assert found["verdict"] == "within"
        assert "could not be compared" in found["reasons"][0]
        assert lost in found["reasons"][0]

    @pytest.mark.parametrize("payload", [{"SCI": {}}, {"SCI": {}, "keywords": {}}, {"SCI": 3, "keywords": {}}])
    def test_damaged_manifest(self, store, old, payload):
        """What a manifest says of arrays can be damaged, too."""
        broken = dataclasses.replace(old, files=(dataclasses.replace(old.files[0], payload=payload), *old.files[1:]))
        store.put(old.key, manifests.to_bytes(broken))
        found = difference(store, later(store))

        assert found["verdict"] == "within"
        assert "manifest.json" in found["reasons"][0]

    @pytest.mark.usefixtures("old")
    def test_damaged_pointer(self, store):
        """A pointer that cannot be read is told."""
        store.put(f"pointers/{versions.DATASET}.json", b"{}")

        assert "unknown" in difference(store, later(store))["reasons"][0]

    @pytest.mark.usefixtures("old")
    @pytest.mark.parametrize("failure", [errors.StorageUnavailable, errors.AccessDenied])
    def test_no_answer(self, store, failure):
        """That a store does not answer says nothing of the published version: nothing is decided."""
        made = later(store, versions.moved(RATE, sci=1))

        def refuse(call, key, perform):
            if call == "get_ranges":
                raise failure("no answer")
            return perform()

        with pytest.raises(failure):
            difference(Watched(store, refuse), made)


class TestKeep:
    def test_round_trip(self, store, old):
        """The difference of a version that is held back is kept whole beside its plan."""
        made = later(store, versions.moved(RATE, sci=1))
        found = difference(store, made)
        published.keep(store, "c" * 16, made, found)

        kept = published.read(store, "c" * 16, made.dataset)
        assert kept is not None
        assert kept.items() >= {**found, "version": made.version, "against": old.version}.items()
        assert published.read(store, "c" * 16, "jw0") is None

    def test_summary(self):
        """An outcome carries no more than some keywords."""
        keywords = {f"KEY{n}": [1, 2] for n in range(99)}

        assert len(published.summary({"keywords": keywords})["keywords"]) == 40
        assert published.summary({}) == {}
