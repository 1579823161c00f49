"""The ramp: what one exposure is between the pre-processing of its groups and the fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ramp:
    """Groups of an exposure, or of a slab of it, with their flags.

    Attributes
    ----------
    data : float32 array, (integration, group, row, column)
        Signal in DN.
    groupdq : uint8 array, (integration, group, row, column)
        Flags of one group of one pixel.
    pixeldq : uint32 array, (row, column)
        Flags of one pixel in all groups.
    zeroframe : float32 array, (integration, row, column), or None
        Signal of the first frame alone, in DN, where it was kept; 0 where it cannot be used.
    """

    data: NDArray[np.float32]
    groupdq: NDArray[np.uint8]
    pixeldq: NDArray[np.uint32]
    zeroframe: NDArray[np.float32] | None = None
