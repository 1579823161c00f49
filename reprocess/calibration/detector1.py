"""Stage 1 for imaging: raw ramps to count rates, a whole exposure at once or slab by slab.

Every result is that of the official stage 1 with the same references and parameters; `tests/parity` holds each step and
the whole chain against it. A slab gives the rows of the whole exposure bit for bit, if it is given the facts of the
exposure (`gather_facts`) and the halo that `locality` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import dark_current, gain_scale, jump, preparation, ramp_fit
from reprocess.calibration.chain import Chain, Settings, settle, statuses
from reprocess.calibration.facts import Facts, edges, gather_facts, reference_signal
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.rate import Fit, Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference, References
from reprocess.calibration.steps import (
    MID_INFRARED,
    NEAR_INFRARED,
    OFF,
    STEPS,
    Parameters,
    locality,
    reference_types,
    resolve,
    steps_for,
    steps_of,
)
from reprocess.exposure import Band, Slab

__all__ = [
    "MID_INFRARED",
    "NEAR_INFRARED",
    "STEPS",
    "Facts",
    "Stage1",
    "calibrate",
    "edges",
    "gather_facts",
    "locality",
    "reference_types",
    "resolve",
    "steps_for",
    "whole",
]


@dataclass(frozen=True)
class Stage1:
    """What stage 1 gives for the core rows of a slab.

    Attributes
    ----------
    rate : Rate
        All integrations combined, (row, column).
    rateints : Rate
        Each integration, (integration, row, column).
    statuses : mapping of str to str
        COMPLETE or SKIPPED by step.
    """

    rate: Rate
    rateints: Rate
    statuses: Mapping[str, str]


def whole(readout: Readout) -> Slab:
    """Return the slab that is the whole exposure."""
    every = Band(0, readout.rows)
    return Slab(every, every)


def calibrate(
    raw: NDArray[Any],
    references: References,
    *,
    readout: Readout,
    parameters: Parameters,
    slab: Slab | None = None,
    facts: Facts | None = None,
) -> Stage1:
    """Calibrate the rows of a slab.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column)
        DN as in the file, the padded rows of the slab. Not changed.
    references : mapping of str to Reference or None
        Cut to the padded rows and to the subarray. None, or no entry, skips the steps that read the type.
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    slab : Slab, optional
        The whole exposure if it is left out.
    facts : Facts, optional
        Of the whole exposure. They may be left out if the slab is the whole exposure.

    Returns
    -------
    Stage1
        The core rows.

    Raises
    ------
    errors.WrongLayout
        If `raw` is not the padded rows of the readout.
    errors.MissingReference
        If gain or read noise are missing.
    errors.DamagedReference
        If a reference does not fit.
    errors.BadData
        If every pixel is saturated from the first group on: there is no rate.
    errors.Unsupported
        If the exposure type or a parameter is not supported.
    """
    steps = steps_of(readout.exp_type)
    settings = resolve(steps, parameters)
    slab = slab or whole(readout)
    _check(raw, readout, slab, facts)
    chain = settle(references, readout=readout, settings=settings, band=slab.padded)
    signal = facts.reference_signal if facts else reference_signal(raw, chain, references, settings)
    gain, readnoise = (_required(references, kind, chain) for kind in ("gain", "readnoise"))
    ramp = preparation.prepare(raw, chain, signal)
    groups = facts.groups if facts else RampFacts.of(ramp.groupdq, gain)
    ramp, jump_status = _without_jumps(ramp, gain, readnoise, readout=readout, settings=settings, facts=groups)
    average = dark_current.average(
        None if settings["dark_current"]["skip"] else references.get("dark"),
        None if settings["dark_current"]["skip"] else settings["dark_current"]["average_dark_current"],
        chain.shape,
    )
    fit = _fit(ramp, (gain, readnoise, average), slab, readout=readout, settings=settings, facts=groups)
    fit, scaled = _scaled(fit, references.get("gain"), settings)
    done = statuses(chain) | {"jump": jump_status, "ramp_fit": "COMPLETE", "gain_scale": scaled}
    done |= {step.name: "SKIPPED" for step in OFF}
    return Stage1(fit.rate, fit.rateints, {step.name: done[step.name] for step in steps})


def _check(raw: NDArray[Any], readout: Readout, slab: Slab, facts: Facts | None) -> None:
    """Refuse raw data that are not the padded rows of the readout, and a slab without the facts of its exposure."""
    wanted = (readout.nints, readout.ngroups, len(slab.padded), readout.columns)
    if raw.shape != wanted or 0 in wanted:
        raise errors.WrongLayout(
            f"raw data have axes {raw.shape}, but rows {slab.padded.start} to {slab.padded.stop} of an exposure with "
            f"NINTS={readout.nints} and NGROUPS={readout.ngroups} have {wanted}, none of which may be 0"
        )
    if raw.dtype not in (np.uint16, np.float32):
        raise errors.WrongLayout(f"raw data have type {raw.dtype}, but must be uint16 or float32 in native byte order")
    if facts is None and len(slab.padded) != readout.rows:
        raise errors.UsageError("a slab can only be calibrated with the facts of its exposure; gather them first")


def _required(references: References, kind: str, chain: Chain) -> NDArray[np.float32]:
    """Return the image of a reference that there must be."""
    reference = references.get(kind)
    if reference is None:
        raise errors.MissingReference(f"there is no {kind} reference; jump and ramp_fit cannot run without")
    image: NDArray[np.float32] = reference.array("sci", chain.shape)
    return image


def _without_jumps(
    ramp: Ramp,
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    settings: Settings,
    facts: RampFacts,
) -> tuple[Ramp, str]:
    """Return the ramp with its jumps flagged, and the status of the step."""
    if settings["jump"]["skip"] or readout.ngroups < jump.FEWEST_GROUPS:
        return ramp, "SKIPPED"
    groupdq, pixeldq = jump.detect(
        ramp.data,
        ramp.groupdq,
        ramp.pixeldq,
        gain,
        readnoise,
        readout=readout,
        parameters=settings["jump"],
        facts=facts,
    )
    return Ramp(ramp.data, groupdq, pixeldq), "COMPLETE"


def _fit(
    ramp: Ramp,
    images: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None],
    slab: Slab,
    *,
    readout: Readout,
    settings: Settings,
    facts: RampFacts,
) -> Fit:
    """Fit the core rows."""
    if settings["ramp_fit"]["skip"]:
        raise errors.Unsupported("step ramp_fit cannot be skipped: stage 1 would have no product")
    core = slab.core_in_padded
    gain, readnoise, average = images
    fit: Fit | None = ramp_fit.fit(
        ramp.data[:, :, core],
        ramp.groupdq[:, :, core],
        ramp.pixeldq[core],
        gain[core],
        readnoise[core],
        readout=readout,
        parameters=settings["ramp_fit"],
        dark_current=None if average is None else average[core],
        facts=facts,
    )
    if fit is None:
        raise errors.BadData(
            "every pixel is saturated in the first group that is used, or fewer than two groups are; there is no rate"
        )
    return fit


def _scaled(fit: Fit, gain: Reference | None, settings: Settings) -> tuple[Fit, str]:
    """Return the rates after the gain_scale step, and its status."""
    factor = None if settings["gain_scale"]["skip"] else gain_scale.factor(gain)
    if factor is None:
        return fit, "SKIPPED"
    return Fit(gain_scale.scale(fit.rate, by=factor), gain_scale.scale(fit.rateints, by=factor)), "COMPLETE"
