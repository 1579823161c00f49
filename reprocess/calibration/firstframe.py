"""Leave out the first group of MIRI ramps; off by default and officially deprecated, since rscd does so too."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.step import Step

STEP = Step(
    name="firstframe",
    keyword="S_FRSTFR",
    revision=1,
    parameters=MappingProxyType({"bright_use_group1": True, "skip": True}),
)

FEWEST_GROUPS = 4  # with fewer the step is skipped
_BRIGHT = 2  # a pixel that is saturated in this group keeps its first one


def kept(first_saturated: NDArray[Any], *, bright: bool) -> NDArray[np.bool_]:
    """Return the pixels that keep their first group.

    Parameters
    ----------
    first_saturated : integer array, (row, column)
        First saturated group.
    bright : bool
        Whether pixels do that are saturated in the third group; else none does.
    """
    early: NDArray[np.bool_] = first_saturated <= _BRIGHT
    return early if bright else np.zeros_like(early)


def flag(groupdq: NDArray[np.uint8], pixeldq: NDArray[np.uint32], kept_pixels: NDArray[np.bool_]) -> None:
    """Set DO_NOT_USE in the first group of an integration, and FLUX_ESTIMATED where it is kept; in place.

    Parameters
    ----------
    groupdq : uint8 array, (group, row, column)
    pixeldq : uint32 array, (row, column)
    kept_pixels : bool array, (row, column)
        See `kept`.
    """
    groupdq[0] |= (~kept_pixels).view(np.uint8) * np.uint8(dq.DO_NOT_USE)
    pixeldq[kept_pixels] |= np.uint32(dq.FLUX_ESTIMATED)
