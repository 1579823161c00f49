"""Forecast and truth."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import errors
from reprocess.exposure import Outcome
from reprocess.planning import forecast as forecasts
from reprocess.planning.forecast import Interval, Learned, forecast, seconds
from reprocess.publication import experience, ledger, settlement
from reprocess.settings import PriceSettings
from tests.publication import samples

PRICES = PriceSettings(core_hour=1.0)
SHAPE = (1, 10, 2048, 2048)
TOLD = seconds("NIRCAM", SHAPE)
PACES = st.builds(
    lambda low, more, most: Interval(low, low + more, low + more + most),
    *[st.floats(0.01, 100)] * 3,
)


def item(dataset, exp_type="NRC_IMAGE"):
    """A full frame to calibrate."""
    made = samples.item(dataset)
    header = {"INSTRUME": "NIRCAM", "EXP_TYPE": exp_type}
    return replace(made, entry=replace(made.entry, header=header, sci_shape=SHAPE))


def outcome(dataset, factor, outcome_class="published"):
    """A unit that took so many times what the benchmark takes."""
    return Outcome(dataset, dataset, outcome_class, seconds={"calibrate": factor * TOLD}, requests=16)


def campaign(*factors, exp_type="NRC_IMAGE", forecast_too=True):
    """A plan, and one outcome for each of its exposures."""
    items = [item(f"d{number:03d}", exp_type) for number in range(len(factors))]
    made = samples.plan(*items)
    if forecast_too:
        made = replace(made, forecast=forecast(made.items, workers=2, prices=PRICES))
    return made, [outcome(f"d{number:03d}", factor) for number, factor in enumerate(factors)]


def learned_of(*factors):
    """What a campaign of such exposures teaches of its mode."""
    return settlement.settle(*campaign(*factors), PRICES).modes["NIRCAM NRC_IMAGE"]


class TestSettle:
    """`settle`."""

    def test_ratio(self):
        """Twice the benchmark is twice the forecast, in core hours and in money."""
        found = settlement.settle(*campaign(*[2.0] * 6), PRICES)

        assert (found.planned, found.finished, found.share) == (6, 6, pytest.approx(1))
        assert found.ratio("core_hours") == pytest.approx(2)
        assert found.ratio("money") == pytest.approx(2, rel=0.05)
        assert found.modes["NIRCAM NRC_IMAGE"].pace.expected == pytest.approx(2)
        assert found.modes["NIRCAM NRC_IMAGE"].requests == 16

    def test_a_part_is_held_against_its_part(self):
        """A campaign that was cancelled half-way is not taken for one that was twice as fast as forecast."""
        made, outcomes = campaign(*[1.0] * 6)
        found = settlement.settle(made, outcomes[:3], PRICES)

        assert found.share == pytest.approx(0.5)
        assert found.ratio("core_hours") == pytest.approx(1)

    def test_failures_teach_no_pace(self):
        """What failed counts for the cost and not for the pace."""
        made, outcomes = campaign(*[1.0] * 6)
        outcomes[0] = outcome("d000", 50.0, "bad-data")
        found = settlement.settle(made, outcomes, PRICES)

        assert found.finished == 5
        assert found.modes["NIRCAM NRC_IMAGE"].pace.expected == pytest.approx(1)
        assert found.ratio("core_hours") == pytest.approx(55 / 5)

    def test_one_exposure_does_not_decide(self):
        """An exposure that took a thousand times as long as the others counts for a few times as much."""
        assert learned_of(*[1.0] * 19, 1000.0).pace.expected < 1 + settlement.CLIP / 20 + 0.01

    def test_without_a_forecast_or_work(self):
        """A plan without a forecast has no ratios; one without outcomes no modes."""
        found = settlement.settle(*campaign(1.0, forecast_too=False), PRICES)
        empty = settlement.settle(campaign(1.0)[0], [], PRICES)

        assert found.ratio("core_hours") is None
        assert (empty.modes, empty.share, empty.ratio("core_hours")) == ({}, 0, None)
        assert empty.quantities["wall_seconds"].actual is None


class TestCombine:
    """`combine`."""

    def settled(self, *paces):
        """Campaigns of ten exposures each."""
        made, outcomes = campaign(1.0)
        one = settlement.settle(made, outcomes, PRICES)
        return [replace(one, modes={"m": Learned(10, Interval(pace, pace, pace), 16)}) for pace in paces]

    def test_median(self):
        """One bad night among three teaches nothing but that the spread is wide."""
        found = settlement.combine(self.settled(1.0, 1.2, 40.0))["m"]

        assert (found.exposures, found.pace) == (30, Interval(1.0, 1.2, 40.0))

    def test_two(self):
        """Of two alike the mean is taken."""
        assert settlement.combine(self.settled(1.0, 2.0))["m"].pace.expected == pytest.approx(1.5)

    def test_too_few(self):
        """A mode that was hardly seen is left to the general pace."""
        one = settlement.settle(*campaign(1.0, 1.0), PRICES)

        assert settlement.combine([one]) == {}
        assert set(settlement.combine([one] * 3)) == {"NIRCAM NRC_IMAGE"}

    @given(st.lists(st.tuples(st.integers(1, 10**6), PACES, st.floats(0, 100)), min_size=1, max_size=6))
    def test_interval(self, campaigns):
        """What is expected lies in its interval and between what the campaigns say."""
        one = settlement.settle(*campaign(1.0), PRICES)
        modes = [{"m": Learned(*each)} for each in campaigns]
        found = settlement.combine([replace(one, modes=each) for each in modes])
        means = [pace.expected for _, pace, _ in campaigns]

        for each in found.values():
            assert each.pace.low <= each.pace.expected <= each.pace.high
            assert min(means) <= each.pace.expected <= max(means)


class TestRecord:
    """`to_bytes` and `from_bytes`."""

    def test_there_and_back(self):
        """What is read is what was written."""
        made = settlement.settle(*campaign(1.0, 3.0, 2.0), PRICES)

        assert settlement.from_bytes(settlement.to_bytes(made), name="s") == made

    def test_damaged(self):
        """A record without its parts is refused by name."""
        with pytest.raises(errors.DamagedRecord, match=r"here\.json"):
            settlement.from_bytes(b'{"kind": "settlement", "schema": 1, "digest": "x"}', name="here.json")


class TestLearned:
    """`experience.learned`, and the forecast that follows."""

    def kept(self, store, *factors):
        """A campaign in a store, settled."""
        made, outcomes = campaign(*factors)
        with ledger.begin(store, made.digest[:16]) as book:
            for each in outcomes:
                book.append(each)
        settlement.keep(store, settlement.settle(made, outcomes, PRICES))
        return made

    def test_the_next_forecast(self):
        """After a campaign that took three times the benchmark, the same plan is forecast at what it took."""
        store = samples.memory_store()
        made = self.kept(store, *[3.0] * 8)
        learned = experience.learned(store)
        found = forecast(made.items, workers=2, learned=learned)

        assert found.core_hours.expected == pytest.approx(8 * 3 * TOLD / 3600)
        assert found.core_hours.high / found.core_hours.expected == pytest.approx(1)
        assert found.measured == 8

    def test_another_mode(self):
        """Modes of which nothing is known are forecast as before."""
        store = samples.memory_store()
        self.kept(store, *[3.0] * 8)
        other = samples.plan(item("e000", "NRC_WFSS"))

        assert forecast(other.items, workers=1, learned=experience.learned(store)).core_hours.expected == (
            pytest.approx(TOLD / 3600 * forecasts.BENCHMARK_SPREAD.expected)
        )

    def test_damaged(self):
        """A settlement that cannot be read stops no forecast."""
        store = samples.memory_store()
        made = self.kept(store, *[3.0] * 8)
        store.put(settlement.key(made.digest[:16]), b"{")

        assert experience.learned(store) == {}
