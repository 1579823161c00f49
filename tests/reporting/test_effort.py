"""`reprocess.effort`: outcomes added up."""

import itertools

import hypothesis
import hypothesis.strategies as st
import pytest

from reprocess.reporting import effort
from tests.reporting.campaigns import outcome

MODE = ("NIRCAM", "NRC_IMAGE")


def measure(outcomes, datasets, **options):
    return effort.measure(outcomes, effort.add_up(outcomes), dict.fromkeys(datasets, MODE), **options)


def test_stages_add_up_in_their_order():
    """Wall seconds add up by stage, known stages first; processor time stays apart."""
    outcomes = [
        outcome("a", seconds={"cpu": 2.5, "write": 1.0, "references": 1.0, "assemble": 0.5}),
        outcome("b", "bad-data", seconds={"read": 3.0}),
    ]

    found = measure(outcomes, ["a"])

    assert list(found.stages.items()) == [("read", 3.0), ("references", 1.0), ("write", 1.0), ("assemble", 0.5)]
    assert found.core_seconds == 5.5
    assert found.cpu_seconds == 2.5


def test_throughput_counts_finished_exposures_and_all_seconds():
    """Seconds of failures lower the throughput; only exposures calibrated to the end raise it."""
    outcomes = [outcome("a", seconds={"read": 10.0}), outcome("b", "bad-data", seconds={"read": 26.0})]

    found = measure(outcomes, ["a"], wall_seconds=18.0)

    assert found.exposures_per_core_hour == pytest.approx(100.0)
    assert found.exposures_per_hour == pytest.approx(200.0)


def test_traffic_and_peak():
    """Traffic is summed; the peak is the largest, with the dataset that was worked on."""
    found = measure([outcome("a", peak_bytes=5), outcome("b", peak_bytes=7)], ["a", "b"])

    assert (found.bytes_read, found.bytes_written) == (2000, 4000)
    assert (found.peak_bytes, found.peak_dataset) == (7, "b")


def test_means_by_mode():
    """The time of a kind of exposure is the mean over its exposures, stage by stage."""
    outcomes = [outcome("a", seconds={"read": 1.0}), outcome("b", seconds={"read": 2.0, "write": 1.0})]

    (mode,) = measure(outcomes, ["a", "b"]).modes

    assert (mode.exposures, mode.stages, mode.seconds) == (2, {"read": 1.5, "write": 0.5}, 2.0)


def test_nothing_done():
    """Without outcomes everything is zero and nothing is divided by it."""
    found = measure([], [])

    assert (found.core_seconds, found.median_seconds, found.exposures_per_core_hour) == (0, 0, 0)
    assert found.exposures_per_hour is None
    assert found.bins == ()


@hypothesis.given(st.lists(st.floats(1e-4, 1e6), min_size=1, max_size=50))
def test_bins_hold_every_exposure_once(durations):
    """Bins are few, adjoin, start at 0, reach the longest exposure and count each exposure once."""
    outcomes = [outcome(f"d{number}", seconds={"read": seconds}) for number, seconds in enumerate(durations)]

    bins = measure(outcomes, [each.dataset for each in outcomes]).bins

    assert sum(each.count for each in bins) == len(durations)
    assert bins[0].start == 0
    assert bins[-1].stop == pytest.approx(max(durations), rel=1)
    assert bins[-1].count
    assert all(one.stop == two.start for one, two in itertools.pairwise(bins))
    assert len(bins) <= 15
