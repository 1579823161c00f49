"""What has been spent."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess.exposure import Outcome
from reprocess.publication.spending import BRIDGED_S, Spent, elapsed, spent
from reprocess.settings import PriceSettings

PRICES = PriceSettings(core_hour=0.04, gb_month=0.02, thousand_requests=0.005)
FREE = PriceSettings()
OUTCOMES = st.lists(
    st.builds(
        Outcome,
        unit=st.just("u"),
        dataset=st.just("d"),
        outcome_class=st.sampled_from(["published", "worker-lost", "bad-data"]),
        attempt=st.integers(0, 3),
        seconds=st.dictionaries(st.sampled_from(["read", "calibrate", "cpu"]), st.floats(0, 1e4)),
        bytes_read=st.integers(0, 10**10),
        bytes_written=st.integers(0, 10**10),
        requests=st.integers(0, 100),
    ),
    max_size=8,
)


def unit(ended="", seconds=0.0, **rest):
    """An outcome that took so long."""
    return Outcome("u", "d", "published", ended=ended, seconds={"calibrate": seconds, "cpu": 99.0}, **rest)


class TestSpent:
    """`spent`."""

    def test_by_hand(self):
        """A core hour, two GB and three thousand requests cost what their prices say; CPU seconds are no stage."""
        found = spent([unit(seconds=3600, bytes_written=2 * 10**9, requests=3000)], PRICES)

        assert found == Spent(1.0, 0, 2 * 10**9, 3000, pytest.approx(0.04 + 2 * 0.02 + 3 * 0.005))

    def test_earlier_attempts_cost_too(self):
        """The third attempt is taken to have cost as much as each of the two before; bytes are kept once."""
        found = spent([unit(seconds=10, attempt=3, requests=16, bytes_written=5)], PRICES)

        assert (found.core_hours, found.requests, found.bytes_written) == (pytest.approx(30 / 3600), 48, 5)

    def test_what_was_not_started(self):
        """A unit that never ran, whose attempt is 0, costs nothing."""
        assert spent([Outcome("u", "d", "cancelled", attempt=0)], PRICES).money == 0

    def test_without_prices(self):
        """The money is unknown, not 0."""
        assert spent([unit(seconds=10)], FREE).money is None

    @given(OUTCOMES, st.integers(0, 8), st.sampled_from([PRICES, FREE]))
    def test_adds_up(self, outcomes, cut, prices):
        """Spent so far is the sum of what was spent in any two parts."""
        whole = spent(outcomes, prices)
        parts = spent(outcomes[:cut], prices) + spent(outcomes[cut:], prices)

        assert parts.core_hours == pytest.approx(whole.core_hours)
        assert (parts.bytes_read, parts.bytes_written, parts.requests) == (
            whole.bytes_read,
            whole.bytes_written,
            whole.requests,
        )
        assert (parts.money is None) == (whole.money is None)
        assert math.isclose(parts.money or 0, whole.money or 0, abs_tol=1e-9)


class TestElapsed:
    """`elapsed`."""

    def test_side_by_side(self):
        """Units that run at the same time count once."""
        units = [unit("2026-11-21T00:01:00.000", 60), unit("2026-11-21T00:01:30.000", 60)]

        assert elapsed(units) == pytest.approx(90)

    def test_a_pause_between_runs(self):
        """A night between two runs is no work; a breath between two units is."""
        units = [unit("2026-11-21T00:01:00.000", 60), unit("2026-11-21T09:01:00.000", 60)]
        close = [unit("2026-11-21T00:01:00.000", 60), unit("2026-11-21T00:02:00.000", 60 - BRIDGED_S / 2)]

        assert elapsed(units) == pytest.approx(120)
        assert elapsed(close) == pytest.approx(120)

    def test_unknown(self):
        """Outcomes that do not tell when they ended tell no time."""
        assert elapsed([unit(seconds=5), unit("yesterday", 5)]) is None
