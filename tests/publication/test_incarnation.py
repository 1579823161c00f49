from dataclasses import replace

import pytest

from reprocess.archive.partition import Pointer
from reprocess.publication import incarnation
from reprocess.storage.memory import MemoryStore

DATASET, RUN = "d1", "0123456789abcdef0123"


@pytest.fixture
def store(request):
    return MemoryStore(f"incarnation-{request.node.name}")


def shown(version, *before):
    """What readers see, and what they saw before."""
    return Pointer(DATASET, "memory://a", f"pointers/{DATASET}.json", 1, "e", version, "0.1", "x.pmap", left=before)


def write(store, number, *names, run=RUN):
    for name in names:
        store.put(f"products/{DATASET}/{run}-{number}/{name}", b"x")


class TestChoose:
    def test_inputs_that_nobody_used(self, store):
        """The first incarnation is 1, whatever others are doing."""
        write(store, 7, "manifest.json", run="f" * 20)

        assert incarnation.choose(store, DATASET, RUN) == 1
        assert incarnation.choose(store, DATASET, RUN, shown("f" * 20 + "-7")) == 1

    def test_a_whole_version_is_used(self, store):
        """A version that was written whole and not published yet, or is shown now, is not written again."""
        write(store, 1, "manifest.json", "a_rate.fits")

        assert incarnation.choose(store, DATASET, RUN) == 1
        assert incarnation.choose(store, DATASET, RUN, shown(f"{RUN}-1", "f" * 20 + "-1")) == 1

    def test_a_version_that_lost_files_is_not_used(self, store):
        """A version whose files are gone in part stays as it is, and the next incarnation is written."""
        write(store, 1, "manifest.json")

        assert incarnation.choose(store, DATASET, RUN, replace(shown(f"{RUN}-1"), missing=("rate.fits",))) == 2

    def test_a_version_whose_manifest_lies_is_not_used(self, store):
        """A version that is damaged stays as it is, and the next incarnation is written."""
        write(store, 1, "manifest.json", "a_rate.fits")

        assert incarnation.choose(store, DATASET, RUN, replace(shown(f"{RUN}-1"), damage="it lies")) == 2

    def test_remains_are_left_alone(self, store):
        """Files without a manifest are another plan's: the next incarnation is taken."""
        write(store, 1, "a_rate.fits")
        assert incarnation.choose(store, DATASET, RUN) == 2
        write(store, 2, "a_rate.fits")
        assert incarnation.choose(store, DATASET, RUN) == 3
        write(store, 2, "manifest.json")
        assert incarnation.choose(store, DATASET, RUN) == 2

    def test_readers_do_not_go_back(self, store):
        """A version that readers saw and left is not used again, and its number is never given twice."""
        write(store, 1, "manifest.json")

        assert incarnation.choose(store, DATASET, RUN, shown("f" * 20 + "-1", f"{RUN}-1")) == 2
        assert incarnation.choose(store, DATASET, RUN, shown("f" * 20 + "-1", f"{RUN}-1", f"{RUN}-9")) == 10

    def test_numbers_are_numbers(self, store):
        """Ten comes after nine, and what is no number counts for nothing."""
        for number in (9, 10, "x", ""):
            write(store, number, "a_rate.fits")

        assert incarnation.choose(store, DATASET, RUN) == 11

    def test_a_dataset_that_begins_like_another(self, store):
        """Versions of another dataset are not taken for those of this one."""
        store.put(f"products/{DATASET}2/{RUN}-5/a_rate.fits", b"x")

        assert incarnation.choose(store, DATASET, RUN) == 1
