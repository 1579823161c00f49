"""Stage 2 for images: which steps it has for an exposure type, and which reference types they read.

Stage 2 is not built yet. Its products, which others have made, are judged by their reference files, so that it is known
which of them a context changes, and that stage 1 has no part in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from reprocess.calibration.step import Step
from reprocess.exposure import IMAGE2, Header

NOT_BUILT = (
    "only stage 2 ({stage}) would have to run again, from the rate product, and it is not built yet. The product stays "
    "as it is; make it again with the official pipeline."
)


def _step(name: str, keyword: str, *types: str) -> Step:
    return Step(name=name, keyword=keyword, revision=0, reference_types=types)


# What the step really reads of the sixteen types that the official one declares.
_WCS = "assign_wcs", "S_WCS"
_DISTORTED = _step(*_WCS, "distortion")
_FILTERED = _step(*_WCS, "distortion", "filteroffset")
_DISPERSED = _step(
    *_WCS, "camera", "collimator", "disperser", "fore", "fpa", "msa", "ote", "wavelengthrange"
)  # the mirror stands in the wheel of the gratings
_FLAT = _step("flat_field", "S_FLAT", "flat")
_PHOTOM = _step("photom", "S_PHOTOM", "photom", "area")

_GUIDER = ("FGS_IMAGE", "FGS_FOCUS")
_OTHERS = (
    "MIR_4QPM", "MIR_CORONCAL", "MIR_IMAGE", "MIR_LYOT", "MIR_TACONFIRM", "MIR_TACQ",
    "NIS_AMI", "NIS_FOCUS", "NIS_IMAGE", "NIS_TACONFIRM", "NIS_TACQ",
    "NRC_CORON", "NRC_FOCUS", "NRC_IMAGE", "NRC_TACONFIRM", "NRC_TACQ", "NRC_TSIMAGE",
)  # fmt: skip
_NIRSPEC = (
    "NRS_CONFIRM", "NRS_FOCUS", "NRS_IMAGE", "NRS_MIMF", "NRS_MSATA", "NRS_TACONFIRM", "NRS_TACQ", "NRS_TASLIT",
    "NRS_VERIFY", "NRS_WATA",
)  # fmt: skip


def _steps(exp_types: Iterable[str], wcs: Step) -> dict[str, tuple[Step, ...]]:
    return dict.fromkeys(exp_types, (wcs, _FLAT, _PHOTOM))


STEPS: Mapping[str, tuple[Step, ...]] = MappingProxyType(
    _steps(_GUIDER, _DISTORTED) | _steps(_OTHERS, _FILTERED) | _steps(_NIRSPEC, _DISPERSED)
)
"""Steps of image2 that make a ``cal`` product, by exposure type. Of other types, spectra above all, none is judged."""


@dataclass(frozen=True)
class Later:
    """What stage 2 would read under the target's context.

    Attributes
    ----------
    steps : tuple of Step
        Empty where there is no product of stage 2, or none that can be judged.
    references : mapping of type to str or None
        File name that each type is selected to.
    undecided : mapping of type to str
        Why no file can be selected.
    """

    steps: tuple[Step, ...] = ()
    references: Mapping[str, str | None] = field(default_factory=dict)
    undecided: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[Any, ...]:
        """What is equal for equal ones; steps are constants of this module."""
        return tuple(map(id, self.steps)), tuple(self.references.items()), tuple(self.undecided.items())


def steps_for(header: Header) -> tuple[Step, ...]:
    """Return the steps of stage 2 for an exposure; empty for spectra, and for what nobody knows."""
    return STEPS.get(str(header.get("EXP_TYPE", "")).strip(), ())


def types_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the reference types that steps read, sorted."""
    return tuple(sorted({kind for step in steps for kind in step.reference_types}))


def not_built(dataset: str) -> str:
    """Say why a dataset of which only stage 2 is stale cannot be made again."""
    return f"{dataset}: {NOT_BUILT.format(stage=IMAGE2)}"
