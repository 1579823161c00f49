"""Some pixels of a cube of which only a view may be at hand."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_DENSE = 4  # pixels among which there is one that is wanted

Scalar = TypeVar("Scalar", bound=np.generic)


def picked(cube: NDArray[Scalar], pixels: NDArray[np.intp]) -> NDArray[Scalar]:
    """Return some pixels of every plane, as a contiguous array.

    `ndarray.take` copies the whole of an array that is not contiguous, such as the core rows of a slab; this does not.

    Parameters
    ----------
    cube : array, (integration, group, pixel)
        Contiguous along its last axis.
    pixels : int array, (n,)
        In ascending order.
    """
    first, last = (int(pixels[0]), int(pixels[-1])) if pixels.size else (0, -1)
    if last - first < _DENSE * pixels.size:
        return cube[:, :, first : last + 1].take(pixels - first, axis=2)
    found = np.empty((*cube.shape[:2], pixels.size), cube.dtype)
    for planes, targets in zip(cube, found, strict=True):
        for plane, target in zip(planes, targets, strict=True):
            plane.take(pixels, out=target, mode="clip")  # the other modes fill a buffer first
    return found
