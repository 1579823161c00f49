"""Stage 1 for imaging: raw ramps to count rates, a whole exposure at once or slab by slab.

Every result is that of the official stage 1 with the same references and parameters; `tests/parity` holds each step and
the whole chain against it. A slab gives the rows of the whole exposure bit for bit, if it is given the facts of the
exposure (`gather_facts`) and the halo that `locality` asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import (
    charge_migration,
    dark_current,
    gain_scale,
    gradual,
    irs2,
    jump,
    ramp_facts,
    ramp_fit,
)
from reprocess.calibration import zeroframe as zero
from reprocess.calibration.chain import Chain, Settings, settle, statuses
from reprocess.calibration.facts import (
    Facts,
    Replay,
    edges,
    gather_facts,
    needs_zeroframe,
    reference_signal,
    zeroframe_signal,
)
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import NOTHING_TO_REPORT, GroupMap, RampFacts, Reports
from reprocess.calibration.rate import Fit, Rate
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference, References
from reprocess.calibration.slope_variance import NoiseImages
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
    "Replay",
    "Stage1",
    "calibrate",
    "edges",
    "gather_facts",
    "locality",
    "needs_zeroframe",
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
    ramp : Ramp
        What was fitted, the padded rows.
    unscaled : Fit
        Both rates before the gain_scale step.
    reports : ramp_facts.Reports
        What this slab tells of its groups; when all slabs are calibrated, `ramp_facts.revised` judges by it whether
        they have to be calibrated anew.
    """

    rate: Rate
    rateints: Rate
    statuses: Mapping[str, str]
    ramp: Ramp
    unscaled: Fit
    reports: Reports = NOTHING_TO_REPORT


def whole(readout: Readout) -> Slab:
    """Return the slab that is the whole exposure."""
    every = Band(0, readout.rows)
    return Slab(every, every)


