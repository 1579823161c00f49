"""Jumps among the differences of successive groups of a ramp (Anderson & Gordon 2011, PASP 123, 1237).

A difference is compared with the median of all differences of its pixel. The noise that it is measured by is that
median's own photon noise and the read noise. Differences are in electrons, (difference, pixel), with all integrations
of a pixel in one column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import selection

Differences = NDArray[np.float32]
Hits = NDArray[np.bool_]

# A pixel is left out of the exact test only if single precision cannot have hidden a jump in it.
_SLACK = np.float32(5e-7)
_MARGIN = np.float32(1.00002)
_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Smallest jump that is flagged, in standard deviations, by the number of differences that are left.

    Attributes
    ----------
    normal : float
        For four and more.
    three, two : float
        For three and for two.
    """

    normal: float
    three: float
    two: float

    def at(self, count: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the threshold for each count; infinite below two."""
        table = np.array([np.inf, np.inf, self.two, self.three, self.normal])
        return table.take(np.minimum(count, 4))


def sigma(centre: NDArray[np.float64], noise_variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of a difference in electrons; NaN instead of 0, so that nothing exceeds it.

    Parameters
    ----------
    centre : float64 array, (pixel,)
        Median difference.
    noise_variance : float64 array, (pixel,)
        Variance of a difference from read noise.
    """
    deviation = np.sqrt(np.abs(centre) + noise_variance)
    return np.where(deviation == 0, np.nan, deviation)


def may_have_jumps(
    differences: Differences, noise_variance: NDArray[np.float32], thresholds: Thresholds, *, iterative: bool
) -> Hits:
    """Tell in single precision which pixels the exact test has to look at; the others have no jump for certain.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        Overwritten. A pixel with a NaN is told to be looked at.
    noise_variance : float32 array, (pixel,)
    thresholds : Thresholds
    iterative : bool
        Which exact test: `iterative_jumps` or `single_pass_jumps`.

    Returns
    -------
    bool array, (pixel,)
    """
    count = len(differences)
    if iterative:
        np.abs(differences, out=differences)
    left = {2: 1, 3: 3}.get(count, count - 1) if iterative else count
    ranks = (0, (left - 1) // 2, left // 2, count - 2, count - 1)
    least, lower, upper, second, largest = selection.order_statistics(differences, ranks)
    centre = (lower + upper) * np.float32(0.5)
    reach = np.maximum(largest - centre, centre - least)
    reach += np.maximum(np.abs(least), np.abs(largest)) * _SLACK
    limit = np.float32(float(thresholds.at(np.array(count))) ** 2)
    suspect: Hits = ~(reach * reach * _MARGIN < (np.abs(centre) + noise_variance) * limit)
    if iterative and count > 3:
        suspect |= second == largest
    return suspect


def single_pass_jumps(differences: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds) -> Hits:
    """Flag all differences that are further than the normal threshold from the median, at once.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        NaN where one of the two groups is not to be used.
    noise_variance : float64 array, (pixel,)
    thresholds : Thresholds

    Returns
    -------
    bool array, (difference, pixel)
    """
    centre = selection.median_of_known(differences.copy())
    jump_size = np.abs(differences - centre) / sigma(centre, noise_variance)
    return (jump_size > thresholds.normal) & np.isfinite(differences)


def iterative_jumps(differences: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds) -> Hits:
    """Flag the most deviant difference of each pixel, leave it out, and look again until none exceeds the threshold.

    It works on the sizes of the differences, without their signs, in ascending order. What deviates most is then at one
    of the two ends, so that what is left is always a run, and a difference was flagged if it lies outside of it.

    Parameters
    ----------
    differences : float32 array, (difference, pixel)
        NaN where one of the two groups is not to be used.
    noise_variance : float64 array, (pixel,)
    thresholds : Thresholds

    Returns
    -------
    bool array, (difference, pixel)
    """
    sizes = np.abs(differences)
    known = ~np.isnan(sizes)
    np.minimum(sizes, _LARGEST, out=sizes)
    np.copyto(sizes, np.inf, where=~known)
    ascending = selection.ordered(sizes.copy())
    low, high = _quiet_run(ascending, np.count_nonzero(known, axis=0), noise_variance, thresholds)
    least, largest = selection.at_rank(ascending, low), selection.at_rank(ascending, high)
    return known & ((sizes < least) | (sizes > largest))


def _quiet_run(
    ascending: Differences, count: NDArray[np.intp], noise_variance: NDArray[np.float64], thresholds: Thresholds
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first and the last rank that are left of each pixel when nothing deviates any more."""
    low, high = np.zeros_like(count), np.maximum(count - 1, 0)
    searching = np.flatnonzero(count >= 2)
    first_look = True
    while searching.size:
        run = _Run(ascending, searching, low.take(searching), high.take(searching))
        centre = run.clipped_median()
        if not first_look:  # the official step keeps later medians in single precision
            centre = centre.astype(np.float32).astype(np.float64)
        below, above = run.excess(run.low, centre), run.excess(run.high, centre)
        worst = np.maximum(below, above)
        jump_size = worst / sigma(centre, noise_variance.take(searching))
        deviant = np.flatnonzero(jump_size > thresholds.at(run.length))
        searching = searching.take(deviant)
        run = run.of(deviant)
        low[searching], high[searching] = run.without(worst.take(deviant), centre.take(deviant))
        searching = searching[high.take(searching) > low.take(searching)]
        first_look = False
    return low, high


@dataclass(frozen=True, slots=True)
class _Run:
    """What is left of some pixels: the ranks `low` to `high` of their sizes in ascending order."""

    ascending: Differences
    pixels: NDArray[np.intp]
    low: NDArray[np.intp]
    high: NDArray[np.intp]

    @property
    def length(self) -> NDArray[np.intp]:
        """Differences left."""
        return self.high - self.low + 1

    def of(self, chosen: NDArray[np.intp]) -> _Run:
        """Return the run of some of the pixels."""
        return _Run(self.ascending, self.pixels.take(chosen), self.low.take(chosen), self.high.take(chosen))

    def size(self, rank: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the size of a rank of each pixel."""
        width = self.ascending.shape[1]
        sizes: NDArray[np.float32] = self.ascending.reshape(-1).take(rank * width + self.pixels, mode="clip")
        return sizes

    def excess(self, rank: NDArray[np.intp], centre: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return how far the size of a rank is from the median of its pixel."""
        excess: NDArray[np.float32] = np.abs((self.size(rank) - centre).astype(np.float32))
        return excess

    def clipped_median(self) -> NDArray[np.float64]:
        """Median without the largest (with all that equal it); of three, the median; of two, the smaller."""
        length = self.length
        clip = length >= 4
        largest, last = self.size(self.high), self.high - clip
        tied = clip & (self.size(last) == largest)
        while tied.any():
            last = last - tied
            tied &= (last >= self.low) & (self.size(last) == largest)
        last = np.where(length == 2, self.low, last)
        left = last - self.low
        lower = self.size(self.low + left // 2).astype(np.float64)
        upper = self.size(self.low + (left + 1) // 2).astype(np.float64)
        return np.where(left >= 0, (lower + upper) / 2, np.nan)

    def without(
        self, worst: NDArray[np.float32], centre: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the ranks of the ends after everything that deviates as much as the worst is gone."""
        low, high = self.low, self.high
        while (tied := (high >= low) & (self.excess(high, centre) == worst)).any():
            high = high - tied
        while (tied := (low <= high) & (self.excess(low, centre) == worst)).any():
            low = low + tied
        return low, high
