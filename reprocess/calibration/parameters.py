"""Values of parameters, held against what a step can do with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reprocess import errors
from reprocess.calibration.step import Parameter, Step
from reprocess.calibration.steps import Parameters, resolve

# Numbers are 0 or more unless they are listed: lengths, times, factors, thresholds, counts. None: any number.
_LEAST: Mapping[tuple[str, str], float | None] = MappingProxyType(
    {
        # As officially, a negative group number means that none is set.
        ("ramp_fit", "firstgroup"): None,
        ("ramp_fit", "lastgroup"): None,
        ("dark_current", "average_dark_current"): 0.0,
        ("refpix", "side_gain"): None,
        ("refpix", "side_smoothing_length"): 1,
        ("refpix", "siglimit"): 0.0,
    }
)


def checked(steps: Sequence[Step], given: Parameters) -> dict[str, dict[str, Parameter]]:
    """Return every parameter of every step of an exposure: what is given, else the default.

    A number takes the type of its default, so that 5 and 5.0 are the same wish.

    Parameters
    ----------
    steps : sequence of Step
        Those of the exposure; wishes for other steps are left out.
    given : mapping
        Parameters by step.

    Raises
    ------
    errors.UsageError
        If a step has no such parameter, or the value is of another type or out of range.
    errors.Unsupported
        If a step is asked for that cannot be run.
    """
    chosen = {
        step.name: {name: _value(step, name, value) for name, value in given.get(step.name, {}).items()}
        for step in steps
    }
    return resolve(steps, chosen)


def _value(step: Step, name: str, value: Parameter) -> Parameter:
    """Return a value that a parameter can have, in the type of its default."""
    place = f"{step.name}.{name}"
    if name not in step.parameters:
        known = ", ".join(sorted(step.parameters))
        raise errors.UsageError(f"{place} = {value!r}: step {step.name} has no such parameter. It has {known}.")
    value = _typed(place, value, step.parameters[name])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        raise errors.UsageError(f"{place} = {value!r}: must be a finite number.")
    least = _LEAST.get((step.name, name), 0)
    if least is not None and value < least:
        raise errors.UsageError(f"{place} = {value!r}: must be {least} or more.")
    return value


def _typed(place: str, value: Parameter, default: Parameter) -> Parameter:
    """Return a value in the type of the default; None stands for not set where the default does."""
    if not isinstance(value, bool | int | float | str) and value is not None:
        raise errors.UsageError(f"{place} = {value!r}: must be a number, a word, true or false.")
    if default is None or type(value) is type(default):
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(default) is int and isinstance(value, float) and value.is_integer():
        return int(value)
    raise errors.UsageError(f"{place} = {value!r}: must be of type {type(default).__name__}, as {default!r} is.")
