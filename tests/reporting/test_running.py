"""`reprocess.reporting.running`: a campaign while it is at work."""

from dataclasses import replace

import hypothesis
import hypothesis.strategies as st
import pytest

from reprocess.publication import ledger
from reprocess.reporting.running import Books, Pace, RunTally
from reprocess.settings import PriceSettings
from tests.reporting.campaigns import item, outcome, plan

CLASSES = ("published", "bad-data", "storage", "held-back", "staged", "again")


def at(seconds, *arguments, **options):
    """Build an outcome that ended so many seconds after a full hour."""
    minutes, rest = divmod(seconds, 60)
    return replace(outcome(*arguments, **options), ended=f"2026-11-21T01:{minutes:02}:{rest:02}.000")


class TestPace:
    """How fast something is done."""

    def test_even(self):
        """One every ten seconds is a tenth in a second."""
        pace = Pace()
        for n in range(5):
            pace.add(10.0 * n)

        assert pace.rate() == pytest.approx(0.1)

    def test_only_of_late(self):
        """What was done long before the newest does not count."""
        pace = Pace(window_s=60)
        for time in (0, 1, 2, 3, 1000, 1030, 1060):
            pace.add(time)

        assert pace.rate() == pytest.approx(2 / 60)

    def test_it_falls_when_nothing_more_is_done(self):
        """The time since the last one counts when it is told."""
        pace = Pace()
        for time in (0, 10):
            pace.add(time)

        assert pace.rate(now=100) == pytest.approx(0.01)

    @pytest.mark.parametrize("times", [(), (5,), (5, 5)])
    def test_unknown(self, times):
        """Of nothing, of one and of a moment no rate can be told."""
        pace = Pace()
        for time in times:
            pace.add(time)

        assert pace.rate() is None


class TestBooks:
    """Counts and costs, outcome by outcome."""

    def test_the_latest_outcome_counts(self):
        """A unit that is done again moves to its new class, takes its message with it, and costs what it cost then."""
        books = Books()
        books.add(outcome("a", "storage", "no answer", seconds={"read": 5.0, "cpu": 3.0}))
        books.add(outcome("a", "published", seconds={"read": 7.0}))

        assert books.in_order() == {"published": 1}
        assert (books.failed(), books.core_seconds, books.bytes_written) == ((), 7.0, 2000)

    def test_attempts_cost_like_the_last(self):
        """As in a settlement, each attempt of a unit is taken to have cost what the last did."""
        books = Books()
        books.add(outcome("a", seconds={"read": 5.0}, attempt=3))

        assert books.core_seconds == 15.0

    def test_failures_with_examples(self):
        """Failures are counted by class, with the first messages, which do not repeat the name of the dataset."""
        books = Books()
        books.begin({"current": 2}, [("p", "reference", "p: gain is missing")])
        for n in range(5):
            books.add(outcome(f"d{n}", "bad-data", f"d{n}: broken \x1b"))
        bad, reference = books.failed()

        assert (bad.outcome_class, bad.count, len(bad.examples)) == ("bad-data", 5, 3)
        assert bad.examples[0] == ("d0", r"broken \x1b")
        assert reference.examples == (("p", "gain is missing"),)
        assert books.in_order() == {"current": 2, "bad-data": 5, "reference": 1}

    def test_rate_and_newest(self):
        """The rate is that of the workers' clocks."""
        books = Books()
        for n in range(4):
            books.add(at(20 * n, f"d{n}"))

        assert (books.pace.rate(), books.newest) == (pytest.approx(1 / 20), "2026-11-21T01:01:00.000")

    @hypothesis.given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(CLASSES)), max_size=30))
    def test_it_says_what_the_closing_sum_says(self, ends):
        """Whatever comes in whatever order, classes and what is open are those of the sum over all outcomes."""
        books = Books()
        outcomes = [outcome(name, end) for name, end in ends]
        for each in outcomes:
            books.add(each)
        closing = ledger.close(plan(*map(item, "abcd")), outcomes)

        assert books.in_order() == {name: closing.counts[name] for name in books.in_order()}
        assert sum(books.in_order().values()) == len(closing.classes)
        assert {name for name in "abcd" if not books.has(name)} == set(closing.pending)


class TestRunTally:
    """The line of a run."""

    def unit(self, name, outcome_class="published", **options):
        return replace(outcome(name, outcome_class, **options), unit=name)

    def test_line(self):
        """It has counts, rate, time left, failures by class, what is held back, and the cost of what it should cost."""
        tally = RunTally(PriceSettings(core_hour=1.0), expected_money=8.0)
        tally.pace.add(0.0)
        for n, name in enumerate(("published", "bad-data", "held-back", "storage"), 1):
            tally.add(self.unit(f"d{n}", name, seconds={"read": 1800.0}))
            tally.count(n, 16, now=60.0 * n)

        assert tally.line(240.0) == (
            "4/16 (25 %)  1.00/min  12 min 00 s left  2 failed (bad-data 1, storage 1)  1 held back  cost 2.00 of 8.00"
        )

    def test_what_waits_costs_once(self):
        """A version that is written first and shown later is noted twice and paid once."""
        tally = RunTally()
        for name in ("written", "published"):
            tally.add(self.unit("a", name, seconds={"read": 3600.0}))

        assert tally.line(0.0) == "0 done  1 h 00 min of core time"
        assert tally.classes == {"published": 1}

    def test_slabs_are_no_exposures(self):
        """Of an exposure that is cut into slabs only the assembly says how it ended."""
        tally = RunTally()
        for unit in ("a/slab-1", "a/assembly"):
            tally.add(replace(outcome("a", "bad-data"), unit=unit))

        assert tally.classes == {"bad-data": 1}

    def test_another_count(self):
        """When something else is counted its rate begins anew."""
        tally = RunTally()
        tally.count(1000, 1000, now=1.0)
        for n in range(3):
            tally.count(n, 10, now=10.0 + 10 * n)

        assert tally.pace.rate() == pytest.approx(0.1)
