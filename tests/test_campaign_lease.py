"""Of several coordinators of a campaign one works."""

import time
from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, errors
from reprocess.publication import lease
from tests import trips
from tests.publication.faulty import Watched


@pytest.fixture
def archive():
    return trips.make(options=trips.TINY, lease_s=1.0)


@pytest.fixture
def made(archive):
    return campaign.plan(archive, trips.target(options=trips.TINY), created=trips.CREATED)


def test_the_second_says_who_works(archive, made):
    """While somebody is at work, another run ends with that one's name and publishes nothing."""
    held = lease.acquire(archive.store, made.digest[:16], silence_s=1.0)
    with held.kept(), pytest.raises(errors.LeaseHeld, match="process"):
        coordinator.run(archive, made.digest)

    assert not trips.shown(archive)
    assert coordinator.run(archive, made.digest).classes["published"] == 2


def test_whoever_has_lost_it_stops(archive, made):
    """A coordinator whose lease was taken publishes no more, and the next one does the rest."""
    key, moved = lease.key(made.digest[:16]), []

    def hook(name, place, perform):
        result = perform()
        if name.startswith("put") and place.startswith("pointers/") and not moved:
            moved.append(place)
            found, etag = lease._read(archive.store, made.digest[:16])
            other = replace(found, holder="another", place="elsewhere", epoch=found.epoch + 1, released=True)
            archive.store.compare_and_swap(key, lease._dumps(other), etag=etag)
            time.sleep(0.5)  # longer than until the next renewal
        return result

    with pytest.raises(errors.LeaseHeld, match="elsewhere"):
        coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest)

    assert len(trips.shown(archive)) == 1
    summary = coordinator.run(archive, made.digest)
    assert (summary.closes, summary.classes["published"]) == (True, 2)


def test_a_finished_campaign_needs_none(archive, made):
    """Looking at a campaign that has ended takes no lease from anybody."""
    coordinator.run(archive, made.digest)
    before = archive.store.get(lease.key(made.digest[:16])).data

    coordinator.run(archive, made.digest)

    assert archive.store.get(lease.key(made.digest[:16])).data == before
    assert b'"released":true' in before
