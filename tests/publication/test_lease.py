"""The lease of a campaign."""

from __future__ import annotations

import contextlib
import itertools
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reprocess import errors
from reprocess.publication import lease
from reprocess.publication.lease import Candidate
from tests.publication import samples
from tests.publication.faulty import Fault, Watched

CAMPAIGN = "0123456789abcdef"
SILENCE = 10.0


class Time:
    """A clock that a test sets, the same for all."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def store():
    return samples.memory_store()


@pytest.fixture
def clock():
    return Time()


def candidate(store, clock, **options):
    return Candidate(store, CAMPAIGN, SILENCE, clock=clock, **options)


class TestCandidate:
    """`Candidate.look`."""

    def test_a_free_lease_is_taken_at_once(self, store, clock):
        """Nobody had it, or its holder released it: the epoch rises by one each time."""
        first = candidate(store, clock).look()
        first.release()
        second = candidate(store, clock).look()

        assert (first.epoch, second.epoch, second.is_lost) == (1, 2, False)

    def test_a_living_holder_is_named(self, store, clock):
        """Whoever sees the lease renewed is told who works, and ends."""
        held = candidate(store, clock, place="host-7, process 12").look()
        other = candidate(store, clock)
        assert other.look() is None
        held.renew()

        with pytest.raises(errors.LeaseHeld, match="host-7, process 12"):
            other.look()

    def test_a_silent_holder_is_replaced(self, store, clock):
        """A lease that is not renewed for as long as its holder promised is taken over, not a moment before."""
        held = candidate(store, clock).look()
        other = candidate(store, clock)
        other.look()
        clock.now = SILENCE - 0.1
        assert other.look() is None
        clock.now = SILENCE
        taken = other.look()

        assert (taken.epoch, taken.is_lost, held.is_lost) == (2, False, True)
        with pytest.raises(errors.LeaseHeld):
            held.check()

    def test_one_of_many(self, store, clock):
        """Of many who find a dead lease at the same time one gets it."""
        candidate(store, clock).look()
        others = [candidate(store, clock) for _ in range(8)]
        for one in others:
            one.look()
        clock.now = SILENCE
        found = []

        def look(one):
            with contextlib.suppress(errors.LeaseHeld):
                found.append(one.look())

        threads = [threading.Thread(target=look, args=(one,)) for one in others]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len([one for one in found if one is not None]) == 1

    def test_an_answer_that_is_lost(self, store, clock):
        """A lease that was taken although the answer did not come is found to be one's own by the next look."""
        fault = Fault(2, errors.StorageUnavailable("no answer"), after=True)
        mine = candidate(Watched(store, fault), clock)

        assert mine.look() is None
        assert mine.look().epoch == 1

    def test_a_damaged_record(self, store, clock):
        """What is no lease is named and left alone."""
        store.put(lease.key(CAMPAIGN), b"{}")

        with pytest.raises(errors.DamagedRecord, match=r"lease\.json"):
            candidate(store, clock).look()


class TestLease:
    """`Lease`."""

    def test_silence_loses_it(self, store, clock):
        """A holder that the store does not answer stops before another may begin, and says so."""
        held = candidate(store, clock).look()
        clock.now = SILENCE

        with pytest.raises(errors.LeaseLapsed, match="did not answer"):
            held.renew()

    @pytest.mark.parametrize("after", [False, True])
    def test_a_store_that_does_not_answer(self, store, clock, after):
        """One call without an answer does no harm, whether it took effect or not."""
        fault = Fault(3, errors.StorageUnavailable("no answer"), after=after)
        held = candidate(Watched(store, fault), clock).look()
        for clock.now in (4.0, 8.0, 12.0):
            held.renew()

        assert not held.is_lost

    def test_a_slow_answer(self, store, clock):
        """A renewal counts from when it was sent: the store may have made it at once."""

        def slow(name, key, perform):
            result = perform()
            clock.now += 3.0
            return result

        held = candidate(Watched(store, slow), clock).look()
        clock.now = sent = 8.0
        held.renew()
        clock.now = sent + SILENCE

        assert held.is_lost

    def test_a_renewal_whose_answer_is_lost(self, store, clock):
        """It counts from when it was made, not from when that is found out, because others watch it since."""
        held = candidate(Watched(store, Fault(3, errors.StorageUnavailable("no answer"), after=True)), clock).look()
        held.renew()
        other = candidate(store, clock)
        other.look()
        clock.now = 3.0
        held.renew()
        clock.now = 12.9

        with pytest.raises(errors.LeaseHeld):
            other.look()
        assert not held.is_lost

    def test_taken_by_another(self, store, clock):
        """A holder that slept through its term learns from the store who has it."""
        held = candidate(store, clock).look()
        other = candidate(store, clock, place="elsewhere")
        other.look()
        clock.now = SILENCE
        other.look()
        held._renewed = clock.now  # as if its own clock had stood still

        with pytest.raises(errors.LeaseHeld, match="elsewhere"):
            held.renew()
        held.release()
        assert candidate(store, clock).look() is None

    def test_kept(self, store):
        """While it is kept it is renewed by itself; afterwards it is free."""
        with lease.acquire(store, CAMPAIGN, silence_s=0.3).kept() as held:
            watching = Candidate(store, CAMPAIGN, 0.3)
            watching.look()
            with pytest.raises(errors.LeaseHeld):  # noqa: PT012 (looks until the holder is heard)
                for _ in itertools.count():
                    watching.look()
            held.check()

        assert lease.acquire(store, CAMPAIGN).epoch == 2


