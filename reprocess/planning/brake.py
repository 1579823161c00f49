"""The error budget: too many failures of one class in a stretch stop a campaign before it burns through its plan."""

from __future__ import annotations

from collections import Counter, deque

from reprocess.exposure import Outcome

STRETCH = 100
"""Exposures that are looked back at."""

_NO_FAILURE = frozenset({"published", "unchanged", "written", "current", "unsupported", "cancelled", "deferred"})


class Brake:
    """Looks at the last exposures that ended.

    Parameters
    ----------
    budget : int
        Failures of one class among the last `STRETCH` that stop the campaign; 0 for none.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._last: deque[Outcome] = deque(maxlen=STRETCH)

    def note(self, outcome: Outcome) -> str:
        """Take how an exposure ended; returns why the campaign has to stop, or nothing."""
        self._last.append(outcome)
        if not self._budget or outcome.outcome_class in _NO_FAILURE:
            return ""
        failures = Counter(each.outcome_class for each in self._last)
        if failures[outcome.outcome_class] < self._budget:
            return ""
        return (
            f"{failures[outcome.outcome_class]} of the last {len(self._last)} exposures ended "
            f"{outcome.outcome_class}; the last: {outcome.message or outcome.dataset}"
        )
