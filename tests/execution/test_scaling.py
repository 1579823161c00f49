"""The rule by itself, its properties for any numbers, and what comes of it on recorded work."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reprocess.execution.executor import Left
from reprocess.execution.scaling import Decision, Fleet, Limits, Memory, Work, decide
from tests.execution import scaling_traces as traces
from tests.execution.scaling_traces import Trace, Unit

NOTHING = Work(0, 0.0, 0, 0.0)
LIMITS = Limits(100)
FIFTY = Fleet(50, 50)


def once(
    work, fleet=FIFTY, *, now_s=0.0, limits=LIMITS, throttled=0, hours_left=None, memory=None, core_s_left=None
) -> Decision:
    """Decide on one tier."""
    return decide(
        now_s,
        {0: work},
        {0: fleet},
        limits={0: limits},
        throttled=throttled,
        left=Left(hours_left, core_s_left),
        memory=memory or Memory(),
    )


def replicas(*arguments, **options) -> int:
    return once(*arguments, **options).replicas[0]


def follow(steps, *, limits=LIMITS, asked=0, memory=None, begin_s=0.0):
    """Decide every five seconds on a sequence of (work, refusals), with workers that are there at once."""
    counts, memory = [], memory or Memory()
    for number, (work, throttled) in enumerate(steps):
        decision = once(
            work, Fleet(asked, asked), now_s=begin_s + 5.0 * number, limits=limits, throttled=throttled, memory=memory
        )
        asked, memory = decision.replicas[0], decision.memory
        counts.append(asked)
    return counts, memory


class TestBudget:
    """What the rest of the money pays for."""

    WORK = Work(1000, 90_000.0, 4, 100.0)

    def test_what_is_not_paid(self):
        """Work that will not be done in this run is worth no worker."""
        assert replicas(self.WORK, Fleet(0, 0), limits=Limits(1000, first=1000)) == 101
        assert replicas(self.WORK, Fleet(0, 0), limits=Limits(1000, first=1000), core_s_left=9100.0) == 11

    def test_what_is_left_over(self):
        """More money than work changes nothing."""
        assert once(self.WORK, core_s_left=1e6) == once(self.WORK)

    @pytest.mark.parametrize("left", [0.0, 50.0, -1.0])
    def test_nothing_left(self, left):
        """Without money what runs is ended, and no worker is started."""
        assert replicas(self.WORK, Fleet(4, 4), core_s_left=left) == 4
        assert replicas(Work(1000, 90_000.0, 0, 0.0), Fleet(0, 0), core_s_left=left) in (0, 1)

    def test_all_tiers(self):
        """Each tier gets the same part of its work paid."""
        work = {0: Work(100, 9000.0, 0, 0.0), 1: Work(10, 9000.0, 0, 0.0)}
        limits = dict.fromkeys(work, Limits(100))
        options = {"limits": limits, "throttled": 0, "left": Left(core_s=9000.0), "memory": Memory()}

        assert decide(0.0, work, {}, **options).replicas == {0: 5, 1: 5}

    @given(st.integers(0, 10**6), st.floats(0, 1e7), st.integers(0, 50), st.floats(0, 1e9) | st.just(math.nan))
    def test_never_more(self, queued, queued_s, running, left):
        """A budget never asks for more workers than there would be without one."""
        work = Work(queued, queued_s, running, 10.0 * running)
        assert replicas(work, Fleet(0, 0), core_s_left=left) <= replicas(work, Fleet(0, 0))


class TestUp:
    """How much is asked for."""

    def test_what_the_queue_is_worth(self):
        """A hundred units of ten seconds are worth two workers, not a hundred."""
        assert replicas(Work(100, 1000.0, 0, 0.0), Fleet(0, 0)) == 2

    def test_one_for_little(self):
        """The shortest queue gets one worker, even if nobody can tell how long it is."""
        assert replicas(Work(3, 0.0, 0, 0.0), Fleet(0, 0)) == 1

    def test_no_more_than_units(self):
        """Units of many hours get a worker each, and no more."""
        assert replicas(Work(3, 1e6, 2, 1e6), Fleet(2, 2)) == 5

    def test_behind_a_long_one(self):
        """What a running unit has left counts up to the time that is aimed at: a queue does not wait for hours."""
        assert replicas(Work(4, 40.0, 1, 90_000.0), Fleet(1, 1)) == 2

    def test_a_restart(self):
        """A driver that comes back to its fleet keeps it."""
        assert replicas(Work(1000, 1000.0, 50, 50.0), Fleet(50, 50)) == 50


class TestSlowStart:
    """How fast it is asked for."""

    PLENTY = Work(10_000, 1e6, 0, 0.0)

    def test_the_first(self):
        """A fleet begins with a few."""
        assert replicas(self.PLENTY, Fleet(0, 0)) == LIMITS.first

    def test_twice_those_that_are_there(self):
        """It grows to twice the workers that are there, however many were asked for."""
        assert replicas(self.PLENTY, Fleet(20, 15)) == 30

    def test_nobody_comes(self):
        """It waits for those that were asked for, and asks for no more while none of them comes."""
        assert replicas(self.PLENTY, Fleet(8, 0)) == 8
        assert replicas(self.PLENTY, Fleet(30, 10)) == 30

    def test_time_between(self):
        """There is a time between two raises."""
        counts, _ = follow([(self.PLENTY, 0)] * 20)

        assert counts == [8] * 6 + [16] * 6 + [32] * 6 + [64] * 2


class TestThrottling:
    """What refusals of the store do."""

    BUSY = Work(10_000, 1e6, 50, 500.0)

    def test_halved(self):
        """Many refusals halve the workers that are there, at once and although they are busy."""
        assert replicas(self.BUSY, throttled=1000) == 25
        assert replicas(self.BUSY, Fleet(50, 20), throttled=1000) == 10

    def test_few_are_tolerated(self):
        """A refusal now and then is nobody's worry."""
        memory = once(self.BUSY, now_s=0.0).memory

        assert replicas(self.BUSY, now_s=60.0, throttled=50, memory=memory) > 50
        assert replicas(self.BUSY, now_s=60.0, throttled=51, memory=memory) == 25

    def test_patience(self):
        """It is halved once while what was given up ends its units."""
        counts, _ = follow([(self.BUSY, 1000)] * 25, asked=64)

        assert counts == [32] * 24 + [16]

    def test_never_none(self):
        """One worker is left, however often the store refuses."""
        counts, _ = follow([(self.BUSY, 10**9)] * 1000, asked=64)

        assert counts[-1] == 1

    def test_recovery(self):
        """Without refusals the ceiling rises by the same number in the same time, up to the limit."""
        limits = replace(LIMITS, most=60, step_s=0.0)
        counts, memory = follow([(self.BUSY, 1000), *[(self.BUSY, 0)] * 400], asked=40, limits=limits)

        assert counts[:6] == [20, 20, 20, 20, 20, 20]
        assert [counts.index(number) for number in (21, 31, 41, 51)] == pytest.approx([6, 66, 126, 186], abs=1)
        assert counts[-1] == 60
        assert memory.tiers[0].ceiling == math.inf


