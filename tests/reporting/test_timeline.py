"""`reprocess.reporting.timeline`: when a campaign worked."""

from dataclasses import replace
from datetime import datetime, timedelta

import hypothesis
import hypothesis.strategies as st
import pytest

from reprocess.reporting import timeline as timelines
from tests.reporting.campaigns import outcome

START = datetime(2026, 11, 21)


def unit(name, end_s, seconds, *, worker="worker-0", outcome_class="published"):
    """Build a unit that ended so many seconds after the start."""
    ended = (START + timedelta(seconds=end_s)).isoformat(timespec="milliseconds")
    return replace(outcome(name, outcome_class, seconds={"read": seconds, "cpu": 9.0}), ended=ended, worker=worker)


def test_nothing_is_timed():
    """Without a time there is no timeline."""
    assert timelines.timeline([outcome("a")]) is None
    assert timelines.timeline([]) is None


def test_begin_and_end():
    """The timeline reaches from the beginning of the first unit to the end of the last; processor time is no time."""
    found = timelines.timeline([unit("a", 100, 40), unit("b", 160, 60)])

    assert (found.begin, found.end, found.seconds) == ("2026-11-21T00:01:00", "2026-11-21T00:02:40", 100)


def test_the_time_at_work_of_workers():
    """Two workers that are busy half of the time each are one busy worker on the average."""
    found = timelines.timeline([unit("a", 50, 50, worker="x"), unit("b", 100, 50, worker="y")])

    assert [round(slot.busy, 6) for slot in found.slots] == [1.0] * timelines.SLOTS
    assert [(lane.worker, lane.units, lane.share) for lane in found.lanes] == [("x", 1, 1.0), ("y", 1, 1.0)]
    assert [slot.present for slot in found.slots] == [1] * timelines.SLOTS


def test_long_breaks_are_cut_out():
    """A night between two runs takes no room; it is told how long it was, and where."""
    found = timelines.timeline([unit("a", 100, 100), unit("b", 40_100, 100)])

    assert found.seconds == 200
    assert [(each.position, each.seconds) for each in found.breaks] == [(0.5, 39_900)]


def test_short_breaks_stay():
    """A worker that waits for a moment does not cut the time."""
    found = timelines.timeline([unit("a", 100, 100), unit("b", 230, 100)])

    assert (found.breaks, found.seconds) == ((), 230)


def test_units_that_were_never_tried():
    """What was deferred before any attempt takes no time and is not missed."""
    found = timelines.timeline([unit("a", 10, 10), replace(outcome("b", "deferred"), attempt=0)])

    assert (found.untimed, found.most_ended) == (0, 1)


def test_many_workers_are_counted():
    """Only the first lanes are shown; all workers are counted."""
    found = timelines.timeline([unit(f"u{n}", 100 + n, 50, worker=f"w{n:03}") for n in range(60)])

    assert (len(found.lanes), found.workers) == (timelines.LANES, 60)


def test_an_odd_time():
    """An outcome whose time cannot be read is counted as untimed."""
    found = timelines.timeline([unit("a", 10, 10), replace(outcome("b"), ended="yesterday")])

    assert found.untimed == 1


@hypothesis.given(
    st.lists(
        st.tuples(st.integers(0, 200_000), st.floats(0, 5000), st.sampled_from("abc"), st.sampled_from(["x", "y"])),
        min_size=1,
        max_size=40,
    )
)
def test_nothing_is_lost(spans):
    """Whatever the times, each unit ends in one slot, and shares of work lie between none and all."""
    units = [
        unit(f"u{n}", end, seconds, worker=worker, outcome_class=name)
        for n, (end, seconds, worker, name) in enumerate(spans)
    ]
    found = timelines.timeline(units)

    assert sum(count for slot in found.slots for count in slot.ended.values()) == len(units)
    assert all(0 <= share <= 1 for lane in found.lanes for share in lane.shares)
    assert all(slot.busy <= slot.present + 1e-9 for slot in found.slots)
    assert all(0 <= each.position <= 1 and each.seconds > 0 for each in found.breaks)
    assert found.seconds == pytest.approx(found.slot_seconds * len(found.slots)) or found.seconds == 0
