"""`reprocess.reporting.cost`: what was spent against the forecast."""

import pytest

from reprocess.planning.forecast import Forecast, Interval
from reprocess.publication.spending import Spent
from reprocess.reporting import cost, effort
from tests.reporting.campaigns import outcome

MODE = ("NIRCAM", "NRC_IMAGE")
FORECAST = Forecast(
    exposures=4,
    workers=1,
    bytes_read=Interval(1, 2, 3),
    bytes_written=Interval(1, 2, 3),
    core_hours=Interval(0.5, 1, 2),
    wall_seconds=Interval(1, 2, 3),
    money=Interval(1, 2, 3),
    measured=9,
)


def compare(spent, *, done=4, forecast=FORECAST, is_whole=True):
    outcomes = [outcome(f"d{n}", seconds={"read": 1.0}) for n in range(done)]
    measured = effort.measure(outcomes, effort.add_up(outcomes), {each.dataset: MODE for each in outcomes})
    return {row.name: row for row in cost.cost(forecast, spent, measured, is_whole=is_whole).rows}


@pytest.mark.parametrize(("hours", "verdict"), [(0.4, "less"), (0.5, "within"), (2, "within"), (2.1, "more")])
def test_against_the_interval(hours, verdict):
    """What a whole campaign took is within the interval of its forecast, or less, or more."""
    assert compare(Spent(core_hours=hours))["core time"].verdict == verdict


def test_of_a_part_it_is_projected():
    """Of a campaign that goes on, what was spent is stretched to all exposures before it is judged."""
    row = compare(Spent(core_hours=0.6), done=1, is_whole=False)["core time"]

    assert (row.actual, row.projected, row.verdict) == (0.6 * 3600, pytest.approx(2.4 * 3600), "more")


def test_before_anything_is_done():
    """Nothing is projected from nothing."""
    assert compare(Spent(), done=0, is_whole=False)["core time"].verdict == ""


def test_without_a_forecast_or_prices():
    """A plan without a forecast has what was spent; without prices no money is named."""
    rows = compare(Spent(core_hours=1), forecast=None)

    assert rows["core time"].forecast is None
    assert "money" not in rows


def test_money_text():
    """Small amounts keep a digit that is not zero."""
    assert [cost.money_text(amount) for amount in (0, 1234.5, 0.0012)] == ["0.00", "1,234.50", "0.001"]
