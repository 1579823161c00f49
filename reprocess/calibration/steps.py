"""Which steps stage 1 has for an exposure, and what they declare together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reprocess import errors
from reprocess.calibration import (
    charge_migration,
    dark_current,
    dq,
    firstframe,
    gain_scale,
    group_scale,
    ipc,
    jump,
    large_events,
    lastframe,
    linearity,
    ramp_fit,
    refpix,
    refpix_irs2,
    reset,
    rscd,
    saturation,
    superbias,
)
from reprocess.calibration.readout import INTERLEAVED_FROM, is_interleaved
from reprocess.calibration.step import Locality, Parameter, Step
from reprocess.exposure import Header

Parameters = Mapping[str, Mapping[str, Parameter]]


def _off(name: str, keyword: str) -> Step:
    """Declare a step that the official chain leaves out unless asked for it; here it cannot be asked for."""
    return Step(name=name, keyword=keyword, revision=1, parameters=MappingProxyType({"skip": True}))


_FLICKER_AND_PERSISTENCE = (
    _off("picture_frame", "S_PCTFRM"),
    _off("clean_flicker_noise", "S_CLNFNS"),
    _off("persistence", "S_PERSIS"),
)
_EMICORR = _off("emicorr", "S_MIREMI")
OFF = (_EMICORR, *_FLICKER_AND_PERSISTENCE)

_FROM_JUMP_ON = (charge_migration.STEP, jump.STEP, *_FLICKER_AND_PERSISTENCE, ramp_fit.STEP, gain_scale.STEP)

NEAR_INFRARED: tuple[Step, ...] = (
    group_scale.STEP,
    dq.STEP,
    saturation.STEP,
    ipc.STEP,
    superbias.STEP,
    refpix.STEP,
    linearity.STEP,
    dark_current.STEP,
    *_FROM_JUMP_ON,
)

# Full frames of NIRSpec in an IRS2 pattern.
INTERLEAVED: tuple[Step, ...] = tuple(refpix_irs2.STEP if step is refpix.STEP else step for step in NEAR_INFRARED)

MID_INFRARED: tuple[Step, ...] = (
    group_scale.STEP,
    dq.STEP,
    _EMICORR,
    saturation.STEP,
    ipc.STEP,
    firstframe.STEP,
    lastframe.STEP,
    reset.STEP,
    linearity.STEP,
    rscd.STEP,
    dark_current.STEP,
    refpix.STEP,
    *_FROM_JUMP_ON,
)

# What a target may name: the steps of any instrument, each once.
STEPS: tuple[Step, ...] = (*NEAR_INFRARED, *(step for step in MID_INFRARED if step not in NEAR_INFRARED))

NEAR_INFRARED_TYPES = frozenset(
    {
        "FGS_FOCUS",
        "FGS_IMAGE",
        "FGS_INTFLAT",
        "FGS_SKYFLAT",
        "NIS_AMI",
        "NIS_EXTCAL",
        "NIS_FOCUS",
        "NIS_IMAGE",
        "NIS_LAMP",
        "NIS_SOSS",
        "NIS_TACONFIRM",
        "NIS_TACQ",
        "NIS_WFSS",
        "NRC_CORON",
        "NRC_FLAT",
        "NRC_FOCUS",
        "NRC_GRISM",
        "NRC_IMAGE",
        "NRC_LED",
        "NRC_TACONFIRM",
        "NRC_TACQ",
        "NRC_TSGRISM",
        "NRC_TSIMAGE",
        "NRC_WFSC",
        "NRC_WFSS",
        "NRS_AUTOFLAT",
        "NRS_AUTOWAVE",
        "NRS_BRIGHTOBJ",
        "NRS_CONFIRM",
        "NRS_FIXEDSLIT",
        "NRS_FOCUS",
        "NRS_IFU",
        "NRS_IMAGE",
        "NRS_LAMP",
        "NRS_MIMF",
        "NRS_MSASPEC",
        "NRS_MSATA",
        "NRS_TACONFIRM",
        "NRS_TACQ",
        "NRS_TASLIT",
        "NRS_VERIFY",
        "NRS_WATA",
    }
)
MID_INFRARED_TYPES = frozenset(
    {
        "MIR_4QPM",
        "MIR_CORONCAL",
        "MIR_FLATIMAGE",
        "MIR_FLATIMAGE-EXT",
        "MIR_FLATMRS",
        "MIR_FLATMRS-EXT",
        "MIR_IMAGE",
        "MIR_LRS-FIXEDSLIT",
        "MIR_LRS-SLITLESS",
        "MIR_LYOT",
        "MIR_MRS",
        "MIR_TACONFIRM",
        "MIR_TACQ",
        "MIR_WFSS",
    }
)
DARK_TYPES = frozenset({"FGS_DARK", "MIR_DARKALL", "MIR_DARKIMG", "MIR_DARKMRS", "NIS_DARK", "NRC_DARK", "NRS_DARK"})
GUIDE_STAR_TYPES = frozenset({"FGS_ACQ1", "FGS_ACQ2", "FGS_FINEGUIDE", "FGS_ID-IMAGE", "FGS_ID-STACK", "FGS_TRACK"})


def steps_for(header: Header) -> tuple[Step, ...]:
    """Return the steps of an exposure in their order.

    Parameters
    ----------
    header : mapping
        Keywords of the primary header.

    Raises
    ------
    errors.MissingKeyword
        If there is no EXP_TYPE.
    errors.Unsupported
        If stage 1 here does not take exposures of this type.
    """
    exp_type = header.get("EXP_TYPE")
    if not isinstance(exp_type, str) or not exp_type.strip():
        raise errors.MissingKeyword(f"keyword EXP_TYPE is {exp_type!r}, but must name the type of the exposure")
    if header.get("MSTR_RD1") is not None:
        raise errors.Unsupported("the frame is made of stripes (keyword MSTR_RD1); only whole frames and subarrays are")
    rows = header.get("SUBSIZE2", INTERLEAVED_FROM)
    return steps_of(exp_type.strip(), interleaved=is_interleaved(str(header.get("READPATT")), rows))


def steps_of(exp_type: str, *, interleaved: bool = False) -> tuple[Step, ...]:
    """Return the steps of an exposure type in their order.

    Parameters
    ----------
    exp_type : str
    interleaved : bool
        Whether the frames are IRS2 frames, see `Readout.interleaved`.

    Raises
    ------
    errors.Unsupported
        If stage 1 here does not take exposures of this type.
    """
    if exp_type in GUIDE_STAR_TYPES:
        raise errors.Unsupported(f"EXP_TYPE {exp_type}: guide-star acquisition data are not taken by stage 1")
    if exp_type in DARK_TYPES:
        raise errors.Unsupported(f"EXP_TYPE {exp_type}: darks are not taken by stage 1, which would subtract a dark")
    if exp_type in MID_INFRARED_TYPES:
        return MID_INFRARED
    if exp_type not in NEAR_INFRARED_TYPES:
        raise errors.Unsupported(
            f"EXP_TYPE {exp_type} is not supported: stage 1 here takes exposures of NIRCam, NIRISS, FGS, NIRSpec and "
            "MIRI by the types that it knows (see the README)"
        )
    return INTERLEAVED if interleaved else NEAR_INFRARED


def reference_types(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return the reference types that the steps read, sorted."""
    return tuple(sorted({kind for step in steps for kind in step.reference_types}))


