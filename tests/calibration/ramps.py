"""Random ramps with everything that can be wrong with them, seeded; nothing here knows the kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reprocess.calibration.ramp import Ramp
from reprocess.calibration.readout import Readout
from reprocess.calibration.slope_variance import NoiseImages

DO_NOT_USE, SATURATED, JUMP_DET, PERSISTENCE, CHARGELOSS = 1, 2, 4, 32, 128


@dataclass(frozen=True)
class Ramps:
    """Inputs of the jump step and of the ramp fit."""

    data: np.ndarray
    groupdq: np.ndarray
    pixeldq: np.ndarray
    gain: np.ndarray
    readnoise: np.ndarray

    @property
    def arrays(self):
        return self.data, self.groupdq, self.pixeldq, self.gain, self.readnoise

    def rows(self, rows: slice) -> Ramps:
        return Ramps(*(array[..., rows, :] for array in self.arrays))


def ramp(ramps: Ramps, zeroframe: np.ndarray | None = None) -> Ramp:
    return Ramp(ramps.data, ramps.groupdq, ramps.pixeldq, zeroframe)


def images(ramps: Ramps, dark_current: np.ndarray | None = None) -> NoiseImages:
    return NoiseImages(ramps.gain, ramps.readnoise, dark_current)


def readout(ramps: Ramps, *, nframes: int = 1, instrument: str = "NIRCAM") -> Readout:
    nints, ngroups, rows, columns = ramps.data.shape
    return Readout(
        instrument=instrument,
        detector="NRCA1",
        exp_type="NRC_IMAGE",
        subarray="FULL",
        read_pattern="RAPID",
        nints=nints,
        ngroups=ngroups,
        nframes=nframes,
        groupgap=0,
        drop_frames1=0,
        frame_time_s=10.737 / nframes,
        group_time_s=10.737,
        fast_axis=1,
        slow_axis=2,
        rows=rows,
        columns=columns,
        row_start=0,
        column_start=0,
    )


def plain(data, *, gain: float = 2.0, readnoise: float = 10.0) -> Ramps:
    """Ramps without flags on a uniform detector."""
    data = np.asarray(data, np.float32)
    image = data.shape[2:]
    return Ramps(
        data,
        np.zeros(data.shape, np.uint8),
        np.zeros(image, np.uint32),
        np.full(image, gain, np.float32),
        np.full(image, readnoise, np.float32),
    )


def hit(seed: int, shape: tuple[int, int, int, int], *, whole_numbers: bool = False) -> Ramps:
    """Ramps of all brightnesses with cosmic rays, saturation, unusable groups and pixels, and NaN in places."""
    rng = np.random.default_rng(seed)
    image = shape[2:]
    rate = rng.choice([0.0, 1, 20, 300, 5000], size=image) * rng.uniform(0.5, 1.5, image)
    data = rng.poisson(np.broadcast_to(rate, shape)).cumsum(1) + rng.normal(0, 8, shape) + 100
    data += (rng.random(shape) < 0.04) * 10 ** rng.uniform(0.5, 4.5, shape)
    data += ((rng.random(shape) < 0.04) * 10 ** rng.uniform(0.5, 4.5, shape)).cumsum(1)
    data = (np.round(data) if whole_numbers else data).astype(np.float32)
    groupdq = np.zeros(shape, np.uint8)
    groupdq[np.maximum.accumulate(data > 40000, 1)] |= SATURATED
    for bit, part in ((DO_NOT_USE, 0.02), (JUMP_DET, 0.01), (PERSISTENCE, 0.005)):
        groupdq[rng.random(shape) < part] |= bit
    gain = rng.uniform(1, 3, image).astype(np.float32)
    readnoise = rng.uniform(5, 20, image).astype(np.float32)
    if whole_numbers:
        gain[:], readnoise[:] = 2, 6
    for value in (np.nan, -1, 0):
        gain[rng.random(image) < 0.01] = value
    for value in (np.nan, 0):
        readnoise[rng.random(image) < 0.01] = value
    data[rng.random(shape) < 0.001] = np.nan
    return Ramps(data, groupdq, np.zeros(image, np.uint32), gain, readnoise)


def flagged(seed: int, shape: tuple[int, int, int, int], *, whole_numbers: bool = False, lost: bool = False) -> Ramps:
    """Ramps as they come out of the jump step, with flags of pixels and, if asked for, charge loss."""
    ramps = hit(seed, shape, whole_numbers=whole_numbers)
    rng = np.random.default_rng(seed + 1)
    groupdq, pixeldq = ramps.groupdq.copy(), ramps.pixeldq.copy()
    groupdq[rng.random(shape) < 0.05] |= JUMP_DET
    groupdq[groupdq & (DO_NOT_USE | SATURATED) > 0] &= 0xFF ^ JUMP_DET
    if lost:
        groupdq[np.maximum.accumulate(rng.random(shape) < 0.03, 1)] |= CHARGELOSS | DO_NOT_USE
        groupdq[rng.random(shape) < 0.01] |= CHARGELOSS
    for bit in (DO_NOT_USE, SATURATED, 1 << 20):
        pixeldq[rng.random(pixeldq.shape) < 0.02] |= bit
    return replace(ramps, groupdq=groupdq, pixeldq=pixeldq)


def with_zeroframe(seed: int, shape: tuple[int, int, int, int], *, lost: bool = False) -> tuple[Ramps, np.ndarray]:
    """Ramps of which many have one good group or none, with a zero frame that is 0 in places."""
    ramps = flagged(seed, shape, lost=lost)
    rng = np.random.default_rng(seed + 2)
    groupdq, image = ramps.groupdq.copy(), (shape[0], *shape[2:])
    kind = rng.random(image)
    for group in range(shape[1]):
        groupdq[:, group][(kind < 0.3) & (group >= rng.integers(0, 3, image))] |= SATURATED
        groupdq[:, group][(kind > 0.8) & (kind < 0.85)] |= PERSISTENCE
    groupdq[groupdq & (DO_NOT_USE | SATURATED) > 0] &= 0xFF ^ JUMP_DET
    zeroframe = rng.uniform(10, 3000, image) * (rng.random(image) > 0.3)
    return replace(ramps, groupdq=groupdq), zeroframe.astype(np.float32)


def battered(seed: int, shape: tuple[int, int, int, int], *, step: float | None = None) -> Ramps:
    """Ramps of which most are hit, up and down, once or often; counts are multiples of a step if one is given."""
    rng = np.random.default_rng(seed)
    ramps, image = hit(seed, shape), shape[2:]
    data = ramps.data.copy()
    for part, low, high in ((0.15, 1.5, 4.0), (0.1, 1.0, 2.5)):
        sizes = 10 ** rng.uniform(low, high, shape) * rng.choice([1, 1, 1, -1], size=shape)
        data += ((rng.random(shape) < part * rng.choice([0, 1, 3], size=image)) * sizes).cumsum(1)
    if step is not None:
        data = np.round(data / step) * step
        ramps.gain[rng.random(image) < 0.7] = 2
    groupdq = ramps.groupdq | np.where(np.maximum.accumulate(data > 30000, 1), SATURATED, 0).astype(np.uint8)
    return replace(ramps, data=data.astype(np.float32), groupdq=groupdq)
