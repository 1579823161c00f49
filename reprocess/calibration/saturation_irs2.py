"""The rule for the second group of IRS2 ramps that saturate in the third.

It differs from that of other readouts: the second group is SATURATED, not DO_NOT_USE, whatever the groups average, and
no other group is looked at. Linearity then leaves the group as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from reprocess.calibration import dq
from reprocess.calibration.saturation import Averaging, Threshold


def seconds(groups: NDArray[Any], limits: Threshold, averaging: Averaging) -> NDArray[np.bool_] | None:
    """Return where the second group of an integration is saturated because a late event in it saturates the third.

    With b the superbias, T the threshold, d_g the groups and N the frames of a group: where d_2 reaches T, though
    (d_0 - b) / (mean read of group 0) * (last read of group 2) + b does not, and d_1 - d_0 > (T - d_0) / N; and the
    neighbours of such pixels.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN, normal pixels only.
    limits : Threshold
    averaging : Averaging

    Returns
    -------
    bool array, (row, column), or None
        None where there is none.
    """
    if len(groups) < 3:
        return None
    row, column = np.nonzero(groups[2].astype(np.float32, copy=False) >= limits.level)
    if not len(row):
        return None
    level = limits.level[row, column]
    bias = np.float32(0) if averaging.bias is None else averaging.bias[row, column]
    zeroth, first = (groups[number][row, column].astype(np.float32) for number in (0, 1))
    expected = (zeroth - bias) / np.float64(averaging.mean_read(0)) * averaging.last_read(2) + bias
    late = (expected < level) & ((first - zeroth) > (level - zeroth) / np.float32(averaging.nframes))
    flagged = np.zeros(groups.shape[1:], bool)
    flagged[row[late], column[late]] = True
    if averaging.layers:
        width = 2 * averaging.layers + 1
        flagged = binary_dilation(flagged, structure=np.ones((width, width), bool))
    return flagged if flagged.any() else None


def flag_seconds(flags: NDArray[np.uint8], saturated: NDArray[np.bool_] | None, rows: slice) -> None:
    """Add SATURATED, in place, to the second group of some rows.

    Parameters
    ----------
    flags : uint8 array, (group, row, column)
        Of the rows.
    saturated : bool array, (row, column), or None
        From `seconds`, all rows.
    rows : slice
    """
    if saturated is not None:
        flags[1] |= saturated[rows].view(np.uint8) * np.uint8(dq.SATURATED)
