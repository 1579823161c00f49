"""Rows and columns of the few pixels that something is true of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Places = tuple[NDArray[np.intp], NDArray[np.intp]]


def places(mask: NDArray[np.bool_]) -> Places:
    """Return the rows and columns where an image is true, as `numpy.nonzero` does, several times faster.

    Parameters
    ----------
    mask : bool array, (row, column)
    """
    row, column = np.divmod(np.flatnonzero(mask), max(1, mask.shape[1]))
    return row, column
