"""The error budget."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.exposure import Outcome
from reprocess.planning.brake import STRETCH, Brake


def outcome(name, dataset="jw1", message=""):
    return Outcome(dataset, dataset, name, message)


class TestBrake:
    """`Brake.note`."""

    def test_stops_at_the_budget(self):
        """The failure that uses up the budget stops the campaign, and not the one before it."""
        brake = Brake(3)
        said = [brake.note(outcome("reference", f"jw{number}", f"jw{number}: no dark")) for number in range(3)]

        assert said[:2] == ["", ""]
        assert said[2] == "3 of the last 3 exposures ended reference; the last: jw2: no dark"

    def test_each_class_for_itself(self):
        """Failures of different classes have different causes: they are not added up."""
        brake = Brake(3)

        assert not any(brake.note(outcome(name)) for name in ("reference", "storage", "bad-data") * 2)
        assert brake.note(outcome("storage")).startswith("3 of the last 7 exposures ended storage")

    def test_a_stretch_is_looked_at(self):
        """Rare failures stop no campaign, however long it is."""
        brake = Brake(2)
        ended = ["bad-data", *["published"] * (STRETCH - 1)] * 20

        assert not any(brake.note(outcome(name)) for name in ended)
        assert brake.note(outcome("bad-data")) == ""
        assert brake.note(outcome("bad-data"))

    @pytest.mark.parametrize(
        "name", ["published", "unchanged", "written", "current", "unsupported", "cancelled", "deferred"]
    )
    def test_what_is_no_failure(self, name):
        """A good end, and an exposure that nobody meant to calibrate, stop nothing."""
        brake = Brake(1)

        assert not any(brake.note(outcome(name)) for _ in range(2 * STRETCH))

    @pytest.mark.parametrize("name", ["held-back", "worker-lost", "out-of-memory", "own-error", "publication"])
    def test_what_is_one(self, name):
        """Versions that are held back count, too: a wrong reference shows in nothing else."""
        assert Brake(1).note(outcome(name))

    def test_no_budget(self):
        """With 0 no campaign is ever stopped."""
        brake = Brake(0)

        assert not any(brake.note(outcome("own-error")) for _ in range(2 * STRETCH))

    def test_a_failure_without_words(self):
        """Where a failure has no message its exposure is named."""
        assert Brake(1).note(outcome("own-error", "jw7")).endswith("the last: jw7")

    @given(st.lists(st.sampled_from(["published", "bad-data", "storage"]), max_size=300), st.integers(1, 60))
    @settings(max_examples=150, deadline=None)
    def test_always(self, ended, budget):
        """It stops when, and only when, the last stretch has as many failures of the class as are allowed."""
        brake = Brake(budget)
        for number, name in enumerate(ended):
            last = Counter(ended[max(number + 1 - STRETCH, 0) : number + 1])
            assert bool(brake.note(outcome(name))) == (name != "published" and last[name] >= budget)