class TestDown:
    """When workers are given up."""

    def test_idle(self):
        """A fleet without work goes, all of it, when it has been idle long enough."""
        counts, _ = follow([(Work(0, 0.0, 30, 30.0), 0), *[(NOTHING, 0)] * 13], asked=30)

        assert counts == [30] * 12 + [0] * 2

    def test_the_busy_stay(self):
        """A worker that runs something is kept, whatever its work is worth."""
        counts, _ = follow([(Work(0, 0.0, 30, 1.0), 0)] * 100, asked=50)

        assert counts[-1] == 30

    def test_a_queue_that_is_worth_it(self):
        """A fleet is never lowered while there is a minute of work for each worker, though it would not be started."""
        counts, _ = follow([(Work(600, 50 * LIMITS.keep_s, 0, 0.0), 0)] * 200, asked=50)

        assert set(counts) == {50}

    def test_a_queue_that_is_not(self):
        """A fleet that would work its queue off in no time is lowered, however many units there are."""
        counts, _ = follow([(Work(600, 3 * LIMITS.keep_s, 0, 0.0), 0)] * 20, asked=50)

        assert counts[-1] == 3

    def test_a_pause(self):
        """A short pause in the work costs no worker."""
        busy, pause = [(Work(0, 0.0, 30, 300.0), 0)] * 5, [(NOTHING, 0)] * 10
        counts, _ = follow((busy + pause) * 5, asked=30)

        assert set(counts) == {30}

    def test_the_tail(self):
        """A fleet whose units end one by one follows them."""
        counts, _ = follow([(Work(0, 0.0, max(100 - 2 * each, 0), 50.0), 0) for each in range(80)], asked=100)

        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == 0
        assert len(set(counts)) > 40


