"""The shapes that belong together in everything that is done to ramps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors


def check_layout(data: NDArray[np.float32], groupdq: NDArray[np.uint8], **images: NDArray[Any]) -> None:
    """Check that there is something to work on and that the arrays fit each other.

    Parameters
    ----------
    data : array, (integration, group, row, column)
    groupdq : array like `data`
    **images : array, (row, column)
        By the name that a message calls them.

    Raises
    ------
    errors.WrongLayout
        Naming the array and its shape.
    """
    if data.ndim != 4 or 0 in data.shape:
        raise errors.WrongLayout(
            f"data has shape {data.shape}; it needs (integration, group, row, column) with at least one of each"
        )
    if groupdq.shape != data.shape:
        raise errors.WrongLayout(f"groupdq has shape {groupdq.shape}; it needs that of data, {data.shape}")
    for name, image in images.items():
        if image.shape != data.shape[2:]:
            raise errors.WrongLayout(f"{name} has shape {image.shape}; it needs that of an image, {data.shape[2:]}")
