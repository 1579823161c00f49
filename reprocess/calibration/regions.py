"""Connected pixels of an image, found among the flagged pixels alone.

Pixels that touch at a side or a corner belong together. The work grows with the flagged pixels, not with the image:
each pixel is linked to its neighbours in a sorted list, and the links are followed as a graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import csgraph

_RING = 8  # pixels of the smallest region with a hole
_TOUCHING = np.ones((3, 3), np.bool_)


@dataclass(frozen=True, slots=True)
class Regions:
    """Regions of connected pixels, their pixels one region after the other.

    Attributes
    ----------
    rows, columns : int array, (pixel,)
        Of a region by row, then by column.
    starts : int array, (region + 1,)
        Where the pixels of each region begin; the last entry is the number of pixels.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    starts: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> NDArray[np.intp]:
        """Pixels of each region."""
        return np.diff(self.starts)

    def total(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add up a value of every pixel, for each region."""
        if not len(self):
            return np.zeros(0, np.int64)
        totals: NDArray[np.int64] = np.add.reduceat(values, self.starts[:-1])
        return totals

    def corners(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the first and the last row, the first and the last column of each region."""
        begin = self.starts[:-1]
        if not len(self):
            return (np.zeros(0, np.int64),) * 4
        left, right = np.minimum.reduceat(self.columns, begin), np.maximum.reduceat(self.columns, begin)
        return self.rows[begin], self.rows[self.starts[1:] - 1], left, right

    def centres(self) -> NDArray[np.float64]:
        """Return the mean column and row of each region; (region, 2)."""
        return np.stack([self.total(self.columns), self.total(self.rows)], axis=1) / self.counts[:, np.newaxis]

    def chosen(self, which: NDArray[np.bool_]) -> Regions:
        """Return some of the regions.

        Parameters
        ----------
        which : bool array, (region,)
        """
        if np.all(which):
            return self
        counts = self.counts
        pixels = np.repeat(which, counts)
        starts = np.concatenate([[0], np.cumsum(counts[which])])
        return Regions(self.rows[pixels], self.columns[pixels], starts)

    def of_area(self, least: float) -> Regions:
        """Return the regions that, with their holes filled, have a number of pixels or more."""
        counts = self.counts
        if not counts.size or counts.min() >= least:
            return self
        top, bottom, left, right = self.corners()
        hollow = np.maximum(bottom - top - 1, 0) * np.maximum(right - left - 1, 0)
        large = counts >= least
        for number in np.flatnonzero(~large & (counts >= _RING) & (counts + hollow >= least)).tolist():
            large[number] = self._filled_area(number) >= least
        return self.chosen(large)

    def images(self) -> Iterator[NDArray[np.bool_]]:
        """Yield each region as the image of its pixels, no larger than they are."""
        return (self._image(number) for number in range(len(self)))

    def _image(self, number: int) -> NDArray[np.bool_]:
        pixels = slice(self.starts[number], self.starts[number + 1])
        rows, columns = self.rows[pixels], self.columns[pixels]
        rows, columns = rows - rows.min(), columns - columns.min()
        image = np.zeros((rows.max() + 1, columns.max() + 1), np.bool_)
        image[rows, columns] = True
        return image

    def _filled_area(self, number: int) -> int:
        return int(np.count_nonzero(ndimage.binary_fill_holes(self._image(number), _TOUCHING)))


def connected(places: NDArray[np.intp], width: int) -> Regions:
    """Return the regions that some pixels of an image make.

    Parameters
    ----------
    places : int array, (pixel,)
        Ascending positions in the flat image.
    width : int
        Columns of the image.
    """
    rows = places // width
    columns = places - rows * width
    first, second = _links(places, columns, width)
    links = sparse.coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(len(places), len(places)))
    labels = csgraph.connected_components(links, directed=False)[1] if len(places) else np.zeros(0, np.int32)
    order = np.argsort(labels, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))]).astype(np.intp)
    return Regions(rows[order], columns[order], starts)


def _links(
    places: NDArray[np.intp], columns: NDArray[np.intp], width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of touching pixels: to the right, and the three below."""
    beside = np.flatnonzero((places[1:] == places[:-1] + 1) & (columns[1:] > 0))
    firsts, seconds = [beside], [beside + 1]
    below = np.searchsorted(places, places + (width - 1))
    for step in range(3):
        other = np.flatnonzero(below < len(places) - step)
        reached = below[other] + step
        # The next pixels of the list are also those far away; they touch only if the place says so.
        near = np.abs(places[reached] - places[other] - width) <= 1
        near &= np.abs(columns[reached] - columns[other]) <= 1
        firsts.append(other[near])
        seconds.append(reached[near])
    return np.concatenate(firsts), np.concatenate(seconds)
