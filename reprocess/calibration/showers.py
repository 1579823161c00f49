"""Showers: faint extended patches of MIRI, left by cosmic rays beside the detector, below the jump test's threshold.

Each difference of two groups is compared with the pixel's median difference, in standard deviations. The absolute
values, which the noise keeps near 0.8, are averaged over a ring; a patch of many pixels above a threshold is a shower.
Its ellipse is flagged as a jump, and so are the groups after it. Flags that change a pixel's rate by more than a shower
could are taken back. The method is that of Regan, M. 2023, Detection and Flagging of Showers and Snowballs in JWST
(JWST-STScI-008545); the flags are those of the official step up to rounding: it averages by Fourier transforms, and
here are sums.

A plane is made at a time; there is no second cube of the exposure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import ellipses, selection, sigma_clip
from reprocess.calibration.blocks import blocks
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, REFERENCE_PIXEL, SATURATED
from reprocess.calibration.ellipses import Ellipse
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import wholly
from reprocess.calibration.readout import Readout
from reprocess.calibration.regions import connected
from reprocess.calibration.ring import Ring
from reprocess.calibration.step import Parameter

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "find_showers": False,
        "max_shower_amplitude": 4.0,  # without effect in the official step too, see LARGEST_PER_S
        "extend_snr_threshold": 1.2,
        "extend_min_area": 90,
        "extend_inner_radius": 1.0,
        "extend_outer_radius": 2.6,
        "extend_ellipse_expand_ratio": 1.1,
        "time_masked_after_shower": 15.0,
    }
)

LARGEST_PER_S = 6.0  # the official step takes this for max_shower_amplitude, whatever is given
FEWEST_DIFFERENCES = 10
_FEWEST_GROUPS = 3  # of the jump test
_CLIP = 5.0  # standard deviations
_JUMP = np.uint8(JUMP_DET)
_LOST = np.uint8(DO_NOT_USE | SATURATED)
_FLAGGED = np.uint8(DO_NOT_USE | SATURATED | JUMP_DET)


def number(values: Mapping[str, Parameter], name: str) -> float:
    """Return a parameter of the jump step as a number.

    Raises
    ------
    errors.UsageError
        If it is negative or no number.
    """
    value = values[name]
    try:
        given = float(value if value is not None else 0)
    except ValueError:
        given = -1.0
    if not given >= 0:
        raise errors.UsageError(f"jump: {name} is {value}; give a number that is not negative")
    return given


@dataclass(frozen=True, slots=True)
class Showers:
    """The parameters as the arithmetic uses them.

    Attributes
    ----------
    threshold : float
        Mean deviation in a ring, in standard deviations.
    area : float
        Fewest pixels of a patch, holes filled.
    ring : Ring
        Over which deviations are averaged.
    factor : float
        By which patches are widened.
    groups_after : int
        Groups after a shower that are flagged too.
    longest : float
        Length that no axis exceeds.
    largest : float
        Change of the rate, in electrons per group, above which flags are taken back.
    clip_from : int
        Integrations from which on medians and deviations are found across integrations.
    clip_integrations : bool
        Whether the jump test, where it clips, compares integrations only.
    nframes : int
    """

    threshold: float
    area: float
    ring: Ring
    factor: float
    groups_after: int
    longest: float
    largest: float
    clip_from: int
    clip_integrations: bool
    nframes: int

    @classmethod
    def of(cls, values: Mapping[str, Parameter], readout: Readout) -> Showers:
        """Take the official parameters apart."""
        return cls(
            threshold=number(values, "extend_snr_threshold"),
            area=number(values, "extend_min_area"),
            ring=Ring(number(values, "extend_inner_radius"), number(values, "extend_outer_radius")),
            factor=number(values, "extend_ellipse_expand_ratio"),
            groups_after=int(number(values, "time_masked_after_shower") // readout.group_time_s),
            longest=2 * number(values, "max_extended_radius"),
            largest=LARGEST_PER_S * readout.group_time_s,
            clip_from=int(number(values, "minimum_sigclip_groups")),
            clip_integrations=bool(values["only_use_ints"]),
            nframes=readout.nframes,
        )

    def searches(self, dead: NDArray[np.bool_]) -> bool:
        """Return whether there are groups enough for the jump test, so that it looked at the exposure.

        Parameters
        ----------
        dead : bool array, (integration, group)
            Groups that no pixel uses.
        """
        compared = len(dead) if self.clip_integrations else np.count_nonzero(~dead)
        return bool(compared >= self.clip_from or dead.shape[1] - dead.sum(axis=1).max() >= _FEWEST_GROUPS)


def flag(
    ramp: Ramp,
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    choice: Showers,
) -> None:
    """Flag, in place, the showers of a whole exposure; its jumps must be flagged already.

    Nothing is done with fewer than ten usable differences.

    Parameters
    ----------
    ramp : Ramp
        Linear; `groupdq` is changed.
    gain : float32 array, (row, column)
        Electrons per DN.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN.
    choice : Showers
    """
    nints, ngroups = ramp.data.shape[:2]
    dead = np.array([[wholly(group, DO_NOT_USE) for group in integration] for integration in ramp.groupdq])
    if nints * (ngroups - 1) - np.count_nonzero(dead) < FEWEST_DIFFERENCES:
        return
    exposure = _Exposure(ramp, gain, choice.searches(dead))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if nints >= choice.clip_from:
            scales = _clipped_scales(exposure)
        else:
            noise = readnoise * gain
            variance: NDArray[np.float32] = np.divide(noise * noise, choice.nframes, dtype=np.float32)
            scales = [_scale(exposure, variance)] * (ngroups - 1)
        # All are found before any is flagged: the flags of groups after a shower would hide the next.
        found = [list(_find(exposure, integration, scales, choice)) for integration in range(nints)]
        for integration, events in enumerate(found):
            if events:
                _flag_integration(exposure, integration, events, choice)


Scale = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Exposure:
    """The arrays of an exposure, and what is made of them plane by plane.

    Attributes
    ----------
    ramp : Ramp
    gain : float32 array, (row, column)
    searched : bool
        Whether the jump test looked at the exposure; what it cannot use has no part in showers either.
    """

    ramp: Ramp
    gain: NDArray[np.float32]
    searched: bool

    @property
    def reference(self) -> NDArray[np.bool_]:
        """Pixels that are reference pixels and nothing else."""
        only: NDArray[np.bool_] = self.ramp.pixeldq == np.uint32(REFERENCE_PIXEL)
        return only

    def differences(self, pixels: slice) -> NDArray[np.float32]:
        """Return the differences of a run of pixels in electrons, (integration, difference, pixel)."""
        shape = (*self.ramp.data.shape[:2], -1)
        signal = self.ramp.data.reshape(shape)[:, :, pixels] * self.gain.reshape(-1)[pixels]
        signal[self._unseen(self.ramp.groupdq.reshape(shape)[:, :, pixels])] = np.nan
        return signal[:, 1:] - signal[:, :-1]

    def difference(self, integration: int, group: int) -> NDArray[np.float32]:
        """Return the difference of a group and the one before in electrons; NaN where the one before is lost."""
        before, after = self.ramp.data[integration, group - 1 : group + 1]
        plane: NDArray[np.float32] = after * self.gain
        plane -= before * self.gain
        plane[self._unseen(self.ramp.groupdq[integration, group - 1])] = np.nan
        return plane

    def _unseen(self, flags: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tell which groups take no part; a jump that has another flag besides does."""
        # 1 to 5: DO_NOT_USE, SATURATED or JUMP_DET alone, or DO_NOT_USE with one of the others.
        unseen: NDArray[np.bool_] = (flags >= DO_NOT_USE) & (flags <= (DO_NOT_USE | JUMP_DET))
        return unseen | (flags & _LOST != 0) if self.searched else unseen


