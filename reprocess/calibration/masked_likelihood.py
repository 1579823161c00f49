"""The likelihood fit of ramps, some differences of which are not used.

The inverse of the covariance is applied by elimination from the first difference to the last and back; every step is
one operation on a row of pixels. The same numbers bound what leaving out differences can gain in chi squared, so that
the jump test itself is only needed where it may find something.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import likelihood_jumps
from reprocess.calibration.group_times import Differences
from reprocess.calibration.tridiagonal import Noise, RateFit, Real, Used

_CAUTION = 1 - 1e-6  # thresholds of the bound are lower by more than the rounding of either way to compute a gain
_FEWEST = 3  # differences; with fewer it is rounding that decides the jump test


@dataclass(frozen=True, slots=True, eq=False)
class _Elimination:
    """The covariance as a product of triangular factors, each a list of rows of pixels.

    Attributes
    ----------
    inverse : list of float64 array
        Reciprocals of the pivots, one for each difference.
    factor : list of float64 array
        What a row is multiplied by before it is taken from the next.
    """

    inverse: list[Real]
    factor: list[Real]

    def solve(self, rows: list[Real]) -> list[Real]:
        """Return the inverse covariance times some rows."""
        forward = [rows[0]]
        for row, factor in zip(rows[1:], self.factor, strict=True):
            forward.append(row - factor * forward[-1])
        result = [forward[-1] * self.inverse[-1]]
        for row, inverse, factor in zip(forward[-2::-1], self.inverse[-2::-1], self.factor[::-1], strict=True):
            result.append(row * inverse - factor * result[-1])
        return result[::-1]

    def inverse_elements(self) -> tuple[list[Real], list[Real]]:
        """Return the diagonal of the inverse covariance, and its elements beside the diagonal."""
        diagonal, beside = [self.inverse[-1]], []
        for inverse, factor in zip(self.inverse[-2::-1], self.factor[::-1], strict=True):
            beside.append(-factor * diagonal[-1])
            diagonal.append(inverse - factor * beside[-1])
        return diagonal[::-1], beside[::-1]


def preliminary(
    values: Real, used: Used, guess: Real, noise: Noise, times: Differences
) -> tuple[Real, NDArray[np.bool_]]:
    """Return the count rates before the jump test, and where that test has to be made.

    Parameters
    ----------
    values : float64 array, (difference, pixel)
        DN/s.
    used : bool array, (difference, pixel)
    guess : float64 array, (pixel,)
        Count rate that photon noise is taken from, DN/s.
    noise : Noise
    times : Differences

    Returns
    -------
    rate : float64 array, (pixel,)
        DN/s; it holds only where there is no jump test.
    doubtful : bool array, (pixel,)
        Where the jump test could leave something out, or the noise is such that this fit does not hold.
    """
    elimination = _eliminate(guess, noise, times, used)
    units = [row.astype(np.float64) for row in used]
    data = [value * unit for value, unit in zip(values, units, strict=True)]
    of_unit, of_data = elimination.solve(units), elimination.solve(data)
    unit_unit, rate = _line(data, of_unit)
    certain = _without_doubt(rate, of_unit, of_data, unit_unit, elimination, times)
    certain &= np.add.reduce(used, axis=0, dtype=np.intp) >= _FEWEST
    certain &= (noise.gain > 0) & (noise.read > 0) & (noise.read < np.inf) & (guess >= 0) & (guess < np.inf)
    return rate, ~certain


def final(values: Real, used: Used, guess: Real, noise: Noise, times: Differences) -> RateFit:
    """Fit the differences that are left.

    Parameters
    ----------
    values : float64 array, (difference, pixel)
        DN/s.
    used : bool array, (difference, pixel)
    guess : float64 array, (pixel,)
        Count rate that photon noise is taken from, DN/s. Not negative.
    noise : Noise
        Gain and read noise above 0.
    times : Differences
    """
    elimination = _eliminate(guess, noise, times, used)
    units = [row.astype(np.float64) for row in used]
    of_unit = elimination.solve(units)
    unit_unit, rate = _line([value * unit for value, unit in zip(values, units, strict=True)], of_unit)
    photon, read = _summed(of_unit, times)
    square = unit_unit * unit_unit
    photons = guess / noise.gain
    return RateFit(rate, np.sqrt(1 / unit_unit), photon * photons / square, read * (noise.read * noise.read) / square)


def _summed(of_unit: list[Real], times: Differences) -> tuple[Real, Real]:
    """Return the photon part and the read part of the sum of the covariance over weights."""
    squares = [row * row for row in of_unit]
    products = [2 * one * other for one, other in pairwise(of_unit)]
    photon, read = np.zeros_like(squares[0]), np.zeros_like(squares[0])
    for terms, alike, of_photon, of_read in (
        (squares, times.alike, times.photon, times.read),
        (products, times.alike_shared, times.photon_shared, times.read_shared),
    ):
        sums: dict[int, Real] = {}
        for kind, term in zip(alike, terms, strict=True):
            if kind in sums:
                sums[kind] += term
            else:
                sums[kind] = term
        for kind, term in sums.items():
            photon += of_photon[kind] * term
            read += of_read[kind] * term
    return photon, read


def _line(data: list[Real], of_unit: list[Real]) -> tuple[Real, Real]:
    """Return the scalar product of a constant with itself, and the rate."""
    unit_unit, data_unit = of_unit[0].copy(), data[0] * of_unit[0]
    for row, unit in zip(data[1:], of_unit[1:], strict=True):
        unit_unit += unit
        data_unit += row * unit
    return unit_unit, data_unit / unit_unit


def _eliminate(rate: Real, noise: Noise, times: Differences, used: Used) -> _Elimination:
    """Factorise the covariance of differences; those that are not used share nothing with their neighbours."""
    photons, read = rate / noise.gain, noise.read * noise.read
    own = {kind: photons * times.photon[kind] + read * times.read[kind] for kind in set(times.alike)}
    beside = {
        kind: photons * times.photon_shared[kind] + read * times.read_shared[kind] for kind in set(times.alike_shared)
    }
    inverse, factors = [1 / own[times.alike[0]]], []
    both = used[1:] & used[:-1]
    for kind, kind_beside, together in zip(times.alike[1:], times.alike_shared, both, strict=True):
        shared = beside[kind_beside] * together
        factor = shared * inverse[-1]
        shared *= factor
        inverse.append(1 / (own[kind] - shared))
        factors.append(factor)
    return _Elimination(inverse, factors)


def _without_doubt(
    rate: Real,
    of_unit: list[Real],
    of_data: list[Real],
    unit_unit: Real,
    elimination: _Elimination,
    times: Differences,
) -> NDArray[np.bool_]:
    """Return where no difference, and no two in a row, can gain as much in chi squared as their threshold."""
    one, two = likelihood_jumps.ONE_LEFT_OUT * _CAUTION, likelihood_jumps.TWO_LEFT_OUT * _CAUTION
    diagonal, beside = elimination.inverse_elements()
    per_unit = 1 / unit_unit
    pull = [data - rate * unit for data, unit in zip(of_data, of_unit, strict=True)]
    grip = [element - unit * unit * per_unit for element, unit in zip(diagonal, of_unit, strict=True)]
    certain = np.ones(rate.shape, np.bool_)
    for force, hold in zip(pull, grip, strict=True):
        certain &= force * force <= one * hold
    for each in np.flatnonzero(times.averaged):
        cross = beside[each] - of_unit[each] * of_unit[each + 1] * per_unit
        first, second = pull[each], pull[each + 1]
        gain = first * first * grip[each + 1] - 2 * first * second * cross + second * second * grip[each]
        certain &= gain <= two * (grip[each] * grip[each + 1] - cross * cross)
    return certain
