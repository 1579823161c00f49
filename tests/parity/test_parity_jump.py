import numpy as np
import pytest

from reprocess.calibration import jump
from reprocess.calibration.ramp import Ramp
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
        found = jump.detect(Ramp(*ramps.arrays[:3]), *ramps.arrays[3:], readout=readout, parameters=parameters)
        ours = found.groupdq, found.pixeldq
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


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
@pytest.mark.parametrize(
    ("nints", "ngroups"), [(1, 3), (1, 4), (2, 4), (1, 5), (4, 5), (1, 9), (3, 9), (1, 10), (2, 10), (1, 11), (2, 20)]
)
def test_ramps_that_are_mostly_hit(same_flags, nints, ngroups, parameters):
    """The flags are the official ones where most ramps are hit, often more than once, and many values are equal."""
    for seed, step in ((1, None), (2, 1.0), (3, 64.0)):
        same_flags(make.battered(seed, (nints, ngroups, 24, 40), step=step), 1 + 3 * (ngroups % 2), parameters)


@pytest.mark.parametrize(("nints", "ngroups"), [(1, 100), (25, 5), (60, 4), (99, 3), (13, 9), (7, 13)])
def test_many_differences(same_flags, nints, ngroups):
    """The flags are the official ones with more differences than a network of comparisons puts in order."""
    same_flags(make.hit(nints, (nints, ngroups, 12, 20)), 1, {})
    same_flags(make.battered(nints, (nints, ngroups, 12, 20), step=4.0), 4, PARAMETERS["afterglow"])


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
        (100, 5, PARAMETERS["afterglow"]),
        (150, 3, {"rejection_threshold": 1.0, "flag_4_neighbors": False}),
        (20, 7, {"only_use_ints": False, **PARAMETERS["afterglow"]}),
    ],
)
def test_clipping(same_flags, nints, ngroups, parameters):
    """By clipping across integrations the flags are the official ones, with a group that jumps everywhere."""
    for ramps in (
        make.hit(nints, (nints, ngroups, 10, 12)),
        make.hit(nints, (nints, ngroups, 10, 12), whole_numbers=True),
        make.battered(nints, (nints, ngroups, 10, 12), step=8.0),
        make.battered(nints, (nints, ngroups, 10, 12)),
    ):
        if nints > 50:
            ramps.data[5, 1:] += 3000
        same_flags(ramps, 1, parameters)


def test_group_that_jumps_everywhere(same_flags):
    """By clipping, a group that every pixel jumps in or cannot use is released as the official step does it."""
    ramps = make.plain(np.random.default_rng(1).normal(0, 1, (110, 4, 8, 9)) + 50 * np.arange(4)[:, None, None])
    ramps.data[7, 2:] += 500
    ramps.data[9, 1:] += 400
    ramps.groupdq[9, 1, 3:5] |= make.DO_NOT_USE
    ramps.groupdq[7, 2, 4] |= make.PERSISTENCE
    same_flags(ramps, 1, {})


def test_several_integrations_with_afterglow(same_flags):
    """Afterglow stays in its integration, and lasts to its end if it is long."""
    for seed in range(4):
        ramps = make.battered(seed, (3, 9, 20, 30))
        ramps.groupdq[1, 8] |= make.DO_NOT_USE
        for after in (10.0, 30.0, 1000.0):
            times = {"after_jump_flag_time1": after, "after_jump_flag_time2": 2 * after}
            same_flags(ramps, 1, {"after_jump_flag_dn1": 300.0, "after_jump_flag_dn2": 2000.0, **times})
