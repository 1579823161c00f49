"""The truth about one exposure, for comparison with products."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation import fits_blocks, pixels
from reprocess.simulation.chance import Floats
from reprocess.simulation.pixels import PixelMaps
from reprocess.simulation.ramp import Group
from reprocess.simulation.schedule import Exposure

# Groups that must be unsaturated for a slope: two; MIRI gives up its first one as well.
_GROUPS_NEEDED, _MIRI_GROUPS_NEEDED = 2, 3


class SaturationWatch:
    """Lets groups pass and remembers which pixels were full too early to have a slope.

    Parameters
    ----------
    exposure : Exposure
    maps : PixelMaps
    """

    def __init__(self, exposure: Exposure, maps: PixelMaps) -> None:
        infrared = exposure.mode.detector.infrared_array
        self._threshold = maps.threshold + (maps.bias if infrared else np.float32(0.0))
        self._needed = _GROUPS_NEEDED if infrared else _MIRI_GROUPS_NEEDED
        self._ngroups = exposure.mode.ngroups
        self.too_early: NDArray[np.bool_] = np.zeros(maps.kind.shape, dtype=bool)

    def watch(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The groups as they are, all integrations in order."""
        for index, group in enumerate(groups):
            if index % self._ngroups < self._needed:
                self.too_early |= group >= self._threshold
            yield group


def file_parts(exposure: Exposure, maps: PixelMaps, sky: Floats, too_early: NDArray[np.bool_]) -> Iterator[bytes]:
    """The bytes of a truth file: RATE, the count rate in DN/s, and USABLE, 1 where a product should show it.

    Parameters
    ----------
    exposure : Exposure
    maps : PixelMaps
    sky : ndarray of float32, shape (row, column)
        Electrons per second.
    too_early : ndarray of bool, shape (row, column)
        Pixels that were full too early; with their neighbours, which saturation spreads to, they are not usable.

    Yields
    ------
    bytes
    """
    usable = ((maps.kind & pixels.UNUSABLE) == 0) & ~_grown(too_early)
    yield fits_blocks.primary(
        [
            ("DATASET", exposure.dataset, "exposure"),
            ("BUNIT", "DN/s", "unit of RATE"),
            ("SEED", exposure.seed, "seed of the simulation"),
            ("EXPNUM", exposure.number, "number of the exposure in the simulation"),
        ]
    )
    yield from fits_blocks.whole_image("RATE", "f4", sky / maps.gain)
    yield from fits_blocks.whole_image("USABLE", "u1", usable.astype(np.uint8))


def _grown(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flags and their eight neighbours."""
    padded = np.pad(flags, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    grown: NDArray[np.bool_] = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return grown
