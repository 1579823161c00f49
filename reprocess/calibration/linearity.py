"""Correct the detector's non-linear response by a polynomial for each pixel."""

from __future__ import annotations

from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.places import Places, places
from reprocess.calibration.step import Step

Real = TypeVar("Real", np.float32, np.float64)

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
    bad = _unusable(coefficients, flags)
    if len(bad[0]):
        coefficients, flags = coefficients.copy(), flags.copy()
        coefficients[:, *bad] = np.arange(len(coefficients))[:, None] == 1
        flags[bad] |= np.uint32(dq.NO_LIN_CORR)
    return coefficients, flags


def _unusable(coefficients: NDArray[np.float32], flags: NDArray[np.uint32]) -> Places:
    """Return the pixels whose polynomial cannot be used."""
    total = coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        total += coefficient
    bad = total != total
    found = places(bad)
    if len(found[0]):  # infinities of both signs add up to NaN too
        bad[found] = np.isnan(coefficients[:, *found]).any(axis=0)
    bad |= coefficients[1] == 0
    bad |= (flags & np.uint32(dq.NO_LIN_CORR)) != 0
    return places(bad)


def correct(
    data: NDArray[np.float32],
    *,
    coefficients: NDArray[np.float32],
    saturated: NDArray[np.bool_] | None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Evaluate the polynomials in float32; saturated groups keep their value.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN.
    coefficients : float32 array, (order, row, column)
        Without NaN, see `usable`.
    saturated : bool array, (group, row, column), or None
        Groups to leave alone; None for none.
    out : float32 array, (group, row, column), optional
        Where to write the result; not `data`.

    Returns
    -------
    float32 array, (group, row, column)
    """
    result = _polynomial(data, coefficients, out)
    if saturated is not None:
        np.copyto(result, data, where=saturated)
    return result


def _polynomial(
    values: NDArray[Real], coefficients: NDArray[np.float32], out: NDArray[Real] | None = None
) -> NDArray[Real]:
    """Evaluate polynomials by Horner's rule in the precision of the values."""
    result: NDArray[Real] = np.multiply(coefficients[-1], values, out=out)
    for coefficient in coefficients[-2:0:-1]:
        result += coefficient
        result *= values
    result += coefficients[0]
    return result


def correct_reads(
    data: NDArray[np.float32],
    *,
    coefficients: NDArray[np.float32],
    inverse: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    nframes: int,
) -> NDArray[np.float32]:
    """Correct the single reads that the groups are averages of; saturated groups keep their value.

    The reads are taken to lie on the line through the first and the last group but one that is not saturated, bent by
    the inverse polynomials, and moved so that they average to what was read.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN; two groups or more.
    coefficients, inverse : float32 array, (order, row, column)
        Without NaN, see `usable`.
    saturated : bool array, (group, row, column)
    nframes : int
        Reads of a group.

    Returns
    -------
    float32 array, (group, row, column)
    """
    middle = np.arange(len(data)) * nframes + (nframes + 1) / 2
    last = np.clip(np.count_nonzero(~saturated, axis=0) - 2, 1, len(data) - 1)[None]
    start = correct(data[:1], coefficients=coefficients, saturated=saturated[:1])[0]
    end_saturated = np.take_along_axis(saturated, last, axis=0)
    end = correct(np.take_along_axis(data, last, axis=0), coefficients=coefficients, saturated=end_saturated)[0]
    rate = (end - start) / (middle[last[0]] - middle[0])
    result = data.copy()
    for group, first_read in enumerate(middle - (nframes - 1) / 2):
        reads = [_polynomial(start + rate * (first_read + k - middle[0]), inverse) for k in range(nframes)]
        offset = data[group] - _mean(reads)
        corrected = _mean([_polynomial(read + offset, coefficients) for read in reads])
        np.copyto(result[group], corrected, where=~saturated[group], casting="same_kind")
    return result


def _mean(images: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean of images, added one after the other."""
    total = images[0].copy()
    for image in images[1:]:
        total += image
    total /= len(images)
    return total
