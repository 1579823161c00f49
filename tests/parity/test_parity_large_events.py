"""Snowballs and showers against the official jump step."""

import numpy as np
import pytest

from reprocess.calibration import ellipses, jump, large_events
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.regions import connected
from tests.calibration import large_events as events
from tests.calibration import ramps as make

BITS = {"GOOD": 0, "DO_NOT_USE": 1, "SATURATED": 2, "JUMP_DET": 4, "NO_GAIN_VALUE": 1 << 19, "REFERENCE_PIXEL": 1 << 31}
CHOICES = {
    "defaults": {},
    "no core needed": {"core_required": False},
    "large regions": {"jump_area": 20.0, "core_area": 6.0, "core_axis": 1.0, "edge": 5},
    "wide": {"factor": 3.3, "core_pixels": 10, "longest": 24.0, "core_axis": 0.0},
    "one group after": {"groups_after": 2, "edge": 0},
}
SNOWY = {
    "defaults": {},
    "no cores": {"sat_required_snowball": False, "min_jump_area": 30},
    "afterwards": {"snowball_time_masked_next_int": 40, "expand_factor": 1.5, "sat_expand": 5, "edge_size": 0},
    "forgotten": {"mask_snowball_core_next_int": False, "min_sat_radius_extend": 0.5},
    "both": {"find_showers": True, "extend_min_area": 20},
}
SHOWERS = {
    "defaults": {},
    "fainter": {"extend_snr_threshold": 1.05, "extend_min_area": 40, "time_masked_after_shower": 30},
    "wider": {"extend_inner_radius": 2.0, "extend_outer_radius": 3.0, "extend_ellipse_expand_ratio": 2.0},
    "small": {"max_extended_radius": 4, "max_shower_amplitude": 0.1},
}


def official_snowballs(flags, choice):
    from stcal.jump.jump import flag_large_events
    from stcal.jump.jump_class import JumpData

    data = JumpData(dqflags=BITS)
    data.set_snowball_info(
        True, choice.jump_area, choice.core_area, choice.factor, choice.core_required, choice.core_axis,
        choice.core_pixels, choice.edge,
    )  # fmt: skip
    data.max_extended_width = choice.longest
    data.persist_grps_flagged = choice.groups_after
    return flag_large_events(flags.copy(), 4, 2, data)[0]


@pytest.fixture
def same_flags(official):
    from tests.parity import official_ramps

    def compare(ramps, parameters, instrument):
        readout = make.readout(ramps, instrument=instrument)
        theirs = official_ramps.jump(ramps, readout, parameters)
        found = jump.detect(Ramp(*ramps.arrays[:3]), *ramps.arrays[3:], readout=readout, parameters=parameters)
        np.testing.assert_array_equal(found.groupdq, theirs[0])
        np.testing.assert_array_equal(found.pixeldq, theirs[1])
        off = dict.fromkeys(("expand_large_events", "find_showers"), False)
        plain = jump.detect(Ramp(*ramps.arrays[:3]), *ramps.arrays[3:], readout=readout, parameters=parameters | off)
        return np.count_nonzero(found.groupdq != plain.groupdq)

    return compare


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("shape", [(1, 6, 90, 110), (3, 4, 120, 70)], ids=str)
def test_snowballs(official, shape, choice):
    """Among random flags the official step flags the same groups of the same pixels."""
    chosen = large_events.Snowballs(**{"groups_after": 3, **choice})
    for seed in range(8):
        flags = events.snowballs(seed, shape)
        ours = flags.copy()
        large_events.flag_snowballs(ours, chosen)
        np.testing.assert_array_equal(ours, official_snowballs(flags, chosen))
        assert (ours != flags).any()


@pytest.mark.parametrize("parameters", SNOWY.values(), ids=SNOWY)
def test_snowballs_in_ramps(same_flags, parameters):
    """After the whole jump step the flags are the official ones."""
    changed = [
        same_flags(events.snowy_ramps(seed, (2, 8, 80, 100)), {"expand_large_events": True, **parameters}, "NIRCAM")
        for seed in range(3)
    ]
    assert sum(changed) > 0


@pytest.mark.parametrize("parameters", SHOWERS.values(), ids=SHOWERS)
@pytest.mark.parametrize("shape", [(1, 12, 90, 110), (3, 6, 100, 80), (2, 20, 64, 72)], ids=str)
def test_showers(same_flags, shape, parameters):
    """Among faint patches in noise the official step flags the same groups of the same pixels."""
    changed = [
        same_flags(events.showers(seed, shape, events=shape[0] * 3), {"find_showers": True, **parameters}, "MIRI")
        for seed in range(4)
    ]
    assert sum(changed) > 0


@pytest.mark.parametrize(("nints", "ngroups"), [(100, 4), (130, 3)])
def test_showers_across_integrations(same_flags, nints, ngroups):
    """With many integrations each is compared with the others, as officially."""
    ramps = events.showers(5, (nints, ngroups, 40, 48), events=60)
    assert same_flags(ramps, {"find_showers": True, "extend_min_area": 60}, "MIRI") > 0


def test_too_few_groups_for_jumps(same_flags):
    """Where the jump test has too few groups, showers are looked for among flags that it would have left out."""
    ramps = events.showers(3, (12, 4, 60, 60), events=20)
    ramps.groupdq[:, [0, 3]] |= 1
    same_flags(ramps, {"find_showers": True, "extend_min_area": 50}, "MIRI")


def test_too_few_differences(same_flags):
    """Nine usable differences are too few for showers."""
    ramps = events.showers(4, (1, 10, 60, 60))
    assert same_flags(ramps, {"find_showers": True}, "MIRI") == 0


def test_ellipses_of_regions(official):
    """Regions of any form have the official ellipses, up to rounding."""
    from stcal.jump.jump import _sk_filter_areas

    rng = np.random.default_rng(2)
    for density in (0.05, 0.2, 0.35, 0.6):
        image = rng.random((150, 130)) < density
        for least in (1, 5, 30):
            theirs = sorted(_sk_filter_areas(image.astype(np.uint8), least))
            regions = connected(np.flatnonzero(image), image.shape[1]).of_area(least)
            ours = sorted(((e.column, e.row), (e.minor, e.major), e.angle_deg) for e in ellipses.of(regions))
            assert len(ours) == len(theirs)
            for our, their in zip(ours, theirs, strict=True):
                assert our[0] == their[0]
                np.testing.assert_allclose(our[1], their[1], atol=1e-7)
                if our[1][1] - our[1][0] > 1e-6:
                    assert abs((our[2] - their[2] + 90) % 180 - 90) < 1e-6
