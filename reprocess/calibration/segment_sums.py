"""Fits all segments of many ramps in step, group by group, whatever their flags are.

A rate is a sum over segments of slopes over their read variances, and a slope is a sum over the groups of a segment.
Both are linear in the values, so each group of each ramp has one coefficient in the end: it depends on the length of
its segment, on its place there and on the power of the weights. What is left to do for each group is one look-up, one
product and one sum; the variances need only the number of segments of each length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import optimal_weights
from reprocess.calibration.blocks import blocks
from reprocess.calibration.dq import JUMP_DET, PERSISTENCE, SATURATED
from reprocess.calibration.slope_variance import PixelNoise, Real

Flags = NDArray[np.uint8]
Numbers = NDArray[Any]  # 8 or 16 bits, as many as the number of groups needs

_KEPT_BITS = np.uint8(0xFF ^ PERSISTENCE)
_CLASSES = len(optimal_weights.POWERS)
_BLOCK_VALUES = 1 << 17


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over segments that a rate and its errors are made of, one element for each ramp.

    Attributes
    ----------
    weighted : float64 array, (ramp,)
        Slopes in DN/s over their variance from read noise.
    read, photon, total : float64 array, (ramp,)
        Inverse variances from read noise, from photon noise (where it is not 0), and from both.
    """

    weighted: Real
    read: Real
    photon: Real
    total: Real

    @property
    def each(self) -> tuple[Real, Real, Real, Real]:
        """All sums."""
        return self.weighted, self.read, self.photon, self.total

    def over_integrations(self) -> Sums:
        """Add up (integration, pixel) to (pixel,)."""
        return Sums(*(np.add.reduce(each, axis=0) for each in self.each))


def segment_sums(
    values: NDArray[np.float32],
    flags: Flags,
    *,
    rate: Real,
    noise: PixelNoise,
    group_time_s: float,
    lone_time_s: Real,
) -> Sums:
    """Fit every segment and add up each ramp's.

    Parameters
    ----------
    values : float32 array, (group, ramp)
        DN, finite.
    flags : uint8 array, (group, ramp)
    rate : float64 array, (ramp,)
        Median rate in DN/s.
    noise : PixelNoise
        Of each ramp.
    group_time_s : float
    lone_time_s : float64 array, (ramp,)
        Exposure time of a segment of one group.
    """
    ngroups, nramps = values.shape
    sums = Sums(*(np.empty(nramps) for _ in range(4)))
    for block in blocks(nramps, ngroups, values=_BLOCK_VALUES):
        cut = _Cut.of(flags[:, block])
        own = noise.of(block)
        power = _powers(values[:, block], cut, own)
        total = _weighted(values[:, block], cut, power)
        alone = cut.longest == 1
        if alone.any():
            total[alone] *= lone_time_s[block][alone] / group_time_s
        time_s = np.where(alone, lone_time_s[block], group_time_s)
        _variances(cut, own, rate[block], time_s, sums, block)
        scale = own.gain / own.read_noise
        scale *= scale
        scale /= 12
        np.multiply(total, scale * group_time_s, out=sums.weighted[block])
        sums.read[block] *= scale
        nothing = np.flatnonzero(cut.longest == 0)
        for each in sums.each:
            each[block][nothing] = 0.0
    return sums


@dataclass(frozen=True, slots=True)
class _Cut:
    """Segments of some ramps.

    Attributes
    ----------
    place : integer array, (group, ramp)
        Number of a group in its segment, from 0; meaningless outside of segments.
    ends : integer array, (group, ramp)
        Length of the segment whose last group this is; 0 elsewhere, and for segments that are left out.
    starts : uint8 array, (group, ramp)
        255 where a segment begins, else 0.
    longest : integer array, (ramp,)
    """

    place: Numbers
    ends: Numbers
    starts: Flags
    longest: Numbers

    @classmethod
    def of(cls, flags: Flags) -> _Cut:
        """Cut ramps by their flags; see `segments.find_segments` for the rules."""
        ngroups, nramps = flags.shape
        kept = flags & _KEPT_BITS
        good = np.zeros((ngroups + 1, nramps), np.bool_)
        np.equal(kept, 0, out=good[:-1])
        jump = kept == JUMP_DET
        starts = np.empty((ngroups, nramps), np.bool_)
        np.logical_and(jump, good[1:], out=starts)  # the jump came before this group was read
        np.logical_or(starts[0], good[0], out=starts[0])
        np.logical_or(starts[1:], good[1:-1] & ~(good[:-2] | jump[:-1]), out=starts[1:])
        last = (good[:-1] | starts) & ~good[1:]
        unusable = kept[0] & np.uint8(SATURATED) != 0
        if unusable.any():
            last &= ~unusable
        kind: Any = np.uint8 if ngroups < 32 else np.uint16
        place = np.zeros((ngroups, nramps), kind)
        inside = np.where(starts, kind(0), np.iinfo(kind).max).astype(kind)
        for group in range(1, ngroups):
            np.add(place[group - 1], 1, out=place[group])
            place[group] &= inside[group]
        ends = (place + kind(1)) * last
        longest = np.maximum.reduce(ends, axis=0)
        _leave_out(ends, longest)
        return cls(place, ends, ~inside.astype(np.uint8), longest)


def _leave_out(ends: Numbers, longest: Numbers) -> None:
    """Leave out segments of one group, in place, unless the ramp has nothing else; then keep its first."""
    ends -= (ends == 1) & (longest > 1)
    alone = np.flatnonzero(longest == 1)
    if alone.size:
        some = ends[:, alone]
        some[np.cumsum(some, axis=0) > 1] = 0
        ends[:, alone] = some


