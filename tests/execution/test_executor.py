from __future__ import annotations

import pytest

from reprocess import errors
from reprocess.execution import executor
from reprocess.exposure import Outcome


class TestFailed:
    @pytest.mark.parametrize("name", ["bad-data", "worker-lost", "storage", "unsupported", "own-error", "cancelled"])
    def test_errors(self, name):
        """Every class of the error tree, and whatever was not done, holds back those that wait."""
        assert executor.failed(Outcome("u", "d", name))

    @pytest.mark.parametrize("name", ["published", "unchanged", "current", "held-back", "staged"])
    def test_successes(self, name):
        """A class that no error has lets those that wait go on."""
        assert not executor.failed(Outcome("u", "d", name))

    def test_new_errors_are_known(self):
        """A class of error counts as a failure as soon as it is defined."""

        class Novel(errors.ReprocessError):
            outcome_class = "novel"

        assert executor.failed(Outcome("u", "d", Novel.outcome_class))


class TestOutcomes:
    def test_worker_lost(self):
        """A lost worker is a temporary failure of the unit that was executing."""
        outcome = executor.worker_lost(executor.Task("u", "d", attempt=2), "node 7")

        assert (outcome.outcome_class, outcome.temporary, outcome.attempt) == ("worker-lost", True, 2)
        assert "node 7" in outcome.message
