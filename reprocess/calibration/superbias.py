"""Subtract the bias that every reset leaves behind."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.step import Step

STEP = Step(
    name="superbias",
    keyword="S_SUPERB",
    revision=1,
    reference_types=("superbias",),
    parameters=MappingProxyType({"skip": False}),
)


def usable(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bias with 0 where it is not known.

    Parameters
    ----------
    bias : float32 array
        DN, NaN where unknown.
    """
    unknown = np.flatnonzero(np.isnan(bias))
    if not len(unknown):
        return bias
    known = bias.copy(order="C")
    known.reshape(-1)[unknown] = 0
    return known


def subtract(data: NDArray[np.float32], *, bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the bias from every group, in place.

    Parameters
    ----------
    data : float32 array, (..., row, column)
        DN.
    bias : float32 array, (row, column)
        DN without NaN, see `usable`.
    """
    data -= bias
    return data
