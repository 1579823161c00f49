"""Fit a line to every ramp: count rate, error and flags, for the exposure and for each integration.

The result is that of the official algorithm OLS_C: least squares with weights by signal-to-noise ratio, segment by
segment between jumps, and segments put together by their read noise. Slopes are fitted in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import clean_ramps, flagged_ramps
from reprocess.calibration.blocks import batches, blocks
from reprocess.calibration.dq import DO_NOT_USE, NO_GAIN_VALUE, SATURATED
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.ramp_layout import check_layout
from reprocess.calibration.rate import Fit, Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.slope_variance import PixelNoise
from reprocess.calibration.step import Locality, Parameter, Step

STEP = Step(
    name="ramp_fit",
    keyword="S_RAMP",
    revision=1,
    reference_types=("readnoise", "gain"),
    parameters=MappingProxyType(
        {
            "algorithm": "OLS_C",
            "suppress_one_group": True,
            "firstgroup": None,
            "lastgroup": None,
            "skip": False,
        }
    ),
    locality=Locality(facts=("dead_groups", "saturated_groups")),
)

_BLOCK_VALUES = 1 << 16
_FLAGGED_VALUES = 1 << 17
_UNUSABLE = np.uint32(DO_NOT_USE | SATURATED)


def fit(
    data: NDArray[np.float32],
    groupdq: NDArray[np.uint8],
    pixeldq: NDArray[np.uint32],
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    parameters: Mapping[str, Parameter],
    dark_current: NDArray[np.float32] | None = None,
    facts: RampFacts | None = None,
) -> Fit | None:
    """Return the count rates, or None if there is nothing to fit in the whole exposure.

    Every row is fitted by itself: a slab needs no halo, only the facts of its exposure.

    Parameters
    ----------
    data : float32 array, (integration, group, row, column)
        DN, linear.
    groupdq : uint8 array, (integration, group, row, column)
        With the flags of the jump step.
    pixeldq : uint32 array, (row, column)
    gain : float32 array, (row, column)
        Electrons per DN. Pixels without a positive gain get NO_GAIN_VALUE and DO_NOT_USE.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN. NaN gives NaN rates without a flag.
    readout : Readout
        INSTRUME, NFRAMES, TGROUP and TFRAME are used.
    parameters : mapping
        Official names; those that are left out have the defaults of `STEP`.
    dark_current : float32 array, (row, column), or None
        Average dark current that adds to the photon variance, in electrons/s. None: 0.
    facts : RampFacts or None
        Of the whole exposure, with the flags that this step receives. None: `data` is the whole exposure.

    Returns
    -------
    Fit or None
        None if every pixel is saturated in the first group of all integrations, or if MIRI has fewer than two groups
        that are not wholly DO_NOT_USE.

    Raises
    ------
    errors.WrongLayout
        If the shapes do not belong together, or there are no groups or no integrations.
    errors.MissingKeyword
        If NFRAMES, TGROUP or TFRAME is not a positive number.
    errors.Unsupported
        If another algorithm than OLS_C is asked for.
    """
    images: dict[str, NDArray[Any]] = {"pixeldq": pixeldq, "gain": gain, "readnoise": readnoise}
    if dark_current is not None:
        images["dark_current"] = dark_current
    check_layout(data, groupdq, **images)
    values = {**STEP.parameters, **parameters}
    _check(readout, values)
    wanted = _wanted_groups(values["firstgroup"], values["lastgroup"], data.shape[1])
    facts = facts or RampFacts.of(groupdq)
    groupdq = _with_only(groupdq, wanted)
    groups = _used_groups(readout, facts, wanted)
    if groups is None or facts.saturated_groups[groups.start]:
        return None
    ramps = _Ramps(
        data=_flat(data[:, groups]),
        groupdq=_flat(groupdq[:, groups]),
        images={name: image.reshape(-1) for name, image in images.items()},
        frames_of_difference=2.0 * readout.nframes,
    )
    with np.errstate(all="ignore"):
        return _fit(ramps, _cadence(readout, values, groups), data.shape[2:])


@dataclass(frozen=True, slots=True)
class _Ramps:
    """The ramps with rows and columns as one axis.

    Attributes
    ----------
    data, groupdq : array, (integration, group, pixel)
    images : mapping of str to array, (pixel,)
        `pixeldq`, `gain`, `readnoise`, and `dark_current` if there is one, as `fit` takes them.
    frames_of_difference : float
        Frames in a difference of two groups.
    """

    data: NDArray[np.float32]
    groupdq: NDArray[np.uint8]
    images: Mapping[str, NDArray[Any]]
    frames_of_difference: float

    def noise(self, pixels: slice | NDArray[np.intp]) -> PixelNoise:
        """Return what decides the noise of some pixels."""
        gain = self.images["gain"][pixels].astype(np.float64)
        read = self.images["readnoise"][pixels] * (gain / np.sqrt(self.frames_of_difference))
        dark = self.images["dark_current"][pixels] if "dark_current" in self.images else np.zeros(len(gain))
        return PixelNoise(gain, read.astype(np.float32).astype(np.float64), dark.astype(np.float64))

    def pixeldq(self, pixels: slice | NDArray[np.intp]) -> NDArray[np.uint32]:
        """Return the flags of some pixels, with those of pixels without a positive gain."""
        flags = self.images["pixeldq"][pixels]
        return np.where(self.images["gain"][pixels] > 0, flags, flags | np.uint32(NO_GAIN_VALUE | DO_NOT_USE))


def _check(readout: Readout, values: Mapping[str, Parameter]) -> None:
    """Refuse what cannot be fitted."""
    if str(values["algorithm"]).upper() != "OLS_C":
        raise errors.Unsupported(f"ramp_fit: algorithm is {values['algorithm']}; only OLS_C is fitted here")
    times = {"NFRAMES": readout.nframes, "TGROUP": readout.group_time_s, "TFRAME": readout.frame_time_s}
    for keyword, value in times.items():
        if not 0 < value < np.inf:
            raise errors.MissingKeyword(f"ramp_fit: {keyword} is {value}; it has to be a positive number")


def _cadence(readout: Readout, values: Mapping[str, Parameter], groups: slice) -> flagged_ramps.Cadence:
    """Return the times in the precision that the official step has them in."""
    frame_time_s = float(np.float32(readout.frame_time_s))
    return flagged_ramps.Cadence(
        group_time_s=float(np.float32(readout.group_time_s)),
        lone_time_s=(readout.nframes + 1.0) * frame_time_s / 2,
        suppress_one_group=bool(values["suppress_one_group"]) and groups.stop > 1,
        first_jump_counts=groups.start == 0,
    )


def _wanted_groups(first: Parameter, last: Parameter, ngroups: int) -> slice:
    """Return the groups that were asked for; all, if that leaves fewer than two."""
    begin = max(int(first or 0), 0)
    end = ngroups - 1 if last is None else int(last)
    return slice(0, ngroups) if begin >= end else slice(begin, min(end + 1, ngroups))


def _with_only(groupdq: NDArray[np.uint8], wanted: slice) -> NDArray[np.uint8]:
    """Return the flags with DO_NOT_USE in groups that are not wanted."""
    if wanted == slice(0, groupdq.shape[1]):
        return groupdq
    groupdq = groupdq.copy()
    groupdq[:, : wanted.start] |= np.uint8(DO_NOT_USE)
    groupdq[:, wanted.stop :] |= np.uint8(DO_NOT_USE)
    return groupdq


def _used_groups(readout: Readout, facts: RampFacts, wanted: slice) -> slice | None:
    """Return the groups that are fitted: for MIRI without those at the ends that are wholly DO_NOT_USE."""
    ngroups = len(facts.saturated_groups)
    if readout.instrument != "MIRI" or ngroups == 1:
        return slice(0, ngroups)
    dead = [all(each) for each in zip(*facts.dead_groups, strict=True)]
    live = [group for group in range(wanted.start, wanted.stop) if not dead[group]]
    if not live:
        return None
    last_is_dead = dead[-1] or wanted.stop < ngroups
    groups = slice(live[0], ngroups - last_is_dead)
    return groups if groups.stop - groups.start >= 2 else None


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return (integration, group, row, column) with rows and columns as one axis."""
    return array.reshape(*array.shape[:2], -1)


