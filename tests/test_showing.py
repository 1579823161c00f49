"""Pointers are moved several at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, errors
from reprocess.execution.serial import SerialExecutor
from reprocess.publication import ledger
from reprocess.showing import Showing
from reprocess.simulation.options import SimulationOptions
from tests import trips
from tests.publication.faulty import Watched

FEW = SimulationOptions(exposures=6, shape=(32, 32), groups=4, instruments=("NIRCAM",))


class Wide(SerialExecutor):
    """Says that it has many workers, as a cluster does."""

    @property
    def slots(self):
        return 64


class Slow:
    """Makes pointers take long, and sees how many are moved at the same time."""

    def __init__(self, store):
        self.store, self.now, self.most, self.lock = store, 0, 0, threading.Lock()

    def __call__(self, name, place, perform):
        if not place.startswith("pointers/"):
            return perform()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            time.sleep(0.2)
            return perform()
        finally:
            with self.lock:
                self.now -= 1


@pytest.fixture
def archive():
    return trips.make(options=FEW)


@pytest.fixture
def made(archive):
    return campaign.plan(archive, trips.target(options=FEW), created=trips.CREATED)


def test_several_at_a_time(archive, made):
    """With many workers commits overlap, and each exposure is published and on record once."""
    slow = Slow(archive.store)
    watched = replace(archive, store=Watched(archive.store, slow))

    summary = coordinator.run(watched, made.digest, executor=Wide())

    assert summary.classes["published"] == 6
    assert len(trips.shown(archive)) == 6
    assert slow.most > 1
    ended = [one for one in ledger.read(archive.store, made.digest[:16]).values() if one.outcome_class == "published"]
    assert len(ended) == 6


def test_a_failure_is_its_own(archive, made):
    """A pointer that cannot be moved fails its exposure with its class; the others are published."""

    def hook(name, place, perform):
        if place.startswith("pointers/") and made.items[2].dataset in place and name.startswith("put"):
            raise errors.AccessDenied(f"{place}: not allowed. Ask for the permission.")
        return perform()

    summary = coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest, executor=Wide())

    assert (summary.classes["published"], summary.classes["storage"]) == (5, 1)
    assert coordinator.run(archive, made.digest).classes["published"] == 6


@pytest.mark.parametrize("at_once", [1, 4])
def test_without_the_lease_nothing_is_moved(archive, made, at_once):
    """Whoever may not publish any more moves no pointer and is told."""
    writer = Wide()
    coordinator.run(archive, made.digest, executor=writer, wish=coordinator.Wish(approve=True))
    written = ledger.read(archive.store, made.digest[:16])

    def check():
        raise errors.LeaseHeld("taken by another")

    def give_all():
        with Showing(archive.store, writer="me", check=check, at_once=at_once) as showing:
            for item in made.items:
                showing.give(item, written[item.dataset])
            list(showing.ended(wait=True))

    with pytest.raises(errors.LeaseHeld):
        give_all()

    assert not trips.shown(archive)
