"""Jumps among the differences of successive groups of a ramp (Anderson & Gordon 2011, PASP 123, 1237).

A difference is compared with the median of all differences of its pixel. The noise that it is measured by is that
median's own photon noise and the read noise. Differences are in electrons, (difference, pixel), with all integrations
of a pixel in one column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import quiet_sizes, selection
from reprocess.calibration.flat_index import quotient_and_remainder
from reprocess.calibration.quiet_sizes import MARGIN, SLACK, TINY, Differences, Thresholds, sigma

_FAR = np.float32(1e38)  # electrons; where single precision ends for differences of two of them


class Jumps(NamedTuple):
    """Jumps that were found, in the order of the differences and then of the pixels.

    Attributes
    ----------
    difference, pixel : int array, (jump,)
    size : float64 array, (jump,)
        Distance from the median of the signed differences, in standard deviations.
    """

    difference: NDArray[np.intp]
    pixel: NDArray[np.intp]
    size: NDArray[np.float64]


def may_have_jumps(
    differences: Differences, noise_variance: NDArray[np.float32], thresholds: Thresholds, *, iterative: bool
) -> NDArray[np.bool_]:
    """Tell which pixels the exact test has to look at; the others have no jump for certain.

    Bounds of the median tell how far a difference can be from it at most, and how near to zero it can be. That is
    enough to let most ramps pass.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        A pixel with a NaN is told to be looked at.
    noise_variance : float32 array, (pixel,)
    thresholds : Thresholds
    iterative : bool
        Which exact test is to be spared: the iterative one works on sizes without signs.

    Returns
    -------
    bool array, (pixel,)
    """
    if iterative:
        least, largest = lower, upper = _ends(differences)
        reach = largest - least
    else:
        least, largest, lower, upper = _ends_and_median(differences)
        reach = np.maximum(largest - lower, upper - least)
    slack = np.maximum(np.abs(least), np.abs(largest))
    slack *= SLACK
    slack += TINY
    reach += slack
    reach *= reach
    reach *= MARGIN
    limit = np.maximum(lower, np.negative(upper, out=upper), out=lower)
    np.maximum(limit, np.float32(0), out=limit)
    limit += noise_variance
    limit *= np.float32(thresholds.square(len(differences)) if iterative else thresholds.normal**2)
    quiet = reach < limit
    return np.logical_not(quiet, out=quiet)


def _ends(differences: Differences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the least and the largest size of the differences of each pixel."""
    size = np.abs(differences[0])
    least, largest = size, size.copy()
    spare = np.empty_like(size)
    for row in differences[1:]:
        np.abs(row, out=spare)
        np.minimum(least, spare, out=least)
        np.maximum(largest, spare, out=largest)
    return least, largest


def _ends_and_median(differences: Differences) -> tuple[NDArray[np.float32], ...]:
    """Return the least and the largest difference of each pixel, and bounds of their median.

    More than half of all values are as large as the least median of any three, or larger: so is the median.
    """
    shape = differences.shape[1:]
    least, lower = (np.full(shape, np.inf, np.float32) for _ in range(2))
    largest, upper = (np.full(shape, -np.inf, np.float32) for _ in range(2))
    small, large, middle = (np.empty(shape, np.float32) for _ in range(3))
    whole = len(differences) // 3 * 3
    for one, two, three in zip(*(differences[first:whole:3] for first in range(3)), strict=True):
        np.minimum(one, two, out=small)
        np.maximum(one, two, out=large)
        np.minimum(large, three, out=middle)
        np.maximum(middle, small, out=middle)
        for bound, value in ((least, small), (least, three), (lower, middle)):
            np.minimum(bound, value, out=bound)
        for bound, value in ((largest, large), (largest, three), (upper, middle)):
            np.maximum(bound, value, out=bound)
    for row in differences[whole:]:
        for bound in (least, lower):
            np.minimum(bound, row, out=bound)
        for bound in (largest, upper):
            np.maximum(bound, row, out=bound)
    return least, largest, lower, upper


def iterative_jumps(
    differences: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds
) -> tuple[Jumps, NDArray[np.intp], Differences]:
    """Flag the most deviant difference of each pixel, leave it out, and look again until none exceeds the threshold.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        NaN where one of the two groups is not to be used. Overwritten.
    noise_variance : float64 array, (pixel,)
        Variance of a difference from read noise, in electrons squared.
    thresholds : Thresholds

    Returns
    -------
    Jumps
    doubtful : int array, (n,)
        Pixels that have none of them, but may have jumps that only `doubtful_jumps` can tell.
    their_differences : float32 array, (difference, n)
    """
    sizes = np.abs(differences)
    largest, doubtful = quiet_sizes.largest_quiet(sizes, noise_variance, thresholds)
    their_differences = differences.take(doubtful, axis=1)
    jumping = np.flatnonzero(largest < np.inf)
    if 2 * len(jumping) > len(largest):
        found = measured(np.flatnonzero(sizes > largest), differences, noise_variance)
        return found, doubtful, their_differences
    hits = np.flatnonzero(sizes.take(jumping, axis=1) > largest.take(jumping))
    found = measured(hits, differences.take(jumping, axis=1), noise_variance.take(jumping))
    return found._replace(pixel=jumping.take(found.pixel)), doubtful, their_differences


def doubtful_jumps(differences: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds) -> Jumps:
    """Find what `iterative_jumps` could not; as exact, but slower."""
    sizes = np.abs(differences)
    np.minimum(sizes, np.finfo(np.float32).max, out=sizes)
    least, largest = quiet_sizes.quiet_bounds(sizes, noise_variance, thresholds)
    return measured(np.flatnonzero((sizes < least) | (sizes > largest)), differences, noise_variance)


def single_pass_jumps(differences: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds) -> Jumps:
    """Flag all differences that are further than the normal threshold from the median, at once.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        NaN where one of the two groups is not to be used.
    noise_variance : float64 array, (pixel,)
        Variance of a difference from read noise, in electrons squared.
    thresholds : Thresholds
    """
    centre = selection.median_of_known(differences.copy())
    deviation = sigma(centre, noise_variance)
    reach = np.minimum(deviation * thresholds.normal, _FAR) * (1 - 1e-6) - np.abs(centre) * 1e-6
    far = np.flatnonzero(np.abs(differences - centre.astype(np.float32)) >= reach.astype(np.float32))
    found = _sizes(far, differences.reshape(-1).take(far), centre, deviation)
    exceeding = np.flatnonzero((found.size > thresholds.normal) & (found.size < np.inf))
    return Jumps(found.difference.take(exceeding), found.pixel.take(exceeding), found.size.take(exceeding))


def measured(hits: NDArray[np.intp], differences: Differences, noise_variance: NDArray[np.float64]) -> Jumps:
    """Return some differences, numbered as in the flat array, with their sizes.

    Parameters
    ----------
    hits : int array, (n,)
    differences : float32 array, (difference, pixel)
        NaN where one of the two groups is not to be used. Overwritten.
    noise_variance : float64 array, (pixel,)
    """
    values = differences.reshape(-1).take(hits)
    centre = selection.median_of_known(differences)
    return _sizes(hits, values, centre, sigma(centre, noise_variance))


def _sizes(
    hits: NDArray[np.intp],
    values: NDArray[np.float32],
    centre: NDArray[np.float64],
    deviation: NDArray[np.float64],
) -> Jumps:
    """Return some differences, numbered as in the flat array, with their distance from the median of their pixel."""
    difference, pixel = quotient_and_remainder(hits, len(centre))
    size = np.abs(values - centre.take(pixel))
    size /= deviation.take(pixel)
    return Jumps(difference, pixel, size)
