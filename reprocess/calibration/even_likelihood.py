"""The likelihood fit of ramps without any flag whose groups are evenly spaced.

All differences then have the same variance, and neighbours the same covariance, so a pixel's covariance is one number,
the ratio of the two, times the variance. It is the same read forwards and backwards: it is eliminated from both ends
at once towards the middle, for the sums and for the differences of opposite rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import likelihood_jumps, selection
from reprocess.calibration.group_times import Differences
from reprocess.calibration.tridiagonal import Noise, RateFit, Real

_CAUTION = 1 - 1e-4  # leaving something out cannot gain more than all of chi squared, but for rounding

_ROUNDING = 1e-7  # of the error of a rate


@dataclass(frozen=True, slots=True, eq=False)
class _Half:
    """The elimination from one end to the middle.

    Attributes
    ----------
    ratio : float64 array, (pixel,)
        Covariance of neighbours over variance.
    inverse : float64 array, (row, pixel)
        Reciprocals of the pivots, the middle one that of sums of opposite rows.
    factor : float64 array, (row - 1, pixel)
        What a row is multiplied by before it is taken from the next; twice that for a row that has no opposite.
    unit : float64 array, (row, pixel)
        Ones after the elimination.
    """

    ratio: Real
    inverse: Real
    factor: Real
    unit: Real


def fit_even(
    data: NDArray[np.float32], noise: Noise, dark: NDArray[np.float32] | float, times: Differences
) -> tuple[RateFit, NDArray[np.bool_]]:
    """Fit a line to each ramp as if none of its groups was flagged.

    Parameters
    ----------
    data : float32 array, (group, pixel)
        DN; at least four groups.
    noise : Noise
    dark : float32 array, (pixel,), or float
        Added to the rate that photon noise is taken from, DN/s.
    times : Differences
        All alike.

    Returns
    -------
    fit : RateFit
    valid : bool array, (pixel,)
        Where the fit holds and no jump can be found.
    """
    steps = data[1:] - data[:-1]
    guess = median(steps.copy()) / times.duration_s[0]
    np.maximum(guess, 0, out=guess)
    sums, contrasts = _folded(steps, times.duration_s[0])
    rate, valid = _preliminary(sums, contrasts, guess, noise, times)
    valid &= (noise.gain > 0) & (noise.read > 0) & (noise.read < np.inf) & (guess < np.inf)
    np.maximum(rate, 0, out=rate)
    rate += dark
    valid &= (rate >= 0) & (rate < np.inf)
    fitted = _final(sums, rate, noise, times)
    valid &= above_rounding(fitted)
    return fitted, valid


def above_rounding(fitted: RateFit) -> NDArray[np.bool_]:
    """Return where a rate is not the rounding error of 0, by which combining integrations would divide."""
    return np.abs(fitted.rate) > _ROUNDING * fitted.error


def median(steps: NDArray[selection.Real]) -> Real:
    """Return the median of each pixel's differences.

    Parameters
    ----------
    steps : float array, (difference, pixel)
        Overwritten.
    """
    count = len(steps)
    lower, upper = selection.order_statistics(steps, ((count - 1) // 2, count // 2))
    if count % 2:
        return lower.astype(np.float64)
    return np.add(lower, upper, dtype=np.float64) / 2


def _folded(steps: NDArray[np.float32], duration_s: float) -> tuple[Real, Real]:
    """Return means and half differences of opposite rows in DN/s; a middle row is only in the former."""
    count = len(steps)
    pairs = count // 2
    sums = np.empty((count - pairs, steps.shape[1]))
    contrasts = np.empty((pairs, steps.shape[1]))
    early, late = steps[:pairs], steps[: count - pairs - 1 : -1]
    np.add(early, late, out=sums[:pairs], dtype=np.float64)
    np.subtract(early, late, out=contrasts, dtype=np.float64)
    if count % 2:
        np.multiply(steps[pairs], 2, out=sums[pairs], dtype=np.float64)
    factor = 0.5 / duration_s
    sums *= factor
    contrasts *= factor
    return sums, contrasts


def _variance(rate: Real, noise: Noise, times: Differences) -> tuple[Real, Real]:
    """Return the variance of a difference, and the covariance of neighbours over it."""
    photons, read = rate / noise.gain, noise.read * noise.read
    variance = photons * times.photon[0]
    variance += read * times.read[0]
    photons *= times.photon_shared[0]
    read *= times.read_shared[0]
    photons += read
    photons /= variance
    return variance, photons


def _eliminate(ratio: Real, count: int) -> _Half:
    """Factorise the covariance of `count` differences, divided by their variance."""
    rows = count - count // 2
    inverse, unit = np.empty((rows, len(ratio))), np.empty((rows, len(ratio)))
    factor = np.empty((rows - 1, len(ratio)))
    inverse[0] = unit[0] = 1
    for row in range(1, rows):
        here = factor[row - 1]
        np.multiply(ratio, inverse[row - 1], out=here)
        twice = row == rows - 1 and count % 2
        if twice:
            here += here
        np.multiply(ratio, here, out=inverse[row])
        np.subtract(1, inverse[row], out=inverse[row])
        if row == rows - 1 and not twice:
            inverse[row] += ratio
        np.divide(1, inverse[row], out=inverse[row])
        np.multiply(here, unit[row - 1], out=unit[row])
        np.subtract(1, unit[row], out=unit[row])
    return _Half(ratio, inverse, factor, unit)


def _preliminary(
    sums: Real, contrasts: Real, guess: Real, noise: Noise, times: Differences
) -> tuple[Real, NDArray[np.bool_]]:
    """Return the rates before the jump test, and where that test cannot find anything."""
    pairs, pixels = contrasts.shape
    count = pairs + len(sums)
    variance, ratio = _variance(guess, noise, times)
    half = _eliminate(ratio, count)
    row, spare = sums[0].copy(), np.empty(pixels)
    unit_unit, data_unit, data_data = (np.zeros(pixels) for _ in range(3))
    for index in range(len(sums)):
        if index:
            row *= half.factor[index - 1]
            np.subtract(sums[index], row, out=row)
        if index == pairs:
            # The row in the middle counts once, every other one twice; the totals are halved here.
            half.inverse[index] *= 0.5
        np.multiply(half.unit[index], half.inverse[index], out=spare)
        data_unit += np.multiply(spare, row)
        spare *= half.unit[index]
        unit_unit += spare
        np.multiply(row, half.inverse[index], out=spare)
        spare *= row
        data_data += spare
    rate = data_unit / unit_unit
    data_data -= np.multiply(rate, data_unit, out=data_unit)
    data_data += _of_contrasts(contrasts, half, count)
    variance *= min(likelihood_jumps.ONE_LEFT_OUT, likelihood_jumps.TWO_LEFT_OUT) * _CAUTION / 2
    return rate, data_data <= variance


def _of_contrasts(contrasts: Real, half: _Half, count: int) -> Real:
    """Return the part of chi squared that differences of opposite rows have, halved like the others."""
    row = contrasts[0].copy()
    last = len(contrasts) - 1
    result: Real = np.zeros_like(row)
    spare = np.empty_like(row)
    for index in range(len(contrasts)):
        if index:
            row *= half.factor[index - 1]
            np.subtract(contrasts[index], row, out=row)
        np.multiply(row, row, out=spare)
        if index == last and count % 2 == 0:
            spare /= 1 / half.inverse[index] - 2 * half.ratio
        else:
            spare *= half.inverse[index]
        result += spare
    return result


def _final(sums: Real, rate: Real, noise: Noise, times: Differences) -> RateFit:
    """Fit with the photon noise of a rate."""
    count = len(times.duration_s)
    variance, ratio = _variance(rate, noise, times)
    half = _eliminate(ratio, count)
    weight = half.unit
    weight *= half.inverse
    last = len(weight) - 1
    twice = count % 2  # the factor before a middle row is twice that of its two neighbours
    spare = np.empty_like(ratio)
    if last:
        np.multiply(half.factor[last - 1], weight[last], out=spare)
        if twice:
            spare *= 0.5
        weight[last - 1] -= spare
    for row in range(last - 2, -1, -1):
        np.multiply(half.factor[row], weight[row + 1], out=spare)
        weight[row] -= spare
    unit_unit, data_unit, squares, products = (np.zeros_like(ratio) for _ in range(4))
    for index in range(last + 1):
        here = weight[index]
        if index:
            np.multiply(weight[index - 1], here, out=spare)
            products += spare
        if index == last:
            if twice:
                np.multiply(here, here, out=spare)
                spare *= 0.5
                squares += spare
                here = np.multiply(here, 0.5, out=here)
            else:
                np.multiply(here, here, out=spare)
                squares += spare
                spare *= 0.5
                products += spare
        else:
            np.multiply(here, here, out=spare)
            squares += spare
        unit_unit += here
        data_unit += np.multiply(here, sums[index], out=spare)
    # Sums ran over one half. Variances are over the square of all of `unit_unit`.
    result = data_unit / unit_unit
    error = np.sqrt(variance / (2 * unit_unit))
    unit_unit *= unit_unit
    squares *= 0.5
    squares /= unit_unit
    products /= unit_unit
    photons, read = rate / noise.gain, noise.read * noise.read
    photon = photons * (times.photon[0] * squares + times.photon_shared[0] * products)
    return RateFit(result, error, photon, read * (times.read[0] * squares + times.read_shared[0] * products))