def _fit(ramps: _Ramps, cadence: flagged_ramps.Cadence, shape: tuple[int, ...]) -> Fit:
    """Fit all pixels as if they were without flags, then those that are not once more."""
    nints, pixels = len(ramps.data), ramps.data.shape[2]
    rate, rateints = _empty((pixels,)), _empty((nints, pixels))
    flagged = _fit_clean(ramps, cadence, rate, rateints)
    planes = ramps.data.shape[0] * ramps.data.shape[1]
    for chosen in batches(flagged, planes, values=_FLAGGED_VALUES):
        pixeldq = ramps.pixeldq(chosen)
        groups = ramps.data.take(chosen, axis=2), ramps.groupdq.take(chosen, axis=2)
        fitted = flagged_ramps.fit_flagged(*groups, pixeldq, ramps.noise(chosen), cadence)
        for result, part in zip((rate, rateints), fitted, strict=True):
            for name in ("sci", "err", "var_poisson", "var_rnoise"):
                getattr(result, name)[..., chosen] = getattr(part, name)
            result.dq[..., chosen] = part.bits | pixeldq
    return Fit(_shaped(rate, shape), _shaped(rateints, (nints, *shape)))


def _fit_clean(ramps: _Ramps, cadence: flagged_ramps.Cadence, rate: Rate, rateints: Rate) -> NDArray[np.intp]:
    """Write the rates of pixels without flags; return the other pixels."""
    nints, ngroups, pixels = ramps.data.shape
    if ngroups < clean_ramps.FEWEST_GROUPS:
        return np.arange(pixels)
    planes = ramps.groupdq.reshape(-1, pixels) if ramps.groupdq.flags.c_contiguous else None
    others = []
    for block in blocks(pixels, ngroups, values=_BLOCK_VALUES):
        clean = clean_ramps.fit_clean(ramps.data[:, :, block], ramps.noise(block), cadence.group_time_s)
        photon, read = clean.photon_variance, clean.read_variance
        rateints.sci[:, block] = clean.slope
        rateints.err[:, block] = np.sqrt(photon + read)
        rateints.var_poisson[:, block] = photon
        rateints.var_rnoise[:, block] = read
        rate.sci[block] = np.add.reduce(clean.slope, axis=0) / nints
        rate.err[block] = np.sqrt((photon + read) / nints)
        rate.var_poisson[block] = photon / nints
        rate.var_rnoise[block] = read / nints
        pixeldq = ramps.pixeldq(block)
        rate.dq[block] = rateints.dq[:, block] = pixeldq
        flags = ramps.groupdq[:, :, block] if planes is None else planes[:, block]
        flags = np.bitwise_or.reduce(flags.reshape(-1, flags.shape[-1]), axis=0)
        plain = clean.valid & (flags == 0) & (pixeldq & _UNUSABLE == 0)
        others.append(np.flatnonzero(~plain) + block.start)
    return np.concatenate(others)


def _empty(shape: tuple[int, ...]) -> Rate:
    """Return a rate with nothing in it yet."""
    sci, err, photon, read = (np.empty(shape, np.float32) for _ in range(4))
    return Rate(sci=sci, err=err, dq=np.empty(shape, np.uint32), var_poisson=photon, var_rnoise=read)


def _shaped(rate: Rate, shape: tuple[int, ...]) -> Rate:
    """Return a rate with rows and columns apart."""
    return Rate(
        sci=rate.sci.reshape(shape),
        err=rate.err.reshape(shape),
        dq=rate.dq.reshape(shape),
        var_poisson=rate.var_poisson.reshape(shape),
        var_rnoise=rate.var_rnoise.reshape(shape),
    )
