"""The fit of ramps with flags: a line through each segment, and the segments put together by their read noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import segments, selection
from reprocess.calibration.blocks import blocks
from reprocess.calibration.dq import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED
from reprocess.calibration.segment_sums import Sums, segment_sums
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
_CANCELLED = 4  # a sum that is less than this part of its summands' sizes is made in double precision
_COPIED_BITS = np.uint8(JUMP_DET | PERSISTENCE | SATURATED)


@dataclass(frozen=True, slots=True)
class Cadence:
    """Times of the groups, and what is done with ramps that have one good group.

    Attributes
    ----------
    group_time_s : float
        Between groups.
    frame_time_s : float
        Of one frame: the exposure time of a zero frame.
    lone_time_s : float
        Mean exposure time of a first group that is the only good one.
    suppress_one_group : bool
        Whether ramps with one good group are not used at all.
    first_jump_counts : bool
        Whether JUMP_DET in the first group is a flag like others; it is not where groups before it were cut off.
    """

    group_time_s: float
    frame_time_s: float
    lone_time_s: float
    suppress_one_group: bool
    first_jump_counts: bool = True


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

    def fail(self, where: NDArray[np.bool_]) -> None:
        """Take the rates of some ramps away, in place."""
        if where.any():
            np.copyto(self.sci, np.nan, where=where)
            for plane in (self.err, self.var_poisson, self.var_rnoise):
                np.copyto(plane, 0.0, where=where)


@dataclass(frozen=True, slots=True)
class FlaggedRamps:
    """Ramps of some pixels, whatever their flags are.

    Attributes
    ----------
    data : float32 array, (integration, group, pixel)
        DN.
    groupdq : uint8 array, (integration, group, pixel)
    pixeldq : uint32 array, (pixel,)
        With the flags of pixels without a gain.
    zeroframe : float32 array, (integration, pixel), or None
        DN; stands in for the first group where no group is good, unless it is 0. None: it does not.
    noise : PixelNoise
    """

    data: NDArray[np.float32]
    groupdq: Flags
    pixeldq: NDArray[np.uint32]
    zeroframe: NDArray[np.float32] | None
    noise: PixelNoise


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ramps as they are fitted, integrations and pixels as one axis.

    Attributes
    ----------
    values : float32 array, (group, ramp)
        DN, zero frames put in.
    flags, original : uint8 array, (group, ramp)
        Those that count, and those that came in.
    found : uint8 array, (ramp,)
        All flags of the groups, zero frames not considered.
    lone : bool array, (ramp,)
        Whether the first group is the only one and has its own exposure time.
    lone_time_s : float64 array, (ramp,)
        Exposure time of a segment of one group.
    pixel : int array, (ramp,)
    rate : float64 array, (pixel,)
        Median rate in DN/s.
    """

    values: NDArray[np.float32]
    flags: Flags
    original: Flags
    found: Flags
    lone: NDArray[np.bool_]
    lone_time_s: Real
    pixel: NDArray[np.intp]
    rate: Real

    def chosen(self, which: slice | NDArray[np.intp]) -> Prepared:
        """Return some of the ramps."""
        return Prepared(
            values=self.values[:, which],
            flags=self.flags[:, which],
            original=self.original[:, which],
            found=self.found[which],
            lone=self.lone[which],
            lone_time_s=self.lone_time_s[which],
            pixel=self.pixel[which],
            rate=self.rate,
        )


@dataclass(frozen=True, slots=True)
class Lines:
    """What is fitted to segments, one element each.

    Attributes
    ----------
    slope : float64 array
        DN/s.
    photon, read : float64 array
        Its variances in (DN/s)^2.
    """

    slope: Real
    photon: Real
    read: Real

    @property
    def summands(self) -> tuple[Real, Real, Real, Real]:
        """What the segments add to the `Sums` of their ramps."""
        inverse = 1 / self.read
        photon = 1 / self.photon
        np.copyto(photon, 0.0, where=~(self.photon > 0))
        return self.slope * inverse, inverse, photon, 1 / (self.photon + self.read)


