"""Subtract the signal that the detector gathers in the dark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Parameter, Step

STEP = Step(
    name="dark_current",
    keyword="S_DARK",
    revision=1,
    reference_types=("dark",),
    parameters=MappingProxyType({"average_dark_current": None, "dark_output": None, "skip": False}),
)


@dataclass(frozen=True, slots=True)
class Match:
    """How the groups of a dark become the groups of the science data.

    Attributes
    ----------
    extrapolated : int
        Groups to add to the dark.
    direct : bool
        Whether group n of the dark is group n of the science data.
    ngroups, nframes, groupgap : int
        Groups of the science data.
    """

    extrapolated: int
    direct: bool
    ngroups: int
    nframes: int
    groupgap: int


def match(dark: Reference, readout: Readout) -> Match | None:
    """Decide how a dark is brought to the readout of the science data; None if it cannot be.

    A dark whose groups average more frames, or skip more, than those of the science data cannot be used.

    Raises
    ------
    errors.DamagedReference
        If the dark lacks its NFRAMES or GROUPGAP, has no cube of groups, or is too short to be extrapolated.
    """
    nframes, groupgap = dark.integer("NFRAMES"), dark.integer("GROUPGAP")
    ngroups = _length(dark)
    if nframes > readout.nframes or groupgap > readout.groupgap:
        return None
    missing = _frames(readout.ngroups, readout.nframes, readout.groupgap) - _frames(ngroups, nframes, groupgap)
    extrapolated = math.ceil((missing + groupgap) / (nframes + groupgap)) if missing > 0 else 0
    if extrapolated and ngroups < 2:
        raise errors.DamagedReference(
            f"{dark.label} has {ngroups} group(s): too few to extrapolate to {readout.ngroups}; take a longer dark"
        )
    direct = nframes == readout.nframes and groupgap == readout.groupgap
    return Match(extrapolated, direct, readout.ngroups, readout.nframes, readout.groupgap)


def groups_needed(dark: Reference, ngroups: int, readout: Readout) -> int:
    """Return how many of the first groups of a dark its use depends on; with only these the result is the same.

    Parameters
    ----------
    dark : Reference
        Its keywords are read, not its arrays.
    ngroups : int
        Groups that it has.
    readout : Readout

    Raises
    ------
    errors.DamagedReference
        If the dark lacks its NFRAMES or GROUPGAP.
    """
    nframes, groupgap = dark.integer("NFRAMES"), dark.integer("GROUPGAP")
    if nframes > readout.nframes or groupgap > readout.groupgap:
        return min(1, ngroups)
    if nframes == readout.nframes and groupgap == readout.groupgap:
        return min(readout.ngroups, ngroups)
    # Groups are averaged as if they were frames; and the dark must stay as long as the science data, or it is extended.
    averaged = _frames(readout.ngroups, readout.nframes, readout.groupgap)
    as_long = math.ceil((averaged + groupgap) / (nframes + groupgap)) if nframes + groupgap > 0 else ngroups
    return min(max(averaged, as_long), ngroups)


def _length(dark: Reference) -> int:
    """Return the groups of a dark that must be a cube of (group, row, column), or several of them."""
    sci = dark.arrays.get("sci")
    if sci is None or sci.ndim not in (3, 4):
        found = "no array 'sci'" if sci is None else f"axes {sci.shape}"
        raise errors.DamagedReference(
            f"{dark.label} has {found}, but must be a cube of (group, row, column), or one for each integration"
        )
    return int(sci.shape[-3])


def cube_for(dark: NDArray[np.float32], how: Match, *, integration: int, readout: Readout) -> int | None:
    """Return which cube of a dark with one for each integration is subtracted; None for no dark at all.

    The last one stands for all integrations that follow. In a segment that does not begin with the exposure's first
    integration it stands for all; officially it is then empty if the dark must be averaged and has more integrations
    than the segment.

    Parameters
    ----------
    dark : float32 array, (integration, group, row, column)
    how : Match
    integration : int
        Index of the integration in the file.
    readout : Readout
    """
    cube = integration if integration < len(dark) and readout.first_integration == 1 else len(dark) - 1
    return cube if how.direct or cube < readout.nints else None


def flags_of(dark: Reference, shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Return the flags of a dark, (row, column); those of its integrations are put together.

    Parameters
    ----------
    dark : Reference
    shape : tuple of int
        Rows and columns.
    """
    flags: NDArray[np.uint32] = dark.array("dq", shape)
    if flags.ndim == 4:
        flags = flags[:, 0]
    return flags if flags.ndim == 2 else np.bitwise_or.reduce(flags, axis=0)


