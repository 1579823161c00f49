"""The jump test of the likelihood fit (Brandt 2024, PASP 136, 045005, sections 3.1 and 3.2).

A ramp is fitted without one difference, or without two in a row, for every choice of them. The choice that improves
chi squared most is left out if it improves it by more than a threshold, and the ramp is looked at again. Two in a row
are tried where the group between them is a mean of several reads: a jump within it spoils both.

What is NaN, infinite or a tie decides as in the official algorithm, which is why whole arrays are multiplied by masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.group_times import Differences
from reprocess.calibration.tridiagonal import Covariance, Noise, Real, Solution, Used, covariance, solve, total

ONE_LEFT_OUT = 20.25  # least gain in chi squared for which one difference is left out: 4.5 sigma squared
TWO_LEFT_OUT = 23.8  # the same for two in a row
_FEWEST_TO_CHOOSE_FROM = 4  # differences; with fewer there is no telling which are good


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Fits with some differences left out, (choice, pixel)."""

    rate: Real
    chi_squared: Real


def without_jumps(values: Real, used: Used, guess: Real, noise: Noise, times: Differences) -> tuple[Used, Real]:
    """Return which differences are left after the test, and the count rate that they have.

    Parameters
    ----------
    values : float64 array, (difference, pixel)
        DN/s.
    used : bool array, (difference, pixel)
        Differences to begin with.
    guess : float64 array, (pixel,)
        Count rate that photon noise is taken from throughout, DN/s.
    noise : Noise
    times : Differences

    Returns
    -------
    used : bool array, (difference, pixel)
    rate : float64 array, (pixel,)
        DN/s; NaN where there is nothing to fit.
    """
    used = used.copy()
    rate = np.empty(values.shape[1])
    pixels = np.arange(values.shape[1])
    for attempt in range(len(values)):
        left = used.take(pixels, axis=1)
        element = covariance(guess[pixels], noise.of(pixels), times, left)
        plain, one, two = _fits(values.take(pixels, axis=1), left, element)
        if attempt == 0:
            rate[:] = plain.rate[0]
        drop_one, drop_two = _choices(plain, one, two, times)
        changed = np.any(drop_one, axis=0) | np.any(drop_two, axis=0)
        if not changed.any():
            break
        new = _rate_without(one, drop_one) + _rate_without(two, drop_two)
        left &= ~drop_one
        left[:-1] &= ~drop_two
        left[1:] &= ~drop_two
        used[:, pixels] = left
        rate[pixels[changed]] = new[changed] + rate[pixels[changed]] * 0
        pixels = pixels[changed & (np.add.reduce(left, axis=0, dtype=np.intp) >= _FEWEST_TO_CHOOSE_FROM)]
        if not pixels.size:
            break
    return used, rate


def _rate_without(trial: _Trial, drop: NDArray[np.bool_]) -> Real:
    """Return the rates of what was chosen; 0 where nothing was."""
    return np.where(np.any(drop, axis=0), total(trial.rate * drop), 0.0)


def _choices(
    plain: _Trial, one: _Trial, two: _Trial, times: Differences
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which single differences, and which first ones of two, are to be left out."""
    gain_one = plain.chi_squared - one.chi_squared
    gain_two = plain.chi_squared - two.chi_squared
    best_one = np.maximum.reduce(gain_one, axis=0)
    best_two = np.maximum.reduce(gain_two * times.averaged[:, np.newaxis], axis=0)
    one_is_better = best_one - ONE_LEFT_OUT > best_two - TWO_LEFT_OUT
    best = best_one * (best_one > ONE_LEFT_OUT) * one_is_better
    best += best_two * (best_two > TWO_LEFT_OUT) * ~one_is_better
    best[best == 0] = np.nan
    return (gain_one == best) & one_is_better, (gain_two == best) & ~one_is_better


def _fits(values: Real, used: Used, noise: Covariance) -> tuple[_Trial, _Trial, _Trial]:
    """Return the fit of everything, without each difference, and without each two in a row."""
    solution = solve(values * used, used, noise)
    rate = solution.data_unit * (1 / solution.unit_unit)
    chi_squared = (solution.data_data - solution.data_unit**2 / solution.unit_unit) / noise.scale
    plain = _Trial(rate[np.newaxis], chi_squared[np.newaxis])
    diagonal = solution.leading[:-1] * solution.trailing[1:] / solution.leading[-1]
    diagonal *= used
    one = _without_one(solution, diagonal, noise.scale)
    beside = -noise.shared * solution.leading[:-2] * solution.trailing[2:] / solution.leading[-1]
    two = _without_two(solution, diagonal, beside, noise.scale)
    unused = ~used
    _replace(one, unused, plain.rate + np.zeros_like(values), plain.chi_squared + np.zeros_like(values))
    _replace(two, unused[1:], one.rate[:-1], one.chi_squared[:-1])
    _replace(two, unused[:-1], one.rate[1:], one.chi_squared[1:])
    return plain, one, two


def _replace(trial: _Trial, where: NDArray[np.bool_], rate: Real, chi_squared: Real) -> None:
    """Take the fit with fewer left out where a difference was not used anyhow."""
    np.copyto(trial.rate, rate, where=where)
    np.copyto(trial.chi_squared, chi_squared, where=where)


def _without_one(fit: Solution, diagonal: Real, scale: Real) -> _Trial:
    """Fit a jump of any height in each difference in turn."""
    unit, data = fit.of_unit, fit.of_data
    rate = (diagonal * fit.data_unit - data * unit) / (fit.unit_unit * diagonal - unit**2)
    jump = (data - rate * unit) / diagonal
    chi_squared = fit.data_data + rate**2 * fit.unit_unit - 2 * rate * fit.data_unit + jump**2 * diagonal
    chi_squared = chi_squared - 2 * jump * data + 2 * rate * jump * unit
    return _Trial(rate, chi_squared / scale)


def _without_two(fit: Solution, diagonal: Real, beside: Real, scale: Real) -> _Trial:
    """Fit two jumps of any height in each two differences in a row."""
    unit, data = fit.of_unit, fit.of_data
    units, rates = fit.unit_unit, fit.data_unit
    own = unit[:-1] ** 2 - units * diagonal[:-1]
    cross = unit[:-1] * unit[1:] - units * beside
    moved = rates * unit[:-1] - data[:-1] * units
    second = moved / own - (rates * unit[1:] - data[1:] * units) / cross
    second /= cross / own - (unit[1:] ** 2 - units * diagonal[1:]) / cross
    first = (moved - second * cross) / own
    rate = (rates - first * unit[:-1] - second * unit[1:]) / units
    chi_squared = fit.data_data + rate**2 * units + first**2 * diagonal[:-1] + second**2 * diagonal[1:]
    chi_squared -= 2 * rate * rates + 2 * first * data[:-1] + 2 * second * data[1:]
    chi_squared += 2 * rate * first * unit[:-1] + 2 * rate * second * unit[1:] + 2 * first * second * beside
    return _Trial(rate, chi_squared / scale)
