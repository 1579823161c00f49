"""Facts of a whole exposure that every slab of it needs: reduced frame by frame, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import dq, facts_miri, ipc, preparation, ramp_facts, refpix, refpix_miri, rscd, saturation
from reprocess.calibration.chain import Chain, Settings, settle
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.calibration.steps import Parameters, resolve, steps_of
from reprocess.exposure import Band

Frames = Iterable[NDArray[Any]]


@dataclass(frozen=True)
class Facts:
    """What slabs need to know of the whole exposure.

    Attributes
    ----------
    reference_signal : refpix.Signal or refpix_miri.Signal or None
        Signal of the reference pixels in every group; None where there is none to subtract.
    groups : RampFacts
        Groups that are wholly unusable or wholly saturated, and the median gain.
    """

    reference_signal: refpix.Signal | refpix_miri.Signal | None
    groups: RampFacts

    @property
    def dead_groups(self) -> tuple[tuple[bool, ...], ...]:
        """For each integration and group, whether every pixel of it is DO_NOT_USE."""
        return self.groups.dead_groups

    @property
    def saturated_groups(self) -> tuple[bool, ...]:
        """For each group, whether every pixel of it is SATURATED in all integrations."""
        return self.groups.saturated_groups

    @property
    def median_gain(self) -> float:
        """Median of the gain in electrons per DN."""
        return self.groups.median_gain


def edges(readout: Readout, parameters: Parameters) -> tuple[slice, ...]:
    """Return the strips of columns whose references `gather_facts` needs, with all types; none for most exposures.

    Parameters
    ----------
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    """
    return facts_miri.edges(readout, resolve(steps_of(readout.exp_type), parameters))


def gather_facts(
    frames: Frames,
    references: References,
    *,
    readout: Readout,
    parameters: Parameters,
    strips: Sequence[References] | None = None,
) -> Facts:
    """Reduce an exposure to the facts that its slabs need.

    Holds three frames, and a few planes of flags, at a time; of MIRI also the strips of one integration.

    Parameters
    ----------
    frames : iterable of uint16 or float32 array
        All frames of the exposure in order, whole rows: (row, column), or several at a time with leading axes
        (integration, group). A frame must not be changed once it was handed over.
    references : mapping of str to Reference or None
        Whole frames of at least mask, saturation, superbias, ipc and gain, and the rscd table, where the context has
        them.
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    strips : sequence of mapping, optional
        References of all types for the columns of each of the `edges`; cut from `references` if they are left out.

    Raises
    ------
    errors.WrongLayout
        If there are more or fewer frames than the readout has, or of another shape.
    """
    settings = resolve(steps_of(readout.exp_type), parameters)
    chain = _settle_whole(references, readout, settings)
    meter = _meter(chain, references, settings, strips)
    census = _Census(chain)
    for integration, group, frame in _numbered(frames, readout):
        counts = chain.scaled(frame)
        if meter is not None:
            meter.add(integration, group, counts)
        census.add(integration, group, counts)
    return Facts(None if meter is None else meter.signal(), census.facts(_median_gain(references)))


def reference_signal(
    frames: Frames, chain: Chain, references: References, settings: Settings
) -> refpix.Signal | refpix_miri.Signal | None:
    """Measure the reference signal of every group of a whole exposure; see `gather_facts`.

    Parameters
    ----------
    frames : iterable of uint16 or float32 array
        As in `gather_facts`.
    chain : Chain
        Settled for all rows.
    references : mapping of str to Reference or None
        Whole frames of all types.
    settings : mapping
        Every parameter of every step.
    """
    meter = _meter(chain, references, settings, None)
    if meter is None:
        return None
    for integration, group, frame in _numbered(frames, chain.readout):
        meter.add(integration, group, chain.scaled(frame))
    return meter.signal()


def _meter(
    chain: Chain, references: References, settings: Settings, strips: Sequence[References] | None
) -> _Meter | facts_miri.EdgeMeter | None:
    """Return what measures the reference signal; None where the step is skipped or there is nothing to measure."""
    if isinstance(chain.refpix, refpix_miri.Options):
        if strips is None:
            strips = [_columns(references, each, chain.readout) for each in facts_miri.edges(chain.readout, settings)]
        return facts_miri.EdgeMeter(chain, settings, strips)
    if chain.refpix is None:
        return None
    layout = refpix.layout(chain.early_flags(), chain.readout, chain.refpix)
    return None if layout is None else _Meter(chain, chain.refpix, layout)


def _columns(references: References, columns: slice, readout: Readout) -> References:
    return {
        kind: None if reference is None else reference.columns(columns, readout.columns)
        for kind, reference in references.items()
    }


def _settle_whole(references: References, readout: Readout, settings: Settings) -> Chain:
    """Settle the steps that facts depend on for all rows; linearity and dark do not matter to them."""
    kinds = ("mask", "saturation", "superbias", "ipc", "rscd")
    early = {kind: references.get(kind) for kind in kinds}
    return settle(early, readout=readout, settings=settings, band=Band(0, readout.rows))


def _median_gain(references: References) -> float:
    gain = references.get("gain")
    return float("nan") if gain is None else ramp_facts.median_gain(gain.arrays["sci"])


def _numbered(frames: Frames, readout: Readout) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield integration, group and frame; refuse a sequence that is not the readout's."""
    wanted, count = readout.nints * readout.ngroups, 0
    for block in frames:
        if block.shape[-2:] != readout.frame_shape:
            raise errors.WrongLayout(f"frames have shape {block.shape[-2:]}, but the header says {readout.frame_shape}")
        for frame in block.reshape(-1, *readout.frame_shape):
            if count < wanted:
                yield count // readout.ngroups, count % readout.ngroups, frame
            count += 1
    if count != wanted:
        raise errors.WrongLayout(
            f"the exposure has {count} frames, but NINTS={readout.nints} and NGROUPS={readout.ngroups} promise {wanted}"
        )


