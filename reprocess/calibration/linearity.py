"""Correct the detector's non-linear response by a polynomial for each pixel."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.step import Step

STEP = Step(
    name="linearity",
    keyword="S_LINEAR",
    revision=1,
    reference_types=("linearity",),
    parameters=MappingProxyType({"skip": False}),
)


def usable(
    coefficients: NDArray[np.float32], flags: NDArray[np.uint32]
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Replace polynomials that cannot be used by the identity, and say so in the flags.

    A polynomial cannot be used where the reference flags NO_LIN_CORR, where any coefficient is NaN, and where the
    linear term is 0.

    Parameters
    ----------
    coefficients : float32 array, (order, row, column)
        From the constant term up; at least two orders.
    flags : uint32 array, (row, column)
        Flags of the reference.

    Returns
    -------
    coefficients, flags
        Copies of the same shapes.
    """
    unknown = np.isnan(coefficients).any(axis=0)
    flagged = (flags & np.uint32(dq.NO_LIN_CORR)) != 0
    flat = ~(flagged | unknown) & (coefficients[1] == 0)
    identity = np.zeros((len(coefficients), 1, 1), np.float32)
    identity[1] = 1
    bad = flagged | unknown | flat
    return np.where(bad, identity, coefficients), flags | np.where(unknown | flat, np.uint32(dq.NO_LIN_CORR), np.uint32(0))


def correct(
    data: NDArray[np.float32], *, coefficients: NDArray[np.float32], saturated: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Evaluate the polynomials in float32 by Horner's rule; saturated groups keep their value.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN.
    coefficients : float32 array, (order, row, column)
        Without NaN, see `usable`.
    saturated : bool array, (group, row, column), or None
        Groups to leave alone; None for none.

    Returns
    -------
    float32 array, (group, row, column)
    """
    result: NDArray[np.float32] = coefficients[-1] * data
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= data
    result += coefficients[0]
    if saturated is not None:
        np.copyto(result, data, where=saturated)
    return result