def fit_flagged(ramps: FlaggedRamps, cadence: Cadence) -> tuple[Fitted, Fitted]:
    """Fit pixels whatever their flags are.

    Parameters
    ----------
    ramps : FlaggedRamps
    cadence : Cadence

    Returns
    -------
    rate, rateints : Fitted
        (pixel,) and (integration, pixel).
    """
    shape = ramps.data.shape[0], ramps.data.shape[2]
    prepared = prepare(ramps, cadence)
    sums = _sums(prepared, ramps.noise, cadence)
    sums = Sums(*(each.reshape(shape) for each in sums.each))
    found = prepared.found.reshape(shape)
    failed = _failed(prepared.flags).reshape(shape) | (ramps.pixeldq & np.uint32(_UNUSABLE)).astype(np.uint8)
    rateints = _integrations(sums, failed, found)
    if shape[0] == 1:
        combined = _of_one(rateints)
    else:
        combined = _combined(sums.over_integrations(), np.bitwise_and.reduce(failed, axis=0), found)
    if np.any(found & CHARGELOSS):
        lost = prepared.found & CHARGELOSS != 0
        inverse = _inverse_read_variance_with_lost(prepared, lost, ramps.noise, cadence)
        _replace_read_variance(combined, rateints, inverse.reshape(shape), lost.reshape(shape))
    return combined, rateints


def prepare(ramps: FlaggedRamps, cadence: Cadence) -> Prepared:
    """Settle which groups count, what stands in for them, and the median rate."""
    nints, ngroups, pixels = ramps.data.shape
    values = ramps.data.transpose(1, 0, 2).reshape(ngroups, -1)
    original = ramps.groupdq.transpose(1, 0, 2).reshape(ngroups, -1)
    flags = _without_lone_groups(original) if cadence.suppress_one_group else original
    if not cadence.first_jump_counts:
        flags = np.concatenate([flags[:1] & np.uint8(0xFF ^ JUMP_DET), flags[1:]])
    found = np.bitwise_or.reduce(flags, axis=0)
    lone = _lone_first_group(flags, cadence)
    time_s = np.where(lone, cadence.lone_time_s, cadence.group_time_s)
    if ramps.zeroframe is not None:
        zero = ramps.zeroframe.reshape(-1)
        stands_in = (zero != 0) & ~np.any(flags == 0, axis=0)
        values = np.concatenate([np.where(stands_in, zero, values[:1]), values[1:]])
        flags = np.concatenate([np.where(stands_in, np.uint8(0), flags[:1]), flags[1:]])
        found = found & np.where(stands_in & (ngroups == 1), np.uint8(0xFF ^ SATURATED), np.uint8(0xFF))
        lone, time_s = lone | stands_in, np.where(stands_in, cadence.frame_time_s, time_s)
    medians = _median_rates(values, flags, (lone, time_s), cadence, alone=nints == 1).reshape(nints, pixels)
    rate = np.add.reduce(medians, axis=0) / nints
    pixel = np.tile(np.arange(pixels), nints)
    return Prepared(values, flags, original, found, lone, time_s, pixel, rate)


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


def _median_rates(
    values: NDArray[np.float32],
    flags: Flags,
    lone: tuple[NDArray[np.bool_], Real],
    cadence: Cadence,
    *,
    alone: bool,
) -> Real:
    """Return the median rate of each ramp in DN/s; 0 if it has no two neighbouring groups and no first one."""
    which, time_s = lone
    first = values[0].astype(np.float64)
    if len(values) == 1:
        return np.where(flags[0] & SATURATED, np.nan, first) / cadence.lone_time_s
    np.copyto(first, np.nan, where=flags[0] & _UNUSABLE != 0)
    median = _median_differences(values, flags, alone=alone)
    np.copyto(median, first, where=np.isnan(median))
    median /= cadence.group_time_s
    np.copyto(median, first / time_s, where=which)
    np.copyto(median, 0.0, where=np.isnan(median))
    return median


