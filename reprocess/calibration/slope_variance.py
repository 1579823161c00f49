"""What the noise of a pixel is, and how uncertain it makes a slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]

LARGEST_VARIANCE = 1e6  # (DN/s)^2; variances from here on are reported as 0


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

    def of(self, pixels: NDArray[np.intp]) -> PixelNoise:
        """Return the noise of some pixels."""
        return PixelNoise(*(each.take(pixels) for each in (self.gain, self.read_noise, self.dark_current)))


def photon_variance(rate: Real, noise: PixelNoise, length: Real | int, time_s: Real | float) -> Real:
    """Return the variance of a slope from photon noise in (DN/s)^2.

    Parameters
    ----------
    rate : float64 array
        Count rate in DN/s, the same for all segments of a pixel; counted as 0 if negative or NaN.
    noise : PixelNoise
    length : array or int
        Groups in the segment.
    time_s : array or float
        Seconds between groups; for a single group, its exposure time.
    """
    return (np.where(rate > 0, rate, 0.0) + noise.dark_current) / (time_s * noise.gain * np.maximum(length - 1, 1))


def read_variance(noise: PixelNoise, length: Real | int, time_s: Real | float) -> Real:
    """Return the variance of a slope from read noise in (DN/s)^2; a single group counts as two.

    Parameters
    ----------
    noise : PixelNoise
    length : array or int
        Groups in the segment.
    time_s : array or float
        Seconds between groups; for a single group, its exposure time.
    """
    cube = np.maximum(length * length * length - length, 6)
    return 12 * (noise.read_noise / time_s) ** 2 / (cube * noise.gain * noise.gain)


def reported(variance: Real) -> Real:
    """Return variances as products have them: 0 where they are too large to mean anything."""
    return np.where(variance >= LARGEST_VARIANCE, 0.0, variance)
