"""Data quality bits, and the step that starts the flags from the mask reference."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.step import Step

DO_NOT_USE = 1
SATURATED = 2
JUMP_DET = 4
DROPOUT = 8
OUTLIER = 16
PERSISTENCE = 32
AD_FLOOR = 64
CHARGELOSS = 128
NO_GAIN_VALUE = 1 << 19
NO_LIN_CORR = 1 << 20
NO_SAT_CHECK = 1 << 21
FLUX_ESTIMATED = 1 << 28
REFERENCE_PIXEL = 1 << 31

STEP = Step(
    name="dq_init",
    keyword="S_DQINIT",
    revision=1,
    reference_types=("mask",),
    parameters=MappingProxyType({"skip": False, "user_supplied_dq": None}),
)


def group_flags(mask: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return what every group of a pixel starts with: the mask's DO_NOT_USE and nothing else.

    Parameters
    ----------
    mask : uint32 array, (row, column)
        Flags of the mask reference in JWST bits.

    Returns
    -------
    uint8 array, (row, column)
    """
    return (mask & np.uint32(DO_NOT_USE)).astype(np.uint8)
