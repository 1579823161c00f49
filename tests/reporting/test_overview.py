"""An archive at a glance."""

import json
from datetime import UTC, datetime

import pytest

from reprocess.planning.outline import outline
from reprocess.reporting import overview
from tests.archive.test_debt import candidate, file_reason, first_missing, measure, settled
from tests.reporting.campaigns import item, outcome, plan

NOW = datetime(2026, 11, 3, 1, 2, 3, tzinfo=UTC)
PLAN = plan(
    item("a"), item("b"), item("c", action="none", state="current"), item("d", action="fail", failure=("bad-data", "x"))
)


def standing(*outcomes, ended=False, of=PLAN):
    return overview.standing(outline(of), outcomes, ended=ended)


class TestStanding:
    @pytest.mark.parametrize(
        ("outcomes", "ended", "numbers", "state"),
        [
            ((), False, (2, 0, 1), "planned"),
            ((outcome("a"),), False, (1, 1, 1), "begun"),
            ((outcome("a"), outcome("b", "storage")), False, (0, 1, 2), "nothing to do"),
            ((outcome("a"), outcome("b", "storage")), True, (0, 1, 2), "ended"),
            ((outcome("a"), outcome("b", "deferred")), True, (0, 1, 1), "ended"),
            ((outcome("a"), outcome("a")), True, (1, 1, 1), "remainder"),
            ((outcome("b", "storage"), outcome("b")), False, (1, 1, 1), "begun"),
            ((outcome("a", "staged"),), False, (2, 0, 1), "begun"),
            ((outcome("a"), outcome("b"), outcome("stranger")), True, (-1, 3, 1), "remainder"),
        ],
    )
    def test_numbers_and_state(self, outcomes, ended, numbers, state):
        """Candidates are to do until their last terminal outcome; only an ended campaign can have a remainder."""
        found = standing(*outcomes, ended=ended)

        assert (found.to_do, found.done, found.failed) == numbers
        assert (found.state, found.candidates) == (state, 4)


class TestText:
    def test_of_an_empty_archive(self):
        """Without plans and judgements it says so, and what comes next."""
        text = overview.text([], [], NOW)

        assert "Nothing was planned yet" in text
        assert "not judged yet" in text

    def test_everything(self):
        """Plans, then the newest judgement with its causes and ages, then the trend, each with its numbers."""
        first = measure([candidate(file_reason(), size=2_000_000, made="2026-10-24T01:02:03.000")], [(settled(), 5)])
        second = measure(
            [candidate(file_reason(), size=2_000_000, made="2026-10-24T01:02:03.000"), first_missing()],
            [(settled(count=6), 5), (settled("stale-in-name-only", 1, "NIRCAM", file_reason()), 5)],
            day=1,
            previous=first,
        )
        lines = [" ".join(line.split()) for line in overview.text([standing()], [second, first], NOW).splitlines()]

        assert f"{PLAN.digest[:16]} 2026-02-03 04:05:06 jwst_1.pmap 4 2 0 1 planned" in lines
        assert "1 of 9 exposures are stale, 2.00 MB of Level 1b" in lines
        assert "seen as stale for at most 2.0 days" in lines
        assert "the oldest stale product of ours was made 10.0 days ago" in lines
        assert "stale reference dark 1 2.00 MB at most 2.0 days" in lines
        assert "missing product-missing 1 100 B at most 1.0 days" in lines
        assert "2026-11-02 01:02:03 jwst_2.pmap 1 1 0 7 2.00 MB" in lines
        assert lines[-1] == "2026-11-01 01:02:03 jwst_2.pmap 1 0 0 3 2.00 MB"

    def test_what_was_done_since(self):
        """When the plan of the newest judgement was worked on, its numbers are said to be of before."""
        newest = measure([candidate(file_reason())], plan=PLAN.digest)

        assert "since then its plan has done 1;" in overview.text([standing(outcome("a"))], [newest], NOW)
        assert "since then" not in overview.text([standing()], [newest], NOW)

    def test_a_plan_that_cannot_be_read(self):
        """It is a row with its problem, and its control characters are spelled out."""
        text = overview.text([overview.unreadable("0" * 16, "edited\x1b[1m")], [], NOW)

        assert r"unreadable: edited\x1b[1m" in text

    def test_many_causes(self):
        """Of many causes the largest are shown, with a word on the others."""
        many = [candidate(file_reason(f"type{number}")) for number in range(20)]

        assert "and 8 more; --json lists all" in overview.text([], [measure(many)], NOW)


def test_record():
    """The JSON values have both lists, each state with its count and bytes, and since when exposures are stale."""
    found = measure([candidate(file_reason())], [(settled(), 5)])
    body = json.loads(json.dumps(overview.record([standing()], [found])))
    (plan_record,), (debt_record,) = body["plans"], body["staleness"]

    assert plan_record["digest"] == PLAN.digest
    assert {"created", "context", "candidates", "to_do", "done", "failed", "state"} <= set(plan_record)
    assert debt_record["states"]["stale"] == {"count": 1, "bytes": 100}
    assert debt_record["states"]["current"] == {"count": 3, "bytes": 5}
    assert debt_record["stale_since"] == found.created
    assert debt_record["causes"][0]["type"] == "dark"
