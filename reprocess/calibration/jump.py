"""Flag groups before which a ramp jumps, mostly because a cosmic ray hit the pixel.

The result is that of the official step, flag by flag, for the two-point difference method in its three forms:
iterative with few groups, in a single pass with many, by clipping across integrations with very many integrations.
Large events (snowballs and showers), if they are asked for, are found afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import jump_search, jump_spread, large_events, sigma_clip, two_point
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE
from reprocess.calibration.flat_ramps import JUMP, UNUSABLE, FlatRamps
from reprocess.calibration.jump_spread import Afterglow, Reach
from reprocess.calibration.quiet_sizes import Thresholds
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import GroupMap, RampFacts
from reprocess.calibration.ramp_layout import check_layout
from reprocess.calibration.readout import Readout
from reprocess.calibration.step import Locality, Parameter, Step

STEP = Step(
    name="jump",
    keyword="S_JUMP",
    revision=1,
    reference_types=("gain", "readnoise"),
    parameters=MappingProxyType(
        {
            "rejection_threshold": 4.0,
            "three_group_rejection_threshold": 6.0,
            "four_group_rejection_threshold": 5.0,
            "flag_4_neighbors": True,
            "max_jump_to_flag_neighbors": 1000.0,
            "min_jump_to_flag_neighbors": 10.0,
            "after_jump_flag_dn1": 0.0,
            "after_jump_flag_time1": 0.0,
            "after_jump_flag_dn2": 0.0,
            "after_jump_flag_time2": 0.0,
            **large_events.PARAMETERS,
            "maximum_cores": "1",  # no effect: one call is the work of one core
            "min_diffs_single_pass": 10,
            "minimum_groups": 3,  # no effect, as in the official step: it always asks for three
            "minimum_sigclip_groups": 100,
            "only_use_ints": True,
            "skip": False,
        }
    ),
    locality=Locality(halo_rows=1, facts=("dead_groups", "median_gain")),
)

FEWEST_GROUPS = 3  # with fewer the step is skipped
_SHORTEST_SERIES = 128  # pixels; of many integrations fewer than elsewhere are worked on together, to bound the memory


@dataclass(frozen=True, slots=True)
class JumpFlags:
    """What the step says of an exposure, or of a slab.

    Attributes
    ----------
    groupdq : uint8 array, (integration, group, row, column)
    pixeldq : uint32 array, (row, column)
    wholly_jumped : GroupMap or None
        For each integration and group, whether every pixel at hand jumps or is DO_NOT_USE. None unless jumps are found
        by clipping. What is so in all slabs of an exposure are `released_groups` of `RampFacts`.
    """

    groupdq: NDArray[np.uint8]
    pixeldq: NDArray[np.uint32]
    wholly_jumped: GroupMap | None = None


def detect(
    ramp: Ramp,
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    parameters: Mapping[str, Parameter],
    facts: RampFacts | None = None,
    in_place: bool = False,
) -> JumpFlags:
    """Return the flags of groups and pixels with JUMP_DET where a ramp jumps.

    A slab needs a halo of one row and the facts of its exposure; its core rows are then those of the whole exposure.

    Parameters
    ----------
    ramp : Ramp
        Linear. A slab if it has fewer rows than the readout.
    gain : float32 array, (row, column)
        Electrons per DN. Pixels without a positive gain get NO_GAIN_VALUE and DO_NOT_USE.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN. No jump is found where it is NaN.
    readout : Readout
        Rows, NFRAMES and TGROUP of the exposure are used.
    parameters : mapping
        Official names; those that are left out have the defaults of `STEP`.
    facts : RampFacts or None
        Of the whole exposure. None: the ramp is the whole exposure.
    in_place : bool
        Whether the flags of the ramp may be overwritten, which spares copies of them.

    Returns
    -------
    JumpFlags
        The flags as they were if there are fewer than three groups.

    Raises
    ------
    errors.WrongLayout
        If the shapes do not belong together, or there are no groups or no integrations.
    errors.Unsupported
        If large events are wanted in a slab.
    errors.UsageError
        If a parameter is negative.
    """
    check_layout(ramp.data, ramp.groupdq, pixeldq=ramp.pixeldq, gain=gain, readnoise=readnoise)
    chosen = _Choice.of(parameters, readout)
    groupdq = np.ascontiguousarray(ramp.groupdq) if in_place else ramp.groupdq.copy()
    pixeldq = ramp.pixeldq if in_place else ramp.pixeldq.copy()
    if groupdq.shape[1] < FEWEST_GROUPS:
        return JumpFlags(groupdq, pixeldq)
    pixeldq[~(gain > 0)] |= np.uint32(NO_GAIN_VALUE | DO_NOT_USE)
    whole = len(gain) == readout.rows
    facts = facts or RampFacts.of(groupdq, gain if chosen.afterglows else None)
    ramps = FlatRamps.of(ramp.data, groupdq, gain, readnoise, nframes=readout.nframes)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        jumped = _flag(ramps, chosen, facts, whole=whole)
    flagged = Ramp(ramp.data, groupdq, pixeldq)
    large_events.flag(flagged, gain, readnoise, readout=readout, parameters={**STEP.parameters, **parameters})
    return JumpFlags(groupdq, pixeldq, jumped)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The parameters as the arithmetic uses them.

    Attributes
    ----------
    thresholds : Thresholds
    single_pass_from : int
        Usable differences of an integration from which on one pass is made.
    clip_from : int
        Integrations, or groups of all integrations, from which on sigma clipping is used.
    clip_integrations : bool
        Whether clipping compares integrations only.
    reach : Reach
        Which jumps reach the four neighbours.
    afterglows : tuple of Afterglow
        Those that last at least one group.
    """

    thresholds: Thresholds
    single_pass_from: int
    clip_from: int
    clip_integrations: bool
    reach: Reach
    afterglows: tuple[Afterglow, ...]

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter], readout: Readout) -> _Choice:
        """Take the official parameters apart."""
        values = {**STEP.parameters, **parameters}

        def number(name: str) -> float:
            value = float(values[name] or 0)
            if not value >= 0:
                raise errors.UsageError(f"jump: {name} is {value}; give a number that is not negative")
            return value

        afterglows = (
            Afterglow(number(f"after_jump_flag_dn{n}"), int(number(f"after_jump_flag_time{n}") // readout.group_time_s))
            for n in (1, 2)
        )
        return cls(
            thresholds=Thresholds(
                normal=number("rejection_threshold"),
                three=number("four_group_rejection_threshold"),
                two=number("three_group_rejection_threshold"),
            ),
            single_pass_from=int(number("min_diffs_single_pass")),
            clip_from=int(number("minimum_sigclip_groups")),
            clip_integrations=bool(values["only_use_ints"]),
            reach=Reach(
                number("min_jump_to_flag_neighbors"),
                number("max_jump_to_flag_neighbors") if values["flag_4_neighbors"] else 0.0,
                columns=readout.columns,
            ),
            afterglows=tuple(each for each in afterglows if each.groups),
        )

    def clips(self, dead: NDArray[np.bool_]) -> bool:
        """Return whether there is enough to compare for sigma clipping."""
        return (len(dead) if self.clip_integrations else dead.size - int(dead.sum())) >= self.clip_from


def _flag(ramps: FlatRamps, chosen: _Choice, facts: RampFacts, *, whole: bool) -> GroupMap | None:
    """Flag jumps and what they spread to; return which groups jump wholly if that was looked for."""
    dead, jumped = np.array(facts.dead_groups), None
    usable = dead.shape[1] - int(dead.sum(axis=1).max())
    seen = ramps.seen(~dead)
    earlier = np.flatnonzero(seen & JUMP)
    if chosen.clips(dead) or usable >= FEWEST_GROUPS:
        spreading = jump_spread.spreading(ramps, earlier, chosen.reach)
        if chosen.clips(dead):
            spreading = np.concatenate([spreading, _flag_by_clipping(ramps, chosen)])
            jumped = ramps.wholly(JUMP_DET | DO_NOT_USE)
            ramps.release(jumped if whole else facts.released_groups)
            spreading = spreading[ramps.groupdq.reshape(-1).take(spreading) & JUMP != 0]
        else:
            search = jump_search.Search(chosen.thresholds, usable - 1 < chosen.single_pass_from, chosen.reach)
            search.flag(ramps, dead, seen & UNUSABLE != 0)
        jump_spread.flag_neighbours(ramps, spreading, spreading % ramps.pixels, chosen.reach.columns)
        if chosen.afterglows:
            jump_spread.flag_groups_after(ramps, chosen.afterglows, facts.median_gain)
    ramps.forget_jumps_of_unusable_groups(earlier)
    return jumped


def _flag_by_clipping(ramps: FlatRamps, chosen: _Choice) -> NDArray[np.intp]:
    """Flag by sigma clipping; return where in the flat `groupdq` the jumps are that reach the neighbours."""
    spreading = [np.zeros(0, np.intp)]
    for block in ramps.blocks(shortest=_SHORTEST_SERIES):
        pixels = np.arange(block.start, block.stop)
        differences = ramps.differences(block)
        compared = len(differences) if chosen.clip_integrations else ramps.planes - len(differences)
        hits = sigma_clip.clipped(differences.reshape(compared, -1), chosen.thresholds.normal)
        rows = differences.reshape(-1, len(pixels))
        found = two_point.measured(np.flatnonzero(hits), rows, ramps.noise_variance(pixels))
        positions = ramps.positions(found.difference, pixels.take(found.pixel))
        ramps.flag(positions)
        spreading.append(positions.take(chosen.reach.takes(found.size)))
    return np.concatenate(spreading)