def _scale(exposure: _Exposure, noise_variance: NDArray[np.float32]) -> Scale:
    """Return the median difference of each pixel and its standard deviation in electrons."""
    shape = exposure.gain.shape
    median, planes = np.empty(exposure.gain.size, np.float32), exposure.ramp.data.shape[0] * exposure.ramp.data.shape[1]
    for block in blocks(median.size, planes):
        differences = exposure.differences(block)
        median[block] = selection.median_of_known(differences.reshape(-1, differences.shape[2]))
    deviation = np.sqrt(np.abs(median) + noise_variance.reshape(-1))
    return median.reshape(shape), deviation.reshape(shape)


def _clipped_scales(exposure: _Exposure) -> list[Scale]:
    """Return, for each difference, the median and deviation of each pixel among the integrations, outliers left out."""
    nints, ngroups = exposure.ramp.data.shape[:2]
    planes = np.empty((2, ngroups - 1, exposure.gain.size), np.float32)
    for block in blocks(exposure.gain.size, nints * ngroups):
        differences = exposure.differences(block)
        rows = differences.reshape(nints, -1)
        rows[sigma_clip.clipped(rows, _CLIP) | ~np.isfinite(rows)] = np.nan
        shape = differences.shape[1:]
        planes[1][:, block] = _deviation(rows).reshape(shape)
        planes[0][:, block] = selection.median_of_known(rows).reshape(shape)
    images = planes.reshape(2, ngroups - 1, *exposure.gain.shape)
    return list(zip(images[0], images[1], strict=True))


