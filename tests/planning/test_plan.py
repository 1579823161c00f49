"""Plans as frozen records."""

import json
from dataclasses import replace

import pytest

from reprocess import errors
from reprocess.exposure import Reason, Verdict
from reprocess.planning import plan
from reprocess.planning.forecast import forecast
from reprocess.settings import PriceSettings
from tests.planning.test_planner import judgement, make


class TestSeal:
    """`seal`."""

    def test_order_does_not_matter(self):
        """The digest names what will be done, not the order in which it was found."""
        assert make(judgement("a"), judgement("b")) == make(judgement("b"), judgement("a"))

    @pytest.mark.parametrize("field", ["created", "software", "context", "target", "references", "where"])
    def test_everything_counts(self, field):
        """Another value of any field is another plan."""
        one = make(judgement())

        other = plan.seal(replace(one, **{field: "other"}))

        assert other.digest != one.digest

    def test_what_was_left_out_counts(self):
        """The number of exposures that nobody asked about belongs to the plan."""
        one = make(judgement())

        assert plan.seal(replace(one, not_selected=3)).digest != one.digest

    def test_items_count(self):
        """Another item is another plan."""
        assert make(judgement("a")).digest != make(judgement("a", state="current")).digest


class TestBytes:
    """`to_bytes` and `from_bytes`."""

    def test_round_trip(self):
        """A plan comes back equal, with all its records."""
        names = (judgement(name) for name in "cdef")
        made = make(
            judgement("a"), judgement("b", failure_class="bad-data", failure="why"), judgement("z", "current"), *names
        )

        assert plan.from_bytes(plan.to_bytes(made), name="p") == made

    def test_forecast(self):
        """A forecast comes back with its plan, and the digest names the same work with any forecast or none."""
        bare = make(judgement("a"))
        told = replace(bare, forecast=forecast(bare.items, workers=2, prices=PriceSettings(core_hour=0.1)))

        assert plan.from_bytes(plan.to_bytes(told), name="p") == told
        assert plan.seal(told).digest == bare.digest
        record = json.loads(plan.to_bytes(told))
        record["forecast"]["money"] = {"cheap": 1}
        with pytest.raises(errors.PlanError, match="its forecast is malformed"):
            plan.from_bytes(json.dumps(record).encode(), name="p")

    def test_what_exposures_share_is_written_once(self):
        """Each further exposure with the same parameters and references adds the same few lines."""
        sizes = [len(plan.to_bytes(make(*(judgement(f"d{n}") for n in range(count))))) for count in (1, 2, 3)]

        assert sizes[2] - sizes[1] == sizes[1] - sizes[0]

    def test_edited(self):
        """A plan that somebody edited is refused."""
        record = json.loads(plan.to_bytes(make(judgement())))
        record["plan"]["items"][0]["action"] = "none"

        with pytest.raises(errors.PlanError, match="was edited"):
            plan.from_bytes(json.dumps(record).encode(), name="p")

    def test_a_plan_of_an_earlier_version(self):
        """The plan of a version that wrote another schema is refused with both schemas, and with what to do."""
        record = json.loads(plan.to_bytes(make(judgement()))) | {"schema": 2}

        with pytest.raises(errors.PlanError, match=r"a plan of schema 2, .* plans of schema 3\. Plan again"):
            plan.from_bytes(json.dumps(record).encode(), name="p")

    @pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"kind":"plan","schema":9,"digest":"","plan":{}}'])
    def test_no_plan(self, data):
        """Bytes that are no plan, or one of another schema, are refused by name."""
        with pytest.raises(errors.PlanError, match="plans/x"):
            plan.from_bytes(data, name="plans/x")


class TestCounts:
    """`counts`."""

    def test_every_candidate_is_counted(self):
        """Each way of counting verdicts, actions and instruments adds up to the number of candidates."""
        reasons = (Reason("reference", "jump", "gain", "a", "b"), Reason("software", "jump"))
        stale = replace(judgement("a"), verdict=Verdict("a", "stale", reasons, "jump"))
        failed = judgement("c", failure_class="unsupported", failure="no")

        found = plan.counts(make(stale, judgement("b", "current"), failed))

        assert found["verdict"] == {"current": 1, "stale": 2}
        assert found["action"] == {"calibrate": 1, "none": 1, "unsupported": 1}
        assert found["instrument"] == {"NIRCAM": 3}
        assert found["reason"] == {"reference: gain": 1, "software": 2}
        assert found["restart"] == {"jump": 2}
        assert {sum(found[name].values()) for name in ("verdict", "instrument", "mode", "action")} == {3}

    def test_selection(self):
        """Candidates and what was left out are all that there is."""
        made = replace(make(judgement("a"), judgement("b", "current")), not_selected=5)

        assert plan.counts(made)["selection"] == {"selected": 2, "not selected": 5}
