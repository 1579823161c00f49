"""The data: a full frame of NIRCam with stars, saturation, and cosmic rays, seeded."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from reprocess.simulation import deliveries, level1b, pixels, ramp, reference_files, rules, sky
from reprocess.simulation.deliveries import FIRST_CONTEXT, Deliveries
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.pixels import PixelMaps
from reprocess.simulation.schedule import Exposure, schedule

SEED = 1
CONTEXT = FIRST_CONTEXT
HIT_PIXELS = 0.02
_LEAST_DN, _MEAN_DN, _FULL_SCALE = 60, 400.0, 65535
_BORDER = 4
_CYCLE = 4  # exposures after which the simulator's schedule of NIRCam comes back to the same detector and pattern
_DARK_GROUPS_MORE = 2
_DARK_NOISE_DN = 0.5


@dataclass(frozen=True)
class Scene:
    """What one detector sees, in up to `groups` groups of `rows` x `rows` pixels, of which a share `hits` is hit."""

    groups: int
    rows: int = 2048
    hits: float = HIT_PIXELS

    def exposures(self, count: int, groups: int) -> list[Exposure]:
        """Exposures of this scene: their names and times differ, their pixels do not."""
        options = SimulationOptions(
            exposures=_CYCLE * (count - 1) + 1,
            seed=SEED,
            instruments=("NIRCAM",),
            shape=(self.rows, self.rows),
            groups=groups,
        )
        return list(schedule(options)[::_CYCLE])

    def level1b(self, exposure: Exposure) -> bytes:
        """Bytes of the Level 1b file of an exposure."""
        return b"".join(level1b.file_parts(exposure, _hit(self._frames[: exposure.mode.ngroups], self.hits)))

    def references(self, groups: int) -> Iterator[tuple[str, str, bytes]]:
        """CRDS type, key and bytes of each reference file; the dark is longer than an exposure of `groups` groups."""
        for delivery in self._deliveries(groups).first:
            data = b"".join(reference_files.file_parts(delivery, self._maps, SEED))
            if delivery.type == "dark":
                data = _longer_dark(data, groups + _DARK_GROUPS_MORE)
            yield delivery.type, delivery.key, data

    def rules(self, groups: int) -> dict[str, bytes]:
        """Rules of the context that selects these references, by key."""
        texts = rules.mappings(self._deliveries(groups))
        return {f"crds/mappings/jwst/{name}": text.encode() for name, text in texts.items()}

    def _deliveries(self, groups: int) -> Deliveries:
        return deliveries.deliveries(self.exposures(1, groups))

    @cached_property
    def _maps(self) -> PixelMaps:
        mode = self.exposures(1, self.groups)[0].mode
        return pixels.build(mode.detector, mode.subarray, SEED)

    @cached_property
    def _frames(self) -> Sequence[NDArray[np.uint16]]:
        exposure = self.exposures(1, self.groups)[0]
        light = ramp.Light(sky=sky.count_rate(exposure, self._maps), dark=self._maps.dark)
        return list(ramp.read_out(exposure, self._maps, light))


def _hit(frames: Sequence[NDArray[np.uint16]], share: float) -> Iterator[NDArray[np.uint16]]:
    """Add a jump to a share of the pixels, each in a group of its own; reference pixels are spared."""
    random = np.random.default_rng(SEED)
    charge = np.zeros(frames[0].shape, np.float32)
    science = charge[_BORDER:-_BORDER, _BORDER:-_BORDER]
    hit = random.random(science.shape) < share
    science[hit] = _LEAST_DN + random.exponential(_MEAN_DN, int(hit.sum()))
    since = random.integers(1, max(2, len(frames)), charge.shape)
    for number, frame in enumerate(frames):
        yield np.minimum(frame + charge * (since <= number), _FULL_SCALE).astype(np.uint16)


def _longer_dark(data: bytes, groups: int) -> bytes:
    """Give a dark as many groups as flight darks have at least, with noise, and without errors."""
    with fits.open(io.BytesIO(data)) as file:
        slope = file["SCI"].data[0].astype(np.float32)
        noise = np.random.default_rng(SEED).standard_normal((groups, *slope.shape), dtype=np.float32)
        file["SCI"].data = np.arange(1, groups + 1, dtype=np.float32)[:, None, None] * slope + _DARK_NOISE_DN * noise
        file["PRIMARY"].header["NGROUPS"] = groups
        del file["ERR"]
        stream = io.BytesIO()
        file.writeto(stream)
        return stream.getvalue()
