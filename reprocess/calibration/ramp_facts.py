"""What detecting jumps and fitting ramps must know of the whole exposure before they can work on a slab of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.dq import DO_NOT_USE, SATURATED


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
    """

    dead_groups: tuple[tuple[bool, ...], ...]
    saturated_groups: tuple[bool, ...]
    median_gain: float

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
        dead = [[wholly(group, DO_NOT_USE) for group in integration] for integration in groupdq]
        saturated = [wholly(groupdq[:, group], SATURATED) for group in range(groupdq.shape[1])]
        return cls(tuple(map(tuple, dead)), tuple(saturated), math.nan if gain is None else median_gain(gain))


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
    known = gain[~np.isnan(gain)]
    return float(np.median(known)) if known.size else math.nan
