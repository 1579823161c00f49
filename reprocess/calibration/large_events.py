"""Snowballs: large cosmic-ray events of the near-infrared detectors, whose faint halos the jump test does not see.

A snowball is a round patch of jumps around a core that saturates at once. Its jumps are widened to an ellipse twice as
large, its core is taken as saturated a little beyond what saturated, and the core's pixels are taken as jumps in the
first groups of the next integration, where charge left behind decays. Patches at the edge of the detector need no core,
which may lie outside. The method is that of the JWST documentation of snowballs and of Regan, M. 2023, Detection and
Flagging of Showers and Snowballs in JWST (JWST-STScI-008545); the flags are those of the official step.

Snowballs reach over any number of rows, so the exposure must be whole. Showers have a module of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from reprocess import errors
from reprocess.calibration import ellipses, showers
from reprocess.calibration.dq import JUMP_DET, SATURATED
from reprocess.calibration.ellipses import Ellipse
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.readout import Readout
from reprocess.calibration.regions import Regions, connected
from reprocess.calibration.step import Parameter

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "expand_large_events": False,
        "min_sat_area": 1.0,
        "min_jump_area": 5.0,
        "expand_factor": 2.0,
        "use_ellipses": False,  # without effect in the official step too
        "sat_required_snowball": True,
        "min_sat_radius_extend": 2.5,
        "sat_expand": 2,
        "edge_size": 25,
        "mask_snowball_core_next_int": True,
        "snowball_time_masked_next_int": 4000,
        "max_extended_radius": 200,
        **showers.PARAMETERS,
    }
)

_JUMP = np.uint8(JUMP_DET)
_SATURATED = np.uint8(SATURATED)


def wanted(parameters: Mapping[str, Parameter]) -> bool:
    """Return whether parameters of the jump step ask for large events, so that the exposure must be whole."""
    return any(parameters.get(name, False) for name in ("expand_large_events", "find_showers"))


def flag(
    ramp: Ramp,
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    parameters: Mapping[str, Parameter],
) -> None:
    """Flag, in place, the large events that the parameters ask for; the jumps must be flagged already.

    Parameters
    ----------
    ramp : Ramp
        Linear; `groupdq` is changed.
    gain : float32 array, (row, column)
        Electrons per DN.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN.
    readout : Readout
    parameters : mapping
        All of the jump step, by their official names.

    Raises
    ------
    errors.Unsupported
        If the rows are not the whole exposure.
    errors.UsageError
        If a parameter cannot be used.
    """
    if not wanted(parameters):
        return
    if len(gain) != readout.rows:
        raise errors.Unsupported(
            f"jump: large events are wanted in {len(gain)} of the exposure's {readout.rows} rows, but they reach "
            "over any number of rows: calibrate the exposure as one slab, or set expand_large_events and find_showers "
            "to false"
        )
    if parameters["expand_large_events"]:
        flag_snowballs(ramp.groupdq, Snowballs.of(parameters, readout))
    if parameters["find_showers"]:
        showers.flag(ramp, gain, readnoise, choice=showers.Showers.of(parameters, readout))


@dataclass(frozen=True, slots=True)
class Snowballs:
    """The parameters as the arithmetic uses them.

    Attributes
    ----------
    core_area, jump_area : float
        Fewest pixels of a region of saturation or of jumps, holes filled.
    factor : float
        By which patches of jumps are widened.
    core_required : bool
        Whether a patch off the edges needs a core.
    core_axis : float
        Minor axis, in pixels, from which on a core is thickened.
    core_pixels : int
        Added to the axes of a core.
    edge : int
        Pixels from the edge within which no core is needed.
    groups_after : int
        Groups of the next integration that remember the core, the first one left out.
    longest : float
        Length that no axis exceeds.
    """

    core_area: float = 1.0
    jump_area: float = 5.0
    factor: float = 2.0
    core_required: bool = True
    core_axis: float = 2.5
    core_pixels: int = 4
    edge: int = 25
    groups_after: int = 0
    longest: float = 400.0

    @classmethod
    def of(cls, values: Mapping[str, Parameter], readout: Readout) -> Snowballs:
        """Take the official parameters apart."""
        groups = int(showers.number(values, "snowball_time_masked_next_int") // readout.group_time_s)
        return cls(
            core_area=showers.number(values, "min_sat_area"),
            jump_area=showers.number(values, "min_jump_area"),
            factor=showers.number(values, "expand_factor"),
            core_required=bool(values["sat_required_snowball"]),
            core_axis=showers.number(values, "min_sat_radius_extend"),
            core_pixels=2 * int(showers.number(values, "sat_expand")),
            edge=int(showers.number(values, "edge_size")),
            groups_after=groups if values["mask_snowball_core_next_int"] else 0,
            longest=2 * showers.number(values, "max_extended_radius"),
        )


def flag_snowballs(groupdq: NDArray[np.uint8], choice: Snowballs) -> None:
    """Flag, in place, the surroundings of snowballs.

    Parameters
    ----------
    groupdq : uint8 array, (integration, group, row, column)
        Of the whole exposure.
    choice : Snowballs
    """
    cores = [_flag_integration(integration, choice) for integration in groupdq]
    last = min(choice.groups_after, groupdq.shape[1])
    for integration, before in zip(groupdq[1:], cores[:-1], strict=True):
        for window, core in before:
            integration[(slice(1, last), *window)][:, core] |= _JUMP


Drawn = tuple[tuple[slice, slice], NDArray[np.bool_]]


def _flag_integration(groups: NDArray[np.uint8], choice: Snowballs) -> list[Drawn]:
    """Flag the snowballs of one integration, group by group; return the cores that were thickened."""
    cores: list[Drawn] = []
    fresh = _fresh_saturation(groups, 1)
    for group in range(1, len(groups)):
        # What is thickened in a group is saturated in the next one too, but not anew.
        fresh = fresh[groups[group - 1].reshape(-1)[fresh] & _SATURATED == 0]
        following = _fresh_saturation(groups, group + 1)
        jumps = connected(_places(groups[group] & _JUMP), groups.shape[2]).of_area(choice.jump_area)
        if choice.core_required:
            new = connected(fresh, groups.shape[2]).of_area(choice.core_area)
            next_new = connected(following, groups.shape[2]).of_area(choice.core_area)
            snowballs = _with_core(jumps, np.concatenate([new.centres(), next_new.centres()]), choice, groups.shape[1])
            cores += _thicken_cores(groups[group:], new, choice)
        else:
            snowballs = list(ellipses.of(jumps))
        for snowball in snowballs:
            wider = ellipses.widened(snowball, choice.factor, limit=choice.longest)
            window, inside = ellipses.drawn(wider, groups.shape[1:])
            flags = groups[group][window]
            flags[inside & (flags & _SATURATED == 0)] |= _JUMP
        fresh = following
    return cores


def _places(flags: NDArray[np.uint8]) -> NDArray[np.intp]:
    return np.flatnonzero((flags != 0).reshape(-1))


def _fresh_saturation(groups: NDArray[np.uint8], group: int) -> NDArray[np.intp]:
    """Return the places that saturate in a group and did not in the one before; none after the last group."""
    if group >= len(groups):
        return np.zeros(0, np.intp)
    return _places(groups[group] & ~groups[group - 1] & _SATURATED)


def _with_core(jumps: Regions, cores: NDArray[np.float64], choice: Snowballs, height: int) -> list[Ellipse]:
    """Return the ellipses of jumps that hold the centre of a core or lie near an edge."""
    if not len(jumps):
        return []
    centres, low, high = jumps.centres(), choice.edge, max(0, height - choice.edge)
    # The official step takes the number of rows for both axes.
    at_edge = np.any((centres < low) | (centres > high), axis=1)
    found = list(ellipses.of(jumps.chosen(at_edge)))
    if not len(cores):
        return found
    inner = jumps.chosen(~at_edge)
    tree = KDTree(cores)
    distance, _ = tree.query(inner.centres()) if len(inner) else (np.zeros(0), None)
    near = inner.chosen(distance <= ellipses.longest_axis(inner) / 2 + 1)
    for ellipse in ellipses.of(near):
        beside = tree.query_ball_point([ellipse.column, ellipse.row], max(ellipse.major, 1) / 2 + 1)
        if ellipse.contains(cores[beside]).any():
            found.append(ellipse)
    return found


def _thicken_cores(groups: NDArray[np.uint8], cores: Regions, choice: Snowballs) -> list[Drawn]:
    """Saturate large cores a little further in a group and all later ones; return them as they were."""
    top, bottom, left, right = cores.corners()
    # A region's smaller spread is at most half its narrower side, so that most need no ellipse.
    large = 2 * np.minimum(bottom - top, right - left) - 1 > choice.core_axis - 1e-6
    drawn = []
    for ellipse in ellipses.of(cores.chosen(large)):
        if ellipse.minor > choice.core_axis:
            window, inside = ellipses.drawn(
                ellipses.thickened(ellipse, choice.core_pixels, limit=choice.longest), groups.shape[1:]
            )
            groups[(slice(None), *window)][:, inside] = _SATURATED
            drawn.append(ellipses.drawn(ellipse, groups.shape[1:]))
    return drawn
