"""The gate on the whole trip: what is unchanged, what is held back, and what becomes of it."""

import pytest

from reprocess import campaign, gatekeeping
from reprocess.publication import ledger
from tests import trips
from tests.test_worker_compare import MORE_JUMPS, NARROW, NO_EFFECT


@pytest.fixture
def archive():
    """An archive of which readers see every exposure."""
    made = trips.make(options=trips.TALL)
    assert set(classes(made, "", 22)) == {"published"}
    return made


def classes(archive, extra, day):
    """Scan, plan and run against a target; how each exposure of which there was work ended."""
    campaign.scan(archive)
    wanted = trips.target(extra=extra, options=trips.TALL)
    made, _ = trips.go(archive, wanted, created=f"2026-11-{day}T00:00:00.000")
    return [one.outcome_class for one in ledger.read(archive.store, made.digest[:16]).values() if one.version]


class TestGate:
    def test_unchanged(self, archive):
        """A target that changes no pixel: readers see what they saw, and the next sweep has no work."""
        before = trips.shown(archive)

        assert set(classes(archive, NO_EFFECT, 23)) == {"unchanged"}
        assert trips.shown(archive) == before
        assert classes(archive, NO_EFFECT, 24) == []

    def test_held_back_then_decided(self, archive):
        """What is outside the budget is not shown and not tried again; accepted, it is what readers see."""
        before = trips.shown(archive)
        campaign.scan(archive)

        assert set(classes(archive, MORE_JUMPS + NARROW, 23)) == {"held-back"}
        assert trips.shown(archive) == before
        assert classes(archive, MORE_JUMPS + NARROW, 24) == []
        made = {stamp.key.split("/")[2] for stamp in archive.store.list("products/")} - set(before.values())
        for dataset in before:
            (version,) = (one for one in made if list(archive.store.list(f"products/{dataset}/{one}/manifest.json")))
            gatekeeping.accept(archive, dataset, version)
        assert set(trips.shown(archive).values()) == made
        assert classes(archive, MORE_JUMPS + NARROW, 25) == []

    def test_within(self, archive):
        """Without a budget other pixels are what a new target is for: they are shown."""
        before = trips.shown(archive)

        assert set(classes(archive, MORE_JUMPS, 23)) == {"published"}
        assert not set(trips.shown(archive).items()) & set(before.items())
