"""Where a jump spreads to: the four neighbours of its pixel, and the groups after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.blocks import batches
from reprocess.calibration.flat_index import quotient_and_remainder
from reprocess.calibration.flat_ramps import JUMP, UNUSABLE, FlatRamps, centre, numbered
from reprocess.calibration.quiet_sizes import sigma


@dataclass(frozen=True, slots=True)
class Reach:
    """Which jumps reach the neighbours.

    Attributes
    ----------
    above, below : float
        Jumps between these, in standard deviations.
    columns : int
        Columns of the image.
    """

    above: float
    below: float
    columns: int

    def takes(self, size: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return which of some jumps reach the neighbours."""
        return np.flatnonzero((size > self.above) & (size < self.below))


@dataclass(frozen=True, slots=True)
class Afterglow:
    """How long a large jump is seen in the groups after it.

    Attributes
    ----------
    from_dn : float
        Least jump in DN.
    groups : int
        Groups that it lasts; 0 for none.
    """

    from_dn: float
    groups: int


def spreading(ramps: FlatRamps, pixels: NDArray[np.intp], reach: Reach) -> NDArray[np.intp]:
    """Return where in the flat `groupdq` those flagged jumps of some pixels are that reach the neighbours."""
    found = [np.zeros(0, np.intp)]
    for batch in batches(pixels, ramps.planes):
        differences = ramps.differences(batch)
        difference, column = numbered(ramps.groupdq[:, 1:].take(batch, axis=2) & JUMP != 0)
        middle = centre(differences)
        deviation = sigma(middle, ramps.noise_variance(batch))
        size = differences.reshape(-1).take(difference * len(batch) + column)
        jump_size = np.abs(size - middle.take(column)) / deviation.take(column)
        taken = reach.takes(jump_size)
        found.append(ramps.positions(difference.take(taken), batch.take(column.take(taken))))
    return np.concatenate(found)


def flag_neighbours(ramps: FlatRamps, positions: NDArray[np.intp], pixel: NDArray[np.intp], columns: int) -> None:
    """Flag the same group of the four neighbours of some jumps.

    Parameters
    ----------
    ramps : FlatRamps
    positions : int array, (n,)
        Of the jumps in the flat `groupdq`.
    pixel : int array, (n,)
    columns : int
        Columns of the image.
    """
    if not positions.size:
        return
    flat = ramps.groupdq.reshape(-1)
    _, column = quotient_and_remainder(pixel, columns)
    inner = columns <= int(pixel.min()) and int(pixel.max()) < ramps.pixels - columns
    for neighbour in (
        positions - (column > 0),
        positions + (column < columns - 1),
        positions - (columns if inner else columns * (pixel >= columns)),
        positions + (columns if inner else columns * (pixel < ramps.pixels - columns)),
    ):
        flags = flat.take(neighbour)
        flat[neighbour] = flags | np.multiply(flags & UNUSABLE == 0, JUMP)


def flag_groups_after(ramps: FlatRamps, afterglows: tuple[Afterglow, ...], median_gain: float) -> None:
    """Flag the groups that the afterglow of a large jump lasts.

    Parameters
    ----------
    ramps : FlatRamps
        Flagged otherwise.
    afterglows : tuple of Afterglow
    median_gain : float
        Electrons per DN of the whole detector.
    """
    limits = [np.float32(each.from_dn * np.float32(median_gain)) for each in afterglows]
    for pixels in batches(ramps.with_flag(JUMP), ramps.planes):
        differences = ramps.differences(pixels)
        excess = differences - centre(differences)
        flags = ramps.groupdq.take(pixels, axis=2)
        jumps = flags[:, 1:] & JUMP != 0
        glow = np.zeros(flags.shape, np.bool_)
        for each, limit in zip(afterglows, limits, strict=True):
            large = (excess >= limit) & jumps
            left = np.zeros(flags[:, 0].shape, np.intp)
            for group in range(1, flags.shape[1]):
                left = np.where(large[:, group - 1], each.groups + 1, left)
                glow[:, group] |= left > 0
                left = np.maximum(left - 1, 0)
        flags[glow & (flags & UNUSABLE == 0)] |= JUMP
        ramps.groupdq[:, :, pixels] = flags
