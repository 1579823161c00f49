"""Ramps that have the same flags, side by side: whole rows of them are fitted at once, segment by segment.

Everything is done in the order of operations of `flagged_ramps`, so that no result depends on which ramps stand beside
each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import optimal_weights, selection
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, SATURATED
from reprocess.calibration.slope_variance import Real

Flags = NDArray[np.uint8]

_FEWEST = 192  # ramps that are worth the calls for a pattern of flags of their own
_UNUSABLE = np.uint8(DO_NOT_USE | SATURATED)
_FACTOR = np.uint16(40503)


@dataclass(frozen=True, slots=True)
class Runs:
    """Where ramps have the same flags.

    Attributes
    ----------
    alike : tuple of slice
        Runs of ramps with the same flags.
    others : int array
        All other ramps.
    """

    alike: tuple[slice, ...]
    others: NDArray[np.intp]


def together(pixels: NDArray[np.intp], groupdq: Flags) -> NDArray[np.intp]:
    """Return pixels in an order in which those with the same flags stand mostly together.

    Parameters
    ----------
    pixels : int array, (n,)
    groupdq : uint8 array, (integration, group, pixel)
        Of all pixels.
    """
    if len(pixels) < _FEWEST:
        return pixels
    mark = np.zeros(len(pixels), np.uint16)
    for integration in groupdq:
        for group in integration:
            mark *= _FACTOR
            mark += group.take(pixels)
    return pixels.take(np.argsort(mark, kind="stable"))


def runs(flags: Flags) -> Runs:
    """Find the runs of ramps with the same flags that are long enough.

    Parameters
    ----------
    flags : uint8 array, (group, ramp)
    """
    count = flags.shape[1]
    differs = np.zeros(max(count - 1, 0), np.bool_)
    for row in flags:
        differs |= row[1:] != row[:-1]
    edges = np.concatenate([[0], np.flatnonzero(differs) + 1, [count]])
    long = np.flatnonzero(np.diff(edges) >= _FEWEST)
    left = np.ones(count, np.bool_)
    alike = tuple(slice(int(edges[each]), int(edges[each + 1])) for each in long)
    for run in alike:
        left[run] = False
    return Runs(alike, np.flatnonzero(left))


def median_difference(values: NDArray[np.float32], flags: Flags) -> Real | None:
    """Return the median of the usable first differences of ramps with the same flags; NaN where there is a NaN.

    Parameters
    ----------
    values : float32 array, (group, ramp)
    flags : uint8 array, (group,)

    Returns
    -------
    float64 array, (ramp,), or None
        None if there are no usable differences, or too many for a network of comparisons.
    """
    good = flags & _UNUSABLE == 0
    usable = np.flatnonzero(good[1:] & good[:-1] & (flags[1:] & JUMP_DET == 0))
    count = len(usable)
    if not 0 < count <= selection.NETWORK_LIMIT:
        return None
    differences = np.empty((count, values.shape[1]))
    for difference, group in zip(differences, usable, strict=True):
        np.subtract(values[group + 1], values[group], out=difference, dtype=np.float64)
    middle = selection.order_statistics(differences, sorted({(count - 1) // 2, count // 2}))
    return (middle[0] + middle[-1]) / 2


def slope(values: NDArray[np.float32], gain: Real, group_variance: Real) -> Real:
    """Fit a line to one segment of ramps; the value itself stands for the slope of a single group.

    Parameters
    ----------
    values : float32 array, (group, ramp)
        DN, of the groups of the segment alone, without NaN.
    gain, group_variance : float64 array, (ramp,)
        Electrons per DN, and variance of a group from read noise in electrons squared.

    Returns
    -------
    float64 array, (ramp,)
        DN per group.
    """
    length = len(values)
    rise: Real = values[-1].astype(np.float64)
    if length == 1:
        return rise
    rise -= values[0]
    if length == 2:
        return rise
    power = optimal_weights.power_class(rise, gain, group_variance)
    columns = np.ascontiguousarray(optimal_weights.coefficients(length).T)
    total, part, early = np.zeros(len(rise)), np.empty(len(rise)), np.empty(len(rise))
    for pair in range(length // 2):
        np.copyto(rise, values[-1 - pair])
        np.copyto(early, values[pair])
        rise -= early
        rise *= columns[pair].take(power, out=part, mode="clip")
        total += rise
    return total
