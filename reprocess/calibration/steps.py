"""Which steps stage 1 has for an exposure, and what they declare together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reprocess import errors
from reprocess.calibration import (
    dark_current,
    dq,
    gain_scale,
    group_scale,
    ipc,
    jump,
    lastframe,
    linearity,
    ramp_fit,
    refpix,
    reset,
    rscd,
    saturation,
    superbias,
)
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
_CHARGE_MIGRATION = _off("charge_migration", "S_CHGMIG")
_EMICORR, _FIRSTFRAME = _off("emicorr", "S_MIREMI"), _off("firstframe", "S_FRSTFR")
OFF = (_EMICORR, _FIRSTFRAME, _CHARGE_MIGRATION, *_FLICKER_AND_PERSISTENCE)

_FROM_JUMP_ON = (_CHARGE_MIGRATION, jump.STEP, *_FLICKER_AND_PERSISTENCE, ramp_fit.STEP, gain_scale.STEP)

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

MID_INFRARED: tuple[Step, ...] = (
    group_scale.STEP,
    dq.STEP,
    _EMICORR,
    saturation.STEP,
    ipc.STEP,
    _FIRSTFRAME,
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
        "NIS_AMI",
        "NIS_FOCUS",
        "NIS_IMAGE",
        "NIS_TACONFIRM",
        "NIS_TACQ",
        "NRC_CORON",
        "NRC_FOCUS",
        "NRC_IMAGE",
        "NRC_TACONFIRM",
        "NRC_TACQ",
        "NRC_TSIMAGE",
    }
)
MID_INFRARED_TYPES = frozenset({"MIR_4QPM", "MIR_CORONCAL", "MIR_IMAGE", "MIR_LYOT", "MIR_TACONFIRM", "MIR_TACQ"})
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
    return steps_of(exp_type.strip())


def steps_of(exp_type: str) -> tuple[Step, ...]:
    """Return the steps of an exposure type in their order.

    Raises
    ------
    errors.Unsupported
        If stage 1 here does not take exposures of this type.
    """
    if exp_type in GUIDE_STAR_TYPES:
        raise errors.Unsupported(f"EXP_TYPE {exp_type}: guide-star acquisition data are not taken by stage 1")
    if exp_type in MID_INFRARED_TYPES:
        return MID_INFRARED
    if exp_type not in NEAR_INFRARED_TYPES:
        raise errors.Unsupported(
            f"EXP_TYPE {exp_type} is not supported: stage 1 here takes imaging with NIRCam, NIRISS, FGS and MIRI "
            "(see the README)"
        )
    return NEAR_INFRARED


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
    whole = any(step.locality.whole for step in steps)
    return Locality(sum(step.locality.halo_rows for step in steps) + max(0, wider), tuple(facts), whole)


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
