"""`reprocess.report`: a plan and its outcomes to a summary."""

import hypothesis
import hypothesis.strategies as st
import pytest

from reprocess.exposure import Reason
from reprocess.publication.manifest import File
from reprocess.reporting import classes, report, tables
from reprocess.reporting.ending import Ending
from tests.reporting.campaigns import SUPERBIAS, VERSION, item, outcome, plan

CLASSES = ("published", "unchanged", "held-back", "bad-data", "worker-lost", "deferred", "cancelled", "unsupported")


def summarise(a_plan, outcomes=(), *, rows=200, examples=5, **around):
    around = report.Circumstances("memory://archive", **around)
    return report.summarise(a_plan, outcomes, around, rows=rows, examples=examples)


class TestClosingSum:
    def test_every_class_is_counted(self):
        """Candidates count where the plan put them before any work, or where their outcome put them."""
        a_plan = plan(
            item("a", action="none", state="current"),
            item("b"),
            item("c", action="fail", state="unknown", failure=("unsupported", "EXP_TYPE is X")),
            item("d"),
        )

        summary = summarise(a_plan, [outcome("b"), outcome("d", "bad-data", "too short")])

        found = {name: count for name, count in summary.classes.items() if count}
        assert found == {"current": 1, "published": 1, "bad-data": 1, "unsupported": 1}
        assert summary.closes
        assert summary.failed == 1

    def test_missing_outcome_is_the_remainder(self):
        """A candidate with work to do and no outcome is named, and the sum does not close."""
        summary = summarise(plan(item("a"), item("b")), [outcome("a")])

        assert not summary.closes
        assert summary.remainder.rows == ("b",)
        assert summary.modes[0].counts == {"published": 1, classes.REMAINDER: 1}

    def test_before_the_end_it_is_still_to_do(self):
        """Until a run has ended such a candidate is still to do and no remainder, though the sum is not closed."""
        summary = summarise(plan(item("a"), item("b")), [outcome("a")], ending=Ending("running"))

        assert (summary.to_do, summary.remainder.total, summary.closes, summary.ended) == (1, 0, False, False)
        assert summary.modes[0].counts == {"published": 1, classes.TO_DO: 1}

    def test_stranger_is_the_remainder(self):
        """An outcome of a dataset that is no candidate does not close the sum either."""
        summary = summarise(plan(item("a")), [outcome("a"), outcome("z")])

        assert summary.remainder.rows == ("z",)

    def test_order_of_classes(self):
        """Failures stand between what readers can see and what was not begun."""
        names = list(summarise(plan(item("a")), [outcome("a", "worker-lost")]).classes)

        assert names == ["current", "published", "unchanged", "held-back", "worker-lost", *classes.AFTER]

    @hypothesis.given(st.lists(st.sampled_from((*CLASSES, "current", None)), max_size=30))
    def test_classes_and_remainder_add_up(self, ends):
        """Whatever happens, classes and remainder add up to the candidates, in all and by kind of exposure."""
        names = [f"d{number:02}" for number in range(len(ends))]
        pairs = list(zip(names, ends, strict=True))
        items = [item(name, action="none" if end == "current" else "calibrate") for name, end in pairs]
        outcomes = [outcome(name, end) for name, end in pairs if end not in ("current", None)]

        summary = summarise(plan(*items), outcomes, rows=3)

        assert sum(summary.classes.values()) + summary.remainder.total == summary.candidates == len(ends)
        assert sum(row.total for row in summary.modes) == len(ends)
        assert sum(count for row in summary.modes for count in row.counts.values()) == len(ends)