def _frames(ngroups: int, nframes: int, groupgap: int) -> int:
    return ngroups * nframes + (ngroups - 1) * groupgap


def groups(dark: NDArray[np.float32], how: Match) -> NDArray[Any]:
    """Return the dark signal of every science group.

    Parameters
    ----------
    dark : float32 array, (group, row, column)
        DN, NaN where unknown.
    how : Match

    Returns
    -------
    float32 array, (group, row, column)
        DN, 0 where unknown; float64 where extrapolated groups are used as they are.
    """
    frames: NDArray[Any] = dark
    if how.extrapolated:
        frames = _extrapolate(dark, how.extrapolated)
    if how.direct:
        return _known(frames[: how.ngroups])
    return _average(_known(frames), how)


def _known(frames: NDArray[Any]) -> NDArray[Any]:
    """Return the frames with 0 where they are unknown: themselves if they are known everywhere."""
    unknown = np.isnan(frames)
    if not unknown.any():
        return frames
    frames = frames.copy()
    frames[unknown] = 0
    return frames


def _extrapolate(dark: NDArray[np.float32], ngroups: int) -> NDArray[np.float64]:
    """Add groups that go on by the difference of the last two."""
    rate = dark[-1] - dark[-2]
    numbers = np.arange(1, ngroups + 1, dtype=np.float64)[:, None, None]
    return np.concatenate((dark, numbers * rate + dark[-1]))


def _average(frames: NDArray[Any], how: Match) -> NDArray[np.float32]:
    """Average the dark's frames as the frames of the science groups were."""
    averaged = np.empty((how.ngroups, *frames.shape[1:]), np.float32)
    for number in range(how.ngroups):
        start = number * (how.nframes + how.groupgap)
        averaged[number] = _mean(frames[start : start + how.nframes])
    return averaged


def _mean(frames: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of frames, added one after the other; NaN if there are none."""
    if not len(frames):
        return np.full(frames.shape[1:], np.nan, frames.dtype)
    total: NDArray[Any] = frames[0].copy()
    for frame in frames[1:]:
        total += frame
    total /= len(frames)
    return total


def subtract(data: NDArray[np.float32], *, dark: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the dark from every group, in place.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN.
    dark : float32 or float64 array, (group, row, column)
        DN, see `groups`.
    """
    np.subtract(data, dark, out=data, casting="same_kind")
    return data


def average(dark: Reference | None, parameter: Parameter, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Return the average dark current, which enters only the Poisson variance, or None where there is none.

    Parameters
    ----------
    dark : Reference or None
        Without one there is no average either.
    parameter : float or None
        The step's `average_dark_current`; it goes before the image in the reference, and that before AVDRKCUR.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    float32 array, (row, column), or None
        e-/s.
    """
    if dark is None:
        return None
    if isinstance(parameter, int | float) and not isinstance(parameter, bool):
        return np.full(shape, parameter, np.float32)
    image = dark.arrays.get("average_dark_current")
    if image is not None:
        # Officially an image of another shape is left alone, and the keyword with it.
        return image.astype(np.float32) if image.shape == shape else None
    scalar = dark.number("AVDRKCUR")
    return None if scalar is None else np.full(shape, scalar, np.float32)
