"""The fit of ramps without any flag: one segment, the same groups in all pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import optimal_weights, selection
from reprocess.calibration.slope_variance import LARGEST_VARIANCE, NoiseImages, Real

Single = NDArray[np.float32]

FEWEST_GROUPS = 2

_CANCELLED = np.float32(4)  # medians that cancel to less than this part of them are computed in double precision
_NEARLY_TOO_LARGE = np.float32(0.99 * LARGEST_VARIANCE)


@dataclass(frozen=True, slots=True)
class CleanFit:
    """The fit of some pixels, all integrations alike but for their slopes.

    Attributes
    ----------
    slope : float64 array, (integration, pixel)
        DN/s.
    photon_variance, read_variance : float32 array, (pixel,)
        Of the slope of one integration, (DN/s)^2.
    valid : bool array, (pixel,)
        False where values or noise are such that this fit does not hold.
    """

    slope: Real
    photon_variance: Single
    read_variance: Single
    valid: NDArray[np.bool_]


def fit_clean(data: Single, images: NoiseImages, read_noise: Single, group_time_s: float) -> CleanFit:
    """Fit a line to each ramp as if none of its groups was flagged.

    Slopes are sums of differences that may cancel, hence in double precision; variances have nothing to cancel.

    Parameters
    ----------
    data : float32 array, (integration, group, pixel)
        DN; at least two groups.
    images : NoiseImages
        Of the same pixels.
    read_noise : float32 array, (pixel,)
        Of one group, in electrons.
    group_time_s : float
    """
    nints, ngroups, pixels = data.shape
    slope = np.empty((nints, pixels))
    gain = images.gain.astype(np.float64)
    group_variance = np.square(read_noise, dtype=np.float64)
    for integration, fitted in zip(data, slope, strict=True):
        _weighted_slope(integration, gain, group_variance, out=fitted)
    slope *= 1 / group_time_s
    photon = _mean_of_medians(data)
    np.maximum(photon, np.float32(0), out=photon)
    photon *= np.float32(1 / group_time_s)
    if images.dark_current is not None:
        photon += images.dark_current
    photon /= images.gain
    photon *= np.float32(1 / (group_time_s * (ngroups - 1)))
    read = read_noise / images.gain
    read *= read
    read *= np.float32(12 / (group_time_s**2 * (ngroups**3 - ngroups)))
    return CleanFit(slope, photon, read, _valid(data, images, slope, photon, read))


def _valid(data: Single, images: NoiseImages, slope: Real, photon: Single, read: Single) -> NDArray[np.bool_]:
    """Tell where all values are finite and the noise is that of a working pixel."""
    valid: NDArray[np.bool_] = (photon + read) < _NEARLY_TOO_LARGE
    valid &= read > 0
    valid &= images.gain > 0
    if images.dark_current is not None:
        valid &= images.dark_current >= 0
    for integration, fitted in zip(data, slope, strict=True):
        valid &= np.isfinite(fitted)
        if len(integration) % 2:
            valid &= np.isfinite(integration[len(integration) // 2])  # the only group that no slope shows
    return valid


def _weighted_slope(groups: Single, gain: Real, group_variance: Real, *, out: Real) -> None:
    """Write the slope in DN per group of ramps, (group, pixel)."""
    length = len(groups)
    rise = groups[-1].astype(np.float64)
    rise -= groups[0]
    power = optimal_weights.power_class(rise, gain, group_variance)
    columns = np.ascontiguousarray(optimal_weights.coefficients(length).T)
    part, early = np.empty_like(rise), np.empty_like(rise)
    np.multiply(rise, columns[0].take(power, out=part, mode="clip"), out=out)
    for pair in range(1, length // 2):
        np.copyto(rise, groups[-1 - pair])
        np.copyto(early, groups[pair])
        rise -= early
        rise *= columns[pair].take(power, out=part, mode="clip")
        out += rise


def _mean_of_medians(data: Single) -> Single:
    """Return the mean over integrations of the median first differences of ramps, (integration, group, pixel).

    Differences are rounded to single precision, which is enough for what they are for, unless medians cancel.
    """
    nints, ngroups = data.shape[:2]
    if nints == 1 and ngroups % 2 == 0:
        (only,) = _middle_differences(data[0])
        return only
    total = np.zeros(data.shape[2])
    size = np.zeros(data.shape[2], np.float32)
    for integration in data:
        middle = _middle_differences(integration)
        twice = middle[0] + middle[-1]
        total += twice
        size += np.maximum(np.abs(twice), middle[-1] - middle[0])
    total *= 0.5 / nints
    cancelled = np.flatnonzero(np.abs(total) * (2 * nints * _CANCELLED) < size)
    if cancelled.size:
        exact = np.zeros(cancelled.size)
        for integration in data:
            middle = _middle_differences(integration.take(cancelled, axis=1).astype(np.float64))
            exact += middle[0] + middle[-1]
        total[cancelled] = exact * (0.5 / nints)
    return total.astype(np.float32)


def _middle_differences(groups: NDArray[selection.Real]) -> list[NDArray[selection.Real]]:
    """Return the one or two first differences in the middle of their order, of ramps (group, pixel)."""
    count = len(groups) - 1
    differences = groups[1:] - groups[:-1]
    ranks = (count // 2,) if count % 2 else (count // 2 - 1, count // 2)
    return selection.order_statistics(differences, ranks)
