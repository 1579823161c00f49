"""Sums over a ring of pixels around each pixel of an image, as a few additions of shifted images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring of pixels.

    Attributes
    ----------
    inner_radius : float
        Distance in pixels from which on a pixel belongs to it.
    width : float
        Of the ring in pixels; at inner radius and width together a pixel still belongs to it.
    """

    inner_radius: float
    width: float

    def total(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the sum of the values in the ring around each pixel; beyond the image they are 0.

        Parameters
        ----------
        image : float32 array, (row, column)
        """
        return self._added(image, np.dtype(np.float32), 0)

    def count(self, good: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return how many pixels in the ring around each pixel are good; beyond the image they are.

        Parameters
        ----------
        good : bool array, (row, column)
        """
        width = 2 * self._reach + 1
        narrow = np.dtype(np.uint8 if width * width < 256 else np.int32)
        return self._added(good, narrow, 1).astype(np.float32)

    @property
    def _reach(self) -> int:
        return math.floor(self.inner_radius + self.width)

    def _runs(self) -> Iterator[tuple[int, int, int]]:
        """Yield, for each row from the centre down, half the outer and half the inner run; -1 if there is none."""
        outer, inner = (self.inner_radius + self.width) ** 2, self.inner_radius**2
        for row in range(self._reach + 1):
            columns = range(self._reach + 1)
            within = max((column for column in columns if column**2 + row**2 <= outer), default=-1)
            without = max((column for column in columns if column**2 + row**2 < inner), default=-1)
            yield row, within, without

    def _added(self, image: NDArray[Any], dtype: np.dtype[Any], beyond: int) -> NDArray[Any]:
        """Add up the ring: runs of a row first, then rows."""
        reach, (rows, columns) = self._reach, image.shape
        padded = np.full((rows + 2 * reach, columns + 2 * reach), beyond, dtype)
        padded[reach : reach + rows, reach : reach + columns] = image
        total = np.zeros(image.shape, dtype)
        middle = slice(reach, reach + columns)
        run = padded[:, middle].copy()
        for half in range(reach + 1):
            if half:
                run += padded[:, reach - half : reach - half + columns]
                run += padded[:, reach + half : reach + half + columns]
            for row, within, without in self._runs():
                for shift in (row, -row)[: 1 + (row > 0)]:
                    part = run[reach + shift : reach + shift + rows]
                    if within == half:
                        total += part
                    if without == half:
                        total -= part
        return total
