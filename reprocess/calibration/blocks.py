"""Runs of pixels short enough that all their groups stay in a core's cache while they are worked on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 17  # values of all groups together: half a megabyte in single precision
SHORTEST_BLOCK = 512  # pixels; below it the time goes into calls, not into arithmetic


def blocks(pixels: int, planes: int, *, values: int = BLOCK_VALUES, shortest: int = SHORTEST_BLOCK) -> Iterator[slice]:
    """Cut a number of pixels into runs; results of pixelwise arithmetic do not depend on where.

    Parameters
    ----------
    pixels : int
        Pixels altogether.
    planes : int
        Values of one pixel: integrations times groups.
    values : int
        Values that one block should hold.
    shortest : int
        Pixels that one block should have even if it holds more values then.
    """
    length = max(values // max(planes, 1), shortest)
    return (slice(start, min(start + length, pixels)) for start in range(0, pixels, length))


def batches(
    chosen: NDArray[np.intp], planes: int, *, values: int = BLOCK_VALUES, shortest: int = SHORTEST_BLOCK
) -> Iterator[NDArray[np.intp]]:
    """Cut a list of pixels into lists of about the same size.

    Parameters
    ----------
    chosen : int array, (n,)
        Indices of pixels.
    planes : int
        Values of one pixel: integrations times groups.
    values : int
        Values that one batch should hold.
    shortest : int
        Pixels that one batch should have even if it holds more values then.
    """
    return (chosen[block] for block in blocks(len(chosen), planes, values=values, shortest=shortest))
