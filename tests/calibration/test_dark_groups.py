"""How many groups of a dark are needed."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reprocess.calibration import dark_current
from reprocess.calibration.reference import Reference
from tests.calibration.exposures import Plan, make

READOUT = make(Plan(rows=16)).readout


def dark(length, nframes, groupgap):
    """A dark of numbers that all differ."""
    sci = np.random.default_rng(length).normal(0, 1, (length, 2, 3)).astype(np.float32)
    return Reference("dark", {"sci": sci}, {"NFRAMES": nframes, "GROUPGAP": groupgap})


@given(
    st.integers(1, 40),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
    st.integers(1, 8),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
)
def test_same_result(length, nframes, groupgap, ngroups, science_nframes, science_gap):
    """With only the groups that are needed, the dark signal of every science group is the same, bit for bit."""
    readout = replace(READOUT, ngroups=ngroups, nframes=science_nframes, groupgap=science_gap)
    whole = dark(length, nframes, groupgap)
    needed = dark_current.groups_needed(whole, length, readout)
    short = Reference("dark", {"sci": whole.arrays["sci"][:needed]}, whole.keywords)
    try:
        how = dark_current.match(whole, readout)
    except dark_current.errors.DamagedReference:
        return

    assert dark_current.match(short, readout) == how
    if how is not None:
        before, after = (dark_current.groups(each.arrays["sci"], how) for each in (whole, short))
        assert before.dtype == after.dtype
        assert before.tobytes() == after.tobytes()
