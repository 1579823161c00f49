"""A plan to the record of how much is stale."""

from reprocess.archive.debt import Amount
from reprocess.archive.judging import Survey
from reprocess.archive.partition import Pointer
from reprocess.exposure import Settled
from reprocess.planning import indicator
from tests.planning.test_planner import judgement, make

POINTER = Pointer("d1", "s3://a", "pointers/d1.json", 1, '"e"', created="2026-01-01T00:00:00.000")


def test_adds_up_to_the_candidates():
    """Each candidate of the plan counts once with the bytes of its raw object, failures and settled ones too."""
    waiting = (
        judgement("d1", pointer=POINTER),
        judgement("d2", "missing"),
        judgement("d3", "unknown", failure_class="bad-data", failure="x"),
    )
    resting = Settled("current", (), "MIRI", "MIR_IMAGE", ("d4", "d5"))
    survey = Survey(waiting, (resting,), (70,))
    made = make(*waiting, settled=survey.settled)

    found = indicator.measure(made, survey)

    assert found.total == Amount(made.candidates, 100)
    assert found.amounts == {
        "MIRI": {"current": Amount(2, 70)},
        "NIRCAM": {"missing": Amount(1, 10), "stale": Amount(1, 10), "unknown": Amount(1, 10)},
    }
    assert (found.plan, found.created, found.context) == (made.digest, made.created, made.context)
    assert found.oldest_product == POINTER.created
