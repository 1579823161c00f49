"""`reprocess.plaintext` and `reprocess.wording`: what terminals show."""

import pytest

from reprocess.publication.obstacles import Obstacle
from reprocess.reporting import plaintext, report, wording
from reprocess.reporting.ending import Ending
from tests.reporting.campaigns import SUPERBIAS, VERSION, item, outcome, plan


def text(a_plan, outcomes=(), **options):
    return plaintext.render(report.summarise(a_plan, outcomes, report.Circumstances("memory://archive", **options)))


def test_says_everything():
    """The text has the sum, the reasons, what was published, what failed, the cost and the command."""
    a_plan = plan(item("good", SUPERBIAS), item("bad", SUPERBIAS))
    outcomes = [
        outcome("good", seconds={"read": 90.0, "cpu": 60.0}, peak_bytes=1_500_000_000),
        outcome("bad", "bad-data", "SCI is too short. Get it again.", attempt=2),
    ]

    lines = text(a_plan, outcomes, wall_seconds=3600).splitlines()

    assert "Closing sum: 2 candidates" in lines
    assert "  remainder  0" in lines
    assert any("superbias_1.fits -> superbias_2.fits" in line and line.split()[0] == "2" for line in lines)
    assert any(line.split()[0] == "good" and VERSION in line and "1 min 30 s" in line for line in lines if line)
    assert "    bad (2 attempts): SCI is too short. Get it again." in lines
    assert "  throughput      40.0 exposures per core hour, 1.0 per hour (1 h 00 min in all)" in lines
    assert "  peak memory     1.50 GB (good)" in lines
    assert lines[-1] == f"    reprocess run memory://archive {a_plan.digest}"


def test_open_sum_is_loud():
    """A remainder is named in capital letters, with its datasets."""
    found = text(plan(item("lost")))

    assert "THE SUM DOES NOT CLOSE" in found
    assert "    lost\n" in found


def test_a_campaign_that_has_not_ended_is_no_alarm():
    """Before the end it is said how many are still to do, and how to go on; only after it a remainder is an alarm."""
    found = text(plan(item("done"), item("open")), [outcome("done")], ending=Ending("running"))

    assert "So far: 2 candidates\n  published    1\n  still to do  1\n" in found
    assert "The campaign has not ended." in found
    assert "DOES NOT CLOSE" not in found
    assert "reprocess run" in found


def test_what_was_in_the_way():
    """What kept workers from coming is told with its time."""
    found = text(plan(item("done")), [outcome("done")], obstacles=[Obstacle("No node.", "2026-01-02T03:04:05Z")])

    assert "In the way of the workers\n  2026-01-02 03:04:05 UTC: No node.\n" in found


def test_a_stranger_is_loud_at_any_time():
    """An outcome of a dataset that the plan does not have is an alarm before the end, too."""
    assert "THE SUM DOES NOT CLOSE" in text(plan(item("open")), [outcome("stranger")], ending=Ending("running"))


def test_no_control_characters():
    """Whatever a message holds, the text has lines and printable characters only."""
    found = text(plan(item("a")), [outcome("a", "storage", "red \x1b[31m\r\nfake line \x07")])

    assert all(line.isprintable() for line in found.split("\n"))
    assert r"red \x1b[31m\r\nfake line \x07" in found


def test_empty_plan():
    """A campaign without candidates closes with zero."""
    assert "Closing sum: 0 candidates\n  remainder  0\n" in text(plan())


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (84_000_000, "84.0 MB"), (1.2e12, "1.20 TB"), (5e15, "5,000 TB")],
)
def test_sizes(size, said):
    """Bytes are written in decimal units with three digits."""
    assert wording.size_text(size) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.123, "0.12 s"),
        (59.9, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (1e6, "277 h 46 min"),
    ],
)
def test_durations(seconds, said):
    """Durations are written in seconds, minutes or hours, and never with 60 of a smaller unit."""
    assert wording.duration_text(seconds) == said