class _Meter:
    """Measures the reference signal of a near-infrared array, frame by frame."""

    def __init__(self, chain: Chain, options: refpix.Options, layout: refpix.Layout) -> None:
        self._chain = chain
        self._options = options
        self._layout = layout
        self._signals: list[tuple[NDArray[np.float64], NDArray[np.float64] | None]] = []
        self._bias = self._pick(chain.bias)
        self._through_ipc = chain.kernel is not None and self._reads_science_pixels()

    def _pick(self, plane: NDArray[Any] | None) -> NDArray[Any] | None:
        """Return the pixels of the layout."""
        if plane is None:
            return None
        return plane.reshape(-1)[self._layout.pixels]

    def _reads_science_pixels(self) -> bool:
        """Return whether the mask calls pixels reference pixels that the ipc step would change."""
        area = np.zeros(self._chain.shape, bool)
        area[ipc.science_area(self._chain.readout)] = True
        picked = self._pick(area)
        return picked is not None and bool(picked.any())

    def add(self, integration: int, group: int, frame: NDArray[Any]) -> None:
        """Measure the next frame, (row, column)."""
        if self._through_ipc:
            frame = preparation.convolved(frame[None], slice(0, frame.shape[0]), self._chain)[0]
        values = frame.reshape(-1)[self._layout.pixels].astype(np.float32)
        if self._bias is not None:
            values -= self._bias
        single = not self._layout.sides or integration == group == 0
        self._signals.append(refpix.measure(values, self._layout, self._options, single=single))

    def signal(self) -> refpix.Signal:
        """Return the signal of all frames."""
        readout = self._chain.readout
        axes = (readout.nints, readout.ngroups, -1)
        fast = [refpix.in_frame(columns, readout, fast=True) for columns, _ in self._signals]
        slow = [refpix.in_frame(rows, readout, fast=False) for _, rows in self._signals if rows is not None]
        return refpix.Signal(
            np.stack(fast).reshape(axes),
            np.stack(slow).reshape(axes) if slow else None,
            along_columns=abs(readout.fast_axis) == 1,
        )


class _Census:
    """Finds groups that are DO_NOT_USE or SATURATED in every pixel, frame by frame."""

    def __init__(self, chain: Chain) -> None:
        readout = chain.readout
        self._chain = chain
        self._usable = chain.start_flags() == 0
        self._dead = np.zeros((readout.nints, readout.ngroups), bool)
        self._saturated = np.ones(readout.ngroups, bool)
        self._onset: saturation.Onset | None = None
        self._held: dict[int, NDArray[Any]] = {}
        self._early: dict[int, NDArray[np.bool_]] = {}

    def add(self, integration: int, group: int, frame: NDArray[Any]) -> None:
        """Look at the next frame, (row, column)."""
        limits, ngroups = self._chain.limits, self._chain.readout.ngroups
        skip = 0 if self._chain.rscd is None else self._chain.rscd.of(integration)
        if limits is None:
            left_out = group < skip or (self._chain.last_frame and group == ngroups - 1)
            self._dead[integration, group] = left_out or not self._usable.any()
            self._saturated[:] = False
            return
        if group == 0 or self._onset is None:
            self._onset, self._held, self._early = saturation.Onset(limits, ngroups, frame.dtype), {}, {}
        self._onset.add(frame)
        self._held = {number: self._held[number] for number in (0, group - 1) if number in self._held}
        self._held[group] = frame
        if group:
            alive = self._alive(group - 1, limits, exact=group <= skip)
            self._dead[integration, group - 1] = not alive.any()
            if group <= skip:
                self._early[group - 1] = alive
        if group == ngroups - 1:
            first = saturation.grow(self._onset.first, self._chain.layers)
            self._dead[integration, group] = self._chain.last_frame or not self._read(frame).any()
            self._saturated &= np.arange(ngroups) >= first.max()
            for number, alive in self._early.items():
                self._dead[integration, number] = not (alive & (rscd.groups_to_skip(first, skip) <= number)).any()

    def _read(self, frame: NDArray[Any]) -> NDArray[np.bool_]:
        """Return pixels that neither the mask nor a reading of 0 or less makes unusable."""
        read: NDArray[np.bool_] = self._usable & ~(frame <= 0)
        return read

    def _alive(self, group: int, limits: saturation.Threshold, *, exact: bool) -> NDArray[np.bool_]:
        """Return pixels of a group that the saturation step leaves usable, once the group after it has been seen.

        Not exact: some pixels if there are any, for the little that this takes.
        """
        assert self._onset is not None
        read = self._read(self._held[group])
        averaging, layers = self._chain.averaging, self._chain.layers
        # What saturation next door can still make unusable is bounded by the pixels that saturate in the next group.
        reach = (2 * layers + 1) ** 4 * np.count_nonzero(self._onset.first <= group + 1)
        if averaging is None or (not exact and np.count_nonzero(read) > reach):
            return read
        flags = np.where(read, np.uint8(0), np.uint8(dq.DO_NOT_USE))
        first = saturation.grow(self._onset.first, layers)
        saturation.flag_group_before(
            group,
            self._held,
            flags,
            first=first,
            limits=limits,
            averaging=averaging,
            last=self._chain.readout.ngroups,
        )
        alive: NDArray[np.bool_] = (flags & dq.DO_NOT_USE) == 0
        return alive

    def facts(self, median_gain: float) -> RampFacts:
        """Return the facts of all frames."""
        return RampFacts(
            tuple(tuple(map(bool, integration)) for integration in self._dead),
            tuple(map(bool, self._saturated)),
            median_gain,
        )
