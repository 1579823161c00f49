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

    [budget.default]                  # what new pixels may differ by from published ones; see `Budget`
    nan_fraction = 0.01

    [budget.NRC_IMAGE]                # for one EXP_TYPE; what it leaves out is as in the default
    changed_fraction = 0.2
    median_sigma = 0.05
    keywords = ["GAINFACT"]
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from reprocess import errors

Value = bool | int | float | str
T = TypeVar("T")
_TABLES = ("parameters", "products", "limits", "budget")
_DEFAULT = "default"
_MODE = re.compile(r"[A-Z]{3}_[A-Z0-9-]+")


@dataclass(frozen=True, slots=True)
class Budget:
    """How far a new version may differ from the published one before it is held back.

    A limit that is None allows anything: what a target says nothing of may change. Three things are held back even
    then, because no change of software or references is meant to bring them: another shape, another place on the sky,
    and many more pixels without a value.

    Attributes
    ----------
    changed_fraction : float or None
        Part of the pixels of SCI whose value changed, 0 to 1.
    median_sigma, mad_sigma, max_sigma : float or None
        Of the differences of SCI in units of the published ERR: the median without its sign, the scatter (1.4826 times
        the median absolute deviation), the largest.
    err_median : float or None
        Median of the differences of ERR in the same units: 0.1 means that errors changed by a tenth.
    dq_fraction : float or None
        Part of the pixels whose flags changed, 0 to 1.
    nan_fraction : float or None
        Part of the pixels of SCI that had a value and now, net, have none, 0 to 1.
    keywords : tuple of str or None
        Science keywords that may change.
    wcs, shape : bool
        Whether the keywords of the place on the sky, and the arrays there are and their axes, may change.
    """

    changed_fraction: float | None = None
    median_sigma: float | None = None
    mad_sigma: float | None = None
    max_sigma: float | None = None
    err_median: float | None = None
    dq_fraction: float | None = None
    nan_fraction: float | None = 0.05
    keywords: tuple[str, ...] | None = None
    wcs: bool = False
    shape: bool = False


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
    budget : mapping of EXP_TYPE, or ``default``, to mapping of name to value
        Expected differences, see `Budget`. Like products and limits, they never enter a fingerprint.
    text : str
        The file as it was read; kept with every plan.
    """

    context: str
    software: str
    parameters: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    zarr: bool = False
    memory_limit_mb: int = 0
    budget: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    text: str = ""

    def budget_for(self, exp_type: str) -> Budget:
        """Return the budget of exposures of one EXP_TYPE: what is said of it, else the default, else the built-in."""
        return Budget(**{**self.budget.get(_DEFAULT, {}), **self.budget.get(exp_type, {})})


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
        budget={mode: _budget(nested["budget"], mode, name) for mode in nested["budget"]},
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


def _budget(table: Mapping[str, Any], mode: str, name: str) -> dict[str, Any]:
    """Read what is expected of one mode."""
    if mode != _DEFAULT and not _MODE.fullmatch(mode):
        raise errors.TargetError(
            f"{name}: [budget] has {mode!r}, which is neither default nor an EXP_TYPE. Write say [budget.NRC_IMAGE]."
        )
    given = _table(table, mode, name)
    known = [each.name for each in fields(Budget)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise errors.TargetError(f"{name}: [budget.{mode}] has no key {unknown[0]!r}. It has {', '.join(known)}.")
    return {key: _allowed(key, value, f"{name}: [budget.{mode}] {key}") for key, value in given.items()}


def _allowed(key: str, value: Any, place: str) -> Any:  # noqa: ANN401
    """Check one value of a budget."""
    if key in ("wcs", "shape"):
        if not isinstance(value, bool):
            raise errors.TargetError(f"{place} is {value!r}; it must be true or false.")
        return value
    if key == "keywords":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise errors.TargetError(f'{place} is {value!r}; it must be a list of keywords, say ["GAINFACT"].')
        return tuple(value)
    most = 1.0 if key.endswith("_fraction") else math.inf
    if type(value) not in (int, float) or not 0 <= value <= most or math.isinf(value):
        limits = "from 0 to 1" if most == 1 else "of 0 or more"
        raise errors.TargetError(f"{place} is {value!r}; it must be a number {limits}.")
    return float(value)


def _text(table: Mapping[str, Any], key: str, name: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        said = f"{key} is {value!r}" if key in table else f"{key} is not said"
        raise errors.TargetError(f'{name}: {said}. Write {key} = "..." at the top of the file.')
    return value


def _table(table: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise errors.TargetError(f"{name}: {key} is {value!r}, not a table. Write it as a [{key}] section.")
    return value
