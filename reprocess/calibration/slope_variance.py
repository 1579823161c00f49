"""What the noise of a pixel is, and how uncertain it makes a slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

LARGEST_VARIANCE = 1e6  # (DN/s)^2; variances from here on are reported as 0


@dataclass(frozen=True, slots=True)
class NoiseImages:
    """What the noise of pixels is known from, images of one shape.

    Attributes
    ----------
    gain : float32 array, (row, column)
        Electrons per DN.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN.
    dark_current : float32 array, (row, column), or None
        Average dark current that adds to the photon variance, in electrons/s. None: 0.
    """

    gain: NDArray[np.float32]
    readnoise: NDArray[np.float32]
    dark_current: NDArray[np.float32] | None = None

    def flat(self) -> NoiseImages:
        """Return the images with rows and columns as one axis."""
        dark = None if self.dark_current is None else self.dark_current.reshape(-1)
        return NoiseImages(self.gain.reshape(-1), self.readnoise.reshape(-1), dark)

    def of(self, pixels: slice | NDArray[np.intp]) -> NoiseImages:
        """Return what is known of some pixels, or rows."""
        dark = None if self.dark_current is None else self.dark_current[pixels]
        return NoiseImages(self.gain[pixels], self.readnoise[pixels], dark)

    def read_noise(self, nframes: int) -> NDArray[np.float32]:
        """Return the read noise of a group of `nframes` frames in electrons, rounded as in the official step."""
        read: NDArray[np.float32] = (self.readnoise * (self.gain / np.sqrt(2.0 * nframes))).astype(np.float32)
        return read


@dataclass(frozen=True, slots=True)
class PixelNoise:
    """What decides the noise of pixels, (pixel,).

    Attributes
    ----------
    gain : float64 array
        Electrons per DN.
    read_noise : float64 array
        Of one group, in electrons.
    dark_current : float64 array
        Average dark current, added to the rate as it is: electrons/s by its definition, used as DN/s.
    """

    gain: Real
    read_noise: Real
    dark_current: Real

    def of(self, pixels: slice | NDArray[np.intp]) -> PixelNoise:
        """Return the noise of some pixels."""
        return PixelNoise(self.gain[pixels], self.read_noise[pixels], self.dark_current[pixels])


def photon_variance(rate: Real, noise: PixelNoise, length: Real | float, time_s: Real | float) -> Real:
    """Return the variance of a slope from photon noise in (DN/s)^2.

    Parameters
    ----------
    rate : float64 array
        Count rate in DN/s, the same for all segments of a pixel; counted as 0 if negative or NaN.
    noise : PixelNoise
    length : array or float
        Groups in the segment.
    time_s : array or float
        Seconds between groups; for a single group, its exposure time.
    """
    return (np.fmax(rate, 0.0) + noise.dark_current) / (time_s * noise.gain * np.maximum(length - 1, 1))


def read_variance(noise: PixelNoise, length: Real | float, time_s: Real | float) -> Real:
    """Return the variance of a slope from read noise in (DN/s)^2; a single group counts as two.

    Parameters
    ----------
    noise : PixelNoise
    length : array or float
        Groups in the segment.
    time_s : array or float
        Seconds between groups; for a single group, its exposure time.
    """
    cube = np.maximum(length * length * length - length, 6)
    return 12 * (noise.read_noise / time_s) ** 2 / (cube * noise.gain * noise.gain)


def reported(variance: Real) -> Real:
    """Return variances as products have them: 0 where they are too large to mean anything; changed in place."""
    np.copyto(variance, 0.0, where=variance >= LARGEST_VARIANCE)
    return variance
