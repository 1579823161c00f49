"""Staleness in the text format of Prometheus."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prometheus_client.parser import text_string_to_metric_families

from reprocess.exposure import Reason
from reprocess.reporting import metrics
from tests.archive.test_debt import DAYS, candidate, file_reason, first_missing, measure, settled

NOW = datetime(2026, 11, 3, 1, 2, 3, tzinfo=UTC)


def samples(found, now=NOW):
    """What Prometheus would read, by name and labels."""
    families = text_string_to_metric_families(metrics.exposition(found, now))
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value for family in families for sample in family.samples
    }


def test_what_is_told():
    """Each gauge is the number of the record, and its labels say of what."""
    first = measure([candidate(file_reason(), size=9)])
    found = measure(
        [candidate(file_reason(), Reason("software", "jump", None, "1", "2"), size=9), first_missing()],
        [(settled(count=4), 1), (settled("current", 2, "MIRI"), 1)],
        day=1,
        previous=first,
    )
    told = samples(found)

    assert told["reprocess_exposures", ("instrument", "NIRCAM"), ("state", "current")] == 4
    assert told["reprocess_exposures", ("instrument", "NIRCAM"), ("state", "stale")] == 1
    assert told["reprocess_exposures", ("instrument", "NIRCAM"), ("state", "missing")] == 1
    assert told["reprocess_exposures", ("instrument", "MIRI"), ("state", "stale")] == 0
    assert told[("reprocess_stale_bytes",)] == 9
    assert told["reprocess_stale_exposures", ("kind", "reference"), ("type", "dark")] == 1
    assert told["reprocess_stale_exposures", ("kind", "software"), ("type", "")] == 1
    assert ("reprocess_stale_exposures", ("kind", "product-missing"), ("type", "")) not in told
    assert told[("reprocess_stale_oldest_seconds",)] == 2 * 86_400
    assert told[("reprocess_judged_timestamp_seconds",)] == datetime.fromisoformat(DAYS[1] + "+00:00").timestamp()


def test_nothing_stale():
    """Without stale exposures age and bytes are zero, and still there."""
    told = samples(measure([], [(settled(), 3)]))

    assert told[("reprocess_stale_oldest_seconds",)] == told[("reprocess_stale_bytes",)] == 0


def test_a_clock_that_is_behind():
    """An age is never negative."""
    told = samples(measure([candidate(file_reason())], day=5), NOW - timedelta(days=99))

    assert told[("reprocess_stale_oldest_seconds",)] == 0


def test_twice():
    """Each text stands for itself: nothing is remembered from the one before."""
    found = measure([candidate(file_reason())])
    other = replace(found, amounts={"FGS": {}}, causes=())

    assert samples(found) == samples(found)
    assert not any(("instrument", "NIRCAM") in each for each in samples(other))
