"""The pilot: which exposures run first, and what they say of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.exposure import Outcome, Reason, Verdict
from reprocess.planning import pilot
from tests.publication import samples

INSTRUMENTS = ("NIRCAM", "NIRISS", "MIRI")
REASONS = ((Reason("software", "jump"),), (Reason("reference", "dark", "dark"),), ())


def item(number, instrument="NIRCAM", mode="NRC_IMAGE", size=10**6, *, reasons=REASONS[0], rows=0):
    made = samples.item(f"jw{number:05d}", rows_per_slab=rows)
    entry = replace(made.entry, size=size, header={"INSTRUME": instrument, "EXP_TYPE": mode})
    return replace(made, entry=entry, verdict=Verdict(made.dataset, "stale", tuple(reasons), "jump"))


@st.composite
def campaigns(draw, least=0):
    """Items of a few kinds."""
    kinds = draw(
        st.lists(
            st.tuples(
                st.sampled_from(INSTRUMENTS), st.sampled_from([10**6, 10**8]), st.sampled_from(REASONS), st.booleans()
            ),
            min_size=1,
            max_size=8,
        )
    )
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=least, max_size=120))
    return [
        item(number, instrument, size=size, reasons=reasons, rows=64 * sliced)
        for number, (instrument, size, reasons, sliced) in enumerate(chosen)
    ]


class TestKind:
    """`kind`."""

    @pytest.mark.parametrize(
        "change",
        [
            {"instrument": "MIRI"},
            {"mode": "NRC_GRISM"},
            {"size": 10**8},
            {"rows": 64},
            {"reasons": REASONS[1]},
            {"reasons": ()},
            {"reasons": (*REASONS[0], *REASONS[1])},
        ],
    )
    def test_what_makes_another(self, change):
        """Instrument, mode, size class, being cut, and what has changed make another kind."""
        assert pilot.kind(item(1, **change)) != pilot.kind(item(2))

    def test_what_does_not(self):
        """A few bytes more, the order of the reasons, and which file was replaced by which do not."""
        one = item(1, size=10**6, reasons=(Reason("reference", "dark", "dark", "old", "new"), *REASONS[0]))
        two = item(2, size=10**6 + 99, reasons=(*REASONS[0], Reason("reference", "dark", "dark", "older", "new")))

        assert pilot.kind(one) == pilot.kind(two)

    def test_a_header_without_them(self):
        """An exposure whose header says nothing is of a kind too."""
        assert pilot.kind(samples.item("a")) == pilot.kind(samples.item("b"))


class TestChoose:
    """`choose`."""

    @given(campaigns(least=pilot.SMALLEST_CAMPAIGN), st.integers(1, 4), st.randoms())
    @settings(max_examples=100, deadline=None)
    def test_order_does_not_matter(self, items, each, random):
        """A run that goes on chooses the same, however its plan is sorted."""
        shuffled = list(items)
        random.shuffle(shuffled)

        assert pilot.choose(shuffled, each=each) == pilot.choose(items, each=each)

    @given(campaigns(least=pilot.SMALLEST_CAMPAIGN), st.integers(1, 4), st.integers(1, 12))
    @settings(max_examples=200, deadline=None)
    def test_every_kind_in_turn(self, items, each, most):
        """Never more than a quarter nor than is allowed nor than so many of a kind; kinds take turns to the last."""
        chosen = pilot.choose(items, each=each, most=most)
        kinds = {one.dataset: pilot.kind(one) for one in items}
        there, taken = Counter(kinds.values()), Counter(kinds[name] for name in chosen)
        room = min(most, len(items) // pilot.LARGEST_PART)

        assert len(chosen) == len(set(chosen)) == min(room, sum(min(each, number) for number in there.values()))
        assert list(chosen) == sorted(chosen)
        # Whoever has had fewer turns than another has no exposures left, or the last turn was not whole.
        for one in there:
            wanting = min(each, there[one])
            assert taken[one] == wanting or taken[one] >= max(taken.values()) - 1
        if len(there) <= room:
            assert set(taken) == set(there)

    @given(campaigns())
    @settings(max_examples=50, deadline=None)
    def test_small_campaigns_have_none(self, items):
        """Fewer than twenty exposures have no pilot, and nobody has one who asks for none of each kind."""
        assert pilot.choose(items[: pilot.SMALLEST_CAMPAIGN - 1], each=2) == ()
        assert pilot.choose(items, each=0) == ()

    def test_names_do_not_matter(self):
        """Of exposures that are alike those are chosen that a draw decides on: names come in the order of time."""
        alike = [item(number) for number in range(400)]
        chosen = pilot.choose(alike, each=8)

        assert chosen == pilot.choose(alike[::-1], each=8)
        assert not set(chosen) <= {one.dataset for one in alike[:100]}

    def test_the_smallest(self):
        """Twenty exposures have one, of five at most."""
        chosen = pilot.choose([item(number, mode=f"M{number}") for number in range(20)], each=2)

        assert len(chosen) == 5

    def test_of_many(self):
        """A pilot does not grow with the number of exposures."""
        many = [item(number, INSTRUMENTS[number % 3]) for number in range(3000)]

        assert len(pilot.choose(many, each=2)) == 6
        assert len(pilot.choose(many, each=1000)) == pilot.MOST


def outcome(number, outcome_class="written", **rest):
    return Outcome(f"jw{number:05d}", f"jw{number:05d}", outcome_class, **rest)


def names(number):
    return [f"jw{each:05d}" for each in range(number)]


class TestJudge:
    """`judge`."""

    @pytest.mark.parametrize("name", ["written", "published", "unchanged", "unsupported", "current", "deferred"])
    def test_what_ends_well(self, name):
        """Versions, written or shown, and exposures that nobody meant to calibrate speak for the target."""
        finding = pilot.judge(names(5), [outcome(number, name) for number in range(5)])

        assert (finding.passed, finding.reason, finding.classes) == (True, "", {name: 5})

    @pytest.mark.parametrize("name", ["held-back", "bad-data", "reference", "own-error", "out-of-memory", "storage"])
    def test_a_fifth_may_fail(self, name):
        """With a fifth of failures it passes, with more it does not, and says what they were."""
        good = [outcome(number) for number in range(10)]
        two = [outcome(number, name) for number in range(2)]
        three = [outcome(number, name) for number in range(3)]
        failed = pilot.judge(names(10), three + good[3:])

        assert pilot.judge(names(10), two + good[2:]).passed
        assert not failed.passed
        assert failed.reason == f"3 of 10 exposures of the pilot did not end well: 3 {name}."

    def test_failures_add_up(self):
        """Failures of different classes count together, each named."""
        ended = [outcome(0, "bad-data"), outcome(1, "storage"), outcome(2, "bad-data"), *map(outcome, range(3, 10))]
        finding = pilot.judge(names(10), ended)

        assert not finding.passed
        assert finding.reason.endswith("2 bad-data, 1 storage.")
        assert finding.classes == {"bad-data": 2, "storage": 1, "written": 7}

    def test_strangers_do_not_count(self):
        """Only what belongs to the pilot is looked at."""
        finding = pilot.judge(names(2), [outcome(0), outcome(1), *(outcome(n, "own-error") for n in range(5, 9))])

        assert (finding.passed, finding.classes) == (True, {"written": 2})

    def test_what_it_cost(self):
        """The mean time of those that were calibrated, and the highest memory of all."""
        ended = [
            outcome(0, seconds={"cpu": 2.0}, peak_bytes=5),
            outcome(1, seconds={"cpu": 4.0}, peak_bytes=9),
            outcome(2, "unsupported"),
        ]
        finding = pilot.judge(names(3), ended)

        assert (finding.cpu_seconds, finding.peak_bytes) == (3.0, 9)

    def test_of_nothing(self):
        """Without exposures there is nothing to say."""
        finding = pilot.judge((), ())

        assert (finding.passed, finding.cpu_seconds, finding.peak_bytes) == (True, 0.0, 0)


class TestTiers:
    """`tiers`."""

    def test_the_highest_of_each_kind(self):
        """A kind begins in the highest tier that one of its pilot came to; others are not told of it."""
        items = {
            one.dataset: one for one in (item(0), item(1), item(2), item(3, "MIRI"), item(4, "NIRISS", size=10**8))
        }
        ended = [outcome(0, tier=2), outcome(1, tier=1), outcome(2), outcome(3), outcome(4, tier=1)]

        assert pilot.tiers(items, ended) == {pilot.kind(items["jw00000"]): 2, pilot.kind(items["jw00004"]): 1}
