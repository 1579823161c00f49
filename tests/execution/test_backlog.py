"""What a run still has to do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.execution.backlog import TRUSTED, Backlog
from reprocess.execution.executor import Amount, Task
from reprocess.execution.scaling import Work


def task(unit: str, expected_s: float = 10.0, tier: int = 0) -> Task:
    return Task(unit, unit, expected_s=expected_s, tier=tier)


class TestBacklog:
    def test_what_was_never_drawn_counts(self):
        """All of a run is work from the beginning, however little of it is held."""
        backlog = Backlog()
        backlog.expect({0: Amount(1000, 5000.0), 1: Amount(3, 90.0)})

        assert backlog.work({}) == {0: Work(1000, 5000.0, 0, 0.0), 1: Work(3, 90.0, 0, 0.0)}

    @given(st.lists(st.floats(0, 1e4), max_size=20), st.data())
    def test_drawing_changes_no_sum(self, seconds, data):
        """A unit that is drawn is as much work as before; one that has ended is none."""
        tasks = [task(f"u{number}", each) for number, each in enumerate(seconds)]
        backlog = Backlog()
        backlog.expect({0: Amount(len(tasks), sum(seconds))})
        drawn = backlog.draw(tasks)
        for _ in range(data.draw(st.integers(0, len(tasks)))):
            next(drawn)

        (work,) = backlog.work({}).values()

        assert (work.queued, work.queued_s) == (len(tasks), pytest.approx(sum(seconds), abs=1e-6))

        for one in [*tasks, *drawn]:
            backlog.ended(one.unit)
        assert all(left.queued == 0 for left in backlog.work({}).values())

    def test_a_unit_that_runs(self):
        """Of a unit that runs only what is left of it is work, and never nothing."""
        backlog = Backlog()
        list(backlog.draw([task("a"), task("b"), task("c")]))

        assert backlog.work({"a": 4.0, "b": 400.0}) == {0: Work(1, 10.0, 2, 7.0)}

    def test_another_tier(self):
        """A unit that is handed out in another tier is work of that tier."""
        backlog = Backlog()
        (one,) = backlog.draw([task("a")])
        backlog.handed_out(replace(one, tier=1))

        assert backlog.work({}) == {0: Work(0, 0.0, 0, 0.0), 1: Work(1, 10.0, 0, 0.0)}

    def test_pace(self):
        """When enough executions have ended, what others are expected to take follows them."""
        backlog = Backlog()
        backlog.expect({0: Amount(2, 20.0)})
        for number in range(TRUSTED):
            assert backlog.work({})[0].queued_s == 20.0
            backlog.executed(task(str(number)), 30.0)

        assert backlog.work({})[0].queued_s == 60.0

    def test_clear(self):
        """A run that is over leaves no work behind."""
        backlog = Backlog()
        backlog.expect({0: Amount(2, 20.0)})
        next(backlog.draw([task("a"), task("b")]))
        backlog.clear()

        assert backlog.work({}) == {}
