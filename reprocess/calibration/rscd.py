"""Leave out the first groups of MIRI ramps, which the decay of the reset switch charge bends (RSCD).

How many is a number for each subarray and read pattern, one for the first integration and one for all others. A pixel
that saturates early keeps more of its groups: all but as many as leave it two groups before the first saturated one.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration.dq import DO_NOT_USE, FLUX_ESTIMATED
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Step

STEP = Step(
    name="rscd",
    keyword="S_RSCD",
    revision=1,
    reference_types=("rscd",),
    parameters=MappingProxyType({"skip": False}),
)

FEWEST_GROUPS = 3  # with fewer the step is skipped
SHORT_RAMP = 5  # up to so many groups one group is left out, whatever the reference says
_LEFT_OVER = 3  # two groups to fit a line through, and the last one, which lastframe leaves out
_OLD_NAMES = {"SUBPRISM": "SLITLESSPRISM"}
_COLUMNS = ("subarray", "readpatt", "group_skip1", "group_skip")


@dataclass(frozen=True, slots=True)
class Skips:
    """How many groups to leave out at the start of an integration.

    Attributes
    ----------
    first, later : int
        In the first integration of the exposure, and in all others.
    first_integration : int
        0-based number, in the exposure, of the first integration of the file.
    """

    first: int
    later: int
    first_integration: int

    def of(self, integration: int) -> int:
        """Return the number of groups for an integration of the file."""
        return self.first if self.first_integration + integration == 0 else self.later


def settle(reference: Reference, readout: Readout) -> Skips | None:
    """Look up how many groups are left out; None if the step is skipped.

    It is skipped with fewer than three groups, and where the reference has no row for the subarray and read pattern.

    Raises
    ------
    errors.DamagedReference
        If the table lacks a column.
    """
    row = _row(reference, _OLD_NAMES.get(readout.subarray.upper(), readout.subarray), readout.read_pattern)
    if row is None or readout.ngroups < FEWEST_GROUPS:
        return None
    # A table from before the first integration had a number of its own has a negative one.
    wanted = (1 if row[0] < 0 else row[0], row[1])
    if readout.ngroups <= SHORT_RAMP:
        wanted = (1, 1)
    first, later = (max(0, min(skip, readout.ngroups - _LEFT_OVER)) for skip in wanted)
    return Skips(first, later, readout.first_integration - 1)


def _row(reference: Reference, subarray: str, read_pattern: str) -> tuple[int, int] | None:
    """Return both numbers of the first row for a subarray and a read pattern."""
    missing = [name for name in _COLUMNS if name not in reference.arrays]
    if missing:
        raise errors.DamagedReference(f"{reference.label} has no column {missing[0]!r}; take another file of this type")
    names, patterns, first, later = (reference.arrays[name] for name in _COLUMNS)
    found = np.flatnonzero((names == subarray.encode()) & (patterns == read_pattern.encode()))
    return (int(first[found[0]]), int(later[found[0]])) if len(found) else None


def groups_to_skip(first_saturated: NDArray[Any], skip: int) -> NDArray[np.intp]:
    """Return how many groups of each pixel are left out.

    Parameters
    ----------
    first_saturated : integer array, (row, column)
        First saturated group. Pixels that are saturated from the first group on are past saving.
    skip : int
        Groups to leave out of a ramp that does not saturate.

    Returns
    -------
    intp array, (row, column)
    """
    onset = first_saturated.astype(np.intp)
    early = (onset > 0) & (onset <= skip + 1)
    return np.where(early, np.maximum(onset - 2, 0), skip)


def flag(groupdq: NDArray[np.uint8], pixeldq: NDArray[np.uint32], first_saturated: NDArray[Any], skip: int) -> None:
    """Set DO_NOT_USE in the first groups of an integration, and FLUX_ESTIMATED where fewer are left out; in place.

    Parameters
    ----------
    groupdq : uint8 array, (group, row, column)
    pixeldq : uint32 array, (row, column)
    first_saturated : integer array, (row, column)
    skip : int
        See `groups_to_skip`.
    """
    skipped = groups_to_skip(first_saturated, skip)
    for group in range(skip):
        groupdq[group] |= (skipped > group).view(np.uint8) * np.uint8(DO_NOT_USE)
    pixeldq[skipped < skip] |= np.uint32(FLUX_ESTIMATED)
