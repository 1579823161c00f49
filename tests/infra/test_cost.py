"""What campaigns cost: arithmetic that can be done by hand, and a page that says what it gives today."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import cost

TOOK = cost.Measured(cpu_s=1.0, clock_s=2.0, gets=10.0, puts=5.0, bytes_read=3e8, bytes_written=1e8)
PRICES = {
    "machine": {"spot_hour": 0.9, "workers": 4, "busy": 0.5, "disk_gib": 73, "gbit_s": 12.8},
    "store": {"gb_month": [3.0, 2.0, 1.0], "up_to_tb": [1, 2], "thousand_puts": 0.01, "thousand_gets": 0.001},
    "standing": {
        "control_plane_hour": 0.1,
        "driver_hour": 0.2,
        "nat_hour": 0.3,
        "key_month": 1.0,
        "watch_month": 2.0,
        "disk_gib_month": 1.0,
    },
}


def test_by_hand():
    """Machines are paid by the hour with their disks, requests by the thousand, and a month has 730 hours."""
    assert cost.machine_hours(3600, 4.0, PRICES) == pytest.approx(2.0)
    assert cost.machines(3600, 4.0, PRICES) == pytest.approx(2.0 * (0.9 + 0.1))
    assert cost.requests(1000, TOOK, PRICES) == pytest.approx(5 * 0.01 + 10 * 0.001)
    assert cost.standing_month(PRICES) == pytest.approx(0.6 * 730 + 73 + 3)


@pytest.mark.parametrize(("terabytes", "price"), [(0, 0), (0.5, 1500), (1, 3000), (1.5, 4000), (2, 5000), (5, 8000)])
def test_storage(terabytes, price):
    """The first terabytes are the dearest."""
    assert cost.storage_month(terabytes * 1e12, PRICES) == pytest.approx(price)


def test_what_limits():
    """A worker's time is its own work, or that of the network which it shares with the others of its machine."""
    assert cost.network_s(TOOK, PRICES) == pytest.approx(4e8 * 8 / 12.8e9 * 4)
    assert cost.seconds(TOOK, PRICES) == pytest.approx(2.0)
    assert cost.seconds(replace(TOOK, bytes_read=9e9), PRICES) > 20


@given(st.integers(0, 10**7), st.integers(1, 100))
def test_in_proportion(exposures, times):
    """So many times the exposures cost so many times as much, and storage no more than that."""
    for price in (
        lambda count: cost.machines(count, 2.0, PRICES),
        lambda count: cost.requests(count, TOOK, PRICES),
    ):
        assert price(times * exposures) == pytest.approx(times * price(exposures))
    alone = cost.storage_month(exposures * 1e8, PRICES)
    assert alone <= cost.storage_month(times * exposures * 1e8, PRICES) <= times * alone * (1 + 1e-9)


def test_the_page():
    """The page has the tables that today's measurements and prices give; `python infra/cost.py --write` renews them."""
    page = cost.PAGE.read_text()
    assert cost.put_in(page, cost.tables(cost.measured(), cost.prices())) == page


def test_the_page_warns():
    """Before the first sum the page says that nobody has looked prices up, of when they are, and what is measured."""
    given_prices = cost.prices()
    before, _, after = cost.PAGE.read_text().partition(cost.BEGIN)
    assert "**Prices are not looked up.**" in before
    assert f"{given_prices['region']} in {given_prices['date']}" in before
    day = json.loads((cost.RESULTS / "exposure-ceph-object-gateway.json").read_text())["date"]
    assert f"measured, on {day}" in before
    assert f"measured on {day}" in after


def test_the_page_says_when():
    """The page tells date and region of its prices, and every table row has as many cells as its head."""
    given_prices = cost.prices()
    page = cost.PAGE.read_text()
    assert f"{given_prices['region']}, {given_prices['date']}" in page
    table = cost.tables(cost.measured(), given_prices).split("\n\n")
    for lines in (each.splitlines() for each in table):
        assert len({line.count("|") for line in lines}) == 1
