"""The search of whole ramps for jumps: a quick look at all pixels, a close look at the few that may have any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import jump_spread, two_point
from reprocess.calibration.flat_ramps import UNUSABLE, FlatRamps
from reprocess.calibration.jump_spread import Reach
from reprocess.calibration.quiet_sizes import Differences, Thresholds

# Values of the ramps that are looked at closely together: enough that the time does not go into calls.
BATCH_VALUES = 1 << 18


@dataclass(frozen=True, slots=True)
class Search:
    """How jumps are searched for.

    Attributes
    ----------
    thresholds : Thresholds
    iterative : bool
        Whether the most deviant difference is left out before the next look, or all are found in a single pass.
    reach : Reach
        Which jumps reach the neighbours.
    """

    thresholds: Thresholds
    iterative: bool
    reach: Reach

    def flag(self, ramps: FlatRamps, dead: NDArray[np.bool_], incomplete: NDArray[np.bool_]) -> None:
        """Set JUMP_DET in the later group of each difference that is a jump, and in the neighbours that it reaches.

        Parameters
        ----------
        ramps : FlatRamps
        dead : bool array, (integration, group)
            Groups that no pixel can use.
        incomplete : bool array, (pixel,)
            Pixels that cannot use all other groups.
        """
        kept = np.flatnonzero(~(dead[:, 1:] | dead[:, :-1]).reshape(-1))
        doubtful = _Gathered(len(kept))
        for differences, pixels in self._suspects(ramps, kept, incomplete):
            noise = ramps.noise_variance(pixels)
            if self.iterative:
                found, unclear, their_differences = two_point.iterative_jumps(differences, noise, self.thresholds)
                doubtful.add(their_differences, pixels.take(unclear))
            else:
                found = two_point.single_pass_jumps(differences, noise, self.thresholds)
            self._set(ramps, found, kept, pixels)
            for each in doubtful.enough():
                self._set_doubtful(ramps, *each, kept)
        for each in doubtful.rest():
            self._set_doubtful(ramps, *each, kept)

    def _set_doubtful(
        self, ramps: FlatRamps, differences: Differences, pixels: NDArray[np.intp], kept: NDArray[np.intp]
    ) -> None:
        found = two_point.doubtful_jumps(differences, ramps.noise_variance(pixels), self.thresholds)
        self._set(ramps, found, kept, pixels)

    def _set(self, ramps: FlatRamps, found: two_point.Jumps, kept: NDArray[np.intp], pixels: NDArray[np.intp]) -> None:
        """Set JUMP_DET where jumps were found among the kept differences of some pixels, and in their neighbours."""
        pixel = pixels.take(found.pixel)
        positions = ramps.positions(kept.take(found.difference), pixel)
        ramps.flag(positions)
        reaching = self.reach.takes(found.size)
        jump_spread.flag_neighbours(ramps, positions.take(reaching), pixel.take(reaching), self.reach.columns)

    def _suspects(
        self, ramps: FlatRamps, kept: NDArray[np.intp], incomplete: NDArray[np.bool_]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.intp]]]:
        """Yield the differences that are kept, (difference, pixel), of pixels that may have jumps, and those pixels."""
        gathered = _Gathered(len(kept))
        for block in ramps.blocks() if kept.size else ():
            differences = _differences(ramps, kept, block)
            noise = ramps.readnoise[block] * ramps.gain[block]
            noise *= noise
            noise *= np.float32(1 / ramps.nframes)
            suspect = two_point.may_have_jumps(differences, noise, self.thresholds, iterative=self.iterative)
            suspect |= incomplete[block]
            suspect &= noise == noise  # without a known noise nothing exceeds it
            chosen = np.flatnonzero(suspect)
            few = differences.take(chosen, axis=1)
            partly = np.flatnonzero(incomplete[block].take(chosen))
            chosen += block.start
            _forget_unusable(few, partly, ramps, kept, chosen)
            gathered.add(few, chosen)
            yield from gathered.enough()
        yield from gathered.rest()


class _Gathered:
    """Differences of pixels that wait for others, until they are worth the calls that one look takes."""

    def __init__(self, count: int) -> None:
        self._worth_it = BATCH_VALUES // max(count, 1)
        self._differences: list[Differences] = []
        self._pixels: list[NDArray[np.intp]] = []
        self._length = 0

    def add(self, differences: Differences, pixels: NDArray[np.intp]) -> None:
        """Let some pixels wait."""
        self._differences.append(differences)
        self._pixels.append(pixels)
        self._length += len(pixels)

    def enough(self) -> Iterator[tuple[Differences, NDArray[np.intp]]]:
        """Yield those that wait if they are many."""
        if self._length > self._worth_it:
            yield from self.rest()

    def rest(self) -> Iterator[tuple[Differences, NDArray[np.intp]]]:
        """Yield those that wait if there are any."""
        if self._length:
            differences, pixels = np.concatenate(self._differences, axis=1), np.concatenate(self._pixels)
            self._differences, self._pixels, self._length = [], [], 0
            yield differences, pixels


def _differences(ramps: FlatRamps, kept: NDArray[np.intp], block: slice) -> NDArray[np.float32]:
    """Return some differences of a block in electrons, whether the groups are usable or not."""
    planes, gain = ramps.data.reshape(ramps.planes, -1)[:, block], ramps.gain[block]
    later = kept + kept // (ramps.data.shape[1] - 1) + 1
    differences = np.empty((len(kept), len(gain)), np.float32)
    before, after, at = np.empty_like(gain), np.empty_like(gain), -1
    for row, plane in zip(differences, later, strict=True):
        if at != plane - 1:
            np.multiply(planes[plane - 1], gain, out=before)
        np.multiply(planes[plane], gain, out=after)
        np.subtract(after, before, out=row)
        before, after, at = after, before, plane
    return differences


def _forget_unusable(
    differences: NDArray[np.float32],
    partly: NDArray[np.intp],
    ramps: FlatRamps,
    kept: NDArray[np.intp],
    pixels: NDArray[np.intp],
) -> None:
    """Set differences to NaN that need an unusable group; `partly` are the columns that have any."""
    if not partly.size:
        return
    flags = ramps.groupdq.take(pixels.take(partly), axis=2)
    either = ((flags[:, 1:] | flags[:, :-1]) & UNUSABLE != 0).reshape(-1, len(partly))
    values = differences.take(partly, axis=1)
    np.copyto(values, np.nan, where=either[kept])
    differences[:, partly] = values
