from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reprocess.execution import frontier
from reprocess.execution.executor import Task, up_to
from reprocess.exposure import Outcome


def edge(*tasks: Task, attempts: int = 3) -> frontier.Frontier:
    return frontier.Frontier(tasks, retry=up_to(attempts))


class TestLost:
    def test_the_executing_unit_is_charged(self):
        """A unit that was executing when its worker died has used one attempt."""
        front = edge(Task("u", "d"))
        front.take()

        front.lost("u", executing=True, reason="")

        assert front.take().attempt == 2

    def test_a_neighbour_is_not_charged(self):
        """A unit that stood in line goes again with the same attempt."""
        front = edge(Task("u", "d"))
        front.take()

        front.lost("u", executing=False, reason="")

        assert (again := front.take()).attempt == 1
        assert again.spared == 1

    def test_innocence_is_bounded(self):
        """Even a unit that always stands in line ends after a bounded number of deaths."""
        front = edge(Task("u", "d"), attempts=1)
        for _ in range(frontier.SPARED_LIMIT + 1):
            front.take()
            front.lost("u", executing=False, reason="")

        assert front.take() is None
        assert [outcome.outcome_class for outcome in front.ended()] == ["worker-lost"]


class TestTake:
    def test_urgent_before_fresh(self):
        """What was begun before goes ahead of fresh tasks, and without `fresh` nothing else is given out."""
        front = edge(Task("a", "d"), Task("b", "d"))
        front.take()
        front.settle(Outcome("a", "d", "storage", temporary=True))

        assert front.take(fresh=False).unit == "a"
        assert front.take(fresh=False) is None
        assert front.take().unit == "b"


@st.composite
def graphs(draw):
    """Tasks in any order, each waiting for any earlier-named ones of the others; which of them fail; and an order."""
    count = draw(st.integers(1, 12))
    names = [f"u{i}" for i in range(count)]
    tasks = [
        Task(name, "d", after=tuple(draw(st.lists(st.sampled_from(names[:i]), unique=True, max_size=3)) if i else ()))
        for i, name in enumerate(names)
    ]
    return draw(st.permutations(tasks)), draw(st.sets(st.sampled_from(names))), draw(st.randoms(use_true_random=False))


@given(graphs())
def test_every_unit_ends_once_and_in_order(graph):
    """In whatever order work ends, each unit ends once, none starts before those it waits for, and failures spread."""
    tasks, failing, random = graph
    front = edge(*tasks)
    running, started, ended = [], [], {}
    while True:
        while task := front.take():
            assert all(ended[name].outcome_class == "published" for name in task.after)
            running.append(task)
            started.append(task.unit)
        for outcome in front.ended():
            assert outcome.unit not in ended
            ended[outcome.unit] = outcome
        if not running:
            break
        task = running.pop(random.randrange(len(running)))
        front.settle(Outcome(task.unit, "d", "bad-data" if task.unit in failing else "published"))
        for outcome in front.ended():
            assert outcome.unit not in ended
            ended[outcome.unit] = outcome
    front.finish()

    after = {task.unit: task.after for task in tasks}
    assert list(front.ended()) == []
    assert set(ended) == set(after)
    for unit, outcome in ended.items():
        bad = unit in failing or any(ended[name].outcome_class == "bad-data" for name in after[unit])
        assert (outcome.outcome_class == "bad-data") == bad
        assert (unit in started) == all(ended[name].outcome_class == "published" for name in after[unit])
