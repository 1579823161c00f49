"""Fit a line to every ramp: count rate, error and flags, for the exposure and for each integration.

The result is that of the official algorithm OLS_C: least squares with weights by signal-to-noise ratio, segment by
segment between jumps, and segments put together by their read noise. Slopes are fitted in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import clean_ramps, flagged_ramps, likelihood, optional_fit
from reprocess.calibration.blocks import batches, blocks
from reprocess.calibration.dq import DO_NOT_USE, NO_GAIN_VALUE, SATURATED
from reprocess.calibration.flagged_ramps import Cadence, FlaggedRamps
from reprocess.calibration.picked import Scalar, picked
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.ramp_layout import check_layout
from reprocess.calibration.rate import Fit, Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.slope_variance import NoiseImages, PixelNoise
from reprocess.calibration.step import Locality, Parameter, Step

STEP = Step(
    name="ramp_fit",
    keyword="S_RAMP",
    revision=2,
    reference_types=("readnoise", "gain"),
    parameters=MappingProxyType(
        {
            "algorithm": "OLS_C",
            "int_name": "",  # accepted, no effect, as officially
            "save_opt": False,
            "opt_name": "",
            "suppress_one_group": True,
            "firstgroup": None,
            "lastgroup": None,
            "maximum_cores": "1",  # accepted, no effect: slabs are what runs beside each other here
            "skip": False,
        }
    ),
    locality=Locality(facts=("dead_groups", "saturated_groups")),
)

_PLANES = tuple(field.name for field in fields(Rate))
_OWN_PLANES = ("err", "var_rnoise")  # of an exposure of one integration, may differ from those of the integration
_BLOCK_VALUES = 1 << 19
_FLAGGED_VALUES = 1 << 19
_SHORTEST_SERIES = 128  # pixels; of many integrations fewer than elsewhere are fitted together, to bound the memory
_UNUSABLE = np.uint32(DO_NOT_USE | SATURATED)

Pixels = slice | NDArray[np.intp]


def fit(
    ramp: Ramp,
    images: NoiseImages,
    *,
    readout: Readout,
    parameters: Mapping[str, Parameter],
    facts: RampFacts | None = None,
) -> Fit | None:
    """Return the count rates, or None if there is nothing to fit in the whole exposure.

    Every row is fitted by itself: a slab needs no halo, only the facts of its exposure.

    Parameters
    ----------
    ramp : Ramp
        Linear, with the flags of the jump step. A zero frame is used if `suppress_one_group` is false.
    images : NoiseImages
        Of the same rows. Pixels without a positive gain get NO_GAIN_VALUE and DO_NOT_USE; unknown read noise gives NaN
        rates without a flag.
    readout : Readout
        INSTRUME, NFRAMES, TGROUP and TFRAME are used; GROUPGAP and DRPFRMS1 for the optional product.
    parameters : mapping
        Official names; those that are left out have the defaults of `STEP`.
    facts : RampFacts or None
        Of the whole exposure, with the flags that this step receives. None: `ramp` is the whole exposure.

    Returns
    -------
    Fit or None
        None if every pixel is saturated in the first group of all integrations, or if MIRI has fewer than two groups
        that are not wholly DO_NOT_USE. With the optional product if `save_opt` is true.

    Raises
    ------
    errors.WrongLayout
        If the shapes do not belong together, or there are no groups or no integrations.
    errors.MissingKeyword
        If NFRAMES, TGROUP or TFRAME is not a positive number.
    errors.Unsupported
        If another algorithm than OLS_C or LIKELY is asked for.
    """
    _check_shapes(ramp, images)
    values = {**STEP.parameters, **parameters}
    _check(readout, values)
    wanted = _wanted_groups(values["firstgroup"], values["lastgroup"], ramp.data.shape[1])
    facts = facts or RampFacts.of(ramp.groupdq)
    groupdq = _with_only(ramp.groupdq, wanted)
    if str(values["algorithm"]).upper() == "LIKELY" and ramp.data.shape[1] >= likelihood.FEWEST_GROUPS:
        return likelihood.fit(replace(ramp, groupdq=groupdq), images, readout=readout)
    groups = _used_groups(readout, facts, wanted)
    if groups is None or facts.saturated_groups[groups.start]:
        return None
    zeroframe = None if values["suppress_one_group"] and ramp.data.shape[1] > 1 else ramp.zeroframe
    ramps = _Ramps(
        data=_flat(ramp.data[:, groups]),
        groupdq=_flat(groupdq[:, groups]),
        pixeldq=ramp.pixeldq.reshape(-1),
        zeroframe=None if zeroframe is None else zeroframe.reshape(len(zeroframe), -1),
        images=images.flat(),
        nframes=readout.nframes,
    )
    cadence = _cadence(readout, values, groups)
    with np.errstate(all="ignore"):
        fitted = _fit(ramps, cadence, ramp.data.shape[2:])
        return _with_optional(fitted, ramps, cadence, readout) if values["save_opt"] else fitted


@dataclass(frozen=True, slots=True)
class _Ramps:
    """The ramps with rows and columns as one axis.

    Attributes
    ----------
    data, groupdq : array, (integration, group, pixel)
    pixeldq : uint32 array, (pixel,)
    zeroframe : float32 array, (integration, pixel), or None
    images : NoiseImages
        (pixel,)
    nframes : int
        Frames in a group.
    """

    data: NDArray[np.float32]
    groupdq: NDArray[np.uint8]
    pixeldq: NDArray[np.uint32]
    zeroframe: NDArray[np.float32] | None
    images: NoiseImages
    nframes: int

    def chosen(self, pixels: Pixels) -> FlaggedRamps:
        """Return some of the pixels as the fit of flagged ramps takes them."""
        images = self.images.of(pixels)
        dark = np.zeros(len(images.gain)) if images.dark_current is None else images.dark_current.astype(np.float64)
        return FlaggedRamps(
            data=_some(self.data, pixels),
            groupdq=_some(self.groupdq, pixels),
            pixeldq=_without_gain(self.pixeldq[pixels], images.gain),
            zeroframe=None if self.zeroframe is None else self.zeroframe[:, pixels],
            noise=PixelNoise(images.gain.astype(np.float64), images.read_noise(self.nframes).astype(np.float64), dark),
        )


def _without_gain(pixeldq: NDArray[np.uint32], gain: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the flags of pixels, with those of pixels without a positive gain."""
    good = gain > 0
    return pixeldq if good.all() else np.where(good, pixeldq, pixeldq | np.uint32(NO_GAIN_VALUE | DO_NOT_USE))


