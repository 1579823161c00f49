"""What a plan comes to."""

import pytest

from reprocess import errors
from reprocess.planning import outline
from tests.reporting.campaigns import item, plan

PLAN = plan(
    item("a"),
    item("b"),
    item("c", action="none", state="current"),
    item("d", action="fail", failure=("bad-data", "x")),
    item("e", action="fail", failure=("unsupported", "x")),
)


def test_numbers():
    """Every candidate is work, a failure of a class, or settled."""
    made = outline.outline(PLAN)

    assert (made.digest, made.candidates, made.work) == (PLAN.digest, 5, 2)
    assert made.failing == {"bad-data": 1, "unsupported": 1}


def test_round_trip():
    """It is read as it was written."""
    made = outline.outline(PLAN)

    assert outline.from_bytes(outline.to_bytes(made), name="x") == made


@pytest.mark.parametrize("data", [b"", b"{}", b'{"kind":"outline","schema":1,"digest":"x"}'])
def test_damaged(data):
    """What is no outline is refused by name."""
    with pytest.raises(errors.DamagedRecord, match="somewhere"):
        outline.from_bytes(data, name="somewhere")
