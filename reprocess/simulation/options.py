"""What to simulate, and the record of what was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprocess import errors
from reprocess.simulation.instruments import INSTRUMENTS

DEMO_EXPOSURES = 40
_SMALLEST, _LARGEST = 16, 2048


@dataclass(frozen=True, slots=True)
class SimulationOptions:
    """What to simulate.

    Attributes
    ----------
    exposures : int
        How many detector exposures.
    seed : int
        Everything random follows from it.
    instruments : tuple of str
        Restrict to these; empty means all four.
    shape : (rows, columns) or None
        Read all exposures in this shape: a named subarray of that size, or one called GENERIC.
    groups, integrations : int or None
        Override the groups in an integration and the integrations in an exposure.
    mix : str
        ``small`` (subarrays only) or ``demo`` (also full frames).
    """

    exposures: int = 12
    seed: int = 1
    instruments: tuple[str, ...] = ()
    shape: tuple[int, int] | None = None
    groups: int | None = None
    integrations: int | None = None
    mix: str = "small"

    def __post_init__(self) -> None:
        _at_least("exposures", self.exposures, 1)
        for name in ("groups", "integrations"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)
        unknown = [name for name in self.instruments if name not in INSTRUMENTS]
        if unknown:
            raise errors.UsageError(f"instrument {unknown[0]!r} is not simulated. Choose of {', '.join(INSTRUMENTS)}.")
        if self.mix not in ("small", "demo"):
            raise errors.UsageError(f"mix {self.mix!r} does not exist. Choose small or demo.")
        if self.shape is not None:
            _check_shape(self.shape)

    @classmethod
    def demo(cls, seed: int = 1) -> SimulationOptions:
        """Forty exposures of four instruments over a year, four of them of 2048 x 2048 pixels."""
        return cls(exposures=DEMO_EXPOSURES, seed=seed, mix="demo")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise errors.UsageError(f"{name} is {value}. Give {least} or more.")


def _check_shape(shape: tuple[int, int]) -> None:
    if any(size % 4 or not _SMALLEST <= size <= _LARGEST for size in shape):
        rows, columns = shape
        raise errors.UsageError(
            f"shape {rows}x{columns} cannot be read. Give rows and columns of {_SMALLEST} to {_LARGEST} pixels, "
            "multiples of 4."
        )


@dataclass(frozen=True, slots=True)
class SimulatedExposure:
    """One Level 1b file that was written.

    Attributes
    ----------
    dataset, key : str
        Root name of the file, and its key below the root.
    instrument, detector, subarray, read_pattern, start : str
        `start` is the ISO 8601 UTC time of its begin.
    shape : tuple of int
        (integration, group, row, column).
    size : int
        Bytes.
    """

    dataset: str
    key: str
    instrument: str
    detector: str
    subarray: str
    read_pattern: str
    start: str
    shape: tuple[int, int, int, int]
    size: int


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between the two contexts.

    Attributes
    ----------
    kind : str
        ``payload`` (new pixels), ``header-only`` (new name, same pixels), ``useafter`` (a new file from a date on)
        or ``rules-only`` (an rmap of another name that selects the same files).
    instrument, type : str
    old, new : str
        File names; for ``rules-only`` those of the rmaps.
    useafter : str
        For ``useafter``, the date from which on the new file is selected; otherwise empty.
    """

    kind: str
    instrument: str
    type: str
    old: str
    new: str
    useafter: str = ""


@dataclass(frozen=True, slots=True)
class ExpectedReason:
    """One reference that another file is selected for; `kind` as in `Change`."""

    kind: str
    type: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the change of context does to one dataset.

    Attributes
    ----------
    dataset : str
    state : str
        ``current``, ``stale`` or ``stale-in-name-only``, of products made under the first context.
    reasons : tuple of ExpectedReason
    first, second : mapping of str to str
        Reference type to the file that each context selects.
    """

    dataset: str
    state: str
    reasons: tuple[ExpectedReason, ...]
    first: Mapping[str, str]
    second: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SimulationSummary:
    """What was written.

    Attributes
    ----------
    options : SimulationOptions
    contexts : (str, str)
        The two contexts, old and new.
    exposures : tuple of SimulatedExposure
        In the order of their numbers.
    references : tuple of str
        Keys of the reference files.
    changes : tuple of Change
    expected : tuple of Expectation
        One for each exposure, in the same order.
    bytes_written : int
    """

    options: SimulationOptions
    contexts: tuple[str, str]
    exposures: tuple[SimulatedExposure, ...]
    references: tuple[str, ...]
    changes: tuple[Change, ...]
    expected: tuple[Expectation, ...]
    bytes_written: int
