"""Flag groups in which a pixel is saturated, or reads nothing at all.

The signal of a ramp only grows, so saturation is kept as one number for each pixel: the index of its first saturated
group. Growing the flags into the neighbours is then one minimum filter for all groups, and the rules for groups that
average several frames look only at the group just before the first saturated one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.places import Places, places
from reprocess.calibration.step import Locality, Step

STEP = Step(
    name="saturation",
    keyword="S_SATURA",
    revision=1,
    reference_types=("saturation", "superbias"),
    parameters=MappingProxyType({"n_pix_grow_sat": 1, "skip": False, "use_readpatt": True}),
    # The flags of saturation grow by n_pix_grow_sat, and the flags that are derived from them grow once more.
    locality=Locality(halo_rows=2),
)

NEVER_REACHED = np.float32(65536.0)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Where pixels saturate.

    Attributes
    ----------
    level : float32 array, (row, column)
        DN; out of the converter's reach where the check is not possible.
    unchecked : bool array, (row, column)
        Pixels without a check.
    flags : uint32 array, (row, column)
        What the reference adds to the flags of the pixels.
    """

    level: NDArray[np.float32]
    unchecked: NDArray[np.bool_]
    flags: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Averaging:
    """How groups average frames, and the bias that the rule for the second group needs.

    Attributes
    ----------
    nframes : int
        Frames of a group.
    bias : float32 array, (row, column), or None
        Superbias in DN, NaN where unknown.
    layers : int
        Layers of neighbours that are flagged too.
    """

    nframes: int
    bias: NDArray[np.float32] | None
    layers: int

    def mean_read(self, group: int) -> float:
        """Mean number of the reads of a group, the first read of the ramp being 1; the group gap is not counted."""
        return float(np.mean(group * self.nframes + np.arange(1, self.nframes + 1)))

    def last_read(self, group: int) -> int:
        """Number of the last read of a group."""
        return (group + 1) * self.nframes


def threshold(level: NDArray[np.float32], flags: NDArray[np.uint32]) -> Threshold:
    """Settle where pixels saturate: nowhere if the reference flags NO_SAT_CHECK or has NaN.

    Parameters
    ----------
    level : float32 array, (row, column)
        DN.
    flags : uint32 array, (row, column)
        Flags of the reference.
    """
    no_check = np.uint32(dq.NO_SAT_CHECK)
    unknown = np.isnan(level)
    unchecked = (flags & no_check) != 0
    unchecked |= unknown
    if unchecked.any():
        level = level.copy()
        level[places(unchecked)] = NEVER_REACHED
    if unknown.any():
        flags = flags.copy()
        flags[places(unknown)] |= no_check
    return Threshold(level, unchecked, flags)


class Onset:
    """Finds the first saturated group of every pixel, group by group.

    Parameters
    ----------
    limits : Threshold
    ngroups : int
        Groups of the integration; also the answer for pixels that never saturate.
    dtype : dtype
        Data type of the groups to come: uint16 as they are in the file, or float32.
    """

    def __init__(self, limits: Threshold, ngroups: int, dtype: np.dtype[Any]) -> None:
        self._last_good = _last_good(limits.level, dtype)
        self._alive = limits.level > 0 if dtype == np.uint16 else np.ones(limits.level.shape, bool)
        self.first: NDArray[Any] = np.zeros(limits.level.shape, np.min_scalar_type(ngroups))

    def add(self, group: NDArray[Any]) -> None:
        """Look at the next group, a (row, column) array."""
        for rows in _bands((1, *group.shape), 1 << 16):
            alive = self._alive[rows]
            np.greater(alive, group[rows] > self._last_good[rows], out=alive)
            self.first[rows] += alive.view(self.first.dtype) if self.first.itemsize == 1 else alive


