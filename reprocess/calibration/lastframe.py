"""Leave out the last group of MIRI ramps, which the reset of the next row disturbs."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.dq import DO_NOT_USE
from reprocess.calibration.step import Step

STEP = Step(
    name="lastframe",
    keyword="S_LASTFR",
    revision=1,
    parameters=MappingProxyType({"skip": False}),
)

FEWEST_GROUPS = 3  # with fewer the step is skipped


def flag(groupdq: NDArray[np.uint8]) -> None:
    """Set DO_NOT_USE, in place, in the last group of every integration.

    Parameters
    ----------
    groupdq : uint8 array, (integration, group, row, column)
    """
    groupdq[:, -1] |= np.uint8(DO_NOT_USE)