def _powers(values: NDArray[np.float32], cut: _Cut, noise: PixelNoise) -> Flags:
    """Return the class of the weights' power where a segment of three or more groups ends, 0 elsewhere."""
    nramps = values.shape[1]
    found = np.flatnonzero(cut.ends > 2)
    length = cut.ends.reshape(-1).take(found).astype(np.intp)
    ramp = found % nramps
    flat = values.reshape(-1) if values.flags.c_contiguous else np.ascontiguousarray(values).reshape(-1)
    rise = flat.take(found).astype(np.float64)
    rise -= flat.take(found - (length - 1) * nramps)
    power = optimal_weights.power_class(rise, noise.gain.take(ramp), (noise.read_noise * noise.read_noise).take(ramp))
    powers = np.zeros(cut.ends.shape, np.uint8)
    powers.reshape(-1)[found] = power
    return powers


def _weighted(values: NDArray[np.float32], cut: _Cut, powers: Flags) -> Real:
    """Return the sum over all groups of value times coefficient."""
    ngroups, nramps = values.shape
    index = _indices(cut, powers)
    table, total, part = _table(ngroups), np.zeros(nramps), np.empty(nramps)
    for group, coefficient in zip(values, index, strict=True):
        table.take(coefficient, out=part, mode="clip")
        part *= group
        total += part
    return total


def _indices(cut: _Cut, powers: Flags) -> Numbers:
    """Return where the coefficient of each group is in the table; where there is a 0 for groups outside of segments."""
    ngroups = len(powers)
    narrow = (ngroups + 1) * _CLASSES < 1 << 8
    code = cut.ends if narrow else cut.ends.astype(np.uint16)
    code = code * code.dtype.type(_CLASSES)
    code += powers
    for group in range(ngroups - 1, 0, -1):
        # From its last group on backwards a segment's length and power hold until it has begun.
        code[group - 1] |= code[group] & ~cut.starts[group] if narrow else np.where(cut.starts[group], 0, code[group])
    wide = np.uint16 if (ngroups + 1) * _CLASSES * ngroups < 1 << 16 else np.uint32
    index: Numbers = code.astype(wide)
    index *= wide(ngroups)
    index += cut.place
    return index


@lru_cache(maxsize=64)
def _table(ngroups: int) -> Real:
    """Return coefficients by length, power and place: slope in DN per group times what its variance is divided by."""
    table = np.zeros((ngroups + 1, _CLASSES, ngroups))
    for length in range(1, ngroups + 1):
        table[length, :, :length] = _row(length) * _cube(length)
    table.flags.writeable = False
    return table.reshape(-1)


def _row(length: int) -> Real:
    """Return what the values of a segment are multiplied by to give the slope per group, (power, place)."""
    if length == 1:
        return np.ones((_CLASSES, 1))
    if length == 2:
        return np.tile([-1.0, 1.0], (_CLASSES, 1))
    half = optimal_weights.coefficients(length)
    row = np.zeros((_CLASSES, length))
    row[:, : length // 2] = -half
    row[:, ::-1][:, : length // 2] = half
    return row


def _cube(length: int) -> int:
    return max(length**3 - length, 6)


def _variances(cut: _Cut, noise: PixelNoise, rate: Real, time_s: Real, sums: Sums, block: slice) -> None:
    """Write the sums of inverse variances: of read noise without what all segments of a ramp have in common."""
    photon = (np.fmax(rate, 0.0) + noise.dark_current) / (time_s * noise.gain)  # of two groups
    read = 12 * (noise.read_noise / time_s) ** 2 / (noise.gain * noise.gain)  # times the cube
    total, cubes = _by_length(cut.ends, photon.astype(np.float32), read.astype(np.float32))
    odd = np.flatnonzero(~np.isfinite(total))
    if odd.size:  # lengths that a ramp does not have must not count where they have no variance
        total[odd] = _by_length(cut.ends[:, odd], photon[odd], read[odd], missing=True)[0]
    steps = np.add.reduce(cut.ends - (cut.ends > 1), axis=0, dtype=cut.ends.dtype)
    sums.read[block] = cubes * time_s * time_s
    sums.photon[block] = np.where(photon > 0, steps / photon, 0.0)
    sums.total[block] = total


def _by_length(
    ends: Numbers, photon: NDArray[Any], read: NDArray[Any], *, missing: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the sums of inverse variances and of cubes over segments, all segments of a length at once.

    The sums have the precision of the variances: sums of a few positive terms lose nothing in single precision that a
    product could show. With `missing`, lengths that a ramp does not have add nothing even if they have no variance.
    """
    kind = photon.dtype.type
    total, part, spare = np.zeros_like(photon), np.empty_like(photon), np.empty_like(photon)
    cubes: NDArray[Any] = np.zeros(len(photon), np.uint64 if len(ends) > _LARGEST_NARROW else np.uint32)
    for length in range(1, int(ends.max(initial=0)) + 1):
        count = _count(ends, length)
        if count.any():
            np.multiply(photon, kind(1 / max(length - 1, 1)), out=part)
            part += np.multiply(read, kind(1 / _cube(length)), out=spare)
            np.divide(count, part, out=part, casting="same_kind")
            if missing:
                part[count == 0] = 0.0
            total += part
            cubes += count * cubes.dtype.type(_cube(length))
    return total, cubes


_LARGEST_NARROW = 1024  # groups; the sum of cubes is below 2**32 for that many


def _count(ends: Numbers, length: int) -> Numbers:
    """Return how many segments of a length each ramp has."""
    narrow = np.uint8 if len(ends) < 1 << 8 else np.uint16
    ended = (ends == length).view(np.uint8)
    counted: Numbers = np.add.reduce(ended, axis=0, dtype=narrow)
    return counted
