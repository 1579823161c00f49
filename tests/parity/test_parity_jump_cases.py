"""The official jump step on ramps whose jumps are known by reasoning."""

import numpy as np
import pytest

from tests.calibration import ramps as make
from tests.calibration.jump_cases import CASES
from tests.calibration.ramps import JUMP_DET


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.usefixtures("official")
def test_official_step_agrees_with_reason(case):
    """The official step flags the same groups."""
    from tests.parity import official_ramps

    groupdq, _ = official_ramps.jump(case.ramps, make.readout(case.ramps, nframes=case.nframes), case.parameters)

    assert [tuple(map(int, place)) for place in np.argwhere(groupdq & JUMP_DET)] == sorted(case.flagged)
