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
        From the constant term up; at least two orders. Not changed.
    flags : uint32 array, (row, column)
        Flags of the reference.

    Returns
    -------
    coefficients, flags
        Of the same shapes.
    """
    no_correction = np.uint32(dq.NO_LIN_CORR)
    flags = flags | np.where(coefficients[1] == 0, no_correction, np.uint32(0))
    for coefficient in coefficients:
        flags[np.isnan(coefficient)] |= no_correction
    bad = (flags & no_correction) != 0
    if bad.any():
        coefficients = coefficients.copy()
        coefficients[:, bad] = np.arange(len(coefficients))[:, None] == 1
    return coefficients, flags


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
