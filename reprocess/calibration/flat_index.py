"""Positions in arrays whose last axes are taken as one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quotient_and_remainder(number: NDArray[np.intp], divisor: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divide whole numbers that are not negative; several times as fast as `numpy.divmod` with its checks for signs."""
    quotient = number // divisor
    return quotient, number - quotient * divisor
