"""The target: software, context and parameters that products should have been made with.

A target is pinned in a TOML file and never ambient::

    context = "jwst_0541.pmap"
    software = "0.1.0"                # a version, or a range such as ">=0.1,<0.2"

    [parameters.jump]
    rejection_threshold = 5.0

    [products]
    zarr = true                       # the rates of each integration as Zarr too

    [limits]
    memory_limit_mb = 1500            # larger exposures are cut into slabs

    [budget.NRC_IMAGE]                # never part of a fingerprint
    changed_pixels = 0.01
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reprocess import errors

Value = bool | int | float | str
T = TypeVar("T")
_TABLES = ("parameters", "products", "limits", "budget")


@dataclass(frozen=True)
class Target:
    """What products should have been made with.

    Attributes
    ----------
    context : str
        Name of a CRDS context, for example ``jwst_0541.pmap``.
    software : str
        Version of this package, or a range of versions.
    parameters : mapping of step name to mapping of parameter name to value
        What differs from the defaults of the code.
    zarr : bool
        Whether each version also holds the rates of each integration as Zarr.
    memory_limit_mb : int
        Memory of one worker in MB (10^6 bytes); 0 for the one of the settings.
    budget : mapping
        Expected differences. Like products and limits, they never enter a fingerprint.
    text : str
        The file as it was read; kept with every plan.
    """

    context: str
    software: str
    parameters: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    zarr: bool = False
    memory_limit_mb: int = 0
    budget: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    text: str = ""


def read_target(text: str, *, name: str) -> Target:
    """Read the text of a target file.

    Parameters
    ----------
    text : str
        TOML.
    name : str
        What to call the file in messages.

    Raises
    ------
    TargetError
        The text is no TOML, or a key is missing, unknown or of the wrong type.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.TargetError(f"{name} is not valid TOML: {error}. Mend that line.") from error
    unknown = sorted(set(table) - {"context", "software", *_TABLES})
    if unknown:
        known = ", ".join(("context", "software", *_TABLES))
        raise errors.TargetError(f"{name}: unknown key {unknown[0]!r}. A target has {known}.")
    nested = {key: _table(table, key, name) for key in _TABLES}
    return Target(
        context=_text(table, "context", name),
        software=_text(table, "software", name),
        parameters={step: _table(nested["parameters"], step, name) for step in nested["parameters"]},
        zarr=_choice(nested["products"], "products", "zarr", False, name),
        memory_limit_mb=_limit(nested["limits"], name),
        budget={mode: _table(nested["budget"], mode, name) for mode in nested["budget"]},
        text=text,
    )


def _choice(table: Mapping[str, Any], section: str, key: str, default: T, name: str) -> T:
    """Read the one key that a section may have."""
    unknown = sorted(set(table) - {key})
    if unknown:
        raise errors.TargetError(f"{name}: [{section}] has no key {unknown[0]!r}. It has {key}.")
    value = table.get(key, default)
    if type(value) is not type(default):
        raise errors.TargetError(
            f"{name}: [{section}] {key} is {value!r}; it must be of type {type(default).__name__}."
        )
    return value


def _limit(table: Mapping[str, Any], name: str) -> int:
    value = _choice(table, "limits", "memory_limit_mb", 0, name)
    if value < 0 or (value == 0 and table):
        raise errors.TargetError(f"{name}: [limits] memory_limit_mb is {value}; it must be 1 or more.")
    return value


def _text(table: Mapping[str, Any], key: str, name: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise errors.TargetError(f'{name}: {key} is {value!r}. Write {key} = "..." at the top of the file.')
    return value


def _table(table: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise errors.TargetError(f"{name}: {key} is {value!r}, not a table. Write it as a [{key}] section.")
    return value
