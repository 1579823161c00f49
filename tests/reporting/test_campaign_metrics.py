"""A campaign in the text format of Prometheus."""

import socket
import threading
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reprocess import errors
from reprocess.execution.executor import Load
from reprocess.planning.forecast import NOTHING, Forecast, Interval
from reprocess.publication import ledger
from reprocess.reporting import campaign_metrics
from reprocess.reporting.campaign_metrics import Live
from reprocess.settings import PriceSettings
from tests.archive.test_debt import candidate, file_reason, measure
from tests.reporting import campaigns

PRICES = PriceSettings(core_hour=36.0, thousand_requests=1.0)
FORECAST = Forecast(2, 1, NOTHING, NOTHING, Interval(1, 2, 3), Interval(4, 5, 6), None, 0)


def samples(text):
    """What Prometheus would read, by name and labels, without the prefix and the campaign."""
    return {
        (
            sample.name.removeprefix("reprocess_campaign_"),
            *sorted(set(sample.labels.items()) - {CAMPAIGN}),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


PLAN = replace(
    campaigns.plan(
        campaigns.item("a"),
        campaigns.item("b"),
        campaigns.item("c"),
        campaigns.item("d", action="none", state="current"),
        campaigns.item("e", action="fail", failure=("bad-data", "e: cut off.")),
    ),
    forecast=FORECAST,
)
CAMPAIGN = ("campaign", PLAN.digest[:16])


def ended(dataset, outcome_class="published", **fields):
    told = campaigns.outcome(dataset, outcome_class, seconds={"read": 1.0, "calibrate": 3.0, "cpu": 2.5})
    return replace(told, **{"unit": dataset, "requests": 10, "ended": "2026-11-21T00:00:01.000", **fields})


def live(*before):
    return Live(PLAN, before, PRICES)


def shown(found):
    return samples(campaign_metrics.exposition(found))


def test_from_the_ledger():
    """Candidates by class are those of the closing sum, and what they took is added up."""
    outcomes = [ended("a", attempt=3, throttled=7), ended("b", "storage", message="b: no answer")]
    found = campaign_metrics.standing(PLAN, outcomes, PRICES)
    told = samples(campaign_metrics.exposition(found))

    counts = ledger.close(PLAN, outcomes).counts
    assert {key[1][1]: value for key, value in told.items() if key[0] == "ended"} == counts
    assert told[("candidates",)] == 5
    assert told[("pending",)] == 1
    assert told["units_total", ("class", "published")] == 1
    assert told[("read_bytes_total",)] == 2000
    assert told[("written_bytes_total",)] == 4000
    assert told[("requests_total",)] == 10 * (3 + 1)
    assert told[("cpu_seconds_total",)] == 5.0
    assert told[("core_seconds_total",)] == pytest.approx(4.0 * (3 + 1))
    assert told[("retries_total",)] == 2
    assert told[("storage_errors_total",)] == 1
    assert told[("throttled_total",)] == 7
    assert told[("cost",)] == pytest.approx(0.01 * 16 + 0.04)
    assert told["forecast", ("bound", "high"), ("quantity", "core_seconds")] == 3 * 3600
    assert ("forecast", ("bound", "high"), ("quantity", "cost")) not in told
    assert told[("last_unit_timestamp_seconds",)] == 1795219201.0


def test_nobody_at_work():
    """What only a coordinator knows is not told without one, and without prices there is no cost."""
    told = samples(campaign_metrics.exposition(campaign_metrics.standing(PLAN, [], PriceSettings())))

    assert not {("queue",), ("running",), ("workers",), ("lease_epoch",), ("cost",)} & set(told)
    assert told[("pending",)] == 3


@pytest.mark.parametrize("already", range(5))
def test_live_is_what_the_ledger_says(already):
    """Outcomes counted one by one, after those of an earlier run, come to the same as all at once."""
    outcomes = [ended("a"), ended("b", "held-back"), ended("c", "staged", unit="c/facts"), ended("c", "bad-data")]
    counted = live(*outcomes[:already])
    for outcome in outcomes[already:]:
        counted.update(outcome)

    whole = campaign_metrics.standing(PLAN, outcomes, PRICES)
    assert shown(counted.standing) == pytest.approx(shown(whole))


def test_done_again():
    """A candidate that failed and is published after all is one candidate, and two units' work."""
    counted = live(ended("a", "storage"))
    counted.update(ended("a"))

    assert counted.standing.classes == {"bad-data": 1, "current": 1, "published": 1}
    assert counted.standing.units == {"storage": 1, "published": 1}


@pytest.mark.parametrize("earlier", [False, True])
def test_what_waits_for_others(earlier):
    """A version that was written and is published later is one unit's work."""
    written = ended("a", "written")
    counted = live(written) if earlier else live()
    if not earlier:
        counted.update(written)
    assert "published" not in counted.standing.classes
    counted.update(ended("a"))

    whole = campaign_metrics.standing(PLAN, [ended("a")], PRICES)
    assert shown(counted.standing) == pytest.approx(shown(whole))


def test_threads():
    """No unit is lost when several threads count."""
    counted = live()

    def count(thread):
        for number in range(100):
            counted.update(ended(f"{thread}-{number}"))

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counted.standing.units["published"] == counted.standing.classes["published"] == 400


def scraped(url):
    with urllib.request.urlopen(url) as answer:
        return samples(answer.read().decode())


def _gone():
    raise OSError("closed")


class TestServed:
    def test_while_it_runs(self):
        """Each scrape has what was counted last; afterwards nobody answers."""
        counted = live()
        with counted.served(0) as port:
            url = f"http://127.0.0.1:{port}/metrics"
            counted.update(ended("a"))
            with counted.attending(lambda: Load(7, 2, {0: 1, 1: 1}, {0: 3}), epoch=4):
                told = scraped(url)
            after = scraped(url)
        assert told["ended", ("class", "published")] == 1
        assert [told[(name,)] for name in ("queue", "running", "workers", "lease_epoch")] == [7, 2, 5, 4]
        assert told["tier_workers", ("state", "busy"), ("tier", "1")] == 1
        assert told["tier_workers", ("state", "idle"), ("tier", "0")] == 3
        assert ("queue",) not in after
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url)

    def test_the_archive_beside_it(self):
        """With the newest judgement of the archive, its staleness is scraped at the same place."""
        debt = measure([candidate(file_reason(), size=9)])
        with Live(PLAN, (), PRICES, debt=debt).served(0) as port:
            told = scraped(f"http://127.0.0.1:{port}/metrics")
        assert told[("reprocess_stale_bytes",)] == 9
        assert told[("pending",)] > 0

    def test_a_scheduler_that_has_gone(self):
        """A scrape in the moment in which nobody can be asked tells the rest."""
        counted = live()
        with counted.served(0) as port, counted.attending(_gone, epoch=4):
            told = scraped(f"http://127.0.0.1:{port}/metrics")
        assert told[("lease_epoch",)] == 4
        assert ("queue",) not in told

    def test_only_this_machine(self):
        """Without another address nobody else is served."""
        with live().served(0) as port, socket.socket() as elsewhere:
            elsewhere.bind(("127.0.0.2", port))  # would be taken if all addresses were served

    def test_a_port_that_is_taken(self):
        """The message names the port and says what to do."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with (
                pytest.raises(errors.UsageError, match=f"{port}.*another port"),
                live().served(port),
            ):
                pass
