"""When the reads of a ramp's groups were taken, and what that makes of the noise of its differences.

The noise of the differences of neighbouring groups has a tridiagonal covariance: each shares a group with the one
before it and the one after it. Its elements are a photon part, in proportion to the count rate, and a read part, in
proportion to the variance of a read (Brandt 2024, PASP 136, 045004, equations 4, 11, 28 and 29).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.readout import Readout

Real = NDArray[np.float64]
_ALIKE = 1e-12  # relative; times that differ by less differ by rounding


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """The differences of neighbouring groups, each divided by the time between the means of its groups.

    Attributes
    ----------
    duration_s : float64 array, (difference,)
        Time between the mean times of the two groups.
    photon, read : float64 array, (difference,)
        Variance per count rate over gain, in 1/s, and per variance of a read, in 1/s^2.
    photon_shared, read_shared : float64 array, (difference - 1,)
        The same for the covariance of a difference with the next.
    averaged : bool array, (difference - 1,)
        Whether the group that a difference shares with the next is a mean of several reads.
    alike, alike_shared : tuple of int
        For each (co)variance the first one that has the same elements.
    """

    duration_s: Real
    photon: Real
    read: Real
    photon_shared: Real
    read_shared: Real
    averaged: NDArray[np.bool_]
    alike: tuple[int, ...]
    alike_shared: tuple[int, ...]

    @property
    def even(self) -> bool:
        """Whether all differences are alike."""
        return not any(self.alike) and not any(self.alike_shared)


def differences(readout: Readout, ngroups: int, *, first_frame_apart: bool = False) -> Differences:
    """Return the differences of an exposure's groups.

    Parameters
    ----------
    readout : Readout
        NFRAMES, GROUPGAP and TFRAME are used.
    ngroups : int
        Groups of the ramp, at least two.
    first_frame_apart : bool
        Whether the first frame of the first group is a group of its own. Needs NFRAMES of at least 2.
    """
    frames = np.arange(1, readout.nframes + 1, dtype=np.float64)
    period = readout.nframes + readout.groupgap
    reads: list[Real] = [(frames + group * period) * readout.frame_time_s for group in range(ngroups)]
    if first_frame_apart:
        reads[:1] = [reads[0][:1], reads[0][1:]]
    return _of(reads)


def _of(reads: Sequence[Real]) -> Differences:
    """Return the differences of groups with the times of their reads."""
    count = np.array([len(times) for times in reads])
    mean = np.array([np.mean(times) for times in reads])
    photon_time = np.array([np.sum(np.arange(2 * len(times) - 1, 0, -2) * times) / len(times) ** 2 for times in reads])
    duration = mean[1:] - mean[:-1]
    photon = (photon_time[:-1] + photon_time[1:] - 2 * mean[:-1]) / duration**2
    read = (1 / count[:-1] + 1 / count[1:]) / duration**2
    photon_shared = (mean[1:-1] - photon_time[1:-1]) / (duration[1:] * duration[:-1])
    read_shared = -1 / (count[1:-1] * duration[1:] * duration[:-1])
    return Differences(
        duration_s=duration,
        photon=photon,
        read=read,
        photon_shared=photon_shared,
        read_shared=read_shared,
        averaged=count[1:-1] > 1,
        alike=_first_alike(photon, read),
        alike_shared=_first_alike(photon_shared, read_shared),
    )


def _first_alike(photon: Real, read: Real) -> tuple[int, ...]:
    """Return for each pair of elements the first pair that is the same but for rounding."""
    pairs = np.stack([photon, read])
    tolerance = _ALIKE * np.abs(pairs).max(axis=0)
    return tuple(int(np.argmax((np.abs(pairs - each[:, np.newaxis]) <= tolerance).all(axis=0))) for each in pairs.T)