def _median_differences(values: NDArray[np.float32], flags: Flags, *, alone: bool) -> Real:
    """Return the median of the usable first differences of each ramp; NaN if there are none.

    Single precision does for a ramp whose median stands alone, unless its two middle differences cancel.
    """
    ngroups, nramps = values.shape
    medians = np.empty(nramps)
    for block in blocks(nramps, ngroups if alone else 2 * ngroups):
        if not alone:
            medians[block] = _middle(values[:, block], flags[:, block], np.float64)[0]
            continue
        medians[block], cancelled = _middle(values[:, block], flags[:, block], np.float32)
        if cancelled.size:
            some = cancelled + block.start
            medians[some] = _middle(values.take(some, axis=1), flags.take(some, axis=1), np.float64)[0]
    return medians


def _middle(values: NDArray[np.float32], flags: Flags, precision: type[np.floating]) -> tuple[Real, NDArray[np.intp]]:
    """Return the median of the usable differences in some precision, and the ramps in which rounding shows in it."""
    differences: NDArray[Any] = np.subtract(values[1:], values[:-1], dtype=precision)
    unusable = flags & _UNUSABLE
    left_out = unusable[1:] | unusable[:-1]
    left_out |= flags[1:] & np.uint8(JUMP_DET)
    # All bits set is a NaN; setting them takes a fraction of the time of writing where a mask is true.
    whole = np.int32 if precision is np.float32 else np.int64
    bits: NDArray[Any] = differences.view(whole)
    bits |= np.negative((left_out != 0).view(np.int8)).astype(whole)
    lower, upper = selection.middle_of_known(differences)
    total = lower + upper
    return total / 2, np.flatnonzero(_CANCELLED * np.abs(total) < np.abs(lower) + np.abs(upper))


def find(prepared: Prepared) -> segments.Segments:
    """Return the segments that are fitted: none where the first group is saturated."""
    found = segments.find_segments(prepared.flags)
    if np.any(prepared.flags[0] & SATURATED):
        found = found.chosen(np.flatnonzero(prepared.flags[0].take(found.ramp) & SATURATED == 0))
    return found


def lines(prepared: Prepared, found: segments.Segments, noise: PixelNoise, cadence: Cadence) -> Lines:
    """Fit a line to each segment."""
    pixel = prepared.pixel.take(found.ramp)
    noise = noise.of(pixel)
    length = found.length.astype(np.float64)
    time_s = _times(found, prepared, cadence)
    slope = segments.slopes(prepared.values, found, noise.gain, noise.read_noise * noise.read_noise) / time_s
    photon = photon_variance(prepared.rate.take(pixel), noise, length, time_s)
    return Lines(slope, photon, read_variance(noise, length, time_s))


def _sums(prepared: Prepared, noise: PixelNoise, cadence: Cadence) -> Sums:
    """Fit all segments and add up each ramp's."""
    values, odd = _finite(prepared)
    pixels = _as_slice(prepared.pixel)
    sums = segment_sums(
        values,
        prepared.flags,
        rate=prepared.rate[pixels],
        noise=noise.of(pixels),
        group_time_s=cadence.group_time_s,
        lone_time_s=prepared.lone_time_s,
    )
    if odd.size:
        for whole, part in zip(sums.each, _sums_of_any(prepared.chosen(odd), noise, cadence).each, strict=True):
            whole[odd] = part
    return sums