class TestDeadline:
    """What a deadline does."""

    WORK = Work(600, 6000.0, 0, 0.0)

    def test_in_time(self):
        """As many are asked for as end the work in time, the start of the workers included."""
        without, fleet = replicas(self.WORK, Fleet(50, 50)), Fleet(5, 5)

        assert without == 50
        assert replicas(self.WORK, fleet) == 7
        assert replicas(self.WORK, fleet, hours_left=10.0) == 7
        # 6000 s of work within 0.9 * 1000 s, less 60 s to start and the last unit's 10 s.
        assert replicas(self.WORK, fleet, hours_left=1000 / 3600) == 8

    def test_too_late(self):
        """Where a new worker could not end a unit in time, none is asked for; those that are there stay."""
        assert replicas(self.WORK, Fleet(5, 5), hours_left=69 / 3600) == 5
        assert replicas(self.WORK, Fleet(5, 5), hours_left=-1.0) == 5

    def test_never_stuck(self):
        """After the deadline there is one worker at least while there is work."""
        assert replicas(self.WORK, Fleet(0, 0), hours_left=0.0) == 1

    def test_only_just(self):
        """When hardly any time is left, each unit gets a worker."""
        work = Work(10, 100.0, 0, 0.0)

        assert replicas(work, Fleet(9, 9), hours_left=75 / 3600) == 10


class TestTiers:
    """One tier beside another."""

    def test_their_own_work(self):
        """Each tier asks for its own work, within its own limits."""
        work = {0: Work(10_000, 1e6, 0, 0.0), 1: Work(5, 4000.0, 0, 0.0)}
        limits = {0: Limits(4), 1: Limits(10), 2: Limits(10)}
        decision = decide(0.0, work, {}, limits=limits, throttled=0, left=Left(), memory=Memory())

        assert decision.replicas == {0: 4, 1: 5, 2: 0}

    def test_without_limits(self):
        """A tier without limits is left alone."""
        decision = decide(
            0.0, {3: Work(5, 5.0, 0, 0.0)}, {3: Fleet(2, 2)}, limits={}, throttled=0, left=Left(), memory=Memory()
        )

        assert decision.replicas == {}

    def test_refusals_concern_all(self):
        """Refusals halve every tier: there is one archive."""
        work, fleets = dict.fromkeys((0, 1), Work(100, 1e5, 10, 1e4)), {0: Fleet(40, 40), 1: Fleet(10, 10)}
        limits = dict.fromkeys((0, 1), LIMITS)
        decision = decide(0.0, work, fleets, limits=limits, throttled=1000, left=Left(), memory=Memory())

        assert decision.replicas == {0: 20, 1: 5}


class TestLimits:
    """What is allowed."""

    def test_least(self):
        """Workers that are always kept are there without work."""
        assert replicas(NOTHING, Fleet(0, 0), limits=replace(LIMITS, least=3)) == 3

    def test_most_wins(self):
        """A limit from above wins over one from below."""
        assert replicas(NOTHING, Fleet(9, 9), limits=Limits(2, least=5)) == 2

    def test_none_allowed(self):
        """A tier that is not allowed any worker has none, whatever its work."""
        assert replicas(Work(5, 500.0, 0, 0.0), Fleet(0, 0), limits=Limits(0)) == 0