def calibrate(
    raw: gradual.Raw,
    references: References,
    *,
    readout: Readout,
    parameters: Parameters,
    slab: Slab | None = None,
    facts: Facts | None = None,
    zeroframe: NDArray[Any] | None = None,
) -> Stage1:
    """Calibrate the rows of a slab.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column), or gradual.Pieces
        DN as in the file, the padded rows of the slab. Not changed. Pieces are for those who give the facts.
    references : mapping of str to Reference or None
        Cut to the padded rows and to the subarray. None, or no entry, skips the steps that read the type.
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    slab : Slab, optional
        The whole exposure if it is left out.
    facts : Facts, optional
        Of the whole exposure. They may be left out if the slab is the whole exposure.
    zeroframe : uint16 or float32 array, (integration, row, column), optional
        The ZEROFRAME in DN as in the file, the padded rows of the slab. Left alone where it does not matter, see
        `needs_zeroframe`.

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
    steps = steps_of(readout.exp_type, interleaved=readout.interleaved)
    settings = resolve(steps, parameters)
    slab = slab or whole(readout)
    _check(raw, readout, slab, facts)
    chain = settle(references, readout=readout, settings=settings, band=slab.padded)
    if readout.interleaved:
        facts = None  # the whole exposure is here, and its reference samples
    signal = facts.reference_signal if facts else reference_signal(_held(raw), chain, references, settings)
    gain, readnoise = (_required(references, kind, chain) for kind in ("gain", "readnoise"))
    if readout.interleaved:
        raw = _held(raw)[:, :, irs2.normal_rows(readout.detector)]
    ramp = gradual.prepare(raw, chain, signal)
    if zeroframe is not None and zero.matters(readout, settings):
        if readout.interleaved:
            raise errors.Unsupported(
                "the ZEROFRAME of an IRS2 exposure is not supported; leave suppress_one_group of step ramp_fit on"
            )
        zero.check(zeroframe, readout, len(slab.padded))
        known = (
            facts.zeroframe_signal
            if facts
            else zeroframe_signal([zeroframe], references, readout=readout, settings=settings)
        )
        ramp = replace(ramp, zeroframe=zero.prepare(zeroframe, chain, known))
    migration = _without_migration(ramp, settings)
    groups = facts.groups if facts else RampFacts.of(ramp.groupdq, gain)
    dead = ramp_facts.dead_groups(ramp.groupdq[:, :, slab.core_in_padded]) if migration == "COMPLETE" else None
    ramp, jump_status, wholly_jumped = _without_jumps(
        ramp, gain, readnoise, readout=readout, settings=settings, facts=groups
    )
    average = dark_current.average(
        None if settings["dark_current"]["skip"] else references.get("dark"),
        None if settings["dark_current"]["skip"] else settings["dark_current"]["average_dark_current"],
        chain.shape,
    )
    fit = _fit(ramp, (gain, readnoise, average), slab, readout=readout, settings=settings, facts=groups)
    scaled_fit, scaled = _scaled(fit, references.get("gain"), settings)
    done = statuses(chain) | {"charge_migration": migration, "jump": jump_status}
    done |= {"ramp_fit": "COMPLETE", "gain_scale": scaled}
    done |= {step.name: "SKIPPED" for step in OFF}
    told = {step.name: done[step.name] for step in steps}
    return Stage1(scaled_fit.rate, scaled_fit.rateints, told, ramp, fit, Reports(wholly_jumped, dead))


def _held(raw: gradual.Raw) -> NDArray[Any]:
    """Refuse raw data in pieces where they have to be gone through otherwise."""
    if isinstance(raw, gradual.Pieces):
        raise errors.UsageError("raw data in pieces need the facts of their exposure, and cannot be those of IRS2")
    return raw


def _check(raw: gradual.Raw, readout: Readout, slab: Slab, facts: Facts | None) -> None:
    """Refuse raw data that are not the padded rows of the readout, and a slab without the facts of its exposure."""
    rows = readout.raw_rows if readout.interleaved else len(slab.padded)
    if readout.interleaved and len(slab.padded) != readout.rows:
        raise errors.UsageError("an IRS2 exposure cannot be cut into slabs: its refpix step must see whole frames")
    wanted = (readout.nints, readout.ngroups, rows, readout.columns)
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


def _without_migration(ramp: Ramp, settings: Settings) -> str:
    """Flag, in place, groups that lose charge to their neighbours; return the status of the step."""
    wanted = settings["charge_migration"]
    if wanted["skip"] or ramp.data.shape[1] < charge_migration.FEWEST_GROUPS:
        return "SKIPPED"
    charge_migration.flag(ramp.data, ramp.groupdq, float(wanted["signal_threshold"] or 0.0))
    return "COMPLETE"


def _without_jumps(
    ramp: Ramp,
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    settings: Settings,
    facts: RampFacts,
) -> tuple[Ramp, str, GroupMap | None]:
    """Return the ramp with its jumps flagged, in place, the status of the step, and which groups jump wholly."""
    if settings["jump"]["skip"] or readout.ngroups < jump.FEWEST_GROUPS:
        return ramp, "SKIPPED", None
    found = jump.detect(ramp, gain, readnoise, readout=readout, parameters=settings["jump"], facts=facts, in_place=True)
    return replace(ramp, groupdq=found.groupdq, pixeldq=found.pixeldq), "COMPLETE", found.wholly_jumped


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
    zeroframe = None if ramp.zeroframe is None else ramp.zeroframe[:, core]
    fit: Fit | None = ramp_fit.fit(
        Ramp(ramp.data[:, :, core], ramp.groupdq[:, :, core], ramp.pixeldq[core], zeroframe),
        NoiseImages(gain, readnoise, average).of(core),
        readout=readout,
        parameters=settings["ramp_fit"],
        facts=facts,
    )
    if fit is None:
        raise errors.BadData(
            f"SCI: every pixel is saturated in the first of the {readout.ngroups} groups that is used, or fewer than "
            "two are used, so there is no rate. Check the exposure, and the thresholds of the saturation reference."
        )
    return fit


def _scaled(fit: Fit, gain: Reference | None, settings: Settings) -> tuple[Fit, str]:
    """Return the rates after the gain_scale step, and its status."""
    factor = None if settings["gain_scale"]["skip"] else gain_scale.factor(gain)
    if factor is None:
        return fit, "SKIPPED"
    rate, rateints = (gain_scale.scale(each, by=factor) for each in (fit.rate, fit.rateints))
    return Fit(rate, rateints, fit.optional), "COMPLETE"
