"""What a step declares about itself; planning and judging read this and know no step by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Parameter = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Locality:
    """What a step must see to be right about one row.

    Attributes
    ----------
    halo_rows : int
        Rows above and below that its result depends on.
    facts : tuple of str
        Names of facts of the whole exposure (fields of `detector1.Facts`) that it needs before any slab is calibrated.
    whole : bool
        Whether it must see all rows at once, so that the exposure cannot be cut into slabs.
    """

    halo_rows: int = 0
    facts: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of stage 1.

    Attributes
    ----------
    name : str
        Official name, for example ``dark_current``.
    keyword : str
        Header keyword of its status, for example ``S_DARK``.
    revision : int
        Raised by the author whenever results change.
    reference_types : tuple of str
        CRDS types that it reads.
    parameters : mapping
        Official parameter names with their defaults.
    locality : Locality
    """

    name: str
    keyword: str
    revision: int
    reference_types: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    locality: Locality = Locality()
