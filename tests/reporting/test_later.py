"""`reprocess.reporting.later` and `.ending`: what is left, and how a run ended."""

import pytest

from reprocess.reporting import ending, later
from reprocess.reporting.ending import Ending

NAMES = later.Names("s3://archive", "d" * 64, "d" * 16)


def steps(classes, *, to_do=0, remainder=0, state="ended"):
    return later.steps(classes, to_do=to_do, remainder=remainder, state=state, names=NAMES)


def test_nothing_is_left():
    """What is current, published or unchanged asks for nothing."""
    assert steps({"current": 5, "published": 3, "unchanged": 1, "held-back": 0}) == ()


def test_every_other_class_is_told():
    """Each candidate that is not done is counted in one step."""
    classes = {"held-back": 1, "bad-data": 2, "storage": 3, "overtaken": 4, "deferred": 5, "cancelled": 6, "new": 7}
    found = steps(classes, to_do=8, remainder=9)

    assert sum(step.count for step in found) == sum(classes.values()) + 8 + 9


def test_classes_with_one_answer_share_a_step():
    """Failures that the same run tries again are one step that names them."""
    (step,) = steps({"storage": 3, "reference": 2})

    assert (step.count, step.command) == (5, f"reprocess run s3://archive {'d' * 64}")
    assert "storage 3, reference 2" in step.words


@pytest.mark.parametrize(("state", "word"), [("paused", "resume"), ("approval", "approve"), ("running", "run")])
def test_going_on(state, word):
    """What is still to do is gone on with by what its state asks for, and ends with a run."""
    (step,) = steps({}, to_do=1, state=state)
    commands = step.command.splitlines()

    assert commands[0].startswith(f"reprocess {word} s3://archive {'d' * 16}")
    assert commands[-1].startswith("reprocess run ")


def test_failed_for_good():
    """What the same inputs will give again needs somebody who asks for it."""
    assert "reprocess retry" in steps({"bad-data": 1})[0].command


class TestEnding:
    """How a run ended."""

    @pytest.mark.parametrize(
        ("state", "over", "rest"),
        [
            ("ended", True, ""),
            ("cancelled", True, "cancelled"),
            ("deferred", True, "deferred"),
            ("paused", False, ""),
            ("approval", False, ""),
            ("running", False, ""),
        ],
    )
    def test_what_has_no_class(self, state, over, rest):
        """Only of a campaign that is over must all candidates have a class, of a stopped one that of its stop."""
        found = Ending(state)

        assert (found.is_over, found.rest) == (over, rest)

    def test_sentence(self):
        """It says what, by whom and why, on one line of visible characters."""
        found = Ending("paused", "too many\nfailures.", "error \x1bbudget")

        assert found.sentence == r"The campaign is paused, by error \x1bbudget: too many\nfailures."

    def test_record(self):
        """It survives being stored."""
        found = Ending("deferred", "why", "who")

        assert ending.from_record(ending.to_record(found)) == found
