"""Which failures are tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.execution.attempts import policy, rules
from reprocess.execution.executor import Again, Task
from reprocess.execution.frontier import Frontier
from reprocess.exposure import Outcome


def failure(kind: str, *, temporary: bool = True) -> Outcome:
    return Outcome("u", "d", kind, temporary=temporary)


def test_each_class_has_its_own_budget():
    """Losing workers does not use up the tries that a unit has with the store."""
    retry = policy(3, 0)
    task = Task("u", "d", failures=("worker-lost",) * 2)

    assert retry(task, failure("worker-lost")) is None
    assert retry(task, failure("storage")) is not None


def test_back_off_doubles_up_to_a_bound():
    """Each further failure of a class waits twice as long, and never longer than its rule says."""
    retry = policy(20, 0, spread=lambda: 1.0)
    waits = [retry(Task("u", "d", failures=("storage",) * n), failure("storage")).after_s for n in range(8)]

    assert waits[:4] == [2.0, 4.0, 8.0, 16.0]
    assert waits[-1] == rules(20)["storage"].longest_s


@pytest.mark.parametrize("kind", ["bad-data", "own-error", "reference", "raw-replaced", "unsupported"])
def test_what_will_fail_again_is_not_tried_again(kind):
    """The same inputs give the same failure."""
    assert policy(9, 2)(Task("u", "d"), failure(kind)) is None


def test_memory_goes_to_the_next_tier():
    """A unit that ran out of memory goes one tier up, and ends in the last one."""
    retry = policy(1, 2)

    assert retry(Task("u", "d"), failure("out-of-memory", temporary=False)) == Again(tier=1)
    assert retry(Task("u", "d", tier=1), failure("out-of-memory", temporary=False)) == Again(tier=2)
    assert retry(Task("u", "d", tier=2), failure("out-of-memory", temporary=False)) is None


def test_only_what_is_tried_again_is_noted():
    """The note tells of failures that are not the end of their unit."""
    noted: list[tuple[Outcome, Again]] = []
    retry = policy(2, 0, note=lambda outcome, again: noted.append((outcome, again)))
    retry(Task("u", "d"), failure("storage"))
    retry(Task("u", "d", failures=("storage",)), failure("storage"))

    assert len(noted) == 1


@given(st.lists(st.sampled_from(["worker-lost", "storage", "out-of-memory", "overdue", "published"]), max_size=60))
def test_every_unit_ends(kinds):
    """Whatever a unit does, it is executed only so often, and its last failure is its end."""
    now = [0.0]
    front = Frontier([Task("u", "d")], retry=policy(3, 2), clock=lambda: now[0])
    executions = 0
    for kind in [*kinds, *["storage"] * 12]:
        now[0] += 1000.0
        if front.take() is None:
            break
        executions += 1
        front.settle(failure(kind))

    assert len(list(front.ended())) == 1
    assert executions <= 1 + 2 + 2 + 1 + 2


def test_a_unit_waits_for_its_time():
    """A unit that is to wait is not given out before, and the frontier says how long it takes."""
    now = [0.0]
    front = Frontier([Task("u", "d")], retry=lambda _task, _outcome: Again(after_s=5.0), clock=lambda: now[0])
    front.take()
    front.settle(failure("storage"))

    assert (front.take(), front.wait_s) == (None, 5.0)
    now[0] = 5.0
    again = front.take()
    assert again is not None
    assert (again.attempt, again.failures, front.wait_s) == (2, ("storage",), None)