def _check_shapes(ramp: Ramp, images: NoiseImages) -> None:
    """Refuse arrays that do not belong together."""
    known = {"pixeldq": ramp.pixeldq, "gain": images.gain, "readnoise": images.readnoise}
    if images.dark_current is not None:
        known["dark_current"] = images.dark_current
    check_layout(ramp.data, ramp.groupdq, **known)
    wanted = (ramp.data.shape[0], *ramp.data.shape[2:])
    if ramp.zeroframe is not None and ramp.zeroframe.shape != wanted:
        raise errors.WrongLayout(
            f"zeroframe has shape {ramp.zeroframe.shape}; it needs one image per integration, {wanted}"
        )


def _check(readout: Readout, values: Mapping[str, Parameter]) -> None:
    """Refuse what cannot be fitted."""
    if str(values["algorithm"]).upper() not in ("OLS_C", "LIKELY"):
        raise errors.Unsupported(f"ramp_fit: algorithm is {values['algorithm']}; it has to be OLS_C or LIKELY")
    times = {"NFRAMES": readout.nframes, "TGROUP": readout.group_time_s, "TFRAME": readout.frame_time_s}
    for keyword, value in times.items():
        if not 0 < value < np.inf:
            raise errors.MissingKeyword(f"ramp_fit: {keyword} is {value}; it has to be a positive number")


