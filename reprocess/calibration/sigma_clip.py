"""Jumps by clipping each difference against the same difference of all other integrations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import selection

_LOOKS = 5


def clipped(values: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]:
    """Tell which values lie outside the bounds that repeated clipping ends with.

    The bounds are the median plus and minus `threshold` standard deviations of the values inside the bounds before,
    found at most five times. NaN and infinite values take no part and are not told.

    Parameters
    ----------
    values : float32 array, (n, pixel)
    threshold : float
        In standard deviations.

    Returns
    -------
    bool array, (n, pixel)
    """
    known = np.isfinite(values)
    ascending = np.where(known, values, np.float32(np.inf))
    ascending = selection.ordered(ascending)
    low, high = _bounds(ascending, np.count_nonzero(known, axis=0), threshold)
    return known & ((values < low) | (values > high))


def _bounds(
    ascending: NDArray[np.float32], count: NDArray[np.intp], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the last bounds of each pixel; NaN for a pixel without values."""
    first, last = np.zeros_like(count), count - 1
    low, high = np.full(count.shape, np.nan), np.full(count.shape, np.nan)
    searching = np.flatnonzero(count)
    for _ in range(_LOOKS):
        values = np.ascontiguousarray(ascending[:, searching])
        begin, end = first[searching], last[searching]
        centre, deviation = _centre_and_deviation(values, begin, end)
        low[searching], high[searching] = centre - threshold * deviation, centre + threshold * deviation
        inside = (values >= low[searching]) & (values <= high[searching])
        rank = np.arange(len(values))[:, np.newaxis]
        inside &= (rank >= begin) & (rank <= end)
        left = np.count_nonzero(inside, axis=0)
        first[searching] = np.argmax(inside, axis=0)
        last[searching] = first[searching] + left - 1
        searching = searching[(left > 0) & (left < end - begin + 1)]
        if not searching.size:
            break
    return low, high


def _centre_and_deviation(
    ascending: NDArray[np.float32], first: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return median and standard deviation of the ranks `first` to `last`."""
    lower = selection.at_rank(ascending, (first + last) // 2).astype(np.float64)
    upper = selection.at_rank(ascending, (first + last + 1) // 2).astype(np.float64)
    rank = np.arange(len(ascending))[:, np.newaxis]
    taken = (rank >= first) & (rank <= last)
    count = last - first + 1
    mean = np.add.reduce(np.where(taken, ascending, 0.0), axis=0, dtype=np.float64) / count
    squares = np.where(taken, ascending - mean, 0.0) ** 2
    return (lower + upper) / 2, np.sqrt(np.add.reduce(squares, axis=0) / count)
