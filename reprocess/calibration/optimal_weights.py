"""Weights of the groups in the fit of a straight line (Fixsen et al. 2000, PASP 112, 1350).

The higher the signal, the more its own noise correlates the groups, and the more the first and the last groups count.
Weights are powers of the distance from the middle of the ramp, and the power depends on the signal-to-noise ratio.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

POWERS = (0.0, 0.4, 1.0, 3.0, 6.0, 10.0)
_RATIOS = (5.0, 10.0, 20.0, 50.0, 100.0)  # signal-to-noise ratio from which each power but the first is used


@lru_cache(maxsize=4096)
def weights(length: int) -> NDArray[np.float64]:
    """Return the weights of groups for each of `POWERS`, (power, group).

    They are rounded to single precision as in the official step, from powers that are the same on every machine.

    Parameters
    ----------
    length : int
        Groups in the fit, at least 2.
    """
    middle = (length - 1) / 2
    distance = [float(np.float32(abs((place - middle) * (1 / middle)))) for place in range(length)]
    rows = [[np.float32(math.pow(each, float(np.float32(power)))) for each in distance] for power in POWERS]
    table = np.array(rows, np.float64)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=4096)
def coefficients(length: int) -> NDArray[np.float64]:
    """Return what the differences of opposite groups are multiplied by to give the slope per group.

    The fit is symmetric about the middle, so the slope is a sum over pairs of `last - j` minus `first + j`.

    Parameters
    ----------
    length : int
        Groups in the fit, at least 2.

    Returns
    -------
    float64 array, (power, pair)
        One row for each of `POWERS`, from the outermost pair inwards; a middle group has no part.
    """
    middle = (length - 1) / 2
    place = np.arange(length, dtype=np.float64)[::-1][: length // 2]
    rows = []
    for weight in weights(length)[:, ::-1][:, : length // 2]:
        moment = weight * (place - middle)
        rows.append(moment / (2 * np.sum(moment * (place - middle))))
    table = np.stack(rows)
    table.flags.writeable = False
    return table


def power_class(
    rise: NDArray[np.float64], gain: NDArray[np.float64], read_variance: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return the index in `POWERS` for ramps.

    Parameters
    ----------
    rise : float64 array
        Last minus first group in DN. NaN gives the highest power.
    gain : float64 array
        Electrons per DN.
    read_variance : float64 array
        Variance of a group from read noise, in electrons squared.
    """
    signal = rise * gain
    variance = read_variance + signal
    ratio = signal / np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    below = np.zeros(ratio.shape, np.int8)
    for limit in _RATIOS:
        below += ratio < limit
    return len(_RATIOS) - below.astype(np.intp)