def _cadence(readout: Readout, values: Mapping[str, Parameter], groups: slice) -> Cadence:
    """Return the times in the precision that the official step has them in."""
    frame_time_s = float(np.float32(readout.frame_time_s))
    return Cadence(
        group_time_s=float(np.float32(readout.group_time_s)),
        frame_time_s=frame_time_s,
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


def _some(cube: NDArray[Scalar], pixels: Pixels) -> NDArray[Scalar]:
    """Return some pixels of (integration, group, pixel); a view of pixels in a row."""
    return cube[:, :, pixels] if isinstance(pixels, slice) else picked(cube, pixels)


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return (integration, group, row, column) with rows and columns as one axis."""
    return array.reshape(*array.shape[:2], -1)


def _fit(ramps: _Ramps, cadence: Cadence, shape: tuple[int, ...]) -> Fit:
    """Fit runs of pixels as if they were without flags, and those that are not in the way that holds for all.

    Where most pixels have flags, that way is taken for all of a run first: then none of them has to be gathered.
    """
    nints, ngroups, pixels = ramps.data.shape
    rateints = _empty((nints, pixels))
    rate = _rate_beside(rateints) if nints == 1 else _empty((pixels,))
    others = [np.zeros(0, np.intp)]
    for block in blocks(pixels, ngroups, values=_BLOCK_VALUES):
        flagged = _flagged(ramps, block)
        if 2 * np.count_nonzero(flagged) > len(flagged):
            for part in blocks(len(flagged), nints * ngroups, values=_FLAGGED_VALUES, shortest=_SHORTEST_SERIES):
                _fit_flagged(ramps, slice(block.start + part.start, block.start + part.stop), cadence, rate, rateints)
            clean = np.flatnonzero(~flagged) + block.start
            if clean.size:
                others.append(clean[~_fit_clean(ramps, clean, cadence, rate, rateints)])
        else:
            flagged |= ~_fit_clean(ramps, block, cadence, rate, rateints)
            others.append(np.flatnonzero(flagged) + block.start)
    for batch in batches(np.concatenate(others), nints * ngroups, values=_FLAGGED_VALUES, shortest=_SHORTEST_SERIES):
        _fit_flagged(ramps, batch, cadence, rate, rateints)
    return Fit(_shaped(rate, shape), _shaped(rateints, (nints, *shape)))


def _flagged(ramps: _Ramps, block: slice) -> NDArray[np.bool_]:
    """Tell which pixels have a flag in any group, are unusable, or too short for a fit of clean ramps."""
    if ramps.data.shape[1] < clean_ramps.FEWEST_GROUPS:
        return np.ones(block.stop - block.start, np.bool_)
    pixeldq = _without_gain(ramps.pixeldq[block], ramps.images.gain[block])
    flagged: NDArray[np.bool_] = (_any_flag(ramps.groupdq[:, :, block]) != 0) | (pixeldq & _UNUSABLE != 0)
    return flagged


def _fit_flagged(ramps: _Ramps, pixels: Pixels, cadence: Cadence, rate: Rate, rateints: Rate) -> None:
    """Write the rates of pixels whatever their flags are."""
    chosen = ramps.chosen(pixels)
    combined, each = flagged_ramps.fit_flagged(chosen, cadence)
    apart = _PLANES if len(rateints.sci) > 1 else _OWN_PLANES
    for result, part, names in ((rateints, each, _PLANES), (rate, combined, apart)):
        for name in names:
            getattr(result, name)[..., pixels] = part.bits | chosen.pixeldq if name == "dq" else getattr(part, name)


def _fit_clean(ramps: _Ramps, pixels: Pixels, cadence: Cadence, rate: Rate, rateints: Rate) -> NDArray[np.bool_]:
    """Write the rates of pixels as if they had no flags; return for which of them that is right otherwise."""
    nints = len(ramps.data)
    images = ramps.images.of(pixels)
    clean = clean_ramps.fit_clean(
        _some(ramps.data, pixels), images, images.read_noise(ramps.nframes), cadence.group_time_s
    )
    photon, read = clean.photon_variance, clean.read_variance
    total = photon + read
    pixeldq = _without_gain(ramps.pixeldq[pixels], images.gain)
    rateints.sci[:, pixels] = clean.slope
    rateints.err[:, pixels] = np.sqrt(total)
    rateints.var_poisson[:, pixels] = photon
    rateints.var_rnoise[:, pixels] = read
    rateints.dq[:, pixels] = pixeldq
    if nints > 1:
        rate.sci[pixels] = np.add.reduce(clean.slope, axis=0) / nints
        rate.var_poisson[pixels] = photon / np.float32(nints)
        rate.dq[pixels] = pixeldq
    read /= np.float32(nints)
    rate.var_rnoise[pixels] = read
    total /= np.float32(nints)
    rate.err[pixels] = np.sqrt(total, out=total)
    return clean.valid


def _any_flag(groupdq: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the flags that any group of a pixel has, (integration, group, pixel) to (pixel,)."""
    flags: NDArray[np.uint8] = np.bitwise_or.reduce(groupdq[0], axis=0)
    for integration in groupdq[1:]:
        flags |= np.bitwise_or.reduce(integration, axis=0)
    return flags


def _empty(shape: tuple[int, ...]) -> Rate:
    """Return a rate with nothing in it yet."""
    sci, err, photon, read = (np.empty(shape, np.float32) for _ in range(4))
    return Rate(sci=sci, err=err, dq=np.empty(shape, np.uint32), var_poisson=photon, var_rnoise=read)


def _rate_beside(rateints: Rate) -> Rate:
    """Return the rate of an exposure of one integration: its own are only the planes that may differ from that."""
    own = _empty(rateints.sci.shape[1:])
    return replace(own, sci=rateints.sci[0], dq=rateints.dq[0], var_poisson=rateints.var_poisson[0])


def _shaped(rate: Rate, shape: tuple[int, ...]) -> Rate:
    """Return a rate with rows and columns apart."""
    return Rate(*(getattr(rate, field.name).reshape(shape) for field in fields(Rate)))


def _with_optional(fitted: Fit, ramps: _Ramps, cadence: Cadence, readout: Readout) -> Fit:
    """Return the fit with what the official step tells of each segment."""
    nints, ngroups, pixels = ramps.data.shape
    parts = [
        optional_fit.of_pixels(ramps.chosen(chosen), cadence, readout)
        for chosen in batches(np.arange(pixels), nints * ngroups, values=_FLAGGED_VALUES)
    ]
    return replace(fitted, optional=optional_fit.joined(parts, fitted.rate.sci.shape))
