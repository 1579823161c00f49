"""Leave out groups that are so bright that charge moves to the neighbours of the pixel.

From the first group above a threshold on, a pixel and its four neighbours are flagged CHARGELOSS and DO_NOT_USE. The
fit then leaves these groups out, but takes the read noise as if they were used.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.places import places
from reprocess.calibration.step import Locality, Step

STEP = Step(
    name="charge_migration",
    keyword="S_CHGMIG",
    revision=1,
    parameters=MappingProxyType({"signal_threshold": 25000.0, "skip": True}),
    locality=Locality(halo_rows=1),
)

FEWEST_GROUPS = 3  # with fewer the step is skipped
_FLAGS = np.uint8(dq.CHARGELOSS | dq.DO_NOT_USE)


def flag(data: NDArray[np.float32], groupdq: NDArray[np.uint8], threshold: float) -> None:
    """Set CHARGELOSS and DO_NOT_USE in place from the first group above the threshold on, and in the four neighbours.

    A group that is DO_NOT_USE and nothing else is not looked at.

    Parameters
    ----------
    data : float32 array, (integration, group, row, column)
        DN, linear.
    groupdq : uint8 array, (integration, group, row, column)
    threshold : float
        DN.
    """
    for groups, flags in zip(data, groupdq, strict=True):
        first = _with_neighbours(_first_above(groups, flags, threshold))
        row, column = places(first < len(groups))
        if len(row):
            lost = first[row, column] <= np.arange(len(groups))[:, None]
            flags[:, row, column] |= lost.view(np.uint8) * _FLAGS


def _first_above(groups: NDArray[np.float32], flags: NDArray[np.uint8], threshold: float) -> NDArray[np.intp]:
    """Return the first group above the threshold of each pixel; the number of groups where there is none."""
    first = np.full(groups.shape[1:], len(groups), np.intp)
    row, column = places(np.fmax.reduce(groups, axis=0) > threshold)
    above = groups[:, row, column] > threshold
    above &= flags[:, row, column] != dq.DO_NOT_USE
    first[row, column] = np.where(above.any(axis=0), above.argmax(axis=0), len(groups))
    return first


def _with_neighbours(first: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the earliest group of each pixel and its four neighbours."""
    earliest = first.copy()
    for one, other in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        np.minimum(earliest[one], first[other], out=earliest[one])
        np.minimum(earliest[:, one], first[:, other], out=earliest[:, one])
    return earliest