def _finite(prepared: Prepared) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Return values with 0 for what is no number, and the ramps in which that may matter."""
    odd = np.flatnonzero(~np.isfinite(np.add.reduce(prepared.values, axis=0)))
    if not odd.size:
        return prepared.values, odd
    some = np.where(prepared.flags[:, odd] & _UNUSABLE, np.float32(0), prepared.values[:, odd])
    lost = ~np.isfinite(np.add.reduce(some, axis=0))
    values = prepared.values.copy()
    values[:, odd] = np.where(lost, np.float32(0), some)
    return values, odd[lost]


def _as_slice(pixels: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return pixels as a slice if they follow each other: no values have to be gathered then."""
    first, count = int(pixels[0]), len(pixels)
    return slice(first, first + count) if pixels[-1] == first + count - 1 else pixels


def _sums_of_any(prepared: Prepared, noise: PixelNoise, cadence: Cadence) -> Sums:
    """Fit all segments one by one, for ramps with values that are no numbers, and add them up."""
    found = find(prepared)
    fitted = lines(prepared, found, noise, cadence)

    def added(each: Real) -> Real:
        return np.bincount(found.ramp, weights=each, minlength=len(prepared.pixel)).astype(np.float64, copy=False)

    return Sums(*map(added, fitted.summands))


def _times(found: segments.Segments, prepared: Prepared, cadence: Cadence) -> Real:
    """Return the time that a slope per group is divided by, for each segment."""
    return np.where(found.length == 1, prepared.lone_time_s.take(found.ramp), cadence.group_time_s)


def _integrations(sums: Sums, failed: Flags, found: Flags) -> Fitted:
    """Turn the sums of each integration into its rate."""
    photon = reported(_inverse(sums.photon))
    read = reported(1 / sums.read)
    variance = 1 / sums.total
    np.copyto(variance, 0.0, where=variance > LARGEST_VARIANCE)
    fitted = Fitted(
        sci=sums.weighted * read,
        err=np.sqrt(variance, out=variance),
        var_poisson=photon,
        var_rnoise=read,
        bits=(failed | (found & _COPIED_BITS)).astype(np.uint32),
    )
    fitted.fail(failed != 0)
    return fitted


def _inverse(total: Real) -> Real:
    """Return the inverse of sums; 0 where there is nothing in them."""
    inverse = 1 / total
    np.copyto(inverse, 0.0, where=~(total > 0))
    return inverse


def _combined(sums: Sums, failed: Flags, found: Flags) -> Fitted:
    """Turn the sums over integrations into the rate of the exposure."""
    photon = reported(_inverse(sums.photon))
    read = 1 / sums.read
    np.copyto(read, sums.read, where=~(sums.read > 0))
    read = reported(read)
    fitted = Fitted(
        sci=sums.weighted * read,
        err=np.sqrt(photon + read),
        var_poisson=photon,
        var_rnoise=read,
        bits=(failed | (np.bitwise_or.reduce(found, axis=0) & _COPIED_BITS)).astype(np.uint32),
    )
    fitted.fail(failed != 0)
    return fitted


def _of_one(rateints: Fitted) -> Fitted:
    """Return the rate of an exposure of one integration: only its error is put together in another way."""
    return Fitted(
        sci=rateints.sci[0],
        err=np.sqrt(rateints.var_poisson[0] + rateints.var_rnoise[0]),
        var_poisson=rateints.var_poisson[0],
        var_rnoise=rateints.var_rnoise[0].copy(),
        bits=rateints.bits[0],
    )


def _inverse_read_variance_with_lost(
    prepared: Prepared, lost: NDArray[np.bool_], noise: PixelNoise, cadence: Cadence
) -> Real:
    """Return the inverse read variance of ramps as if no group had been left out for charge loss; 0 for other ramps."""
    flags = prepared.original[:, lost]
    flags = np.where(flags & CHARGELOSS, flags ^ np.uint8(CHARGELOSS | DO_NOT_USE), flags)
    found = segments.find_segments(flags)
    ramp = np.flatnonzero(lost).take(found.ramp)
    found = segments.Segments(ramp, found.start, found.length)
    own = noise.of(prepared.pixel.take(ramp))
    read = read_variance(own, found.length.astype(np.float64), _times(found, prepared, cadence))
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
