"""What every executor promises; a test module of an executor inherits it and gives the fixture `executor`."""

from __future__ import annotations

from collections import Counter

import pytest

from reprocess import errors
from reprocess.execution.executor import Executor, Task, up_to
from tests.execution import functions


def task(unit: str, verb: str = "succeed", argument: object = None, after: tuple[str, ...] = ()) -> Task:
    return Task(unit, f"dataset-of-{unit}", (verb, argument), after)


class ExecutorContract:
    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError

    @staticmethod
    def classes(executor: Executor, tasks, **options) -> dict[str, str]:
        outcomes = list(executor.run(functions.act, tasks, **options))
        assert not [unit for unit, count in Counter(outcome.unit for outcome in outcomes).items() if count > 1]
        return {outcome.unit: outcome.outcome_class for outcome in outcomes}

    def test_no_tasks(self, executor):
        """Nothing in, nothing out."""
        assert list(executor.run(functions.act, [])) == []

    def test_one_outcome_each(self, executor):
        """Every task has exactly one outcome, with its own unit and dataset."""
        outcomes = list(executor.run(functions.act, (task(f"u{i}") for i in range(57))))

        assert {(outcome.unit, outcome.dataset) for outcome in outcomes} == {
            (f"u{i}", f"dataset-of-u{i}") for i in range(57)
        }
        assert len(outcomes) == 57

    def test_same_tasks_twice(self, executor, tmp_path):
        """A second run executes again: nothing is remembered from the first."""
        tasks = [task("again", "note", str(tmp_path / "log"))]

        assert self.classes(executor, tasks) == self.classes(executor, tasks) == {"again": "published"}
        assert (tmp_path / "log").read_text().split() == ["again", "again"]

    @pytest.mark.parametrize("verb", ["raise", "raise_ours", "exit", "return_nothing", "return_another"])
    def test_what_escapes_is_our_error(self, executor, verb):
        """Whatever a function lets escape ends its own unit as an error of ours and touches no other."""
        tasks = [task("before"), task("odd", verb), task("after")]

        outcomes = {outcome.unit: outcome for outcome in executor.run(functions.act, tasks)}

        assert outcomes["odd"].outcome_class == "own-error"
        assert "odd" in outcomes["odd"].message
        assert {outcomes["before"].outcome_class, outcomes["after"].outcome_class} == {"published"}

    def test_temporary_failures_are_tried_again(self, executor):
        """A temporary failure is executed again, and the final outcome tells the number of executions."""
        (outcome,) = executor.run(functions.act, [task("shy", "falter", 3)], retry=up_to(3))

        assert (outcome.outcome_class, outcome.attempt) == ("published", 3)

    def test_attempts_are_bounded(self, executor):
        """A unit is executed `attempts` times and not once more."""
        (outcome,) = executor.run(functions.act, [task("shy", "falter", 9)], retry=up_to(2))

        assert (outcome.outcome_class, outcome.attempt) == ("storage", 2)

    def test_permanent_failures_are_not_tried_again(self, executor):
        """A failure that is not temporary ends the unit at once."""
        (outcome,) = executor.run(functions.act, [task("bad", "fail", "bad-data")])

        assert (outcome.outcome_class, outcome.attempt) == ("bad-data", 1)

    def test_the_caller_decides_on_retries(self, executor):
        """The caller's policy is asked, not the flag of the outcome."""
        (outcome,) = executor.run(functions.act, [task("shy", "falter", 3)], retry=lambda _task, _outcome: None)

        assert (outcome.outcome_class, outcome.attempt) == ("storage", 1)

    @pytest.mark.parametrize("order", [1, -1])
    def test_a_unit_waits_for_others(self, executor, tmp_path, order):
        """A unit starts when all that it waits for have succeeded, wherever it stands in the stream of tasks."""
        log = str(tmp_path / "log")
        slabs = [task(f"slab{i}", "note", log) for i in range(4)]
        assembly = task("assembly", "note", log, after=tuple(slab.unit for slab in slabs))

        assert set(self.classes(executor, [*slabs, assembly][::order]).values()) == {"published"}
        lines = (tmp_path / "log").read_text().split()
        assert (len(lines), lines[-1]) == (5, "assembly")

    def test_a_waiting_unit_shares_the_failure(self, executor, tmp_path):
        """What waits for a failed unit, directly or not, ends with its class, does not run, and names it."""
        log = str(tmp_path / "log")
        tasks = [
            task("slab0"),
            task("slab1", "fail", "bad-data"),
            task("assembly", "note", log, after=("slab0", "slab1")),
            task("next", "note", log, after=("assembly",)),
        ]

        outcomes = {outcome.unit: outcome for outcome in executor.run(functions.act, tasks)}

        assert [outcomes[unit].outcome_class for unit in ("assembly", "next")] == ["bad-data", "bad-data"]
        assert [outcomes[unit].attempt for unit in ("assembly", "next")] == [0, 0]
        assert "slab1" in outcomes["assembly"].message
        assert not (tmp_path / "log").exists()

    def test_a_unit_that_waits_for_nobody(self, executor):
        """Waiting for a unit that is in no task is an error of ours, and the run ends all the same."""
        outcomes = self.classes(executor, [task("assembly", after=("ghost",)), task("other")])

        assert outcomes == {"assembly": "own-error", "other": "published"}

    def test_units_that_wait_in_a_circle(self, executor):
        """A circle of waiting units ends in errors of ours instead of waiting for ever."""
        outcomes = self.classes(executor, [task("a", after=("b",)), task("b", after=("a",))])

        assert outcomes == {"a": "own-error", "b": "own-error"}

    def test_units_are_unique(self, executor):
        """Two tasks with one identity are refused."""
        with pytest.raises(errors.PlanError, match="twin"):
            list(executor.run(functions.act, [task("twin"), task("twin")]))

    def test_stop(self, executor):
        """After `stop` nothing is started, and what has ended before is yielded."""
        ended = []
        tasks = (task(f"u{i}", "sleep", 0.02) for i in range(100_000))

        for outcome in executor.run(functions.act, tasks, stop=lambda: len(ended) >= 3):
            ended.append(outcome)

        assert 3 <= len(ended) < 1000
        assert {outcome.outcome_class for outcome in ended} == {"published"}

    def test_abandoned(self, executor):
        """A caller that leaves the loop early leaves an executor that works."""
        for _ in executor.run(functions.act, (task(f"u{i}") for i in range(100))):
            break

        assert self.classes(executor, [task("later")]) == {"later": "published"}

    def test_slots(self, executor):
        """There is room for at least one task."""
        assert executor.slots >= 1
