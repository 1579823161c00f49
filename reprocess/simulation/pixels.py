"""What every pixel of a detector is like: the truth behind the reference files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation import chance
from reprocess.simulation.chance import Floats
from reprocess.simulation.instruments import Detector, Subarray

Flags = NDArray[np.uint8]

# Kinds of unusual pixels, as bits of PixelMaps.kind.
REFERENCE, DEAD, HOT, LOW_EFFICIENCY, NO_LINEARITY, NO_SATURATION, UNSURE_BIAS, NO_GAIN = (1 << bit for bit in range(8))
UNUSABLE = REFERENCE | DEAD | HOT | NO_LINEARITY | NO_SATURATION | UNSURE_BIAS | NO_GAIN

# Fraction of pixels of each kind.
_FRACTIONS = (
    (DEAD, 4e-4),
    (HOT, 2e-3),
    (LOW_EFFICIENCY, 6e-4),
    (NO_LINEARITY, 3e-4),
    (NO_SATURATION, 3e-4),
    (UNSURE_BIAS, 3e-4),
    (NO_GAIN, 2e-5),
)
_BORDER = 4
_REFERENCE_NOISE = 0.5
_CUBIC = 2.0e-12
_THRESHOLD = 0.95
_OUTPUT_STEPS_DN = (0.0, 140.0, -90.0, 60.0)


@dataclass(frozen=True)
class PixelMaps:
    """Properties of the pixels of a subarray; every map is (row, column).

    Attributes
    ----------
    bias : ndarray of float32
        Level of the empty pixel, DN.
    gain : ndarray of float32
        Electrons per DN.
    read_noise : ndarray of float32
        Noise of the difference of two reads, DN.
    dark : ndarray of float32
        Dark current, electrons per second.
    curvature : ndarray of float32
        Second-order coefficient of the linearity correction, 1/DN; the third-order one is `cubic`.
    cubic : float
    well : ndarray of float32
        Signal at which the pixel is full, as measured, DN; for MIRI with the bias.
    efficiency : ndarray of float32
        Electrons collected per electron of a perfect pixel.
    kind : ndarray of uint8
        Bits of the kinds of unusual pixels.
    """

    bias: Floats
    gain: Floats
    read_noise: Floats
    dark: Floats
    curvature: Floats
    cubic: float
    well: Floats
    efficiency: Floats
    kind: Flags

    @property
    def threshold(self) -> Floats:
        """Signal from which on a pixel must not be trusted, as `well`."""
        return np.float32(_THRESHOLD) * self.well

    @property
    def light_sensitive(self) -> NDArray[np.bool_]:
        """Pixels that are no reference pixels."""
        sensitive: NDArray[np.bool_] = (self.kind & REFERENCE) == 0
        return sensitive


def build(detector: Detector, region: Subarray, seed: int) -> PixelMaps:
    """Make the maps of a part of a detector; overlapping parts agree where they overlap.

    Parameters
    ----------
    detector : Detector
    region : Subarray
    seed : int

    Returns
    -------
    PixelMaps
    """
    kind = _kinds(detector, region, seed)

    def spread(name: str, sigma: float) -> Floats:
        return np.float32(1.0) + np.float32(sigma) * chance.normal(region, seed, detector.name, name)

    bias = _bias(detector, region, seed)
    well = np.float32(detector.well_dn) * spread("well", 0.02)
    read_noise = np.float32(detector.read_noise_dn) * spread("read noise", 0.08)
    read_noise[(kind & REFERENCE) != 0] *= np.float32(_REFERENCE_NOISE)
    return PixelMaps(
        bias=bias,
        gain=np.float32(detector.gain) * spread("gain", 0.01),
        read_noise=read_noise,
        dark=_dark(detector, kind, spread("dark", 0.2)),
        curvature=np.float32(detector.curvature) * spread("curvature", 0.05),
        cubic=_CUBIC,
        well=well if detector.infrared_array else np.minimum(well + bias, np.float32(64000.0)),
        efficiency=_efficiency(kind, spread("flat", 0.02)),
        kind=kind,
    )


def renewed_dark(maps: PixelMaps, detector: Detector, region: Subarray, seed: int) -> Floats:
    """Dark current after the detector was warmed up: other pixels leak, and a little more on the whole.

    Returns
    -------
    ndarray of float32, shape (row, column), electrons per second
    """
    factor = np.float32(1.3) + np.float32(0.2) * chance.normal(region, seed, detector.name, "renewed dark")
    return maps.dark * factor


def superbias_error(detector: Detector, region: Subarray, seed: int) -> Floats:
    """What a first, hasty superbias has wrong: noise of few darks, and a wrong level of every other column, DN.

    Returns
    -------
    ndarray of float32, shape (row, column)
    """
    error = np.float32(3.0) * chance.normal(region, seed, detector.name, "superbias error")
    odd = (np.arange(region.columns) + region.column_start) % 2 == 1
    return error + np.where(odd, np.float32(12.0), np.float32(-4.0))[None, :]


def _kinds(detector: Detector, region: Subarray, seed: int) -> Flags:
    """Bits of the unusual pixels; a pixel has one flaw at most."""
    place = chance.uniform(region, seed, detector.name, "kind")
    kind = np.zeros(place.shape, dtype=np.uint8)
    lower = 0.0
    for bit, fraction in _FRACTIONS:
        kind[(place >= lower) & (place < lower + fraction)] = bit
        lower += fraction
    kind[_reference_pixels(detector, region)] = REFERENCE
    return kind


def _reference_pixels(detector: Detector, region: Subarray) -> NDArray[np.bool_]:
    """The border of four pixels, on all sides or (MIRI) at the left and the right."""
    rows = np.arange(region.row_start, region.row_start + region.rows)
    columns = np.arange(region.column_start, region.column_start + region.columns)
    side = (columns < _BORDER) | (columns >= detector.columns - _BORDER)
    end = (rows < _BORDER) | (rows >= detector.rows - _BORDER)
    return side[None, :] | (end & detector.infrared_array)[:, None]


def _bias(detector: Detector, region: Subarray, seed: int) -> Floats:
    """Fixed pattern: pixel to pixel, a slope over the detector, and a step between outputs."""
    rows = np.arange(region.row_start, region.row_start + region.rows, dtype=np.float32) / detector.rows
    columns = np.arange(region.column_start, region.column_start + region.columns)
    steps = np.array(_OUTPUT_STEPS_DN, dtype=np.float32)
    output = columns // (detector.columns // 4) if detector.infrared_array else columns
    pattern = np.float32(60.0) * chance.normal(region, seed, detector.name, "bias")
    slope = np.float32(250.0) * np.sin(np.float32(3.0) * rows)
    return np.float32(detector.bias_dn) + pattern + slope[:, None] + steps[output % 4][None, :]


def _dark(detector: Detector, kind: Flags, spread: Floats) -> Floats:
    dark = np.float32(detector.dark_e_s) * spread
    dark[(kind & HOT) != 0] += np.float32(80.0)
    dark[(kind & REFERENCE) != 0] = 0.0
    return dark


def _efficiency(kind: Flags, flat: Floats) -> Floats:
    flat[(kind & LOW_EFFICIENCY) != 0] *= np.float32(0.4)
    flat[(kind & (DEAD | REFERENCE)) != 0] = 0.0
    return flat
