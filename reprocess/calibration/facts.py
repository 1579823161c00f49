"""Facts of a whole exposure that every slab of it needs: reduced frame by frame, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import (
    facts_irs2,
    facts_miri,
    ipc,
    preparation,
    ramp_facts,
    refpix,
    refpix_irs2,
    refpix_miri,
    superbias,
    zeroframe,
)
from reprocess.calibration.census import Census
from reprocess.calibration.chain import Chain, Settings, settle
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.calibration.steps import Parameters, resolve, steps_of
from reprocess.exposure import Band

Frames = Iterable[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Replay:
    """Frames that can be gone through again: each time they are read anew.

    Attributes
    ----------
    read : callable
        Begins to read the frames.
    """

    read: Callable[[], Iterator[NDArray[Any]]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return self.read()


@dataclass(frozen=True)
class Facts:
    """What slabs need to know of the whole exposure.

    Attributes
    ----------
    reference_signal : refpix.Signal or refpix_miri.Signal or None
        Signal of the reference pixels in every group; None where there is none to subtract.
    groups : RampFacts
        Groups that are wholly unusable or wholly saturated, and the median gain.
    zeroframe_signal : refpix.Signal or None
        Signal of the reference pixels in the ZEROFRAME, each frame as an integration of one group; None where it does
        not matter.
    """

    reference_signal: refpix.Signal | refpix_miri.Signal | None
    groups: RampFacts
    zeroframe_signal: refpix.Signal | None = None

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
    return facts_miri.edges(readout, resolve(steps_of(readout.exp_type, interleaved=readout.interleaved), parameters))


def gather_facts(
    frames: Frames,
    references: References,
    *,
    readout: Readout,
    parameters: Parameters,
    strips: Sequence[References] | None = None,
    zeroframes: Frames | None = None,
) -> Facts:
    """Reduce an exposure to the facts that its slabs need.

    Holds three frames, and a few planes of flags, at a time; of MIRI also the strips of one integration.

    Parameters
    ----------
    frames : iterable of uint16 or float32 array
        All frames of the exposure in order, whole rows: (row, column), or several at a time with leading axes
        (integration, group). A frame must not be changed once it was handed over. Best is what can be gone through
        again, see `Replay`: a second time is rarely needed, and what does without it takes longer.
    references : mapping of str to Reference or None
        Whole frames of at least mask, saturation, superbias, ipc and gain, and the rscd table, where the context has
        them.
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    strips : sequence of mapping, optional
        References of all types for the columns of each of the `edges`; cut from `references` if they are left out.
    zeroframes : iterable of uint16 or float32 array, optional
        ZEROFRAME of every integration, if there is one and `needs_zeroframe` says so: (row, column), or several at a
        time.

    Raises
    ------
    errors.WrongLayout
        If there are more or fewer frames than the readout has, or of another shape.
    """
    if readout.interleaved:
        # Its only slab is the whole exposure, which finds all this out as it is calibrated.
        return Facts(None, RampFacts((), (), _median_gain(references)))
    settings = resolve(steps_of(readout.exp_type, interleaved=readout.interleaved), parameters)
    chain = _settle_whole(references, readout, settings)
    meter = _meter(chain, references, settings, strips)
    again = iter(frames) is not frames
    census = Census(references, readout, settings, again=again)
    for integration, group, counts in _numbered(frames, readout):
        if meter is not None:
            meter.add(integration, group, counts)
        census.add(integration, group, counts)
    if not census.is_settled:
        for integration, group, counts in _numbered(frames, readout):
            census.recount(integration, group, counts)
    return Facts(
        None if meter is None else meter.signal(),
        census.facts(_median_gain(references)),
        None if zeroframes is None else zeroframe_signal(zeroframes, references, readout=readout, settings=settings),
    )


def needs_zeroframe(readout: Readout, parameters: Parameters) -> bool:
    """Return whether the rates of an exposure can depend on its ZEROFRAME, if it has one; mostly they cannot.

    Parameters
    ----------
    readout : Readout
    parameters : mapping
        Parameters by step; others have their defaults.
    """
    return zeroframe.matters(readout, resolve(steps_of(readout.exp_type, interleaved=readout.interleaved), parameters))


def zeroframe_signal(
    frames: Frames, references: References, *, readout: Readout, settings: Settings
) -> refpix.Signal | None:
    """Measure the reference signal of the ZEROFRAME; None where there is nothing to subtract.

    Parameters
    ----------
    frames : iterable of uint16 or float32 array
        (row, column), or several with a leading axis.
    references : mapping of str to Reference or None
        Whole frames of at least mask, saturation and superbias.
    readout : Readout
    settings : mapping
        Every parameter of every step.

    Raises
    ------
    errors.WrongLayout
        If there are more or fewer frames than integrations.
    """
    if not zeroframe.matters(readout, settings):
        return None
    early = {kind: references.get(kind) for kind in ("mask", "saturation", "superbias")}
    chain = settle(early, readout=readout, settings=settings, band=Band(0, readout.rows))
    if not isinstance(chain.refpix, refpix.Options):
        return None
    layout = refpix.layout(_flags_of(references, readout, settings), readout, chain.refpix)
    return None if layout is None else zeroframe.measure(frames, chain, layout, chain.refpix)


def reference_signal(
    frames: Frames, chain: Chain, references: References, settings: Settings
) -> preparation.Signal | None:
    """Measure the reference signal of every group of a whole exposure; see `gather_facts`.

    Of an IRS2 exposure it gives the frames after the refpix step.

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
    if isinstance(chain.refpix, refpix_irs2.Correction):
        return facts_irs2.frames(np.asarray(frames), chain, chain.refpix)
    meter = _meter(chain, references, settings, None)
    if meter is None:
        return None
    for integration, group, counts in _numbered(frames, chain.readout):
        meter.add(integration, group, counts)
    return meter.signal()


