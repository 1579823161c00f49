"""The cluster in virtual time that a benchmark is made of: what it says must be what it would be."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulated_cluster import Machines, SimulatedExecutor, Weather
from reprocess.execution.attempts import policy
from reprocess.execution.executor import Task, up_to

SMALL = Machines(nodes=2, workers_per_node=2, large_nodes=1, schedule_s=0, client_s=0, latency_s=0)
STORMY = Weather(losses_per_hour=60, away_s=30, storage=0.05, bad=0.03, large=0.05)


def tasks(count, **rest):
    return [Task(f"u{number}", f"d{number}", **rest) for number in range(count)]


def cluster(seconds=10.0, *, machines=SMALL, weather=None, seed=1):
    return SimulatedExecutor(lambda task: seconds, machines=machines, weather=weather, seed=seed)


def work_off(executor, given, **options):
    with executor:
        return list(executor.run(lambda task: None, given, **options))


class TestTime:
    """Virtual time."""

    def test_even_work(self):
        """Forty tasks of ten seconds on four workers take a hundred seconds, all of them busy."""
        executor = cluster()
        work_off(executor, tasks(40))

        assert executor.now == pytest.approx(100)
        assert executor.tally.useful_s == pytest.approx(executor.tally.available_s) == pytest.approx(400)

    def test_the_longest(self):
        """Nothing ends before its longest task."""
        executor = SimulatedExecutor(lambda task: 500.0 if task.unit == "u3" else 1.0, machines=SMALL)
        work_off(executor, tasks(9))

        assert executor.now == pytest.approx(500)

    def test_a_slow_scheduler(self):
        """When the scheduler takes longer for a task than all workers together, it sets the pace."""
        machines = Machines(nodes=4, workers_per_node=25, large_nodes=0, schedule_s=1.0, client_s=0, latency_s=0)
        executor = cluster(10.0, machines=machines)
        work_off(executor, tasks(200))

        assert executor.now == pytest.approx(200 + 10, abs=1)

    def test_a_busy_coordinator(self):
        """What the coordinator does for each outcome, one after the other, sets the pace when it is the slowest."""
        executor = cluster(1.0)
        with executor:
            for _ in executor.run(lambda task: None, tasks(100)):
                executor.spend(3.0)

        assert executor.now == pytest.approx(300, abs=5)

    def test_due_in_a_full_window(self):
        """A unit whose time to be tried again has come is, although the window is full."""
        executor = cluster(1.0, weather=Weather(storage=0.2))
        with executor:
            for _ in executor.run(lambda task: None, tasks(3000), retry=policy(3, 0)):
                executor.spend(0.3)

        assert executor.now > 900

    def test_waits(self):
        """A unit that is to wait before it is tried again waits in virtual time."""
        weather = Weather(storage=1.0)
        executor = cluster(1.0, weather=weather)
        (outcome,) = work_off(executor, tasks(1), retry=policy(3, 0, spread=lambda: 1.0))

        assert (outcome.outcome_class, outcome.attempt) == ("storage", 3)
        assert 2 + 4 < executor.now < 2 + 4 + 3


class TestContract:
    """What every executor promises."""

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 150), st.integers(0, 10**6), st.sampled_from([Weather(), STORMY]))
    def test_one_outcome_each(self, count, seed, weather):
        """Whatever the weather, every task has exactly one outcome, and all work is accounted for."""
        executor = cluster(weather=weather, seed=seed)
        found = Counter(one.unit for one in work_off(executor, tasks(count), retry=policy(3, 1)))

        assert found == Counter(task.unit for task in tasks(count))
        assert executor.tally.useful_s + executor.tally.wasted_s <= 4 * executor.now + 1e-6

    def test_after(self):
        """What waits for others begins when they have ended."""
        executor = cluster()
        given = [Task("last", "d", after=("first", "second")), Task("first", "d"), Task("second", "d")]
        outcomes = work_off(executor, given)

        assert [one.unit for one in outcomes][-1] == "last"
        assert executor.now == pytest.approx(20)

    def test_same_seed(self):
        """The same seed gives the same story; another seed another one."""
        stories = []
        for seed in (1, 1, 2):
            executor = cluster(weather=STORMY, seed=seed)
            outcomes = work_off(executor, tasks(200), retry=policy(3, 1, spread=lambda: 0.5))
            stories.append([(one.unit, one.outcome_class, one.ended) for one in outcomes])

        assert stories[0] == stories[1] != stories[2]

    def test_the_window(self):
        """No more tasks are read ahead than the window holds."""
        read = []

        def source():
            for task in tasks(5000):
                read.append(task)
                yield task

        executor = cluster()
        with executor:
            next(iter(executor.run(lambda task: None, source())))

        assert len(read) == executor.tally.most_held == 1000


class TestDeaths:
    """What becomes of units whose worker goes away."""

    def test_too_large(self):
        """A unit that is too large for a small worker goes to the next tier, and ends there."""
        executor = cluster(weather=Weather(large=1.0))
        outcomes = work_off(executor, tasks(20), retry=policy(3, 1))

        assert {(one.outcome_class, one.tier, one.attempt) for one in outcomes} == {("published", 1, 2)}

    def test_deadly(self):
        """A unit that ends every worker is given up after its tries, and the others are published."""
        executor = cluster(weather=Weather(deadly=0.05))
        outcomes = work_off(executor, tasks(300), retry=policy(3, 1))
        classes = Counter((one.outcome_class, one.attempt) for one in outcomes)

        assert set(classes) == {("published", 1), ("worker-lost", 3)}
        assert executor.tally.charged == 3 * classes["worker-lost", 3]

    def test_assigned_and_not_begun(self):
        """What a lost worker had not begun is not charged."""
        machines = Machines(nodes=2, workers_per_node=2, large_nodes=0, schedule_s=0, client_s=0, latency_s=1e6)
        executor = cluster(machines=machines, weather=Weather(losses_per_hour=0.001))
        outcomes = work_off(executor, tasks(4), retry=up_to(1))

        assert {one.outcome_class for one in outcomes} == {"published"}
        assert executor.tally.spared > 0 == executor.tally.charged

    def test_losses_cost_time(self):
        """Nodes that are taken away make it later, and what they did is wasted."""
        calm, stormy = (cluster(100.0, weather=each) for each in (Weather(), Weather(losses_per_hour=10)))
        for each in (calm, stormy):
            work_off(each, tasks(200), retry=up_to(100))

        assert stormy.now > calm.now
        assert stormy.tally.wasted_s > 0 == calm.tally.wasted_s
