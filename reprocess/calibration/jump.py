"""Flag groups before which a ramp jumps, mostly because a cosmic ray hit the pixel.

The result is that of the official step, flag by flag, for the two-point difference method in its three forms:
iterative with few groups, in a single pass with many, by clipping across integrations with very many integrations.
Large events (snowballs and showers) are not grown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import selection, sigma_clip, two_point
from reprocess.calibration.blocks import batches, blocks
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, NO_GAIN_VALUE, SATURATED
from reprocess.calibration.ramp_facts import RampFacts
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
            "expand_large_events": False,
            "find_showers": False,
            "min_diffs_single_pass": 10,
            "minimum_sigclip_groups": 100,
            "only_use_ints": True,
            "skip": False,
        }
    ),
    locality=Locality(halo_rows=1, facts=("dead_groups", "median_gain")),
)

FEWEST_GROUPS = 3  # with fewer the step is skipped
_UNUSABLE = np.uint8(DO_NOT_USE | SATURATED)
_JUMP = np.uint8(JUMP_DET)


def detect(
    data: NDArray[np.float32],
    groupdq: NDArray[np.uint8],
    pixeldq: NDArray[np.uint32],
    gain: NDArray[np.float32],
    readnoise: NDArray[np.float32],
    *,
    readout: Readout,
    parameters: Mapping[str, Parameter],
    facts: RampFacts | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return the flags of groups and pixels with JUMP_DET where a ramp jumps.

    A slab needs a halo of one row and the facts of its exposure; its core rows are then those of the whole exposure.

    Parameters
    ----------
    data : float32 array, (integration, group, row, column)
        DN, linear.
    groupdq : uint8 array, (integration, group, row, column)
    pixeldq : uint32 array, (row, column)
    gain : float32 array, (row, column)
        Electrons per DN. Pixels without a positive gain get NO_GAIN_VALUE and DO_NOT_USE.
    readnoise : float32 array, (row, column)
        Noise of a difference of two reads (CDS) in DN. No jump is found where it is NaN.
    readout : Readout
        NFRAMES and TGROUP are used.
    parameters : mapping
        Official names; those that are left out have the defaults of `STEP`.
    facts : RampFacts or None
        Of the whole exposure. None: `data` is the whole exposure.

    Returns
    -------
    groupdq, pixeldq : arrays like the ones given
        Copies. As they were if there are fewer than three groups.

    Raises
    ------
    errors.WrongLayout
        If the shapes do not belong together, or there are no groups or no integrations.
    errors.Unsupported
        If large events are to be grown, or a slab cannot be judged without the rest of its exposure.
    """
    check_layout(data, groupdq, pixeldq=pixeldq, gain=gain, readnoise=readnoise)
    chosen = _Choice.of(parameters, readout)
    groupdq, pixeldq = groupdq.copy(), pixeldq.copy()
    if data.shape[1] < FEWEST_GROUPS:
        return groupdq, pixeldq
    pixeldq[~(gain > 0)] |= np.uint32(NO_GAIN_VALUE | DO_NOT_USE)
    whole = facts is None
    facts = facts or RampFacts.of(groupdq, gain if any(chosen.groups_after) else None)
    ramps = _Ramps.of(data, groupdq, gain, readnoise, nframes=readout.nframes)
    _forget_jumps_of_unusable_groups(ramps)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        if _flag_primary(ramps, chosen, np.array(facts.dead_groups), whole=whole):
            if chosen.flag_neighbours:
                _flag_neighbours(ramps, chosen, columns=data.shape[3])
            if any(chosen.groups_after):
                _flag_groups_after(ramps, chosen, facts.median_gain)
    return groupdq, pixeldq


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
    flag_neighbours : bool
    neighbours_above, neighbours_below : float
        Jumps between these, in standard deviations, reach the four neighbours.
    dn_after : tuple of float
        Jumps from these on, in DN, have an afterglow.
    groups_after : tuple of int
        Groups that each afterglow lasts.
    """

    thresholds: two_point.Thresholds
    single_pass_from: int
    clip_from: int
    clip_integrations: bool
    flag_neighbours: bool
    neighbours_above: float
    neighbours_below: float
    dn_after: tuple[float, float]
    groups_after: tuple[int, int]

    @classmethod
    def of(cls, parameters: Mapping[str, Parameter], readout: Readout) -> _Choice:
        """Take the official parameters apart."""
        values = {**STEP.parameters, **parameters}
        for name in ("expand_large_events", "find_showers"):
            if values[name]:
                raise errors.Unsupported(f"jump: {name} is true, but large events are not grown here; set it to false")

        def number(name: str) -> float:
            value = float(values[name] or 0)
            if not value >= 0:
                raise errors.UsageError(f"jump: {name} is {value}; give a number that is not negative")
            return value

        return cls(
            thresholds=two_point.Thresholds(
                normal=number("rejection_threshold"),
                three=number("four_group_rejection_threshold"),
                two=number("three_group_rejection_threshold"),
            ),
            single_pass_from=int(number("min_diffs_single_pass")),
            clip_from=int(number("minimum_sigclip_groups")),
            clip_integrations=bool(values["only_use_ints"]),
            flag_neighbours=bool(values["flag_4_neighbors"]),
            neighbours_above=number("min_jump_to_flag_neighbors"),
            neighbours_below=number("max_jump_to_flag_neighbors"),
            dn_after=(number("after_jump_flag_dn1"), number("after_jump_flag_dn2")),
            groups_after=(
                int(number("after_jump_flag_time1") // readout.group_time_s),
                int(number("after_jump_flag_time2") // readout.group_time_s),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Ramps:
    """The ramps with rows and columns as one axis; flags are set in `groupdq` in place.

    Attributes
    ----------
    data, groupdq : array, (integration, group, pixel)
    gain : float32 array, (pixel,)
    noise_variance : float64 array, (pixel,)
        Variance of a difference from read noise, in electrons squared.
    """

    data: NDArray[np.float32]
    groupdq: NDArray[np.uint8]
    gain: NDArray[np.float32]
    noise_variance: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        data: NDArray[np.float32],
        groupdq: NDArray[np.uint8],
        gain: NDArray[np.float32],
        readnoise: NDArray[np.float32],
        *,
        nframes: int,
    ) -> _Ramps:
        """Bring the arrays of `detect` into this form; `groupdq` has to be contiguous."""
        nints, ngroups = data.shape[:2]
        noise = (readnoise * gain) ** 2
        return cls(
            data.reshape(nints, ngroups, -1),
            groupdq.reshape(nints, ngroups, -1),
            gain.reshape(-1),
            (noise / np.float64(nframes)).reshape(-1),
        )

    @property
    def planes(self) -> int:
        """Values of one pixel."""
        return int(self.data.shape[0] * self.data.shape[1])

    def with_flag(self, bits: np.uint8) -> NDArray[np.intp]:
        """Return the pixels that have one of some flags in any group."""
        planes = self.groupdq.reshape(self.planes, -1)
        found = [
            np.flatnonzero(np.bitwise_or.reduce(planes[:, block], axis=0) & bits) + block.start
            for block in blocks(planes.shape[1], self.planes)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.intp)

    def differences(self, pixels: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the differences of some pixels in electrons, NaN where a group is unusable; (int, diff, pixel)."""
        signal = self.data.take(pixels, axis=2) * self.gain.take(pixels)
        np.copyto(signal, np.nan, where=self.groupdq.take(pixels, axis=2) & _UNUSABLE != 0)
        return signal[:, 1:] - signal[:, :-1]

    def centre(self, differences: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the median of all differences of each pixel."""
        return selection.median_of_known(differences.reshape(-1, differences.shape[2]).copy())

    def positions(self, differences: NDArray[np.intp], pixels: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where in the flat `groupdq` the later groups of some differences are.

        The differences are numbered as in the flat form of what `differences` gives.
        """
        row, column = quotient_and_remainder(differences, len(pixels))
        integration = row // (self.groupdq.shape[1] - 1)
        positions: NDArray[np.intp] = (row + integration + 1) * self.groupdq.shape[2] + pixels.take(column)
        return positions

    def flag(self, hits: NDArray[np.bool_], pixels: NDArray[np.intp]) -> None:
        """Set JUMP_DET in the later group of each difference that is hit; hits are (int, diff, pixel)."""
        self.groupdq.reshape(-1)[self.positions(np.flatnonzero(hits), pixels)] |= _JUMP


def quotient_and_remainder(number: NDArray[np.intp], divisor: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Divide whole numbers; several times as fast as `numpy.divmod` with its checks for signs."""
    quotient = number // divisor
    return quotient, number - quotient * divisor


def _forget_jumps_of_unusable_groups(ramps: _Ramps) -> None:
    """Clear JUMP_DET of groups that are DO_NOT_USE or SATURATED."""
    for pixels in batches(ramps.with_flag(_JUMP), ramps.planes):
        flags = ramps.groupdq[:, :, pixels]
        flags[flags & _UNUSABLE != 0] &= ~_JUMP
        ramps.groupdq[:, :, pixels] = flags


def _flag_primary(ramps: _Ramps, chosen: _Choice, dead: NDArray[np.bool_], *, whole: bool) -> bool:
    """Flag the jumps themselves by the form that the number of usable groups asks for; False if there are too few."""
    nints, ngroups = dead.shape
    usable = ngroups - int(dead.sum(axis=1).max())
    enough_to_clip = nints if chosen.clip_integrations else dead.size - int(dead.sum())
    if enough_to_clip >= chosen.clip_from:
        _flag_by_clipping(ramps, chosen, whole=whole)
        return True
    if usable < FEWEST_GROUPS:
        return False
    iterative = usable - 1 < chosen.single_pass_from
    exact = two_point.iterative_jumps if iterative else two_point.single_pass_jumps
    suspects = _suspects(ramps, chosen.thresholds, dead, iterative=iterative)
    for pixels in batches(suspects, ramps.planes):
        differences = ramps.differences(pixels)
        rows = differences.reshape(-1, len(pixels))
        hits = exact(rows, ramps.noise_variance[pixels], chosen.thresholds)
        ramps.flag(hits, pixels)
    return True


def _suspects(
    ramps: _Ramps, thresholds: two_point.Thresholds, dead: NDArray[np.bool_], *, iterative: bool
) -> NDArray[np.intp]:
    """Return the pixels that the exact test has to look at; the others have all their groups and no jump."""
    live = np.flatnonzero(~dead.reshape(-1))
    first = np.flatnonzero(~(dead[:, 1:] | dead[:, :-1]).reshape(-1))
    first += first // (dead.shape[1] - 1)
    signal, flags = (array.reshape(ramps.planes, -1) for array in (ramps.data, ramps.groupdq))
    if not first.size:
        return np.zeros(0, np.intp)
    found = []
    for block in blocks(len(ramps.gain), ramps.planes):
        electrons = signal[:, block] * ramps.gain[block]
        differences = np.empty((len(first), electrons.shape[1]), np.float32)
        for row, plane in enumerate(first):
            np.subtract(electrons[plane + 1], electrons[plane], out=differences[row])
        noise = ramps.noise_variance[block].astype(np.float32)
        suspect = two_point.may_have_jumps(differences, noise, thresholds, iterative=iterative)
        seen = flags[:, block] if len(live) == len(flags) else flags[live, block]
        suspect |= np.bitwise_or.reduce(seen, axis=0) & _UNUSABLE != 0
        found.append(np.flatnonzero(suspect) + block.start)
    return np.concatenate(found)


def _flag_by_clipping(ramps: _Ramps, chosen: _Choice, *, whole: bool) -> None:
    """Flag by sigma clipping; a group that all pixels of an integration jump in tells nothing and is released."""
    for block in blocks(len(ramps.gain), ramps.planes):
        pixels = np.arange(block.start, block.stop)
        differences = ramps.differences(pixels)
        compared = len(differences) if chosen.clip_integrations else ramps.planes - len(differences)
        rows = differences.reshape(compared, -1)
        hits = sigma_clip.clipped(rows, chosen.thresholds.normal).reshape(differences.shape)
        ramps.flag(hits, pixels)
    for integration in ramps.groupdq:
        for number, group in enumerate(integration):
            if not np.any(group == _JUMP) or not np.all(group & np.uint8(JUMP_DET | DO_NOT_USE)):
                continue
            if not whole:
                raise errors.Unsupported(
                    f"jump: all pixels of a slab jump in group {number}; whether all of the exposure do cannot be told"
                    " from the slab: calibrate the exposure as one slab"
                )
            group[group == _JUMP] = 0


def _flag_neighbours(ramps: _Ramps, chosen: _Choice, *, columns: int) -> None:
    """Flag the same group of the four neighbours of each jump of middling size."""
    spreading = [_middling_jumps(ramps, chosen, pixels) for pixels in batches(ramps.with_flag(_JUMP), ramps.planes)]
    middle = np.concatenate([np.zeros(0, np.intp), *spreading])
    flat, total = ramps.groupdq.reshape(-1), len(ramps.gain)
    _, pixel = quotient_and_remainder(middle, total)
    _, column = quotient_and_remainder(pixel, columns)
    for step, inside in (
        (-1, column > 0),
        (1, column < columns - 1),
        (-columns, pixel >= columns),
        (columns, pixel < total - columns),
    ):
        neighbour = middle[inside] + step
        flags = flat.take(neighbour)
        flat[neighbour] = np.where(flags & _UNUSABLE, flags, flags | _JUMP)


def _middling_jumps(ramps: _Ramps, chosen: _Choice, pixels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where in the flat `groupdq` those jumps of some pixels are that reach the neighbours."""
    differences = ramps.differences(pixels)
    jumps = np.flatnonzero(ramps.groupdq[:, 1:].take(pixels, axis=2) & _JUMP)
    _, column = quotient_and_remainder(jumps, len(pixels))
    centre = ramps.centre(differences)
    deviation = two_point.sigma(centre, ramps.noise_variance.take(pixels))
    jump_size = np.abs(differences.reshape(-1).take(jumps) - centre.take(column)) / deviation.take(column)
    middling = (jump_size > chosen.neighbours_above) & (jump_size < chosen.neighbours_below)
    return ramps.positions(jumps[middling], pixels)


def _flag_groups_after(ramps: _Ramps, chosen: _Choice, median_gain: float) -> None:
    """Flag the groups that the afterglow of a large jump lasts."""
    for pixels in batches(ramps.with_flag(_JUMP), ramps.planes):
        differences = ramps.differences(pixels)
        excess = differences - ramps.centre(differences)
        flags = ramps.groupdq.take(pixels, axis=2)
        jumps = flags[:, 1:] & _JUMP != 0
        glow = np.zeros(flags.shape, np.bool_)
        for dn, groups in zip(chosen.dn_after, chosen.groups_after, strict=True):
            large = (excess >= np.float32(dn * np.float32(median_gain))) & jumps
            left = np.zeros(flags[:, 0].shape, np.intp)
            for group in range(1, flags.shape[1]):
                left = np.where(large[:, group - 1], groups + 1, left)
                glow[:, group] |= left > 0
                left = np.maximum(left - 1, 0)
        flags[glow & (flags & _UNUSABLE == 0)] |= _JUMP
        ramps.groupdq[:, :, pixels] = flags
