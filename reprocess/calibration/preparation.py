"""Bring raw groups to the ramp that jumps are looked for in, in blocks of rows that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import (
    dark_current,
    dq,
    firstframe,
    ipc,
    lastframe,
    linearity,
    refpix,
    refpix_irs2,
    refpix_miri,
    reset,
    rscd,
    saturation,
    saturation_irs2,
    superbias,
)
from reprocess.calibration.chain import Chain, coefficients_of
from reprocess.calibration.ramp import Ramp

BLOCK_VALUES = 1 << 19
_BUFFER = 2048  # elements; broadcast operands are copied into a larger one needlessly

Polynomials = tuple[NDArray[np.float32], NDArray[np.float32] | None]
Signal = refpix.Signal | refpix_miri.Signal | refpix_irs2.Frames


def prepare(raw: NDArray[Any], chain: Chain, signal: Signal | None, *, first: int = 0) -> Ramp:
    """Run the steps before jump, from group_scale to dark_current, or for MIRI to refpix.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column)
        DN as in the file, the rows of the chain's band; of IRS2 frames those with normal pixels. Not changed.
    chain : Chain
    signal : refpix.Signal or refpix_miri.Signal or refpix_irs2.Frames or None
        Reference signal of the whole exposure; None where there is none to subtract. Of IRS2 exposures the frames
        after the refpix step.
    first : int
        Index in the file of the first integration of `raw`.

    Returns
    -------
    Ramp
    """
    counts = chain.scaled(raw)
    onsets = [_onset(groups, chain) for groups in counts]
    seconds = [_saturated_seconds(groups, chain) for groups in counts]
    ramp = Ramp(np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8), np.empty(raw.shape[2:], np.uint32))
    with np.errstate(invalid="ignore", over="ignore"):
        np.setbufsize(_BUFFER)  # ends with the errstate
        scratch = _Scratch.of(raw.shape)
        for rows in _blocks(raw.shape):
            ramp.pixeldq[rows] = chain.early_flags(rows)
            ready = _Block(chain, rows, ramp.pixeldq[rows], scratch)
            for number, (groups, onset) in enumerate(zip(counts, onsets, strict=True)):
                flags, data = ramp.groupdq[number, :, rows], ramp.data[number, :, rows]
                _flag(groups[:, rows], flags, onset[rows], chain=chain, start=chain.start_flags(rows))
                saturation_irs2.flag_seconds(flags, seconds[number], rows)
                ready.linear(groups, flags, onset[rows], integration=first + number, signal=signal, out=data)
    if isinstance(signal, refpix_irs2.Frames):
        ramp.pixeldq[...] |= signal.flags
    _finish_flags(ramp, counts, chain, onsets, first)
    return ramp


def group_flags(groups: NDArray[Any], chain: Chain, integration: int) -> NDArray[np.uint8]:
    """Return the flags of the groups of one integration that the steps before jump set.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN as `Chain.scaled` gives them, the rows of the chain's band.
    chain : Chain
    integration : int
        Index of the integration in the file.

    Returns
    -------
    uint8 array, (group, row, column)
    """
    onset = _onset(groups, chain)
    ramp = Ramp(np.empty((0,), np.float32), np.empty((1, *groups.shape), np.uint8), np.zeros(chain.shape, np.uint32))
    _flag(groups, ramp.groupdq[0], onset, chain=chain, start=chain.start_flags())
    _finish_flags(ramp, groups[None], chain, [onset], integration)
    flags: NDArray[np.uint8] = ramp.groupdq[0]
    return flags


def _finish_flags(ramp: Ramp, counts: NDArray[Any], chain: Chain, onsets: list[NDArray[Any]], first: int) -> None:
    """Add the flags that nothing before jump reads."""
    if chain.limits is not None and chain.averaging is not None and not chain.readout.interleaved:
        for groups, flags, onset in zip(counts, ramp.groupdq, onsets, strict=True):
            saturation.flag_averaged(groups, flags, first=onset, limits=chain.limits, averaging=chain.averaging)
    _leave_out(ramp, chain, onsets, first)


def _leave_out(ramp: Ramp, chain: Chain, onsets: list[NDArray[Any]], first: int) -> None:
    """Flag the groups at both ends of MIRI ramps that are not fitted; nothing before this reads these flags."""
    if chain.first_frame is not None:
        for flags, onset in zip(ramp.groupdq, onsets, strict=True):
            firstframe.flag(flags, ramp.pixeldq, firstframe.kept(onset, bright=chain.first_frame))
    if chain.last_frame:
        lastframe.flag(ramp.groupdq)
    if chain.rscd is not None:
        for number, (flags, onset) in enumerate(zip(ramp.groupdq, onsets, strict=True)):
            rscd.flag(flags, ramp.pixeldq, onset, chain.rscd.of(first + number))


def _onset(groups: NDArray[Any], chain: Chain) -> NDArray[Any]:
    """Return the first saturated group of each pixel, grown; the number of groups where none is looked for."""
    if chain.limits is None:
        return np.full(chain.shape, len(groups), np.min_scalar_type(len(groups)))
    return saturation.grow(saturation.first_saturated(groups, chain.limits), chain.layers)


def _saturated_seconds(groups: NDArray[Any], chain: Chain) -> NDArray[np.bool_] | None:
    """Return where the second group of an IRS2 ramp is saturated too; None for others, which have their own rules."""
    if not chain.readout.interleaved or chain.limits is None or chain.averaging is None:
        return None
    return saturation_irs2.seconds(groups, chain.limits, chain.averaging)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows so that one integration of a block has about `BLOCK_VALUES`."""
    rows, height = shape[2], _height(shape)
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