def _last_good(level: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the largest value of the data type that is below the level."""
    below: NDArray[Any]
    if dtype == np.uint16:
        below = np.clip(np.ceil(level) - 1, 0, 65535).astype(np.uint16)
    else:
        below = np.nextafter(level, np.float32(-np.inf))
    return below


def first_saturated(groups: NDArray[Any], limits: Threshold) -> NDArray[Any]:
    """Return the index of the first group at or above the threshold; the number of groups where there is none.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN. NaN is below every threshold.
    limits : Threshold

    Returns
    -------
    uint8 or uint16 array, (row, column)
    """
    ngroups = len(groups)
    first = np.full(limits.level.shape, ngroups, np.min_scalar_type(ngroups))
    highest = np.maximum if groups.dtype == np.uint16 else np.fmax
    for rows in _bands(groups.shape):
        block, level = groups[:, rows], limits.level[rows]
        # A uint16 is exact in float32. Only pixels that reach the threshold at all are followed group by group.
        reached = np.flatnonzero(highest.reduce(block, axis=0).astype(np.float32, copy=False) >= level)
        if len(reached):
            followed = block.reshape(ngroups, -1)[:, reached] >= level.reshape(-1)[reached]
            first[rows].reshape(-1)[reached] = followed.argmax(axis=0)
    return first


def _bands(shape: tuple[int, ...], values: int = 1 << 17) -> Iterable[slice]:
    """Cut the rows into bands whose groups stay in the processor's cache."""
    ngroups, rows, columns = shape
    step = max(1, values // max(1, ngroups * columns))
    return (slice(start, start + step) for start in range(0, rows, step))


def grow(first: NDArray[Any], layers: int) -> NDArray[Any]:
    """Let every pixel saturate as early as the earliest of its neighbours in a square of 2 `layers` + 1 pixels."""
    for _ in range(layers):
        wide = first.copy()
        np.minimum(wide[:, 1:], first[:, :-1], out=wide[:, 1:])
        np.minimum(wide[:, :-1], first[:, 1:], out=wide[:, :-1])
        first = wide.copy()
        np.minimum(first[1:], wide[:-1], out=first[1:])
        np.minimum(first[:-1], wide[1:], out=first[:-1])
    return first


def flag_groups(
    groups: NDArray[Any], first: NDArray[Any], start: NDArray[np.uint8], *, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Return SATURATED from the first saturated group on, and AD_FLOOR and DO_NOT_USE where a group reads 0 or less.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN.
    first : integer array, (row, column)
        First saturated group, grown.
    start : uint8 array, (row, column)
        Flags that all groups have already.
    out : uint8 array, (group, row, column), optional
        Where to write the flags.

    Returns
    -------
    uint8 array, (group, row, column)
    """
    flags = np.empty(groups.shape, np.uint8) if out is None else out
    flags[...] = start
    row, column = places(first < len(groups))
    if len(row):
        saturated = first[row, column] <= np.arange(len(groups), dtype=first.dtype)[:, None]
        flags[:, row, column] |= saturated.view(np.uint8) * np.uint8(dq.SATURATED)
    if not groups.min(initial=1) > 0:
        floor = (groups <= 0).view(np.uint8)
        floor *= np.uint8(dq.AD_FLOOR | dq.DO_NOT_USE)
        flags |= floor
    return flags


def flag_averaged(
    groups: NDArray[Any], flags: NDArray[np.uint8], *, first: NDArray[Any], limits: Threshold, averaging: Averaging
) -> None:
    """Flag, in place, groups that saturated in their last frames but hide it in their average.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN.
    flags : uint8 array, (group, row, column)
        Flags as `flag_groups` returns them; DO_NOT_USE is added.
    first : integer array, (row, column)
        First saturated group, grown.
    limits : Threshold
    averaging : Averaging
    """
    last = len(groups)
    for number in range(last - 1):
        pair = {0: groups[0], number: groups[number]}
        flag_group_before(number, pair, flags[number], first=first, limits=limits, averaging=averaging, last=last)


def flag_group_before(
    number: int,
    groups: dict[int, NDArray[Any]],
    flags: NDArray[np.uint8],
    *,
    first: NDArray[Any],
    limits: Threshold,
    averaging: Averaging,
    last: int,
) -> None:
    """Flag one group, in place, where the group after it is the first saturated one and this one began to saturate.

    Parameters
    ----------
    number : int
        Index of the group.
    groups : mapping of int to array, (row, column)
        This group and group 0, in DN.
    flags : uint8 array, (row, column)
        Flags of this group.
    first, limits, averaging
        See `flag_averaged`.
    last : int
        Groups of the integration.
    """
    # A group of a single read hides nothing: what it rose by cannot exceed what was left below the threshold.
    if averaging.nframes == 1:
        return
    dilution = averaging.mean_read(number) / averaging.last_read(number)
    second = number == 1 and last > 2
    row, column = places(first == number + 1)
    if not len(row):
        return
    begun = _diluted(groups[number][row, column], (row, column), limits, dilution)
    begun &= (flags[row, column] & dq.DO_NOT_USE) == 0
    seeds = row[begun], column[begun]
    if second:
        jumped = _second(groups[0][row, column], groups[1][row, column], (row, column), limits, averaging)
        flags[row[jumped], column[jumped]] |= np.uint8(dq.DO_NOT_USE)
    _flag_square(flags, seeds, averaging.layers)


def _diluted(values: NDArray[Any], index: Places, limits: Threshold, dilution: float) -> NDArray[np.bool_]:
    """Return where a group's average reaches what it would be if its last frame were at the threshold."""
    factor = np.where(limits.unchecked[index], 1.0, dilution)
    return values.astype(np.float32) >= limits.level[index] * factor


def _second(
    zeroth: NDArray[Any], first: NDArray[Any], index: Places, limits: Threshold, averaging: Averaging
) -> NDArray[np.bool_]:
    """Return where the second group rose so much that a late event must have saturated the third.

    That is where the first group's rate would not have saturated the third group, and the second group rose by more
    than its share of what was left below the threshold.
    """
    level = limits.level[index]
    bias = np.float32(0) if averaging.bias is None else averaging.bias[index]
    start, end = zeroth.astype(np.float32), first.astype(np.float32)
    signal = (start - bias).astype(np.float64)
    expected = signal / averaging.mean_read(0) * averaging.last_read(2) + bias
    return (expected < level) & ((end - start) > (level - start) / np.float32(averaging.nframes))


def _flag_square(flags: NDArray[np.uint8], seeds: Places, layers: int) -> None:
    """Set DO_NOT_USE in place at the seeds and in the square of neighbours around each."""
    rows, columns = flags.shape
    for down in range(-layers, layers + 1):
        for right in range(-layers, layers + 1):
            row, column = seeds[0] + down, seeds[1] + right
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            flags[row[inside], column[inside]] |= np.uint8(dq.DO_NOT_USE)
