"""Random exposures with snowballs and showers, seeded; nothing here knows the kernels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.calibration.ramps import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED, Ramps, hit, plain

REFERENCE_PIXEL = 1 << 31


def ellipse(image, row, column, radii, angle):
    rows, columns = np.indices(image)
    down, right = rows - row, columns - column
    along = down * np.cos(angle) + right * np.sin(angle)
    across = right * np.cos(angle) - down * np.sin(angle)
    reach = radii[0] * radii[1]
    return (along * radii[1]) ** 2 + (across * radii[0]) ** 2 <= reach**2 if reach else along == np.inf


def snowballs(seed: int, shape: tuple[int, int, int, int], *, events: int = 8) -> np.ndarray:
    """Flags of groups: rays with their neighbours, and snowballs anywhere, also over each other and the edges."""
    rng = np.random.default_rng(seed)
    nints, ngroups, *image = shape
    flags = np.zeros(shape, np.uint8)
    for bit, part in ((JUMP_DET, 0.01), (DO_NOT_USE, 0.005), (PERSISTENCE, 0.002)):
        flags[rng.random(shape) < part] |= bit
    rays = rng.random(shape) < 0.004
    for axis, shift in ((2, 1), (2, -1), (3, 1), (3, -1), (3, 0)):
        flags[np.roll(rays, shift, axis) & (flags & DO_NOT_USE == 0)] |= JUMP_DET
    saturated = np.maximum.accumulate(rng.random(shape) < 0.0005, axis=1)
    for _ in range(events):
        integration, group = rng.integers(nints), rng.integers(ngroups)
        centre = rng.uniform(-3, np.array(image) + 3)
        if rng.random() < 0.5:
            centre = np.round(centre * 2) / 2
        radius, flatness = rng.choice([1.5, 3, 6, 12]) * rng.uniform(0.8, 1.2), rng.choice([1.0, rng.uniform(0.3, 1)])
        angle, core = rng.uniform(0, np.pi), rng.choice([0, 0.2, 0.6])
        halo = ellipse(image, *centre, (radius, radius * flatness), angle)
        late = min(group + rng.integers(2), ngroups - 1)
        saturated[integration, late:] |= ellipse(image, *centre, (radius * core, radius * core * flatness), angle)
        flags[integration, group][halo & (flags[integration, group] & DO_NOT_USE == 0)] |= JUMP_DET
        if rng.random() < 0.3:
            flags[integration, group][ellipse(image, *centre, (radius / 2, radius / 2), 0)] &= 255 - JUMP_DET
    flags[saturated] |= SATURATED
    flags[saturated] &= 255 - JUMP_DET
    border = np.ones(image, bool)
    border[4:-4, 4:-4] = False
    if rng.random() < 0.5:
        flags[:, :, border] = DO_NOT_USE
    return flags


def snowy_ramps(seed: int, shape: tuple[int, int, int, int]) -> Ramps:
    """Ramps whose pixels jump and saturate in snowballs, for the whole of the jump step."""
    rng = np.random.default_rng(seed)
    flags = snowballs(seed, shape)
    ramps = hit(seed, shape)
    jumps = np.where(flags & JUMP_DET, rng.uniform(300, 5000, shape), 0).cumsum(1)
    groupdq = ramps.groupdq.copy()
    groupdq[flags & SATURATED > 0] |= SATURATED
    return replace(ramps, data=(ramps.data + jumps).astype(np.float32), groupdq=groupdq)


def showers(seed: int, shape: tuple[int, int, int, int], *, events: int = 3, strength: float = 1.6) -> Ramps:
    """Noise with faint patches that appear from one group on; reference pixels, flags and values that are missing."""
    rng = np.random.default_rng(seed)
    nints, ngroups, *image = shape
    noise, rate = 12.0, rng.uniform(5, 30)
    data = rng.normal(0, noise / np.sqrt(2), shape) + rate * np.arange(1, ngroups + 1)[:, np.newaxis, np.newaxis]
    for _ in range(events):
        integration, group = rng.integers(nints), rng.integers(ngroups)
        centre, radius = rng.uniform(0, image), rng.uniform(5, 14)
        patch = ellipse(image, *centre, (radius, radius * rng.uniform(0.5, 1)), rng.uniform(0, np.pi))
        data[integration, group:] += patch * strength * rng.uniform(0.7, 3) * noise
    ramps = plain(data, gain=1.0, readnoise=noise)
    for bit, part in ((DO_NOT_USE, 0.01), (JUMP_DET, 0.01), (SATURATED, 0.003), (PERSISTENCE, 0.01), (64, 0.004)):
        ramps.groupdq[rng.random(shape) < part] |= bit
    ramps.groupdq[np.maximum.accumulate(ramps.groupdq & SATURATED, 1) > 0] |= SATURATED
    ramps.data[rng.random(shape) < 0.001] = np.nan
    ramps.gain[:] = rng.uniform(0.8, 1.5, image)
    ramps.gain[rng.random(image) < 0.002] = np.nan
    ramps.readnoise[rng.random(image) < 0.002] = rng.choice([np.nan, 0])
    ramps.pixeldq[:, :4] = ramps.pixeldq[:, -4:] = REFERENCE_PIXEL
    ramps.pixeldq[rng.random(image) < 0.005] |= DO_NOT_USE
    return ramps