def _height(shape: tuple[int, ...]) -> int:
    _, ngroups, rows, columns = shape
    return max(1, min(rows, BLOCK_VALUES // (ngroups * columns)))


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Arrays that all blocks use: fresh memory costs more than the arithmetic.

    Attributes
    ----------
    counts, linear : float32 array, (group, row, column)
    precise : float64 array, (group, row, column)
    """

    counts: NDArray[np.float32]
    linear: NDArray[np.float32]
    precise: NDArray[np.float64]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> _Scratch:
        """Make the arrays for the blocks of a ramp."""
        block = shape[1], _height(shape), shape[3]
        return cls(np.empty(block, np.float32), np.empty(block, np.float32), np.empty(block, np.float64))

    def rows(self, count: int) -> _Scratch:
        """Return the part for a block of so many rows."""
        return _Scratch(self.counts[:, :count], self.linear[:, :count], self.precise[:, :count])


def _flag(
    groups: NDArray[Any], flags: NDArray[np.uint8], onset: NDArray[Any], *, chain: Chain, start: NDArray[np.uint8]
) -> None:
    """Fill the flags of some rows of an integration with those of the saturation step."""
    if chain.limits is None:
        flags[...] = start
    else:
        saturation.flag_groups(groups, onset, start, out=flags)


class _Block:
    """Some rows of the chain, with what all integrations need."""

    def __init__(self, chain: Chain, rows: slice, pixeldq: NDArray[np.uint32], scratch: _Scratch) -> None:
        self._chain = chain
        self._rows = rows
        self._scratch = scratch.rows(rows.stop - rows.start)
        self._polynomials = _polynomials(chain, rows, pixeldq)
        self._darks: dict[int | None, NDArray[Any] | None] = {None: None}
        if chain.dark is not None and chain.dark_match is not None:
            pixeldq |= dark_current.flags_of(chain.dark, chain.shape)[rows]

    def linear(
        self,
        groups: NDArray[Any],
        flags: NDArray[np.uint8],
        onset: NDArray[Any],
        *,
        integration: int,
        signal: Signal | None,
        out: NDArray[np.float32],
    ) -> None:
        """Write an integration of the block after the steps from ipc to dark_current, for MIRI refpix."""
        chain, scratch = self._chain, self._scratch
        data = without_bias(groups, self._rows, chain, scratch.counts)
        frame_rows = slice(self._rows.start + chain.band.start, self._rows.stop + chain.band.start)
        if chain.reset is not None:
            reset.subtract(data, decay=chain.reset.of(integration, self._rows))
        if isinstance(signal, refpix.Signal):
            refpix.subtract(data, signal, integration=integration, rows=frame_rows, scratch=scratch.precise)
        if isinstance(signal, refpix_irs2.Frames):
            np.copyto(data, signal.data[integration][:, self._rows])
        if self._polynomials is not None:
            saturated = (flags & np.uint8(dq.SATURATED)).astype(bool) if (onset < len(groups)).any() else None
            data = _linear(data, self._polynomials, saturated, chain.readout.nframes, scratch.linear)
        dark = self._dark(integration)
        if dark is None:
            np.copyto(out, data)
        else:
            np.subtract(data, dark, out=out, casting="same_kind")
        if isinstance(signal, refpix_miri.Signal):
            refpix_miri.subtract(out, signal, integration=integration, rows=frame_rows)

    def _dark(self, integration: int) -> NDArray[Any] | None:
        """Return the dark of every group of an integration; None where there is none to subtract."""
        dark, how = self._chain.dark, self._chain.dark_match
        if dark is None or how is None:
            return None
        sci: NDArray[np.float32] = dark.array("sci", self._chain.shape)
        chosen: int | None = 0
        if sci.ndim == 3:
            sci = sci[None]
        else:
            chosen = dark_current.cube_for(sci, how, integration=integration, readout=self._chain.readout)
        if chosen is not None and chosen not in self._darks:
            self._darks[chosen] = dark_current.groups(sci[chosen][:, self._rows], how)
        return self._darks[chosen]


def _polynomials(chain: Chain, rows: slice, pixeldq: NDArray[np.uint32]) -> Polynomials | None:
    """Return usable polynomials of some rows, and add their flags; None where the linearity step is skipped."""
    if chain.linearity is None:
        return None
    coefficients, inverse, flags = coefficients_of(chain.linearity, chain.shape)
    forward, added = linearity.usable(coefficients[:, rows], flags[rows])
    pixeldq |= added
    if inverse is None or chain.readout.nframes == 1:
        return forward, None
    back, added = linearity.usable(inverse[:, rows], flags[rows])
    pixeldq |= added
    return forward, back


def _linear(
    data: NDArray[np.float32],
    polynomials: Polynomials,
    saturated: NDArray[np.bool_] | None,
    nframes: int,
    scratch: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the groups after the linearity step."""
    coefficients, inverse = polynomials
    # One group has no line through it: it is corrected as a single read.
    if inverse is None or len(data) == 1:
        return linearity.correct(data, coefficients=coefficients, saturated=saturated, out=scratch)
    lost = np.zeros(data.shape, bool) if saturated is None else saturated
    return linearity.correct_reads(data, coefficients=coefficients, inverse=inverse, saturated=lost, nframes=nframes)


def without_bias(groups: NDArray[Any], rows: slice, chain: Chain, scratch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return some rows of an integration in float32 after the ipc and superbias steps.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN as `Chain.scaled` gives them, all rows of the band.
    rows : slice
        Wanted rows of the band.
    chain : Chain
    scratch : float32 array, (group, row, column)
        Overwritten; the result may be in it.
    """
    if chain.kernel is None:
        data = scratch
        np.copyto(data, groups[:, rows])
    else:
        data = convolved(groups, rows, chain)
    return data if chain.bias is None else superbias.subtract(data, bias=chain.bias[rows])


def convolved(groups: NDArray[Any], rows: slice, chain: Chain) -> NDArray[np.float32]:
    """Return some rows of an integration after the ipc step, which also reads the rows around them.

    Parameters
    ----------
    groups : uint16 or float32 array, (group, row, column)
        DN, all rows of the band.
    rows : slice
        Wanted rows of the band.
    chain : Chain
        With a kernel.
    """
    assert chain.kernel is not None
    science, columns = ipc.science_area(chain.readout)
    around = slice(max(0, rows.start - ipc.HALO_ROWS), min(groups.shape[1], rows.stop + ipc.HALO_ROWS))
    origin = chain.band.start + around.start
    height = around.stop - around.start
    inside = slice(min(max(science.start - origin, 0), height), min(max(science.stop - origin, 0), height))
    return ipc.convolve(
        groups[:, around].astype(np.float32),
        kernel=chain.kernel if chain.kernel.ndim == 2 else chain.kernel[:, :, around],
        rows=inside,
        columns=columns,
        core=slice(rows.start - around.start, rows.stop - around.start),
    )
