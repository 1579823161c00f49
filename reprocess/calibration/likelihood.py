"""Fit a line to every ramp by its likelihood: the second ramp fit algorithm, with a jump test of its own.

The differences of neighbouring groups are fitted with their whole covariance (Brandt 2024, PASP 136, 045004, 045005).
The result is that of the official algorithm LIKELY. There are three ways to it, from the cheapest to the last word:
ramps without flags and without a large chi squared, ramps in which no jump can be found, and the jump test.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import combined_rate, even_likelihood, likelihood_jumps, masked_likelihood, tridiagonal
from reprocess.calibration.blocks import batches, blocks
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, SATURATED
from reprocess.calibration.group_times import Differences, differences
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.rate import Fit, Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.slope_variance import NoiseImages
from reprocess.calibration.tridiagonal import Noise, RateFit, Real, Used

FEWEST_GROUPS = 4

_PLANES = tuple(field.name for field in fields(Rate))
_EVEN_VALUES = 1 << 15
_MASKED_VALUES = 1 << 17


def fit(ramp: Ramp, images: NoiseImages, *, readout: Readout) -> Fit:
    """Return the count rates of the exposure and of its integrations.

    Every pixel is fitted by itself: a slab needs neither a halo nor facts of its exposure.

    Parameters
    ----------
    ramp : Ramp
        Linear, at least `FEWEST_GROUPS` groups. A difference is used if neither of its groups has any flag. A value
        that is not finite makes the rates of its pixel NaN, even in a group with flags. Where NFRAMES is 2 or more a
        zero frame is fitted as a group of its own and taken out of the first group; otherwise it is not used.
    images : NoiseImages
        Of the same rows. The dark current is added to the rate that photon noise is taken from.
    readout : Readout
        NFRAMES, GROUPGAP and TFRAME are used.

    Returns
    -------
    Fit
        With JUMP_DET where the jump test left something out, and NaN without a flag where nothing could be fitted.

    Raises
    ------
    errors.WrongLayout
        If there are fewer than `FEWEST_GROUPS` groups.
    errors.MissingKeyword
        If NFRAMES or TFRAME is not a positive number, or GROUPGAP is negative.
    """
    nints, ngroups, *shape = ramp.data.shape
    _check(readout, ngroups)
    apart = ramp.zeroframe is not None and readout.nframes > 1
    pixels = _Pixels(images.flat(), differences(readout, ngroups, first_frame_apart=apart))
    rateints = _empty((nints, images.gain.size), ramp.pixeldq)
    with np.errstate(all="ignore"):
        for index in range(nints):
            data, groupdq = _integration(ramp, index, readout.nframes)
            _fit_integration(data, groupdq, pixels, Rate(*(getattr(rateints, name)[index] for name in _PLANES)))
        rate = combined_rate.combined(rateints)
    return Fit(_shaped(rate, tuple(shape)), _shaped(rateints, (nints, *shape)))


@dataclass(frozen=True, slots=True, eq=False)
class _Pixels:
    """What all integrations have in common.

    Attributes
    ----------
    images : NoiseImages
        (pixel,)
    times : Differences
    """

    images: NoiseImages
    times: Differences

    def noise(self, pixels: slice | NDArray[np.intp]) -> Noise:
        """Return the noise of some pixels."""
        return Noise(self.images.gain[pixels], self.images.readnoise[pixels] / np.sqrt(2))

    def dark(self, pixels: slice | NDArray[np.intp]) -> NDArray[np.float32] | float:
        """Return what is added to the rate of some pixels."""
        return 0.0 if self.images.dark_current is None else self.images.dark_current[pixels]


def _check(readout: Readout, ngroups: int) -> None:
    """Refuse what cannot be fitted."""
    if ngroups < FEWEST_GROUPS:
        raise errors.WrongLayout(f"ramp_fit: LIKELY needs {FEWEST_GROUPS} groups, and there are {ngroups}")
    for keyword, value, least in (("NFRAMES", readout.nframes, 1), ("GROUPGAP", readout.groupgap, 0)):
        if not value >= least:
            raise errors.MissingKeyword(f"ramp_fit: {keyword} is {value}; it has to be at least {least}")
    if not 0 < readout.frame_time_s < np.inf:
        raise errors.MissingKeyword(f"ramp_fit: TFRAME is {readout.frame_time_s}; it has to be a positive number")


def _integration(ramp: Ramp, index: int, nframes: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the groups of one integration, (group, pixel), with the first frame as one of them if it is known."""
    ngroups = ramp.data.shape[1]
    data, groupdq = ramp.data[index].reshape(ngroups, -1), ramp.groupdq[index].reshape(ngroups, -1)
    if ramp.zeroframe is None or nframes < 2:
        return data, groupdq
    frame = ramp.zeroframe[index].reshape(1, -1)
    rest = (data[:1] * nframes - frame) / (nframes - 1)
    return np.concatenate([frame, rest, data[1:]]), np.concatenate([groupdq[:1], groupdq])


