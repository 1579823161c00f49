"""The fit of ramps with flags: a line through each segment, and the segments put together by their read noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import segments, selection
from reprocess.calibration.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED
from reprocess.calibration.slope_variance import (
    LARGEST_VARIANCE,
    PixelNoise,
    Real,
    photon_variance,
    read_variance,
    reported,
)

Flags = NDArray[np.uint8]

_UNUSABLE = np.uint8(DO_NOT_USE | SATURATED)
_COPIED_BITS = np.uint8(JUMP_DET | PERSISTENCE | SATURATED)


@dataclass(frozen=True, slots=True)
class Cadence:
    """Times of the groups, and what is done with ramps that have one good group.

    Attributes
    ----------
    group_time_s : float
        Between groups.
    lone_time_s : float
        Mean exposure time of a first group that is the only good one.
    suppress_one_group : bool
        Whether ramps with one good group are not used at all.
    first_jump_counts : bool
        Whether JUMP_DET in the first group is a flag like others; it is not where groups before it were cut off.
    """

    group_time_s: float
    lone_time_s: float
    suppress_one_group: bool
    first_jump_counts: bool = True


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over segments that a rate and its errors are made of.

    Attributes
    ----------
    weighted : float64 array
        Slopes over their variance from read noise.
    read, photon, total : float64 array
        Inverse variances from read noise, from photon noise (where it is not 0), and from both.
    """

    weighted: Real
    read: Real
    photon: Real
    total: Real

    def over_integrations(self) -> Sums:
        """Add up (integration, pixel) to (pixel,)."""
        return Sums(*(np.add.reduce(each, axis=0) for each in (self.weighted, self.read, self.photon, self.total)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Rates of (integration, pixel) or (pixel,) with the bits that the groups add to the flags of the pixel.

    Attributes
    ----------
    sci, err, var_poisson, var_rnoise : float64 array
    bits : uint32 array
    """

    sci: Real
    err: Real
    var_poisson: Real
    var_rnoise: Real
    bits: NDArray[np.uint32]


def fit_flagged(
    data: NDArray[np.float32], groupdq: Flags, pixeldq: NDArray[np.uint32], noise: PixelNoise, cadence: Cadence
) -> tuple[Fitted, Fitted]:
    """Fit pixels whatever their flags are.

    Parameters
    ----------
    data : float32 array, (integration, group, pixel)
        DN.
    groupdq : uint8 array, (integration, group, pixel)
    pixeldq : uint32 array, (pixel,)
    noise : PixelNoise
    cadence : Cadence

    Returns
    -------
    rate, rateints : Fitted
        (pixel,) and (integration, pixel).
    """
    nints, ngroups, pixels = data.shape
    values = data.transpose(1, 0, 2).reshape(ngroups, -1)
    original = groupdq.transpose(1, 0, 2).reshape(ngroups, -1)
    flags = _without_lone_groups(original) if cadence.suppress_one_group else original
    if not cadence.first_jump_counts:
        flags = np.concatenate([flags[:1] & np.uint8(0xFF ^ JUMP_DET), flags[1:]])
    lone = _lone_first_group(flags, cadence)
    medians = _median_rates(values, flags, lone, cadence).reshape(nints, pixels)
    rate = np.add.reduce(medians, axis=0) / nints
    pixel_of_ramp = np.tile(np.arange(pixels), nints)
    sums = _sums(values, flags, lone, rate, noise, pixel_of_ramp, cadence)
    sums = Sums(*(each.reshape(nints, pixels) for each in (sums.weighted, sums.read, sums.photon, sums.total)))
    found = np.bitwise_or.reduce(flags, axis=0).reshape(nints, pixels)
    failed = _failed(flags).reshape(nints, pixels) | (pixeldq & np.uint32(_UNUSABLE)).astype(np.uint8)
    rateints = _integrations(sums, failed, found)
    combined = _combined(sums.over_integrations(), np.bitwise_and.reduce(failed, axis=0), found)
    if np.any(found & CHARGELOSS):
        lost = found.reshape(-1) & CHARGELOSS != 0
        inverse = _inverse_read_variance_with_lost(original, lost, noise, lone, pixel_of_ramp, cadence)
        _replace_read_variance(combined, rateints, inverse.reshape(nints, pixels), lost.reshape(nints, pixels))
    return combined, rateints


def _without_lone_groups(flags: Flags) -> Flags:
    """Return flags with DO_NOT_USE in all groups of ramps that have one good group, PERSISTENCE not counted."""
    good = selection.count_of(flags & np.uint8(0xFF ^ PERSISTENCE) == 0)
    return flags | np.where(good == 1, np.uint8(DO_NOT_USE), np.uint8(0))


def _lone_first_group(flags: Flags, cadence: Cadence) -> NDArray[np.bool_]:
    """Tell which ramps are timed as a lone first group."""
    if cadence.suppress_one_group:
        return np.zeros(flags.shape[1], np.bool_)
    lone: NDArray[np.bool_] = (flags[0] == 0) & (selection.count_of(flags == 0) == 1)
    return lone


def _failed(flags: Flags) -> Flags:
    """Return DO_NOT_USE for ramps without a usable group, and SATURATED too if the first group is."""
    unusable = np.logical_and.reduce(flags & _UNUSABLE != 0, axis=0)
    saturated = flags[0] & np.uint8(SATURATED)
    failed: Flags = np.where(unusable | (saturated != 0), np.uint8(DO_NOT_USE), np.uint8(0)) | saturated
    return failed


def _median_rates(values: NDArray[np.float32], flags: Flags, lone: NDArray[np.bool_], cadence: Cadence) -> Real:
    """Return the median rate of each ramp in DN/s; 0 if it has no two neighbouring groups and no first one."""
    signal = values.astype(np.float64)
    if len(values) == 1:
        return np.where(flags[0] & SATURATED, np.nan, signal[0]) / cadence.lone_time_s
    np.copyto(signal, np.nan, where=flags & _UNUSABLE != 0)
    differences = signal[1:] - signal[:-1]
    np.copyto(differences, np.nan, where=flags[1:] & JUMP_DET != 0)
    median = selection.median_of_known(differences)
    median = np.where(np.isnan(median), signal[0], median) / cadence.group_time_s
    median = np.where(lone, signal[0] / cadence.lone_time_s, median)
    return np.where(np.isnan(median), 0.0, median)


def _sums(
    values: NDArray[np.float32],
    flags: Flags,
    lone: NDArray[np.bool_],
    rate: Real,
    noise: PixelNoise,
    pixel_of_ramp: NDArray[np.intp],
    cadence: Cadence,
) -> Sums:
    """Fit all segments and add up each ramp's."""
    found = segments.find_segments(flags)
    if np.any(flags[0] & SATURATED):
        found = found.chosen(np.flatnonzero(flags[0].take(found.ramp) & SATURATED == 0))
    pixel = pixel_of_ramp.take(found.ramp)
    noise = noise.of(pixel)
    length = found.length.astype(np.float64)
    time_s = _times(found, lone, cadence)
    slope = segments.slopes(values, found, noise.gain, noise.read_noise * noise.read_noise) / time_s
    photon = photon_variance(rate.take(pixel), noise, length, time_s)
    read = read_variance(noise, length, time_s)

    def added(each: Real) -> Real:
        return np.bincount(found.ramp, weights=each, minlength=len(pixel_of_ramp)).astype(np.float64, copy=False)

    return Sums(
        weighted=added(slope / read),
        read=added(1 / read),
        photon=added(np.where(photon > 0, 1 / photon, 0.0)),
        total=added(1 / (photon + read)),
    )


def _times(found: segments.Segments, lone: NDArray[np.bool_], cadence: Cadence) -> Real:
    """Return the time that a slope per group is divided by, for each segment."""
    alone = (found.length == 1) & lone.take(found.ramp)
    return np.where(alone, cadence.lone_time_s, cadence.group_time_s)


def _integrations(sums: Sums, failed: Flags, found: Flags) -> Fitted:
    """Turn the sums of each integration into its rate."""
    photon = reported(np.where(sums.photon > 0, 1 / sums.photon, 0.0))
    read = reported(1 / sums.read)
    variance = 1 / sums.total
    err = np.sqrt(np.where(variance > LARGEST_VARIANCE, 0.0, variance))
    bad = failed != 0
    return Fitted(
        sci=np.where(bad, np.nan, sums.weighted * read),
        err=np.where(bad, 0.0, err),
        var_poisson=np.where(bad, 0.0, photon),
        var_rnoise=np.where(bad, 0.0, read),
        bits=(failed | (found & _COPIED_BITS)).astype(np.uint32),
    )


def _combined(sums: Sums, failed: Flags, found: Flags) -> Fitted:
    """Turn the sums over integrations into the rate of the exposure."""
    photon = reported(np.where(sums.photon > 0, 1 / sums.photon, 0.0))
    read = reported(np.where(sums.read > 0, 1 / sums.read, sums.read))
    bad = failed != 0
    return Fitted(
        sci=np.where(bad, np.nan, sums.weighted * read),
        err=np.where(bad, 0.0, np.sqrt(photon + read)),
        var_poisson=np.where(bad, 0.0, photon),
        var_rnoise=np.where(bad, 0.0, read),
        bits=(failed | (np.bitwise_or.reduce(found, axis=0) & _COPIED_BITS)).astype(np.uint32),
    )


def _inverse_read_variance_with_lost(
    original: Flags,
    lost: NDArray[np.bool_],
    noise: PixelNoise,
    lone: NDArray[np.bool_],
    pixel_of_ramp: NDArray[np.intp],
    cadence: Cadence,
) -> Real:
    """Return the inverse read variance of ramps as if no group had been left out for charge loss; 0 for other ramps."""
    flags = original[:, lost]
    flags = np.where(flags & CHARGELOSS, flags ^ np.uint8(CHARGELOSS | DO_NOT_USE), flags)
    found = segments.find_segments(flags)
    ramp = np.flatnonzero(lost).take(found.ramp)
    found = segments.Segments(ramp, found.start, found.length)
    own = noise.of(pixel_of_ramp.take(ramp))
    read = read_variance(own, found.length.astype(np.float64), _times(found, lone, cadence))
    counted = (read > 0) & ((found.length < 3) | (own.gain > 0))
    inverse = np.bincount(ramp, weights=np.where(counted, 1 / read, 0.0), minlength=len(lost))
    return inverse.astype(np.float64, copy=False)


def _replace_read_variance(combined: Fitted, rateints: Fitted, inverse: Real, lost: NDArray[np.bool_]) -> None:
    """Put in the read variances of ramps with charge loss, and those of the exposure that follow; nothing else."""
    known = rateints.var_rnoise
    inverse = np.where(lost, inverse, np.where(known > 0, 1 / known, 0.0))
    np.copyto(known, reported(1 / inverse), where=lost)
    total = np.add.reduce(inverse, axis=0)
    replaced = np.where(total > 0, 1 / total, combined.var_rnoise)
    np.copyto(combined.var_rnoise, reported(replaced), where=lost.any(axis=0))
