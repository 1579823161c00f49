"""What a target asks of one dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reprocess.archive.stage2 import Later
from reprocess.calibration.step import Step
from reprocess.exposure import Fingerprint


def unknown(kind: str, old: str, new: str) -> bool:
    """Take files of two names for different: nothing is known of what is in them."""
    return False


@dataclass(frozen=True)
class Wanted:
    """What the target asks of one dataset.

    Attributes
    ----------
    fingerprint : Fingerprint
    steps : tuple of Step
        Steps that run, in their order.
    references : mapping of type to str or None
        File name that each type is selected to.
    parameters : mapping of step to mapping of parameter to value
    software : str
        Version of this package.
    later : Later
        What stage 2 would read, of exposures that have its products.
    is_same : callable
        Tells whether two files of a type, by their names, have the same payload.
    """

    fingerprint: Fingerprint
    steps: tuple[Step, ...]
    references: Mapping[str, str | None]
    parameters: Mapping[str, Mapping[str, object]]
    software: str
    later: Later = field(default_factory=Later)
    is_same: Callable[[str, str, str], bool] = unknown