class TestReasons:
    """What an operator reads in the log."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"work": NOTHING, "fleet": Fleet(0, 0)}, "nothing to do"),
            ({"work": Work(9, 9000.0, 0, 0.0), "fleet": Fleet(0, 0)}, "worth 9 workers; at most twice"),
            ({"work": Work(9, 9000.0, 0, 0.0), "throttled": 999}, "the store refuses requests: 25 at most"),
            ({"work": Work(9, 9e9, 0, 0.0), "limits": Limits(4)}, "no more are allowed: 4 at most"),
            ({"work": NOTHING, "limits": Limits(60, least=55)}, "55 at least"),
            ({"work": Work(9, 90.0, 1, 5.0), "hours_left": 0.0}, "would begin too late"),
        ],
    )
    def test_says_why(self, options, says):
        """The reason names what was decisive."""
        assert says in once(**options).reasons[0]


any_number = st.one_of(st.integers(-(10**30), 10**30), st.floats())
any_work = st.builds(Work, any_number, any_number, any_number, any_number)
any_fleet = st.builds(Fleet, any_number, any_number)
any_limits = st.builds(Limits, *[any_number] * 11)
sane_work = st.builds(Work, st.integers(0, 2000), st.floats(0, 1e5), st.integers(0, 100), st.floats(0, 1e4))


class TestProperties:
    """What holds whatever the numbers."""

    @given(
        st.lists(
            st.tuples(
                any_number,
                st.dictionaries(st.integers(0, 2), any_work),
                st.dictionaries(st.integers(0, 2), any_fleet),
                st.dictionaries(st.integers(0, 2), any_limits),
                any_number,
                st.builds(Left, st.none() | any_number, st.none() | any_number),
            ),
            max_size=4,
        )
    )
    def test_any_numbers(self, calls):
        """Whatever is given, a decision comes, within the limits, and it is the same for the same."""
        memory = Memory()
        for now_s, work, fleets, limits, throttled, left in calls:
            options = {"limits": limits, "throttled": throttled, "left": left, "memory": memory}
            decision = decide(now_s, work, fleets, **options)

            assert repr(decide(now_s, work, fleets, **options)) == repr(decision)
            assert set(decision.replicas) == set(decision.reasons) == set(limits)
            for tier, count in decision.replicas.items():
                assert isinstance(count, int)
                assert 0 <= count <= max(1e12 if math.isnan(limits[tier].most) else limits[tier].most, 0)
            memory = decision.memory

    @given(
        st.lists(st.tuples(sane_work, st.integers(0, 200)), min_size=1, max_size=100),
        st.integers(0, 50),
        st.integers(0, 100),
        st.integers(0, 200),
    )
    def test_within_the_limits(self, steps, least, more, asked):
        """Never above the limit, and never below what is always kept."""
        counts, _ = follow(steps, limits=Limits(least + more, least=least), asked=asked)

        assert all(least <= count <= least + more for count in counts)

    @given(st.lists(sane_work, min_size=1, max_size=200), st.integers(0, 100))
    def test_no_flapping(self, works, asked):
        """Between a raise and a fall there is the idle time: so many turns fit, and no more."""
        counts, _ = follow([(work, 0) for work in works], asked=asked)
        moves = [after - before for before, after in itertools.pairwise([asked, *counts]) if after != before]
        turns = sum(one * other < 0 for one, other in itertools.pairwise(moves))

        assert turns <= 2 * (5.0 * len(works) / LIMITS.idle_s) + 1

    @given(st.lists(st.tuples(sane_work, st.integers(0, 200)), max_size=50), st.integers(0, 100))
    def test_drains_to_zero(self, steps, asked):
        """Whatever came before, a fleet without work is gone after the idle time."""
        counts, memory = follow(steps, asked=asked)
        asked = counts[-1] if counts else asked
        periods = math.ceil(LIMITS.idle_s / 5.0) + 1
        after, _ = follow([(NOTHING, 0)] * periods, asked=asked, memory=memory, begin_s=5.0 * len(steps))

        assert after[-1] == 0

    @given(st.lists(st.tuples(sane_work, st.integers(0, 10**6)), min_size=1, max_size=50), st.integers(0, 100))
    def test_never_stuck(self, steps, asked):
        """While anything is queued there is a worker, whatever the store does."""
        counts, _ = follow(steps, asked=asked)

        assert all(count for count, (work, _) in zip(counts, steps, strict=True) if work.queued)

    @given(st.lists(st.tuples(sane_work, st.integers(0, 10**6)), min_size=1, max_size=50), st.integers(0, 100))
    def test_the_busy_are_left_alone(self, steps, asked):
        """Without refusals no worker that runs something is given up."""
        counts, _ = follow([(work, 0) for work, _ in steps], asked=asked)
        pairs = zip([asked, *counts], counts, (work.running for work, _ in steps), strict=False)

        assert all(after >= min(before, running, LIMITS.most) for before, after, running in pairs)

    @given(
        sane_work,
        st.floats(1.0, 10.0),
        st.integers(0, 100),
        st.none() | st.floats(0.0, 10.0),
    )
    def test_more_work(self, work, times, asked, hours_left):
        """More of the same work never asks for fewer workers."""
        assume(work.queued)
        more = Work(math.ceil(work.queued * times), 0.0, math.ceil(work.running * times), work.running_s * times)
        more = replace(more, queued_s=work.queued_s / work.queued * more.queued)
        few, many = (replicas(each, Fleet(asked, asked), hours_left=hours_left) for each in (work, more))

        assert few <= many

    @given(sane_work, st.integers(0, 1000), st.floats(0, 1e5), st.integers(0, 100))
    def test_any_more_work(self, work, units, seconds, asked):
        """Without a deadline any additional work, of long units or short ones, never asks for fewer workers."""
        more = replace(work, queued=work.queued + units, queued_s=work.queued_s + seconds)
        few, many = (replicas(each, Fleet(asked, asked)) for each in (work, more))

        assert few <= many

    @settings(deadline=None, max_examples=50)
    @given(st.integers(1, 400), st.floats(1.0, 600.0), st.floats(0.1, 1.0), st.integers(10, 300))
    def test_meets_a_deadline(self, count, unit_s, share, most):
        """A deadline is met when half of what is allowed could meet it, from the moment the fleet can be complete."""
        needed = min(max(math.ceil(share * most / 2), 1), count)
        rounds = math.ceil(count / needed)
        ramp = (math.log2(max(most / LIMITS.first, 1)) + 1) * (1.3 * 60 + LIMITS.step_s)
        deadline_s = (ramp + (rounds + 1) * unit_s) / 0.9 + 60
        trace = Trace(tuple(Unit(0.0, unit_s, unit_s) for _ in range(count)), most={0: most})
        story = traces.play(trace, traces.ours(trace, deadline_s=deadline_s))

        assert story.ended == count
        assert story.makespan_s <= deadline_s


@pytest.fixture(scope="module")
def stories():
    """What comes of each trace."""
    made = {name: make() for name, make in traces.TRACES.items()}
    return {name: (trace, traces.play(trace, traces.ours(trace))) for name, trace in made.items()}


class TestTraces:
    """Recorded work, from nothing to nothing."""

    @pytest.mark.parametrize("name", traces.TRACES)
    def test_from_zero_to_zero(self, stories, name):
        """All units end, no tier goes above its limit, and in the end nothing is left."""
        trace, story = stories[name]
        last = {tier: count for _, tier, count in story.asked}

        assert story.ended == len(trace.units)
        assert all(count <= trace.most[tier] for _, tier, count in story.asked)
        assert set(last.values()) == {0}

    @pytest.mark.parametrize("name", [name for name in traces.TRACES if name not in ("trickle", "throttled")])
    def test_up_and_down_once(self, stories, name):
        """What comes at once makes a fleet grow once and shrink once."""
        trace, story = stories[name]

        assert all(story.turns(tier) <= 1 for tier in trace.most)

    def test_a_short_queue(self, stories):
        """A queue that is worked off sooner than pods start gets one."""
        _, story = stories["short queue"]

        assert max(count for _, _, count in story.asked) == 1

    def test_idle(self, stories):
        """A campaign of long units pays for little that it does not use."""
        _, story = stories["large burst"]

        assert story.idle_share < 0.25

    def test_scale_down_loses_nothing(self, stories):
        """Nothing runs twice but what was on a pod that was taken away."""
        again = {name: story.again for name, (_, story) in stories.items()}

        assert again.pop("spot losses") > 0
        assert set(again.values()) == {0}

    def test_an_archive_under_stress(self, stories):
        """The ceiling spares the archive most of the refusals, and the campaign takes hardly longer."""
        trace, story = stories["throttled"]
        heedless = traces.play(trace, traces.ours(trace, tolerated=math.inf))

        assert story.refused < heedless.refused / 2
        assert story.makespan_s < 1.5 * heedless.makespan_s

    def test_tiers(self, stories):
        """Few large units start few large workers, beside many small ones."""
        _, story = stories["two tiers"]
        most = {tier: max(count for _, each, count in story.asked if each == tier) for tier in (0, 1)}

        assert 1 <= most[1] <= 10 < most[0]