def _meter(
    chain: Chain, references: References, settings: Settings, strips: Sequence[References] | None
) -> _Meter | facts_miri.EdgeMeter | None:
    """Return what measures the reference signal; None where the step is skipped or there is nothing to measure."""
    if isinstance(chain.refpix, refpix_miri.Options):
        if strips is None:
            strips = [_columns(references, each, chain.readout) for each in facts_miri.edges(chain.readout, settings)]
        return facts_miri.EdgeMeter(chain, settings, strips)
    if not isinstance(chain.refpix, refpix.Options):
        return None
    layout = refpix.layout(_flags_of(references, chain.readout, settings), chain.readout, chain.refpix)
    bias = references.get("superbias") if not settings["superbias"]["skip"] else None
    image = None if bias is None else bias.array("sci", chain.readout.frame_shape)
    return None if layout is None else _Meter(chain, chain.refpix, layout, image)


def _flags_of(references: References, readout: Readout, settings: Settings) -> refpix.FlagsOf:
    """Return what tells the flags before the linearity step of some rows and columns of the frame."""
    early = {kind: references.get(kind) for kind in ("mask", "saturation", "superbias")}

    def flags_of(rows: slice, columns: slice) -> NDArray[np.uint32]:
        height, width = rows.stop - rows.start, columns.stop - columns.start
        cut = replace(readout, rows=height, columns=width)
        whole_columns = _columns(early, columns, readout)
        part = {kind: each and each.rows(rows, readout.rows) for kind, each in whole_columns.items()}
        return settle(part, readout=cut, settings=settings, band=Band(0, height)).early_flags()

    return flags_of


def _columns(references: References, columns: slice, readout: Readout) -> References:
    return {
        kind: None if reference is None else reference.columns(columns, readout.columns)
        for kind, reference in references.items()
    }


def _settle_whole(references: References, readout: Readout, settings: Settings) -> Chain:
    """Settle for all rows what does not take time for every pixel."""
    return settle({"ipc": references.get("ipc")}, readout=readout, settings=settings, band=Band(0, readout.rows))


def _median_gain(references: References) -> float:
    gain = references.get("gain")
    return float("nan") if gain is None else ramp_facts.median_gain(gain.arrays["sci"])


def _numbered(frames: Frames, readout: Readout) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Yield integration, first group and groups as they come; refuse a sequence that is not the readout's."""
    wanted, count = readout.nints * readout.ngroups, 0
    for block in frames:
        if block.shape[-2:] != readout.frame_shape:
            raise errors.WrongLayout(f"frames have shape {block.shape[-2:]}, but the header says {readout.frame_shape}")
        left = block.reshape(-1, *readout.frame_shape)
        while len(left):
            group = count % readout.ngroups
            taken = left[: readout.ngroups - group]
            if count < wanted:
                yield count // readout.ngroups, group, taken
            count, left = count + len(taken), left[len(taken) :]
    if count != wanted:
        raise errors.WrongLayout(
            f"the exposure has {count} frames, but NINTS={readout.nints} and NGROUPS={readout.ngroups} promise {wanted}"
        )


class _Meter:
    """Measures the reference signal of a near-infrared array, some groups at a time."""

    def __init__(
        self, chain: Chain, options: refpix.Options, layout: refpix.Layout, bias: NDArray[np.float32] | None
    ) -> None:
        self._chain = chain
        self._options = options
        self._layout = layout
        self._signals: list[tuple[NDArray[np.float64], NDArray[np.float64] | None]] = []
        self._bias = None if bias is None else superbias.usable(bias.reshape(-1)[layout.pixels])
        self._through_ipc = chain.kernel is not None and self._reads_science_pixels()

    def _reads_science_pixels(self) -> bool:
        """Return whether the mask calls pixels reference pixels that the ipc step would change."""
        rows, columns = ipc.science_area(self._chain.readout)
        row, column = np.divmod(self._layout.pixels, self._chain.readout.columns)
        inside = (row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)
        return bool(inside.any())

    def add(self, integration: int, group: int, groups: NDArray[Any]) -> None:
        """Measure the next groups of an integration, (group, row, column)."""
        if self._through_ipc:
            groups = self._chain.scaled(groups)
            groups = preparation.convolved(groups, slice(0, groups.shape[1]), self._chain)
            values = groups.reshape(len(groups), -1)[:, self._layout.pixels]
        else:
            picked = groups.reshape(len(groups), -1).take(self._layout.pixels, axis=1)
            values = self._chain.scaled(picked).astype(np.float32)
        if self._bias is not None:
            values -= self._bias
        # Officially the first group of an exposure, and every group without sides, is in single precision.
        first = len(values) if not self._layout.sides else int(integration == group == 0)
        for part, single in ((values[:first], True), (values[first:], False)):
            if len(part):
                self._signals.append(refpix.measure(part, self._layout, self._options, single=single))

    def signal(self) -> refpix.Signal:
        """Return the signal of all frames."""
        return refpix.signal_of(self._signals, self._chain.readout, groups=self._chain.readout.ngroups)
