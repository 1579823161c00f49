import numpy as np
import pytest

from reprocess.calibration import jump
from tests.calibration import ramps as make

PARAMETERS = {
    "defaults": {},
    "no neighbours": {"flag_4_neighbors": False},
    "afterglow": {
        "after_jump_flag_dn1": 20.0,
        "after_jump_flag_time1": 25.0,
        "after_jump_flag_dn2": 500.0,
        "after_jump_flag_time2": 100.0,
    },
    "low thresholds": {"rejection_threshold": 0.0, "three_group_rejection_threshold": 0.1},
    "single pass early": {"min_diffs_single_pass": 4},
}


@pytest.fixture(scope="module")
def official_ramps(official):
    from tests.parity import official_ramps

    return official_ramps


@pytest.fixture
def same_flags(official_ramps):
    def compare(ramps, nframes, parameters):
        readout = make.readout(ramps, nframes=nframes)
        theirs = official_ramps.jump(ramps, readout, parameters)
        ours = jump.detect(*ramps.arrays, readout=readout, parameters=parameters)
        for our, their in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(our, their)
            assert our.dtype == their.dtype
        assert ramps.data.shape[1] < 3 or (ours[0] & make.JUMP_DET).any()

    return compare


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
@pytest.mark.parametrize("ngroups", [2, 3, 4, 5, 8, 10, 11, 20, 30, 70])
@pytest.mark.parametrize("nints", [1, 2, 3])
def test_flags_are_those_of_the_official_step(same_flags, nints, ngroups, parameters):
    """On the same ramps the flags of all groups and pixels are the official ones, also where counts are whole."""
    for whole_numbers in (False, True):
        ramps = make.hit(100 * ngroups + nints, (nints, ngroups, 24, 40), whole_numbers=whole_numbers)
        same_flags(ramps, 1 + 3 * (nints % 2), parameters)


@pytest.mark.parametrize("ngroups", [4, 5, 12])
def test_dead_groups_decide_the_form(same_flags, ngroups):
    """Groups that are wholly unusable do not count when the form of the detector is chosen."""
    ramps = make.hit(ngroups, (2, ngroups, 24, 40))
    ramps.groupdq[1, [0, ngroups - 1]] |= make.DO_NOT_USE
    same_flags(ramps, 1, {"rejection_threshold": 3.0})


@pytest.mark.parametrize(
    ("nints", "ngroups", "parameters"),
    [
        (120, 4, {}),
        (101, 2, {}),
        (100, 3, {}),
        (3, 40, {"only_use_ints": False}),
        (110, 6, {"rejection_threshold": 2.0}),
    ],
)
def test_clipping(same_flags, nints, ngroups, parameters):
    """By clipping across integrations the flags are the official ones, with a group that jumps everywhere."""
    ramps = make.hit(nints, (nints, ngroups, 10, 12))
    if nints > 50:
        ramps.data[5, 1:] += 3000
    same_flags(ramps, 1, parameters)
