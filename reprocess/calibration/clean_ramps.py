"""The fit of ramps without any flag: one segment, the same groups in all pixels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import optimal_weights, selection
from reprocess.calibration.slope_variance import LARGEST_VARIANCE, PixelNoise, Real, photon_variance, read_variance

FEWEST_GROUPS = 2


@dataclass(frozen=True, slots=True)
class CleanFit:
    """The fit of some pixels, all integrations alike but for their slopes.

    Attributes
    ----------
    slope : float64 array, (integration, pixel)
        DN/s.
    photon_variance, read_variance : float64 array, (pixel,)
        Of the slope of one integration, (DN/s)^2.
    valid : bool array, (pixel,)
        False where values or noise are such that this fit does not hold.
    """

    slope: Real
    photon_variance: Real
    read_variance: Real
    valid: NDArray[np.bool_]


def fit_clean(data: NDArray[np.float32], noise: PixelNoise, group_time_s: float) -> CleanFit:
    """Fit a line to each ramp as if none of its groups was flagged.

    Parameters
    ----------
    data : float32 array, (integration, group, pixel)
        DN; at least two groups.
    noise : PixelNoise
    group_time_s : float
    """
    nints, ngroups, pixels = data.shape
    slope, rate = np.empty((nints, pixels)), np.zeros(pixels)
    finite = np.ones(pixels, np.bool_)
    for integration, fitted in zip(data, slope, strict=True):
        groups = integration.astype(np.float64)
        finite &= np.isfinite(np.add.reduce(groups, axis=0))
        _weighted_slope(groups, noise, out=fitted)
        rate += _median_difference(groups)
    slope /= group_time_s
    rate /= group_time_s * nints
    photon = photon_variance(rate, noise, ngroups, group_time_s)
    read = read_variance(noise, ngroups, group_time_s)
    valid = finite & (noise.gain > 0) & (photon >= 0) & (read > 0) & (photon + read < LARGEST_VARIANCE)
    return CleanFit(slope, photon, read, valid)


def _weighted_slope(groups: Real, noise: PixelNoise, *, out: Real) -> None:
    """Write the slope in DN per group of ramps, (group, pixel)."""
    length = len(groups)
    rise = groups[-1] - groups[0]
    power = optimal_weights.power_class(rise, noise.gain, noise.read_noise * noise.read_noise)
    columns = np.ascontiguousarray(optimal_weights.coefficients(length).T)
    np.multiply(rise, columns[0].take(power), out=out)
    for pair in range(1, length // 2):
        np.subtract(groups[-1 - pair], groups[pair], out=rise)
        rise *= columns[pair].take(power)
        out += rise


def _median_difference(groups: Real) -> Real:
    """Return the median of the first differences of ramps, (group, pixel); overwrites them."""
    count = len(groups) - 1
    for early, late in pairwise(groups):
        np.subtract(late, early, out=early)
    lower, upper = selection.order_statistics(groups[:-1], ((count - 1) // 2, count // 2))
    return (lower + upper) / 2
