"""Generalised least squares with a tridiagonal covariance, in closed form (Brandt 2024, PASP 136, 045004, section 4).

The order of operations is that of the official algorithm to the last bit: among alternatives that are equally good the
jump test takes the one that rounding prefers. Sums run from the first difference to the last, whatever the number of
pixels is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.group_times import Differences

Real = NDArray[np.float64]
Used = NDArray[np.bool_]

_RESCALED_EVERY = 10  # differences; a product of more variances could leave the range of a double


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What decides the noise of some pixels.

    Attributes
    ----------
    gain : float array, (pixel,)
        Electrons per DN.
    read : float64 array, (pixel,)
        Noise of one read, DN.
    """

    gain: NDArray[np.float32]
    read: Real

    def of(self, pixels: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Noise:
        """Return the noise of some of the pixels."""
        return Noise(self.gain[pixels], self.read[pixels])


@dataclass(frozen=True, slots=True, eq=False)
class RateFit:
    """Count rates of some pixels in one integration, float64, (pixel,).

    Attributes
    ----------
    rate, error : float64 array
        DN/s.
    photon_variance, read_variance : float64 array
        (DN/s)^2.
    """

    rate: Real
    error: Real
    photon_variance: Real
    read_variance: Real


@dataclass(frozen=True, slots=True, eq=False)
class Covariance:
    """The covariance of differences, with the factor that brings its determinant to 1 taken out.

    Attributes
    ----------
    diagonal, shared : float64 array, (difference, pixel) and (difference - 1, pixel)
        Divided by `scale`; of neighbours, one of which is not used, `shared` is 0.
    scale : float64 array, (pixel,)
        (DN/s)^2.
    """

    diagonal: Real
    shared: Real
    scale: Real


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """What the inverse covariance makes of the differences and of a constant rate.

    Attributes
    ----------
    leading, trailing : float64 array, (difference + 1, pixel)
        Determinants of the leading blocks, and of the trailing blocks of the covariance.
    of_data, of_unit : float64 array, (difference, pixel)
        Inverse covariance times the differences, and times 1 where they are used.
    data_data, data_unit, unit_unit : float64 array, (pixel,)
        The three scalar products.
    """

    leading: Real
    trailing: Real
    of_data: Real
    of_unit: Real
    data_data: Real
    data_unit: Real
    unit_unit: Real


def total(rows: Real) -> Real:
    """Return the sum along the first axis, added in its order."""
    result: Real = np.zeros_like(rows[0])
    for row in rows:
        result += row
    return result


def covariance(rate: Real, noise: Noise, times: Differences, used: Used) -> Covariance:
    """Return the covariance of the differences of some pixels.

    Parameters
    ----------
    rate : float64 array, (pixel,)
        Count rate that the photon noise is taken from, DN/s.
    noise : Noise
    times : Differences
    used : bool array, (difference, pixel)
    """
    photons, read = rate / noise.gain, noise.read**2
    diagonal = photons * times.photon[:, np.newaxis] + read * times.read[:, np.newaxis]
    shared = photons * times.photon_shared[:, np.newaxis] + read * times.read_shared[:, np.newaxis]
    scale = _scale(diagonal, shared)
    return Covariance(diagonal / scale, shared / scale * used[1:] * used[:-1], scale)


def _scale(diagonal: Real, shared: Real) -> Real:
    """Return the root of the determinant that has the unit of an element, without leaving the range of a double."""
    last = len(diagonal)
    before, here = np.ones_like(diagonal[0]), diagonal[0].copy()
    scale: Real = np.ones_like(here)
    for size in range(2, last + 1):
        after = diagonal[size - 1] / scale * here - shared[size - 2] ** 2 / scale**2 * before
        before, here = here, after
        if size % _RESCALED_EVERY == 0 or size == last:
            factor = here ** (1 / size)
            scale *= factor
            before = before / (here / factor)
            here = np.ones_like(here)
    return scale


def solve(values: Real, used: Used, covariance: Covariance) -> Solution:
    """Apply the inverse covariance to differences.

    Parameters
    ----------
    values : float64 array, (difference, pixel)
        DN/s; 0 where they are not used.
    used : bool array, (difference, pixel)
    covariance : Covariance
    """
    count, shared = len(values), covariance.shared
    leading, trailing = _leading(covariance), _trailing(covariance)
    sign = np.where(np.arange(count) % 2, 1.0, -1.0)[:, np.newaxis]
    from_above, data_above = _from_above(values, leading, shared, sign)
    from_below, data_below = _from_below(values, trailing, shared, sign)
    determinant = leading[count]
    of_unit = sign / determinant * (trailing[1:] * from_above + leading[:-1] * from_below)
    of_unit *= used
    of_data = sign / determinant * (trailing[1:] * data_above[1:] + leading[:-1] * data_below)
    extended = np.concatenate([np.ones_like(values[:1]), shared])
    data_data = 2 * total(values * sign / determinant * extended * trailing[1:] * data_above[:-1])
    data_data += total(values**2 * leading[:-1] * trailing[1:] / determinant)
    return Solution(leading, trailing, of_data, of_unit, data_data, total(values * of_unit), total(of_unit))


def fit(values: Real, used: Used, rate: Real, noise: Noise, times: Differences) -> RateFit:
    """Fit the differences that are used.

    Parameters
    ----------
    values : float64 array, (difference, pixel)
        DN/s.
    used : bool array, (difference, pixel)
    rate : float64 array, (pixel,)
        Count rate that the photon noise is taken from, DN/s.
    noise : Noise
    times : Differences
    """
    element = covariance(rate, noise, times, used)
    solution = solve(values * used, used, element)
    weight = solution.of_unit / solution.unit_unit
    square, product = weight**2, weight[1:] * weight[:-1]
    photons, read = rate / noise.gain, noise.read**2
    photon_variance = total(square * (photons * times.photon[:, np.newaxis]))
    photon_variance += 2 * total(product * (photons * times.photon_shared[:, np.newaxis]))
    read_variance = total(square * (read * times.read[:, np.newaxis]))
    read_variance += 2 * total(product * (read * times.read_shared[:, np.newaxis]))
    return RateFit(
        rate=solution.data_unit * (1 / solution.unit_unit),
        error=np.sqrt(element.scale / solution.unit_unit),
        photon_variance=photon_variance,
        read_variance=read_variance,
    )


def _leading(covariance: Covariance) -> Real:
    """Return the determinants of the leading blocks, that of none first."""
    diagonal, shared = covariance.diagonal, covariance.shared
    result = np.ones((len(diagonal) + 1, diagonal.shape[1]))
    result[1] = diagonal[0]
    for size in range(2, len(result)):
        result[size] = diagonal[size - 1] * result[size - 1] - shared[size - 2] ** 2 * result[size - 2]
    return result


def _trailing(covariance: Covariance) -> Real:
    """Return the determinants of the trailing blocks, that of none last."""
    diagonal, shared = covariance.diagonal, covariance.shared
    count = len(diagonal)
    result = np.ones((count + 1, diagonal.shape[1]))
    result[count - 1] = diagonal[count - 1]
    for start in range(count - 2, -1, -1):
        result[start] = diagonal[start] * result[start + 1] - shared[start] ** 2 * result[start + 2]
    return result


def _from_above(values: Real, leading: Real, shared: Real, sign: Real) -> tuple[Real, Real]:
    """Return the sums over earlier differences, for 1 and for the values."""
    units, data = np.zeros_like(values), np.zeros_like(leading)
    units[0] = -leading[0]
    data[1] = -values[0] * leading[0]
    for each in range(1, len(values)):
        units[each] = units[each - 1] * shared[each - 1] + sign[each] * leading[each]
        data[each + 1] = shared[each - 1] * data[each] + sign[each] * values[each] * leading[each]
    return units, data


def _from_below(values: Real, trailing: Real, shared: Real, sign: Real) -> tuple[Real, Real]:
    """Return the sums over later differences, for 1 and for the values."""
    units, data = np.zeros_like(values), np.zeros_like(values)
    for each in range(len(values) - 2, -1, -1):
        units[each] = units[each + 1] * shared[each] + sign[each + 1] * shared[each] * trailing[each + 2]
        data[each] = (data[each + 1] + sign[each + 1] * values[each + 1] * trailing[each + 2]) * shared[each]
    return units, data