def _fit_integration(data: NDArray[np.float32], groupdq: NDArray[np.uint8], pixels: _Pixels, result: Rate) -> None:
    """Write the rates of one integration, (group, pixel)."""
    others = _fit_even(data, groupdq, pixels, result)
    for chosen in batches(others, len(data), values=_MASKED_VALUES):
        flags = groupdq.take(chosen, axis=1)
        groups = data.take(chosen, axis=1)
        steps = groups[1:] - groups[:-1]
        guess = even_likelihood.median(steps / pixels.times.duration_s[:, np.newaxis])
        guess *= guess > 0
        values = steps / pixels.times.duration_s[:, np.newaxis]
        good = flags == 0
        used, fitted = _fit_masked(values, good[1:] & good[:-1], guess, pixels, chosen)
        _write(fitted, result, chosen)
        result.dq[chosen] |= _summary(flags, jump=np.any(used != (good[1:] & good[:-1]), axis=0))


def _fit_even(data: NDArray[np.float32], groupdq: NDArray[np.uint8], pixels: _Pixels, result: Rate) -> NDArray[np.intp]:
    """Write the rates of ramps without flags that can have no jump; return the other pixels."""
    if not pixels.times.even:
        return np.arange(data.shape[1])
    others = []
    for block in blocks(data.shape[1], len(data), values=_EVEN_VALUES):
        fitted, valid = even_likelihood.fit_even(data[:, block], pixels.noise(block), pixels.dark(block), pixels.times)
        _write(fitted, result, block)
        valid &= np.bitwise_or.reduce(groupdq[:, block], axis=0) == 0
        others.append(np.flatnonzero(~valid) + block.start)
    return np.concatenate(others)


def _fit_masked(
    values: Real, used: Used, guess: Real, pixels: _Pixels, chosen: NDArray[np.intp]
) -> tuple[Used, RateFit]:
    """Return the differences that are used in the end, and the fit of some pixels."""
    noise, times = pixels.noise(chosen), pixels.times
    rate, doubtful = masked_likelihood.preliminary(values, used, guess, noise, times)
    guess_after = rate * (rate > 0) + pixels.dark(chosen)
    doubtful |= ~((guess_after >= 0) & (guess_after < np.inf))
    fitted = masked_likelihood.final(values, used, guess_after, noise, times)
    doubtful |= ~even_likelihood.above_rounding(fitted)
    tested = np.flatnonzero(doubtful)
    if tested.size:
        used = used.copy()
        left, rate = likelihood_jumps.without_jumps(
            values.take(tested, axis=1), used.take(tested, axis=1), guess[tested], noise.of(tested), times
        )
        used[:, tested] = left
        guess_after = rate * (rate > 0) + pixels.dark(chosen[tested])
        last_word = tridiagonal.fit(values.take(tested, axis=1), left, guess_after, noise.of(tested), times)
        for name in RateFit.__slots__:
            getattr(fitted, name)[tested] = getattr(last_word, name)
    return used, fitted


def _summary(flags: NDArray[np.uint8], *, jump: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Return the flags that those of a pixel's groups, (group, pixel), and its jumps give to it."""
    either = np.bitwise_or.reduce(flags, axis=0)
    bits: NDArray[np.uint32] = (either & np.uint8(SATURATED | JUMP_DET)).astype(np.uint32)
    bits[np.all(flags & np.uint8(SATURATED | DO_NOT_USE), axis=0)] |= np.uint32(DO_NOT_USE)
    bits[jump] |= np.uint32(JUMP_DET)
    return bits


def _write(fitted: RateFit, result: Rate, chosen: slice | NDArray[np.intp]) -> None:
    """Put a fit into the planes of a rate."""
    result.sci[chosen] = fitted.rate
    result.err[chosen] = fitted.error
    result.var_poisson[chosen] = fitted.photon_variance
    result.var_rnoise[chosen] = fitted.read_variance


def _empty(shape: tuple[int, int], pixeldq: NDArray[np.uint32]) -> Rate:
    """Return a rate with nothing in it yet but the flags of its pixels."""
    sci, err, photon, read = (np.empty(shape, np.float32) for _ in range(4))
    dq = np.broadcast_to(pixeldq.reshape(-1), shape).copy()
    return Rate(sci=sci, err=err, dq=dq, var_poisson=photon, var_rnoise=read)


def _shaped(rate: Rate, shape: tuple[int, ...]) -> Rate:
    """Return a rate with rows and columns apart."""
    return Rate(*(getattr(rate, name).reshape(shape) for name in _PLANES))