class TestReasons:
    def test_equal_reasons_share_a_row(self):
        """Datasets with the same reason are counted in one row, with the first of them as the example."""
        summary = summarise(plan(item("b", SUPERBIAS), item("a", SUPERBIAS)))

        (row,) = summary.reasons.rows
        assert (row.datasets, row.example, row.step, row.reference_type) == (2, "a", "superbias", "superbias")
        assert (row.old, row.new) == ("superbias_1.fits", "superbias_2.fits")

    def test_repeated_reason_counts_a_dataset_once(self):
        """A verdict that repeats a reason does not count its dataset twice."""
        summary = summarise(plan(item("a", SUPERBIAS, SUPERBIAS)))

        assert summary.reasons.rows[0].datasets == 1

    def test_identities_of_objects_share_a_row(self):
        """Changed raw objects are one row, although each has its own old and new identity."""
        items = [item(name, Reason("raw-changed", "raw", None, f"old-{name}", f"new-{name}")) for name in "abc"]

        summary = summarise(plan(*items))

        assert summary.reasons.total == 1
        assert summary.reasons.rows[0].datasets == 3

    def test_name_only_stays_apart(self):
        """The same reference is another row where only its name changed."""
        summary = summarise(plan(item("a", SUPERBIAS), item("b", SUPERBIAS, state="stale-in-name-only", action="none")))

        assert {row.verdict for row in summary.reasons.rows} == {"stale", "stale-in-name-only"}

    def test_frequent_reasons_first(self):
        """The reason of most datasets comes first."""
        other = Reason("software", "jump", None, "1", "2")

        summary = summarise(plan(item("a", other), item("b", SUPERBIAS), item("c", SUPERBIAS)))

        assert [row.kind for row in summary.reasons.rows] == ["reference", "software"]


class TestPublished:
    def test_row(self):
        """A published dataset has its version, first step, prefix, seconds and files."""
        files = {"a": [File("a_rate.fits", 123, "0" * 64)]}

        summary = summarise(
            plan(item("a", SUPERBIAS)),
            [outcome("a", seconds={"read": 1.0, "calibrate": 2.0, "cpu": 9.0})],
            products=files,
        )

        (row,) = summary.published.rows
        assert (row.version, row.first_step, row.seconds) == (VERSION, "superbias", 3.0)
        assert row.prefix == f"products/a/{VERSION}/"
        assert [(file.name, file.size) for file in row.files] == [("a_rate.fits", 123)]

    def test_rows_are_limited_and_counts_are_not(self):
        """A long table says how much of it is shown."""
        names = [f"d{number:05}" for number in range(1234)]

        summary = summarise(plan(*map(item, names)), map(outcome, names), rows=200)

        assert len(summary.published.rows) == 200
        assert summary.published.extent == "first 200 of 1,234"
        assert summary.classes["published"] == 1234


class TestProblems:
    def test_grouped_by_class(self):
        """Failures come first, each class with its exact count, advice and a few messages."""
        names = [f"d{number}" for number in range(9)]
        outcomes = [
            outcome("a", "held-back", "too different"),
            *(outcome(name, "bad-data", f"{name}: short") for name in names),
        ]

        summary = summarise(plan(item("a"), *map(item, names)), outcomes, examples=2)

        first, second = summary.problems
        assert (first.outcome_class, first.failure, first.examples.extent) == ("bad-data", True, "first 2 of 9")
        assert [example.message for example in first.examples.rows] == ["short", "short"]
        assert (second.outcome_class, second.failure) == ("held-back", False)
        assert "again" in first.advice

    def test_known_before_any_work(self):
        """A failure that the plan knew has the plan's message and no attempts."""
        summary = summarise(plan(item("a", action="fail", failure=("reference", "gain is missing"))))

        assert summary.problems[0].examples.rows == (tables.Example("a", "gain is missing", 0),)

    def test_success_is_no_problem(self):
        """What was published, unchanged or current is not listed."""
        a_plan = plan(item("a"), item("b"), item("c", action="none", state="current"))

        assert summarise(a_plan, [outcome("a"), outcome("b", "unchanged")]).problems == ()


def test_control_characters_are_spelled_out():
    """Nothing from outside reaches a terminal as a control character or turns the direction of writing."""
    nasty = "a\x1b[2J\n\u202eb"

    summary = summarise(plan(item(nasty), target="x = 1\ny = '\x1b'"), [outcome(nasty, "bad-data", nasty)])

    example = summary.problems[0].examples.rows[0]
    assert example.dataset == example.message == r"a\x1b[2J\n\u202eb"
    assert summary.target == "x = 1\ny = '\\x1b'"


def test_command_names_the_plan():
    """The command to go on with names the archive and the whole digest."""
    a_plan = plan(item("a"))

    assert summarise(a_plan).command == f"reprocess run memory://archive {a_plan.digest}"


@pytest.mark.parametrize(("shown", "total", "extent"), [(2, 2, "2"), (0, 0, "0"), (2, 10432, "first 2 of 10,432")])
def test_extent(shown, total, extent):
    """A listing says how many rows there are, and how many are shown when not all."""
    assert report.Listing(tuple(range(shown)), total).extent == extent
