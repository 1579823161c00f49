"""How a detector is read: electrons gather, are measured, averaged and sent down as groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation import chance, cosmic_rays, drift
from reprocess.simulation.chance import Floats
from reprocess.simulation.pixels import PixelMaps
from reprocess.simulation.schedule import Exposure

Group = NDArray[np.uint16]

_RESET_NOISE_DN = 12.0
_FULL_SCALE = 65535.0
_NEWTON_ROUNDS = 2
# MIRI only: the level after a reset is high for some groups, and the last frame is read low.
RESET_DECAY_DN = (45.0, 14.0, 4.0)
_LAST_FRAME_DN = -25.0


@dataclass(frozen=True)
class Light:
    """What fills the pixels: `sky` and `dark`, electrons per second, (row, column)."""

    sky: Floats
    dark: Floats


def read_out(exposure: Exposure, maps: PixelMaps, light: Light) -> Iterator[Group]:
    """Expose and read, group by group.

    Parameters
    ----------
    exposure : Exposure
    maps : PixelMaps
    light : Light

    Yields
    ------
    ndarray of uint16, shape (row, column)
        The groups of the first integration, of the second and so on, in DN.
    """
    random = chance.generator(exposure.seed, "ramp", exposure.number)
    for _ in range(exposure.mode.nints):
        yield from _integration(exposure, maps, light, random)


def reset_decay(group: int) -> float:
    """DN by which a MIRI pixel reads high in a group, counted from 0, after its reset."""
    return RESET_DECAY_DN[group] if group < len(RESET_DECAY_DN) else 0.0


def inverse_linearity(linear: Floats, maps: PixelMaps) -> Floats:
    """What a pixel measures that gathered `linear` DN: solves m + c2 m^2 + c3 m^3 = linear by Newton's method.

    Parameters
    ----------
    linear : ndarray of float32, shape (row, column)
        DN that a linear pixel would measure.
    maps : PixelMaps

    Returns
    -------
    ndarray of float32, shape (row, column)
    """
    square, cubic = maps.curvature, np.float32(maps.cubic)
    measured = linear / (1 + square * linear)
    for _ in range(_NEWTON_ROUNDS):
        excess = measured * (1 + measured * (square + cubic * measured)) - linear
        measured -= excess / (1 + measured * (2 * square + 3 * cubic * measured))
    return measured


def _integration(exposure: Exposure, maps: PixelMaps, light: Light, random: np.random.Generator) -> Iterator[Group]:
    """The groups between two resets."""
    pattern, frame_time_s = exposure.mode.pattern, exposure.mode.subarray.frame_time_s
    electrons = np.zeros(maps.gain.shape, dtype=np.float32)
    pedestal = maps.bias + np.float32(_RESET_NOISE_DN) * maps.light_sensitive * _noise(random, electrons.shape)
    levels = drift.levels(exposure, random)
    hit_rate = cosmic_rays.hit_rate(exposure.integration_time_s)
    for group in range(exposure.mode.ngroups):
        total = np.zeros_like(electrons)
        common = next(levels) + np.float32(_group_level(exposure, group))
        for frame in range(pattern.nframes):
            seconds = (1 + (pattern.groupgap if group and not frame else 0)) * frame_time_s
            electrons += random.poisson((light.sky + light.dark) * np.float32(seconds))
            cosmic_rays.strike(electrons, hit_rate * seconds, random)
            electrons *= maps.light_sensitive
            reading = _measure(electrons, pedestal, maps, infrared=exposure.mode.detector.infrared_array)
            reading += common
            reading += maps.read_noise * np.float32(0.5**0.5) * _noise(random, reading.shape)
            total += np.clip(reading, 0.0, _FULL_SCALE, out=reading)
        yield np.rint(total / np.float32(pattern.nframes)).astype(np.uint16)


def _measure(electrons: Floats, pedestal: Floats, maps: PixelMaps, *, infrared: bool) -> Floats:
    """DN that the electrons make: the pixel is not linear and fills up; MIRI's curve begins at its bias, not above."""
    linear = electrons / maps.gain
    if infrared:
        return np.minimum(inverse_linearity(linear, maps), maps.well) + pedestal
    return np.minimum(inverse_linearity(linear + pedestal, maps), maps.well)


def _group_level(exposure: Exposure, group: int) -> float:
    """DN that all pixels of a MIRI group have in common; 0 for the near-infrared arrays."""
    if exposure.mode.detector.infrared_array:
        return 0.0
    last = group == exposure.mode.ngroups - 1
    return reset_decay(group) + (_LAST_FRAME_DN if last else 0.0)


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return random.standard_normal(shape, dtype=np.float32)
