"""The runs of usable groups that a ramp is cut into by its flags, and the line through each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import optimal_weights
from reprocess.calibration.dq import JUMP_DET, PERSISTENCE, SATURATED

_KEPT_BITS = np.uint8(0xFF ^ PERSISTENCE)


@dataclass(frozen=True, slots=True)
class Segments:
    """Segments of many ramps, one element each.

    Attributes
    ----------
    ramp : int array
        Which ramp it belongs to.
    start : int array
        Its first group.
    length : int array
        Its number of groups.
    """

    ramp: NDArray[np.intp]
    start: NDArray[np.intp]
    length: NDArray[np.intp]

    def chosen(self, which: NDArray[np.intp]) -> Segments:
        """Return some of the segments, or all in another order."""
        return Segments(self.ramp.take(which), self.start.take(which), self.length.take(which))


def find_segments(flags: NDArray[np.uint8]) -> Segments:
    """Cut ramps into runs of groups without flags; PERSISTENCE does not count as one.

    The group before a run belongs to it if it has JUMP_DET and nothing else: the jump came before that group was read.
    Of a ramp with several runs, those of one group are left out; if all are of one group, the first remains.

    Parameters
    ----------
    flags : uint8 array, (group, ramp)

    Returns
    -------
    Segments
        In the order of ramps, and of groups within a ramp.
    """
    return _without_single_groups(_runs(flags))


def reported_count(flags: NDArray[np.uint8]) -> int:
    """Return the length of the axis of segments in the official optional product.

    It is the largest number of segments of a ramp, but a ramp whose segments are all of one group counts those that are
    left out too.

    Parameters
    ----------
    flags : uint8 array, (group, ramp)
    """
    runs = _runs(flags)
    used = flags[0].take(runs.ramp) & SATURATED == 0
    long, short = (runs.ramp[used & chosen] for chosen in (runs.length > 1, runs.length == 1))
    longer, shorter = (np.bincount(ramp, minlength=flags.shape[1]) for ramp in (long, short))
    return int(np.max(np.where(longer > 0, longer, shorter), initial=0))


def _runs(flags: NDArray[np.uint8]) -> Segments:
    """Return all segments, those of one group too."""
    ngroups, nramps = flags.shape
    flags = flags & _KEPT_BITS
    good = np.zeros(1 + nramps * (ngroups + 1), np.bool_)  # a bad group before the first ramp and after each
    good[1:].reshape(nramps, ngroups + 1)[:, :-1] = np.equal(flags, 0).T
    edges = np.flatnonzero(good[1:] != good[:-1])
    ramp = edges[0::2] // (ngroups + 1)
    start = edges[0::2] - ramp * (ngroups + 1)
    length = edges[1::2] - edges[0::2]
    before = flags.reshape(-1).take((start - 1) * nramps + ramp, mode="clip")
    joined = (start > 0) & (before == JUMP_DET)
    return Segments(ramp, start - joined, length + joined)


def _without_single_groups(segments: Segments) -> Segments:
    """Leave out segments of one group unless the ramp has nothing else; then keep its first."""
    if not segments.ramp.size:
        return segments
    leads = np.ones(len(segments.ramp), np.bool_)
    np.not_equal(segments.ramp[1:], segments.ramp[:-1], out=leads[1:])
    first = np.flatnonzero(leads)
    longest = np.maximum.reduceat(segments.length, first)
    longest = np.repeat(longest, np.diff(first, append=len(leads)))
    return segments.chosen(np.flatnonzero((segments.length > 1) | (leads & (longest == 1))))


def slopes(
    data: NDArray[np.float32], segments: Segments, gain: NDArray[np.float64], read_variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit a line to each segment of at least two groups; the value itself stands for the slope of a single group.

    Parameters
    ----------
    data : float32 array, (group, ramp)
        DN. NaN inside of a segment of three and more groups counts as 0.
    segments : Segments
    gain, read_variance : float64 array, (segment,)
        Electrons per DN, and variance of a group from read noise in electrons squared.

    Returns
    -------
    float64 array, (segment,)
        DN per group.
    """
    nramps = data.shape[1]
    flat = data.reshape(-1)
    first = segments.start * nramps + segments.ramp
    last = first + (segments.length - 1) * nramps
    one = flat.take(first).astype(np.float64)
    rise = flat.take(last) - one
    power = optimal_weights.power_class(rise, gain, read_variance)
    if np.isnan(np.add.reduce(flat)):
        flat = np.nan_to_num(flat, nan=0.0, posinf=np.inf, neginf=-np.inf)
    slope: NDArray[np.float64] = np.where(segments.length == 1, one, rise)
    long = np.flatnonzero(segments.length > 2)
    if long.size:
        order = long.take(_falling(segments.length.take(long)))
        slope[order] = _weighted(flat, first.take(order), segments.length.take(order), power.take(order), nramps)
    return slope


def _falling(length: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the stable order of falling lengths; lengths of two bytes are sorted by their digits."""
    narrow = np.int16 if length.max() < 1 << 15 else np.intp
    return np.argsort((-length).astype(narrow), kind="stable")


def _weighted(
    flat: NDArray[np.float32], first: NDArray[np.intp], length: NDArray[np.intp], power: NDArray[np.intp], nramps: int
) -> NDArray[np.float64]:
    """Return the sums over pairs of opposite groups, for segments in the order of falling length.

    Parameters
    ----------
    flat : float32 array
        Values of all ramps, groups outermost.
    first : int array, (segment,)
        Where in it the first group is.
    length, power : int array, (segment,)
    nramps : int
        Distance between two groups of a ramp.
    """
    lengths = np.flatnonzero(np.bincount(length))
    tables = [optimal_weights.coefficients(int(each)) for each in lengths]
    offset = np.zeros(int(lengths[-1]) + 1, np.intp)
    offset[lengths] = np.cumsum([0] + [table.size for table in tables[:-1]])
    table = np.concatenate([each.reshape(-1) for each in tables])
    pairs = length // 2
    coefficient = offset[length] + power * pairs
    last = first + (length - 1) * nramps
    total = np.zeros(len(first))
    longer = np.searchsorted(-pairs, -np.arange(pairs[0]), side="left")
    for pair, count in enumerate(longer):
        rise = flat.take(last[:count] - pair * nramps).astype(np.float64)
        rise -= flat.take(first[:count] + pair * nramps)
        total[:count] += rise * table.take(coefficient[:count] + pair)
    return total
