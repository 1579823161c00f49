import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import detector1, jump, large_events
from reprocess.calibration.ramp import Ramp
from tests.calibration import ramps as make
from tests.calibration.large_events import ellipse, snowballs


def one_snowball(shape=(2, 5, 80, 90), centre=(40, 45)):
    flags = np.zeros(shape, np.uint8)
    flags[0, 2][ellipse(shape[2:], *centre, (8, 8), 0)] = make.JUMP_DET
    flags[0, 2:][:, ellipse(shape[2:], *centre, (4, 4), 0)] = make.SATURATED
    return flags


def flagged(flags, **choice):
    found = flags.copy()
    large_events.flag_snowballs(found, large_events.Snowballs(**{"groups_after": 3, "edge": 10, **choice}))
    return found


def test_halo_core_and_next_integration():
    """The halo doubles in its group, the core grows from there on, and the next integration jumps at the core."""
    flags = one_snowball()
    found = flagged(flags)
    assert found[0, 2, 40, 45 + 13] == make.JUMP_DET
    assert not found[0, 3, 40, 45 + 13]
    assert (found[0, 2:, 40, 45 + 4] == make.SATURATED).all()
    assert found[1, :, 40, 45].tolist() == [0, 4, 4, 0, 0]


def test_patch_without_core():
    """Jumps without a core are left alone, unless none is asked for or they are near an edge."""
    flags = one_snowball()
    flags[flags == make.SATURATED] = make.JUMP_DET
    flags[0, 3:] = 0
    np.testing.assert_array_equal(flagged(flags), flags)
    assert (flagged(flags, core_required=False) != flags).any()
    assert (flagged(flags, edge=41) != flags).any()


def test_flags_only_grow():
    """No jump or saturation is taken away but by saturation."""
    for seed in range(4):
        flags = snowballs(seed, (2, 5, 60, 70))
        found = flagged(flags)
        assert not (flags & make.SATURATED & ~found).any()
        assert not (flags & make.JUMP_DET & ~found)[found != make.SATURATED].any()


@pytest.mark.parametrize("name", ["expand_large_events", "find_showers"])
def test_exposure_must_be_whole(name):
    """Either option keeps the exposure whole, a step that is skipped does not, and a slab is refused by name."""
    for steps in (detector1.NEAR_INFRARED, detector1.MID_INFRARED):
        assert detector1.locality(steps, {"jump": {name: True}}).whole
        assert not detector1.locality(steps, {"jump": {name: True, "skip": True}}).whole
        assert not detector1.locality(steps).whole
    ramps = make.plain(np.zeros((1, 5, 8, 8)))
    part = ramps.rows(slice(0, 4))
    with pytest.raises(errors.Unsupported, match="4 of the exposure's 8 rows"):
        jump.detect(Ramp(*part.arrays[:3]), *part.arrays[3:], readout=make.readout(ramps), parameters={name: True})


def test_negative_parameter():
    """A negative parameter is refused by name and value."""
    ramps = make.plain(np.zeros((1, 5, 8, 8)))
    wrong = {"expand_large_events": True, "min_jump_area": -2}
    with pytest.raises(errors.UsageError, match="min_jump_area is -2"):
        jump.detect(Ramp(*ramps.arrays[:3]), *ramps.arrays[3:], readout=make.readout(ramps), parameters=wrong)
