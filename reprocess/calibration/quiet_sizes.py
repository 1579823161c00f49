"""The iterative search for jumps: which sizes of the differences of a pixel are left when nothing deviates any more.

It works on sizes, without signs, in ascending order. What deviates most is at one of the two ends, so that what is left
is always a run of ranks. Nearly always it is the largest that goes: then all pixels with the same number of sizes left
look at the same ranks, and whole rows are compared in single precision. Pixels that this cannot decide for certain are
searched one rank at a time in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import selection

Differences = NDArray[np.float32]

# What single precision may be wrong by: of a distance, relative to the largest value; of its square, relative.
SLACK = np.float32(5e-7)
MARGIN = np.float32(1.00002)
TINY = np.float32(1e-15)  # electrons; its square is still far from where single precision loses digits
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

    def square(self, count: int) -> float:
        """Return the square of the threshold for a count of two or more."""
        return float(self.at(np.array(count))) ** 2


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
    deviation[deviation == 0] = np.nan
    return deviation


def largest_quiet(
    sizes: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Leave out the largest size of each pixel, again and again, until none exceeds the threshold.

    Parameters
    ----------
    sizes : float32 array, (difference, pixel)
        NaN where there is none.
    noise_variance : float64 array, (pixel,)
    thresholds : Thresholds

    Returns
    -------
    largest : float32 array, (pixel,)
        Largest size that is left, all above are jumps; infinite where nothing is a jump.
    doubtful : int array, (n,)
        Pixels that need `quiet_bounds`; nothing is a jump in them for now.
    """
    rows = selection.order_statistics(np.fmin(sizes, np.float32(np.inf)), range(len(sizes)))
    largest = np.full(sizes.shape[1], np.inf, np.float32)
    variance = noise_variance.astype(np.float32)
    waiting = _by_count(sizes, rows[-1])
    unclear = [np.zeros(0, np.intp)]
    for length in range(len(rows), 1, -1):
        pixels = waiting.pop(length, None)
        if pixels is not None and pixels.size:
            jumping, doubtful = _look(rows, pixels, length, variance, thresholds)
            unclear.append(doubtful)
            largest[jumping] = rows[length - 2].take(jumping)
            left = waiting.get(length - 1)
            waiting[length - 1] = jumping if left is None else np.concatenate([left, jumping])
        if not waiting:
            break
    unclear_pixels = np.concatenate(unclear)
    largest[unclear_pixels] = np.inf
    return largest, unclear_pixels


def quiet_bounds(
    sizes: Differences, noise_variance: NDArray[np.float64], thresholds: Thresholds
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Leave out the most deviant size of each pixel, again and again, until none exceeds the threshold.

    Parameters
    ----------
    sizes : float32 array, (difference, pixel)
        Finite, or NaN where there is none.
    noise_variance : float64 array, (pixel,)
    thresholds : Thresholds

    Returns
    -------
    least, largest : float32 array, (pixel,)
        What is left; all known sizes outside are jumps.
    """
    ascending = selection.ordered(np.fmin(sizes, np.float32(np.inf)))
    low, high = _quiet_run(ascending, selection.count_of(~np.isnan(sizes)), noise_variance, thresholds)
    return selection.at_rank(ascending, low), selection.at_rank(ascending, high)


def _by_count(sizes: Differences, last: NDArray[np.float32]) -> dict[int, NDArray[np.intp]]:
    """Return the pixels by the number of their known sizes; `last` is the last of each pixel in ascending order."""
    complete = last < np.inf
    pixels = {len(sizes): np.flatnonzero(complete)}
    if len(pixels[len(sizes)]) < len(last):
        short = np.flatnonzero(~complete)
        count = selection.count_of(~np.isnan(sizes.take(short, axis=1)))
        pixels |= {int(each): short[count == each] for each in np.unique(count) if each > 1}
    return pixels


def _look(
    rows: list[NDArray[np.float32]],
    pixels: NDArray[np.intp],
    length: int,
    variance: NDArray[np.float32],
    thresholds: Thresholds,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return those of some pixels whose largest size is a jump for certain, and those that must be looked at closer.

    `length` sizes are left of each, the first of the rows.
    """
    left = {2: 1, 3: 3}.get(length, length - 1)
    most = 2 * len(pixels) > len(variance)
    least, lower, upper, second, top, noise = (
        row if most else row.take(pixels)
        for row in (rows[0], rows[(left - 1) // 2], rows[left // 2], rows[length - 2], rows[length - 1], variance)
    )
    centre = (lower + upper) * np.float32(0.5)
    slack = top * SLACK
    slack += TINY
    above, below = top - centre, centre - least
    limit = (centre + noise) * np.float32(thresholds.square(length))
    worst = np.maximum(above, below)
    worst += slack
    worst *= worst
    worst *= MARGIN
    certain = worst < limit
    if length > 3:  # of four and more the median leaves out all that equal the largest
        certain &= second < top
    alone = second + slack < top
    limit *= MARGIN
    least_excess = above - slack
    jump = (np.square(np.maximum(least_excess, 0)) > limit) & (limit > 0) & alone & (below + slack < least_excess)
    certain |= jump
    if len(pixels) == len(variance):
        return np.flatnonzero(jump), np.flatnonzero(~certain)
    if most:
        jump, certain = jump.take(pixels), certain.take(pixels)
    return pixels.take(np.flatnonzero(jump)), pixels.take(np.flatnonzero(~certain))


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
