"""What detecting jumps and fitting ramps must know of the whole exposure before they can work on a slab of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.dq import DO_NOT_USE, SATURATED

_SAMPLE = 1 << 14  # values


GroupMap = tuple[tuple[bool, ...], ...]  # one truth for each integration and group


@dataclass(frozen=True, slots=True)
class RampFacts:
    """Facts of the groups of one exposure, over all its rows.

    Attributes
    ----------
    dead_groups : tuple of tuple of bool
        For each integration and group, whether every pixel of it is DO_NOT_USE.
    saturated_groups : tuple of bool
        For each group, whether every pixel of it is SATURATED in all integrations.
    median_gain : float
        Median of the gain reference over the exposure's pixels, NaN left out, in electrons per DN.
    released_groups : tuple of tuple of bool, or None
        For each integration and group, whether every pixel of it jumps or is DO_NOT_USE, which by sigma clipping tells
        of no jump. None: of none, which `revised` checks once all slabs are calibrated.
    """

    dead_groups: GroupMap
    saturated_groups: tuple[bool, ...]
    median_gain: float
    released_groups: GroupMap | None = None

    @classmethod
    def of(cls, groupdq: NDArray[np.uint8], gain: NDArray[np.float32] | None = None) -> RampFacts:
        """Reduce the flags and the gain of a whole exposure.

        Parameters
        ----------
        groupdq : uint8 array, (integration, group, row, column)
            Flags as the jump step or the ramp fit receives them.
        gain : float32 array, (row, column), or None
            Electrons per DN. None: `median_gain` is not needed and becomes NaN.
        """
        saturated = [wholly(groupdq[:, group], SATURATED) for group in range(groupdq.shape[1])]
        return cls(dead_groups(groupdq), tuple(saturated), math.nan if gain is None else median_gain(gain))


@dataclass(frozen=True, slots=True)
class Reports:
    """What a slab tells of its groups once it is calibrated, that could not be told before.

    Attributes
    ----------
    wholly_jumped : tuple of tuple of bool, or None
        For each integration and group, whether every pixel of the core jumps; see `jump.JumpFlags`.
    dead_groups : tuple of tuple of bool, or None
        Whether every pixel of the core is DO_NOT_USE after the charge_migration step; None if that step did not run.
    """

    wholly_jumped: GroupMap | None = None
    dead_groups: GroupMap | None = None


NOTHING_TO_REPORT = Reports()


def revised(facts: RampFacts, reports: Sequence[Reports]) -> RampFacts | None:
    """Judge, when all slabs of an exposure are calibrated, whether they were with the right facts.

    Parameters
    ----------
    facts : RampFacts
        What they were calibrated with.
    reports : sequence of Reports
        Of all slabs; together they cover the exposure.

    Returns
    -------
    RampFacts or None
        Facts to calibrate all slabs anew with. None: all is right, as it is unless the charge of a whole group migrates
        or the whole detector jumps at once.
    """
    dead = _everywhere([each.dead_groups for each in reports])
    if dead is not None and dead != facts.dead_groups:
        return replace(facts, dead_groups=dead)
    jumped = _everywhere([each.wholly_jumped for each in reports])
    if jumped is None:
        return None
    released = _map(np.array(jumped) & ~np.array(facts.dead_groups))
    if not np.any(released) or released == facts.released_groups:
        return None
    return replace(facts, released_groups=released)


def _everywhere(maps: Sequence[GroupMap | None]) -> GroupMap | None:
    """Return what holds in all slabs; None where they do not tell."""
    told = [np.array(each, bool) for each in maps if each is not None]
    return _map(np.logical_and.reduce(told)) if told and len(told) == len(maps) else None


def _map(flags: NDArray[np.bool_]) -> GroupMap:
    return tuple(tuple(map(bool, groups)) for groups in flags)


def dead_groups(groupdq: NDArray[np.uint8]) -> GroupMap:
    """Tell for each integration and group whether every pixel of it is DO_NOT_USE.

    Parameters
    ----------
    groupdq : uint8 array, (integration, group, row, column)
    """
    return tuple(tuple(wholly(group, DO_NOT_USE) for group in integration) for integration in groupdq)


def wholly(flags: NDArray[np.uint8], bit: int) -> bool:
    """Return whether every element of some flags has a bit; the first row alone mostly answers it.

    Parameters
    ----------
    flags : uint8 array, (..., row, column)
    bit : int
    """
    if not np.all(flags[..., :1, :] & bit):
        return False
    return bool(np.all(flags & bit))


def median_gain(gain: NDArray[np.float32]) -> float:
    """Return the median of the gain with NaN left out; NaN if there is nothing else.

    Parameters
    ----------
    gain : float32 array, (row, column)
        Electrons per DN.
    """
    values = gain.reshape(-1)
    known = values.size - np.count_nonzero(values != values)
    if known == 0:
        return math.nan
    # The median lies between two values of a sample; only what lies between them has to be put in order.
    sample = np.sort(values[:: max(1, values.size // _SAMPLE)])
    sample = sample[: np.searchsorted(sample, np.inf, side="right")]
    spread, middle = max(1, len(sample) // 16), len(sample) // 2
    if len(sample) > 2 * spread:
        low, high = sample[middle - spread], sample[middle + spread]
        below, between = np.count_nonzero(values < low), values[(values >= low) & (values <= high)]
        first, second = (known - 1) // 2 - below, known // 2 - below
        if first >= 0 and second < len(between):
            between.partition((first, second))
            return float(np.mean(between[[first, second]]))
    return float(np.median(values[values == values]))
