"""Ramps with rows and columns as one axis, and the differences of their groups in electrons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import ramp_facts, selection
from reprocess.calibration.blocks import SHORTEST_BLOCK, batches, blocks
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, SATURATED
from reprocess.calibration.flat_index import quotient_and_remainder
from reprocess.calibration.ramp_facts import GroupMap

UNUSABLE = np.uint8(DO_NOT_USE | SATURATED)
JUMP = np.uint8(JUMP_DET)
BLOCK_VALUES = 1 << 19  # values of all groups that are looked at together


@dataclass(frozen=True, slots=True)
class FlatRamps:
    """The ramps of an exposure or a slab; flags are set in `groupdq` in place.

    Attributes
    ----------
    data : float32 array, (integration, group, pixel)
        DN.
    groupdq : uint8 array, (integration, group, pixel)
        Contiguous.
    gain : float32 array, (pixel,)
        Electrons per DN.
    readnoise : float32 array, (pixel,)
        Noise of a difference of two reads in DN.
    nframes : int
        Frames that a group averages.
    """

    data: NDArray[np.float32]
    groupdq: NDArray[np.uint8]
    gain: NDArray[np.float32]
    readnoise: NDArray[np.float32]
    nframes: int

    @classmethod
    def of(
        cls,
        data: NDArray[np.float32],
        groupdq: NDArray[np.uint8],
        gain: NDArray[np.float32],
        readnoise: NDArray[np.float32],
        *,
        nframes: int,
    ) -> FlatRamps:
        """Take arrays with rows and columns."""
        axes = (*data.shape[:2], -1)
        return cls(data.reshape(axes), groupdq.reshape(axes), gain.reshape(-1), readnoise.reshape(-1), nframes)

    @property
    def planes(self) -> int:
        """Values of one pixel."""
        return int(self.data.shape[0] * self.data.shape[1])

    @property
    def pixels(self) -> int:
        """Pixels of a plane."""
        return len(self.gain)

    def blocks(self, *, shortest: int = SHORTEST_BLOCK) -> Iterator[slice]:
        """Cut the pixels into runs whose ramps stay in cache, of not fewer than some pixels."""
        return blocks(self.pixels, self.planes, values=BLOCK_VALUES, shortest=shortest)

    def with_flag(self, bits: np.uint8) -> NDArray[np.intp]:
        """Return the pixels that have one of some flags in any group."""
        planes = self.groupdq.reshape(self.planes, -1)
        found = [
            np.flatnonzero(np.bitwise_or.reduce(planes[:, block], axis=0) & bits) + block.start
            for block in self.blocks()
        ]
        return np.concatenate(found)

    def seen(self, live: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the flags that each pixel has in any of the live groups, and JUMP_DET also of all others.

        Parameters
        ----------
        live : bool array, (integration, group)
        """
        planes, chosen = self.groupdq.reshape(self.planes, -1), live.reshape(-1)
        seen = np.empty(self.pixels, np.uint8)
        for block in self.blocks():
            np.bitwise_or.reduce(planes[:, block] if chosen.all() else planes[chosen, block], axis=0, out=seen[block])
            for plane in np.flatnonzero(~chosen):
                seen[block] |= planes[plane, block] & JUMP
        return seen

    def wholly(self, bits: int) -> GroupMap:
        """Return for each integration and group whether every pixel has one of some flags."""
        columns = self.groupdq[..., np.newaxis]
        return tuple(tuple(ramp_facts.wholly(group, bits) for group in integration) for integration in columns)

    def release(self, groups: GroupMap | None) -> None:
        """Clear JUMP_DET in some groups, where it is the only flag."""
        for integration, group in np.argwhere(np.array(groups or (), bool)):
            flags = self.groupdq[integration, group]
            flags[flags == JUMP] = 0

    def forget_jumps_of_unusable_groups(self, pixels: NDArray[np.intp]) -> None:
        """Clear JUMP_DET beside DO_NOT_USE and SATURATED in some pixels."""
        for batch in batches(pixels, self.planes):
            flags = self.groupdq[:, :, batch]
            flags[flags & UNUSABLE != 0] &= ~JUMP
            self.groupdq[:, :, batch] = flags

    def noise_variance(self, pixels: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the variance of a difference from read noise, in electrons squared."""
        noise = self.readnoise.take(pixels) * self.gain.take(pixels)
        noise *= noise
        return noise / np.float64(self.nframes)

    def differences(self, pixels: NDArray[np.intp] | slice) -> NDArray[np.float32]:
        """Return the differences of some pixels in electrons, NaN where a group is unusable; (int, diff, pixel)."""
        if isinstance(pixels, slice):
            data, flags = self.data[:, :, pixels], self.groupdq[:, :, pixels]
        else:
            data, flags = self.data.take(pixels, axis=2), self.groupdq.take(pixels, axis=2)
        signal, unusable = data * self.gain[pixels], flags & UNUSABLE
        if unusable.any():
            np.copyto(signal, np.nan, where=unusable != 0)
        return signal[:, 1:] - signal[:, :-1]

    def positions(self, differences: NDArray[np.intp], pixels: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where in the flat `groupdq` the later groups of some differences are.

        Parameters
        ----------
        differences : int array, (n,)
            Numbered through all integrations.
        pixels : int array, (n,)
        """
        later = differences + differences // (self.groupdq.shape[1] - 1) + 1
        positions: NDArray[np.intp] = later * self.groupdq.shape[2]
        positions += pixels
        return positions

    def flag(self, positions: NDArray[np.intp]) -> None:
        """Set JUMP_DET in some places of the flat `groupdq`."""
        flat = self.groupdq.reshape(-1)
        flat[positions] = flat.take(positions) | JUMP


def centre(differences: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median of all differences of each pixel; differences are (integration, difference, pixel)."""
    return selection.median_of_known(differences.reshape(-1, differences.shape[2]).copy())


def numbered(hits: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return difference and pixel of each hit; hits are (integration, difference, pixel)."""
    return quotient_and_remainder(np.flatnonzero(hits), hits.shape[2])