def test_acquire_waits_for_the_dead(store):
    """After a coordinator that was killed the next one watches for a while, says so once, and goes on."""
    lease.acquire(store, CAMPAIGN, silence_s=0.2)
    told, slept = [], []

    def sleep(seconds):
        slept.append(seconds)
        threading.Event().wait(seconds)

    assert lease.acquire(store, CAMPAIGN, sleep=sleep, waiting=told.append).epoch == 2
    assert len(told) == 1
    assert 0.15 < sum(slept) < 5


class Coordinators(RuleBasedStateMachine):
    """Several coordinators that look, renew, release, stand still and lose answers, in any order."""

    def __init__(self):
        super().__init__()
        self.store = samples.memory_store()
        self.clock = Time()
        self.lost_answer = 0
        self.candidates = [candidate(Watched(self.store, self.call), self.clock) for _ in range(2)]
        self.leases = [None] * 2
        self.epochs = []

    def call(self, name, key, perform):
        fault, self.lost_answer = self.lost_answer, 0
        if fault == 1 and name != "get":
            raise errors.StorageUnavailable("not sent")
        result = perform()
        if fault == 2 and name != "get":
            raise errors.StorageUnavailable("no answer")
        self.lost_answer = fault if name == "get" else 0
        return result

    @rule(who=st.integers(0, 1), fault=st.sampled_from([0, 0, 0, 1, 2]))
    def look(self, who, fault):
        if self.leases[who] is not None:
            return
        self.lost_answer = fault
        try:
            self.leases[who] = self.candidates[who].look()
        except errors.LeaseHeld:
            self.candidates[who] = candidate(Watched(self.store, self.call), self.clock)
        if self.leases[who] is not None and not self.leases[who].is_lost:
            self.epochs.append(self.leases[who].epoch)

    @rule(who=st.integers(0, 1), fault=st.sampled_from([0, 0, 1, 2]))
    def renew(self, who, fault):
        if self.leases[who] is None:
            return
        self.lost_answer = fault
        try:
            self.leases[who].renew()
        except errors.LeaseHeld:
            self.end(who)

    @rule(who=st.integers(0, 1), fault=st.sampled_from([0, 0, 1, 2]))
    def release(self, who, fault):
        if self.leases[who] is not None:
            self.lost_answer = fault
            self.leases[who].release()
            self.end(who)

    @rule(who=st.integers(0, 1), for_good=st.sampled_from([False, False, False, True]))
    def kill(self, who, for_good):
        """It stands still for a moment, or is killed."""
        if for_good:
            self.end(who)

    def end(self, who):
        """What comes next is another process."""
        self.leases[who] = None
        self.candidates[who] = candidate(Watched(self.store, self.call), self.clock)

    @rule(seconds=st.sampled_from([0.5, 3.0, 9.9, 10.0, 25.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def one_works(self):
        """At any moment no more than one takes itself for the holder."""
        assert sum(one is not None and not one.is_lost for one in self.leases) <= 1

    @invariant()
    def epochs_rise(self):
        """Whoever takes over has a higher number."""
        assert self.epochs == sorted(self.epochs)


TestCoordinators = Coordinators.TestCase
TestCoordinators.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
