"""Plans from judgements."""

from reprocess.archive.fingerprint import raw_version
from reprocess.archive.judging import Judgement
from reprocess.calibration.step import Locality
from reprocess.exposure import CatalogueEntry, Reason, ReferenceFile, Settled, Verdict
from reprocess.planning import planner, slabs
from reprocess.planning.plan import from_bytes, to_bytes
from reprocess.target import Target
from tests.archive.test_fingerprint import chain

TARGET = Target("jwst_0541.pmap", "0.1.0", text="the target")
STALE = (Reason("software", "jump"),)


def judgement(name="d1", state="stale", shape=(1, 5, 2048, 2048), **changes):
    entry = CatalogueEntry(
        name, "uncal", "s3://raw", f"{name}_uncal.fits", 10, '"e"', {"INSTRUME": "NIRCAM"}, 5760, shape
    )
    restart = "jump" if state == "stale" else None
    values = {
        "references": (ReferenceFile("mask", "m.fits", "s", "p", 1),),
        "parameters": {"jump": {"skip": False}},
        "fingerprint": chain(raw=raw_version(entry)),
        "locality": Locality(3),
    }
    return Judgement(entry, Verdict(name, state, STALE if restart else (), restart), **{**values, **changes})


def make(*judgements, memory_limit_bytes=2 * 10**9, **changes):
    values = {"created": "2026-11-21T00:00:00.000", "software": "0.1.0", "target": TARGET, "references": "s3://refs"}
    return planner.plan(judgements, memory_limit_bytes=memory_limit_bytes, **{**values, **changes})


class TestPlan:
    """`plan`."""

    def test_actions(self):
        """Stale, missing and unknown products are calibrated, current ones are not, failures stay failures."""
        states = ("stale", "missing", "unknown", "current", "stale-in-name-only")
        failed = judgement("x", failure_class="unsupported", failure="no spectra")

        plan = make(*(judgement(state, state) for state in states), failed)

        assert {item.dataset: item.action for item in plan.items} == {
            "stale": "calibrate",
            "missing": "calibrate",
            "unknown": "calibrate",
            "x": "fail",
        }
        assert {each.state: each.datasets for each in plan.settled} == {
            "current": ("current",),
            "stale-in-name-only": ("stale-in-name-only",),
        }
        assert plan.candidates == 6
        assert [(item.failure_class, item.failure) for item in plan.items if item.action == "fail"] == [
            ("unsupported", "no spectra")
        ]

    def test_settled_candidates_are_told_together(self):
        """Those that are alike in all that is told of them are one record, whoever judged them."""
        alike = Settled("current", (), "NIRCAM", "", ("z", "y"))
        plan = make(judgement("b", "current"), judgement("a", "current"), settled=[alike])

        (found,) = plan.settled
        assert found.datasets == ("a", "b", "y", "z")

    def test_each_candidate_is_one_item(self):
        """Nothing is lost and nothing is doubled, also where two objects have one name."""
        plan = make(judgement("b"), judgement("a"), judgement("a", failure_class="bad-data", failure="two"))

        assert [item.dataset for item in plan.items] == ["a", "a", "b"]

    def test_header_of_the_plan(self):
        """The plan names software, context, target and where references come from, and it is sealed."""
        plan = make(judgement())

        assert (plan.software, plan.context, plan.target, plan.references) == (
            "0.1.0",
            "jwst_0541.pmap",
            "the target",
            "s3://refs",
        )
        assert from_bytes(to_bytes(plan), name="p") == plan

    def test_large_exposures_are_cut(self):
        """An exposure that does not fit the memory of a worker is cut by its locality; one that fits is one unit."""
        small, large = judgement("small", shape=(1, 5, 512, 512)), judgement("large", shape=(1, 60, 2048, 2048))

        items = {item.dataset: item.rows_per_slab for item in make(small, large, memory_limit_bytes=10**9).items}

        assert items == {"small": 0, "large": slabs.rows_per_slab((1, 60, 2048, 2048), 10**9, Locality(3))}
        assert items["large"] > 0

    def test_impossible_exposure(self):
        """An exposure that no slab could make fit fails alone, and the message says how much memory it needs."""
        plan = make(judgement("a"), judgement("b", shape=(9, 900, 2048, 2048)), memory_limit_bytes=900 * 10**6)

        failed = plan.items[1]
        assert [item.action for item in plan.items] == ["calibrate", "fail"]
        assert "Raise memory_limit_mb" in failed.failure

    def test_incarnations(self):
        """An incarnation names another version of the same inputs."""
        first, second = (make(judgement(), incarnations=chosen).items[0].version for chosen in (None, {"d1": 2}))

        assert first.endswith("-1")
        assert second == first[:-1] + "2"
