"""Which failures are tried again, how often, after how long, and where: one rule for each class of failure.

A unit is charged for what it did itself. Each class has a budget of its own, so that a stormy night at the store does
not use up the tries that a unit has when its worker is taken away.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reprocess.execution.executor import Again, Retry, Task
from reprocess.exposure import Outcome


@dataclass(frozen=True, slots=True)
class Rule:
    """How failures of one class are met.

    Attributes
    ----------
    tries : int
        How often a unit may fail like this before it is given up.
    pause_s : float
        How long to wait after the first failure; twice as long after each further one.
    longest_s : float
        The longest wait.
    """

    tries: int
    pause_s: float = 0.0
    longest_s: float = 60.0


def rules(tries: int) -> Mapping[str, Rule]:
    """Return the rule of each class that is tried again, for so many tries of most of them.

    Running out of memory is not here: it ends with the largest tier. Nor is what the same inputs will give again.
    """
    return {
        # Machines on a spot market go often, and say nothing about the unit; but some units end their worker each time.
        "worker-lost": Rule(tries, 1.0),
        # The clients have tried for minutes already before they report this.
        "storage": Rule(tries, 2.0),
        "publication": Rule(tries, 2.0),
        "overdue": Rule(min(tries, 2)),
    }


def policy(
    tries: int,
    tiers: int,
    *,
    note: Callable[[Outcome, Again], None] | None = None,
    spread: Callable[[], float] = random.random,
) -> Retry:
    """Make the policy of a campaign.

    Parameters
    ----------
    tries : int
        How often a unit may fail in most of the classes.
    tiers : int
        Number of memory tiers above the first.
    note : callable, optional
        Takes each failure that will be followed by another try, and that try, so that a later run knows of it.
    spread : callable
        Gives a number from 0 to 1, which keeps units that failed together from coming back together.
    """
    known = rules(tries)

    def retry(task: Task, outcome: Outcome) -> Again | None:
        again = _again(task, outcome)
        if again is not None and note is not None:
            note(outcome, again)
        return again

    def _again(task: Task, outcome: Outcome) -> Again | None:
        if outcome.outcome_class == "out-of-memory":
            return Again(tier=task.tier + 1) if task.tier < tiers else None
        rule = known.get(outcome.outcome_class)
        failed = 1 + task.failures.count(outcome.outcome_class)
        if rule is None or not outcome.temporary or failed >= rule.tries:
            return None
        pause_s = min(rule.pause_s * 2.0 ** (failed - 1), rule.longest_s)
        return Again(after_s=pause_s * (0.5 + spread() / 2), tier=task.tier)

    return retry


QUARANTINED = frozenset({"worker-lost", "out-of-memory", "overdue"})
"""Classes of units that are given up because they end their workers: no run tries them again by itself."""