def _deviation(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the standard deviation along the first axis in single precision, NaN left out."""
    known = ~np.isnan(rows)
    count = np.count_nonzero(known, axis=0)
    mean = (_sum(np.where(known, rows, np.float32(0))) / count).astype(np.float32)
    squares = np.where(known, rows - mean, np.float32(0)) ** 2
    deviation: NDArray[np.float32] = np.sqrt((_sum(squares) / count).astype(np.float32))
    return deviation


def _sum(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add along the first axis, one row after the other: the order that the result depends on is then fixed."""
    total: NDArray[np.float32] = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def _find(
    exposure: _Exposure, integration: int, scales: list[Scale], choice: Showers
) -> Iterator[tuple[int, list[Ellipse]]]:
    """Yield the groups of an integration that have showers, with the showers."""
    flags, reference = exposure.ramp.groupdq[integration], exposure.reference
    unusable = reference | (exposure.ramp.pixeldq & _FLAGGED != 0)
    dead = [wholly(group | reference.astype(np.uint8), DO_NOT_USE) for group in flags]
    first = dead.index(False) if False in dead else 0
    for group in range(first + 1, len(flags)):
        median, deviation = scales[group - 1]
        ratio = exposure.difference(integration, group)
        ratio -= median
        np.abs(ratio, out=ratio)
        ratio /= deviation
        good = np.isfinite(ratio) & ~unusable & (flags[group] & _FLAGGED == 0)
        ratio[~good] = 0
        bright = choice.ring.total(ratio) > np.float32(choice.threshold) * choice.ring.count(good)
        places = np.flatnonzero((bright & good).reshape(-1))
        regions = connected(places, flags.shape[2]).of_area(choice.area)
        if len(regions):
            yield group, list(ellipses.of(regions))


def _flag_integration(
    exposure: _Exposure, integration: int, events: list[tuple[int, list[Ellipse]]], choice: Showers
) -> None:
    """Flag the showers of an integration where they change the rate by no more than a shower could."""
    groups = exposure.ramp.groupdq[integration]
    shower = np.zeros(groups.shape, np.uint8)
    for group, found in events:
        for ellipse in found:
            larger = ellipses.widened(ellipse, choice.factor, limit=choice.longest)
            window, inside = ellipses.drawn(larger, groups.shape[1:])
            for later in range(group, min(group + choice.groups_after + 1, len(groups))):
                inside = inside & (groups[later][window] & SATURATED == 0)
                shower[later][window][inside] = _JUMP
    touched = np.flatnonzero(np.bitwise_or.reduce(shower, axis=0).reshape(-1))
    touched = touched[~exposure.reference.reshape(-1)[touched]]
    before = groups.reshape(len(groups), -1)[:, touched]
    after = before | shower.reshape(len(groups), -1)[:, touched]
    data = exposure.ramp.data[integration].reshape(len(groups), -1)[:, touched] * exposure.gain.reshape(-1)[touched]
    change = np.abs(_mean_difference(data, before) - _mean_difference(data, after))
    kept = change <= choice.largest
    groups.reshape(len(groups), -1)[:, touched[kept]] = after[:, kept]


def _mean_difference(data: NDArray[np.float32], flags: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean of the differences without flags, NaN if there is none; (pixel,)."""
    signal = np.where(flags & _FLAGGED == 0, data, np.float32(np.nan))
    differences = signal[1:] - signal[:-1]
    known = ~np.isnan(differences)
    total = _sum(np.where(known, differences, np.float32(0)))
    mean: NDArray[np.float32] = (total / np.count_nonzero(known, axis=0)).astype(np.float32)
    return mean
