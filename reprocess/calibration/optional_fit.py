"""The optional product of the ramp fit: the line through each segment, cosmic ray by cosmic ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import flagged_ramps, optimal_weights, segments
from reprocess.calibration.dq import JUMP_DET, SATURATED
from reprocess.calibration.readout import Readout
from reprocess.calibration.slope_variance import Real

Single = NDArray[np.float32]

SEGMENT_PLANES = ("slope", "sigslope", "var_poisson", "var_rnoise", "yint", "sigyint", "weights")


@dataclass(frozen=True, slots=True)
class OptionalFit:
    """Segments of an exposure as the official optional product has them; 0 where a ramp has no more of them.

    Attributes
    ----------
    slope, sigslope : float32 array, (integration, segment, row, column)
        Slope in DN/s, and its formal uncertainty.
    var_poisson, var_rnoise : float32 array, (integration, segment, row, column)
        Variances of the slope from photon noise and from read noise, in (DN/s)^2.
    yint, sigyint : float32 array, (integration, segment, row, column)
        Value of the line at the first group of the ramp in DN, and its formal uncertainty.
    pedestal : float32 array, (integration, row, column)
        DN; 0 where the pixel is saturated or has no slope.
    weights : float32 array, (integration, segment, row, column)
        What the slope is weighted by in the rate: the inverse of its variance from read noise.
    crmag : float32 array, (integration, cosmic ray, row, column)
        Differences to the group before of groups with JUMP_DET, in DN.
    """

    slope: Single
    sigslope: Single
    var_poisson: Single
    var_rnoise: Single
    yint: Single
    sigyint: Single
    pedestal: Single
    weights: Single
    crmag: Single


def of_pixels(ramps: flagged_ramps.FlaggedRamps, cadence: flagged_ramps.Cadence, readout: Readout) -> OptionalFit:
    """Return the optional product of some pixels, rows and columns as one axis.

    Parameters
    ----------
    ramps : FlaggedRamps
    cadence : Cadence
    readout : Readout
        NFRAMES, GROUPGAP and DRPFRMS1 are used, for the pedestal.
    """
    nints, _, pixels = ramps.data.shape
    prepared = flagged_ramps.prepare(ramps, cadence)
    found = flagged_ramps.find(prepared)
    fitted = flagged_ramps.lines(prepared, found, ramps.noise, cadence)
    slope, sigslope, yint, sigyint = _formal(prepared, found, ramps)
    slope = np.where(found.length > 2, slope / cadence.group_time_s, fitted.slope)
    photon, read = fitted.photon, fitted.read
    gainless = ~(ramps.noise.gain.take(prepared.pixel.take(found.ramp)) > 0) & (found.length > 2)
    read = np.where(gainless, 0.0, read)
    planes = (slope, sigslope, photon, read, yint, sigyint, 1 / read)
    count = segments.reported_count(prepared.flags)
    arrays = {
        name: _by_segment(plane, found.ramp, (nints, count, pixels))
        for name, plane in zip(SEGMENT_PLANES, planes, strict=True)
    }
    _, rateints = flagged_ramps.fit_flagged(ramps, cadence)
    saturated = ((prepared.flags[0] | ramps.pixeldq[prepared.pixel]) & SATURATED != 0).reshape(nints, pixels)
    return OptionalFit(
        pedestal=_pedestal(prepared, rateints.sci, saturated, readout),
        crmag=_magnitudes(ramps, prepared),
        **arrays,
    )


def joined(parts: Sequence[OptionalFit], shape: tuple[int, ...]) -> OptionalFit:
    """Put pixels, one part after the other, together to an image; the longest list of segments decides on the axis.

    Parameters
    ----------
    parts : sequence of OptionalFit
        With rows and columns as one axis, as `of_pixels` gives them.
    shape : tuple of int
        (row, column)
    """
    arrays = {}
    for name in (*SEGMENT_PLANES, "pedestal", "crmag"):
        planes = [getattr(part, name) for part in parts]
        if name != "pedestal":
            count = max(plane.shape[1] for plane in planes)
            planes = [np.pad(plane, ((0, 0), (0, count - plane.shape[1]), (0, 0))) for plane in planes]
        whole = np.concatenate(planes, axis=-1)
        arrays[name] = whole.reshape(*whole.shape[:-1], *shape)
    return OptionalFit(**arrays)


def _formal(
    prepared: flagged_ramps.Prepared, found: segments.Segments, ramps: flagged_ramps.FlaggedRamps
) -> tuple[Real, Real, Real, Real]:
    """Return slope per group, its uncertainty, intercept and its uncertainty, with noise as the official step has it.

    Slopes and intercepts have formal uncertainties in which read noise of a group stands for all noise.
    """
    noise = ramps.noise.of(prepared.pixel.take(found.ramp))
    slope, sigslope, yint, sigyint = (np.zeros(len(found.ramp)) for _ in range(4))
    two = np.flatnonzero(found.length == 2)
    start, ramp = found.start[two], found.ramp[two]
    first, second = prepared.values[start, ramp].astype(np.float64), prepared.values[start + 1, ramp]
    yint[two] = second * (1.0 - (start + 1)) + first * (start + 1)
    sigslope[two] = sigyint[two] = 1.41421356 * noise.read_noise[two]
    for length in np.unique(found.length[found.length > 2]):
        which = np.flatnonzero(found.length == length)
        place = found.start[which] + np.arange(length)[:, np.newaxis]
        values = prepared.values[place, found.ramp[which]].astype(np.float64)
        read = np.square(noise.read_noise[which])
        power = optimal_weights.power_class(values[-1] - values[0], noise.gain[which], read)
        weight = optimal_weights.weights(int(length)).T[:, power] / read
        values = np.where(np.isnan(values), 0.0, values)
        slope[which], sigslope[which], yint[which], sigyint[which] = _straight_line(place, values, weight)
    return slope, sigslope, yint, sigyint


def _straight_line(place: NDArray[np.intp], values: Real, weight: Real) -> tuple[Real, Real, Real, Real]:
    """Return the weighted fit of lines, (group, segment), and its uncertainties by the normal equations."""
    w, wx, wxx = (np.add.reduce(weight * power, axis=0) for power in (1.0, place, place * place))
    wy, wxy = np.add.reduce(weight * values, axis=0), np.add.reduce(weight * place * values, axis=0)
    inverse = 1 / (w * wxx - wx * wx)
    return (w * wxy - wx * wy) * inverse, np.sqrt(w * inverse), (wxx * wy - wx * wxy) * inverse, np.sqrt(wxx * inverse)


def _by_segment(plane: Real, ramp: NDArray[np.intp], shape: tuple[int, int, int]) -> Single:
    """Put values of segments, in the order of their ramps, into an array (integration, segment, pixel)."""
    pixels = shape[-1]
    array = np.zeros(shape, np.float32)
    number = np.arange(len(ramp)) - np.searchsorted(ramp, ramp, side="left")
    array[ramp // pixels, number, ramp % pixels] = plane
    return array


def _pedestal(prepared: flagged_ramps.Prepared, slope: Real, saturated: NDArray[np.bool_], readout: Readout) -> Single:
    """Return the first group less the slope times a number of groups; the official step takes the slope per second."""
    groups = ((readout.nframes + 1) / 2 + readout.drop_frames1) / (readout.nframes + readout.groupgap)
    pedestal = prepared.values[0].reshape(slope.shape) - slope * groups
    return np.where(saturated | np.isnan(pedestal), 0.0, pedestal).astype(np.float32)


def _magnitudes(ramps: flagged_ramps.FlaggedRamps, prepared: flagged_ramps.Prepared) -> Single:
    """Return the differences at jumps, in the order of groups; NaN if one of the groups is saturated."""
    nints, ngroups, pixels = ramps.data.shape
    flags = prepared.flags.reshape(ngroups, nints, pixels).transpose(1, 0, 2)
    data = np.where(ramps.groupdq & SATURATED, np.nan, ramps.data.astype(np.float64))
    jumps = flags[:, 1:] & JUMP_DET != 0
    number = np.cumsum(jumps, axis=1)
    array = np.zeros((nints, int(number[:, -1].max()) if ngroups > 1 else 0, pixels), np.float32)
    integration, group, pixel = np.nonzero(jumps)
    array[integration, number[integration, group, pixel] - 1, pixel] = (data[:, 1:] - data[:, :-1])[jumps]
    return array
