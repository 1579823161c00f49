"""`reprocess.reporting.differences`: comparisons added up."""

import math
from dataclasses import replace

import hypothesis
import hypothesis.strategies as st

from reprocess.reporting import differences
from reprocess.reporting.differences import BitChange, KeywordChange
from tests.reporting.campaigns import outcome

MODE = ("NIRCAM", "NRC_IMAGE")


def compared(name, *, verdict="within", changed=0, outcome_class="published", reasons=(), **record):
    """Build an outcome with a comparison of 100 pixels."""
    image = {"changed": changed, "pixels": 100, "nan_old": 1, "nan_new": 2, **record}
    extensions = {} if verdict == "identical" else {"rate/SCI": image}
    difference = {"against": "old-1", "verdict": verdict, "reasons": list(reasons), "extensions": extensions}
    return replace(outcome(name, outcome_class), difference=difference)


def add_up(*outcomes, rows=10):
    return differences.differences(outcomes, {each.dataset: MODE for each in outcomes}, rows=rows)


def test_nothing_to_compare_with():
    """Outcomes without a comparison are none."""
    assert add_up(outcome("a")) == differences.Differences()


def test_largest_first():
    """How far the image moved counts first, then how much of it, then the largest difference of a pixel."""
    found = add_up(
        compared("spot", changed=1, max_sigma=900.0),
        compared("much", changed=99, median_sigma=0.0, max_sigma=1.0),
        compared("moved", changed=5, median_sigma=-3.0, mad_sigma=0.5),
        compared("same", verdict="identical"),
    )

    assert [each.dataset for each in found.largest] == ["moved", "much", "spot"]
    assert found.verdicts == {"identical": 1, "within": 3, "outside": 0}


def test_held_back():
    """What is held back is listed with its version and the first of its reasons."""
    reasons = [f"reason {n}" for n in range(5)]
    held = replace(compared("a", verdict="outside", outcome_class="held-back", reasons=reasons), version="new-1")
    (change,) = add_up(held, compared("b")).held_back

    assert (change.dataset, change.version, change.against) == ("a", "new-1", "old-1")
    assert (change.reasons, change.more_reasons) == (("reason 0", "reason 1", "reason 2"), 2)


def test_medians_by_mode():
    """Each kind of exposure has the median of its exposures, and the one farthest from zero."""
    outcomes = [
        compared(name, changed=n, median_sigma=m) for name, n, m in (("a", 1, 0.1), ("b", 2, -9.0), ("c", 4, 0))
    ]
    (mode,) = add_up(*outcomes).modes

    assert (mode.compared, mode.changed.median, mode.changed.extreme) == (3, 0.02, 0.04)
    assert (mode.median_sigma.median, mode.median_sigma.extreme) == (0.0, -9.0)


def test_flags_and_keywords():
    """Flags add up over exposures; keywords are counted, with the first change of each."""
    first, second = compared("a"), compared("b")
    flags, more = (
        {"changed": 3, "bits_gained": {"JUMP_DET": 3}},
        {"bits_gained": {"JUMP_DET": 1}, "bits_lost": {"HOT": 2}},
    )
    first.difference["extensions"]["rate/DQ"] = {"pixels": 100, **flags}
    second.difference["extensions"]["rate/DQ"] = {"pixels": 100, **more}
    first.difference["keywords"] = second.difference["keywords"] = {"SCI/BUNIT": ["DN/s", "DN"]}
    found = add_up(first, second)

    assert found.bits == (BitChange("JUMP_DET", 4, 0, 2), BitChange("HOT", 0, 2, 1))
    assert found.keywords == (KeywordChange("SCI/BUNIT", 2, "DN/s", "DN", "a"),)


def test_other_shape():
    """An extension that came, went or changed its shape is told."""
    one = compared("a", shape_old=[10, 10], shape_new=None)

    assert [each.reshaped for each in add_up(one).extensions] == [1]


def test_values_that_are_none():
    """Where nothing could be compared (no error above 0) the record has None, and the report 0."""
    change = differences.change(compared("a", changed=1, median_sigma=None, mad_sigma=math.nan, max_sigma=math.inf))

    assert (change.median_sigma, change.mad_sigma, change.max_sigma) == (0.0, 0.0, 0.0)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 100), st.floats(-100, 100)), max_size=30))
def test_every_comparison_is_in_one_bin(values):
    """Both histograms hold each comparison once, and lists are no longer than asked for."""
    found = add_up(*(compared(f"d{n}", changed=c, median_sigma=s) for n, (c, s) in enumerate(values)), rows=3)

    assert sum(each.count for each in found.changed_bins) == sum(each.count for each in found.sigma_bins) == len(values)
    assert len(found.largest) == min(3, len(values))