def locality(steps: Sequence[Step], parameters: Parameters | None = None) -> Locality:
    """Return what a chain of steps must see: halos added up, facts united.

    Parameters
    ----------
    steps : sequence of Step
    parameters : mapping, optional
        Parameters by step. Saturation flags that grow further than by default need a wider halo.
    """
    settings = resolve(steps, parameters or {})
    wider = 2 * (_layers(settings) - _layers(resolve(steps, {})))
    facts = {fact: None for step in steps for fact in step.locality.facts}
    jumps = settings.get(jump.STEP.name, {"skip": True})
    whole = any(step.locality.whole for step in steps) or (not jumps["skip"] and large_events.wanted(jumps))
    halo = sum(step.locality.halo_rows for step in steps)
    if settings.get(charge_migration.STEP.name, {}).get("skip", True):
        halo -= sum(step.locality.halo_rows for step in steps if step.name == charge_migration.STEP.name)
    return Locality(halo + max(0, wider), tuple(facts), whole)


def _layers(settings: Parameters) -> int:
    return int(settings.get(saturation.STEP.name, {}).get("n_pix_grow_sat") or 0)


def resolve(steps: Sequence[Step], parameters: Parameters) -> dict[str, dict[str, Parameter]]:
    """Return every parameter of every step: the given value, else the default.

    Raises
    ------
    errors.UsageError
        If a step or a parameter does not exist.
    errors.Unsupported
        If a step is asked for that cannot be run.
    """
    known = {step.name: dict(step.parameters) for step in steps}
    for step, values in parameters.items():
        if step not in known:
            raise errors.UsageError(f"there is no step {step!r}; the steps are {', '.join(known)}")
        unknown = sorted(set(values) - set(known[step]))
        if unknown:
            names = ", ".join(sorted(known[step]))
            raise errors.UsageError(f"step {step} has no parameter {unknown[0]!r}; it has {names}")
        known[step].update(values)
    for off in OFF:
        if off.name in known and not known[off.name]["skip"]:
            raise errors.Unsupported(f"step {off.name} is not supported; set its parameter skip to true")
    return known
