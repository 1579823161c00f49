"""Single ramps whose jumps are known by reasoning; `tests/parity` asks the official step the same."""

import numpy as np
import pytest

from reprocess.calibration import jump
from tests.calibration import ramps as make
from tests.calibration.jump_cases import CASES
from tests.calibration.ramps import JUMP_DET


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_flags_what_reason_says(case):
    """JUMP_DET is set where the case says and nowhere else, and other flags stay."""
    found = jump.detect(
        make.ramp(case.ramps),
        case.ramps.gain,
        case.ramps.readnoise,
        readout=make.readout(case.ramps, nframes=case.nframes),
        parameters=case.parameters,
    )
    groupdq = found.groupdq

    assert [tuple(map(int, place)) for place in np.argwhere(groupdq & JUMP_DET)] == sorted(case.flagged)
    np.testing.assert_array_equal(groupdq & ~np.uint8(JUMP_DET), case.ramps.groupdq & ~np.uint8(JUMP_DET))
