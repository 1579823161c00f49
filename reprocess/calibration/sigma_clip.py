"""Jumps by clipping each difference against the same difference of all other integrations."""

from __future__ import annotations

from dataclasses import dataclass

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
    count = np.count_nonzero(known, axis=0)
    complete = bool(count.size) and int(count.min()) == len(values)
    columns = np.ascontiguousarray((values if complete else np.where(known, values, np.float32(np.inf))).T)
    columns.sort(axis=1)
    low, high, doubtful = _quick_bounds(columns, count, threshold)
    if doubtful.size:
        some = np.ascontiguousarray(columns[doubtful].T)
        low[doubtful], high[doubtful] = _bounds(some, count[doubtful], threshold)
    hits: NDArray[np.bool_] = values < _single(low, np.inf)
    hits |= values > _single(high, -np.inf)
    return hits if complete else hits & known


def _single(bound: NDArray[np.float64], towards: float) -> NDArray[np.float32]:
    """Return the nearest number of single precision that is not on the other side of a bound."""
    single = bound.astype(np.float32)
    beyond = (single < bound) if towards > 0 else (single > bound)
    return np.where(beyond, np.nextafter(single, np.float32(towards)), single)


def _quick_bounds(
    columns: NDArray[np.float32], count: NDArray[np.intp], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Return the last bounds of each pixel, and the pixels that rounding may have led astray.

    Values are in ascending order, (pixel, n). What is clipped is at the ends, so its part in the sums is taken off
    again, and a look does not cost more than what it clips.
    """
    state = _Run.of(columns, count)
    low, high = np.full(count.shape, np.nan), np.full(count.shape, np.nan)
    doubtful = np.zeros(count.shape, bool)
    searching = np.flatnonzero(count)
    for _ in range(_LOOKS):
        if not searching.size:
            break
        first, last = state.first[searching], state.last[searching]
        lower, upper, deviation = state.bounds(searching, threshold)
        low[searching], high[searching] = lower, upper
        state.clip(searching, lower, upper)
        doubtful[searching] |= state.unsure(searching, lower, upper, deviation)
        changed = (state.first[searching] > first) | (state.last[searching] < last)
        searching = searching[changed & ~doubtful[searching]]
    return low, high, np.flatnonzero(doubtful)


@dataclass(frozen=True, slots=True)
class _Run:
    """The ranks `first` to `last` of each pixel, with sums of the distances from a point near their middle."""

    columns: NDArray[np.float32]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    origin: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    all_squares: NDArray[np.float64]

    @classmethod
    def of(cls, columns: NDArray[np.float32], count: NDArray[np.intp]) -> _Run:
        """Take all values that are known, the first `count` of each pixel."""
        first, last = np.zeros_like(count), count - 1
        origin = _value(columns, np.arange(len(count)), np.maximum(last, 0) // 2).astype(np.float64)
        distance = columns - origin[:, np.newaxis]
        if count.size and count.min() < columns.shape[1]:
            distance[np.arange(columns.shape[1]) >= count[:, np.newaxis]] = 0
        total = np.add.reduce(distance, axis=1)
        np.square(distance, out=distance)
        squares = np.add.reduce(distance, axis=1)
        return cls(columns, first, last, origin, total, squares, squares.copy())

    def bounds(
        self, pixels: NDArray[np.intp], threshold: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return both bounds of some pixels and the standard deviation."""
        first, last = self.first[pixels], self.last[pixels]
        length = last - first + 1
        lower = _value(self.columns, pixels, (first + last) // 2).astype(np.float64)
        centre = (lower + _value(self.columns, pixels, (first + last + 1) // 2)) / 2
        variance = self.squares[pixels] / length - (self.total[pixels] / length) ** 2
        deviation = np.sqrt(np.maximum(variance, 0))
        return centre - threshold * deviation, centre + threshold * deviation, deviation

    def clip(self, pixels: NDArray[np.intp], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Leave out what is outside the bounds."""
        for end, step, bound in ((self.first, 1, low), (self.last, -1, high)):
            active = np.arange(len(pixels))
            while active.size:
                some = pixels[active]
                value = _value(self.columns, some, end[some])
                outside = (value < bound[active]) if step > 0 else (value > bound[active])
                outside &= self.first[some] <= self.last[some]
                active, some, value = active[outside], some[outside], value[outside]
                distance = value - self.origin[some]
                self.total[some] -= distance
                self.squares[some] -= distance**2
                end[some] += step

    def unsure(
        self,
        pixels: NDArray[np.intp],
        low: NDArray[np.float64],
        high: NDArray[np.float64],
        deviation: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Tell where a value is so near to a bound, or was clipped in spite of it, that sums of all have to decide."""
        first, last = self.first[pixels], self.last[pixels]
        slack = deviation * (1e-9 + 1e-14 * self.all_squares[pixels] / self.squares[pixels])
        slack += 1e-12 * np.abs(high + low)
        end = self.columns.shape[1] - 1
        with np.errstate(invalid="ignore"):
            sure = _value(self.columns, pixels, first) - low > slack
            sure &= high - _value(self.columns, pixels, last) > slack
            sure &= (first == 0) | (low - _value(self.columns, pixels, np.maximum(first - 1, 0)) > slack)
            sure &= (last == end) | (_value(self.columns, pixels, np.minimum(last + 1, end)) - high > slack)
        return ~(sure & (first <= last))


def _value(columns: NDArray[np.float32], pixels: NDArray[np.intp], rank: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return for each of some pixels the value of a rank of its own."""
    values: NDArray[np.float32] = columns.reshape(-1).take(pixels * columns.shape[1] + rank)
    return values


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
