"""Bring raw groups to the ramp that jumps are looked for in, in blocks of rows that stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dark_current, dq, ipc, linearity, refpix, saturation, superbias
from reprocess.calibration.chain import Chain, coefficients_of
from reprocess.calibration.ramp import Ramp

BLOCK_BYTES = 1 << 19

Polynomials = tuple[NDArray[np.float32], NDArray[np.float32] | None]


def prepare(raw: NDArray[Any], chain: Chain, signal: refpix.Signal | None) -> Ramp:
    """Run the steps from group_scale to dark_current.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column)
        DN as in the file, the rows of the chain's band. Not changed.
    chain : Chain
    signal : refpix.Signal or None
        Reference signal of the whole exposure; None where there is none to subtract.

    Returns
    -------
    Ramp
    """
    counts = chain.scaled(raw)
    onsets = [_onset(groups, chain) for groups in counts]
    ramp = Ramp(np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8), chain.flags_at_refpix())
    start = chain.start_flags()
    for rows in _blocks(raw.shape):
        _prepare_block(counts, ramp, rows, chain=chain, onsets=onsets, start=start[rows], signal=signal)
    if chain.limits is not None and chain.averaging is not None:
        for groups, flags, first in zip(counts, ramp.groupdq, onsets, strict=True):
            saturation.flag_averaged(groups, flags, first=first, limits=chain.limits, averaging=chain.averaging)
    return ramp


def _onset(groups: NDArray[Any], chain: Chain) -> NDArray[Any]:
    """Return the first saturated group of each pixel, grown; the number of groups where none is looked for."""
    if chain.limits is None:
        return np.full(chain.shape, len(groups), np.min_scalar_type(len(groups)))
    return saturation.grow(saturation.first_saturated(groups, chain.limits), chain.layers)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut the rows so that one integration of a block is about `BLOCK_BYTES` in float32."""
    _, ngroups, rows, columns = shape
    height = max(1, BLOCK_BYTES // (4 * ngroups * columns))
    return (slice(start, min(start + height, rows)) for start in range(0, rows, height))


def _prepare_block(
    counts: NDArray[Any],
    ramp: Ramp,
    rows: slice,
    *,
    chain: Chain,
    onsets: list[NDArray[Any]],
    start: NDArray[np.uint8],
    signal: refpix.Signal | None,
) -> None:
    """Fill some rows of the ramp, all integrations."""
    polynomials, dark = _polynomials(chain, rows, ramp.pixeldq), _dark(chain, rows, ramp.pixeldq)
    for number, groups in enumerate(counts):
        flags, first = ramp.groupdq[number, :, rows], onsets[number][rows]
        if chain.limits is None:
            flags[...] = start
        else:
            saturation.flag_groups(groups[:, rows], first, start, out=flags)
        data = _without_bias(groups, rows, chain)
        if signal is not None:
            frame_rows = slice(rows.start + chain.band.start, rows.stop + chain.band.start)
            refpix.subtract(data, signal, integration=number, rows=frame_rows)
        if polynomials is not None:
            saturated = (flags & np.uint8(dq.SATURATED)).astype(bool) if (first < len(groups)).any() else None
            data = _linear(data, polynomials, saturated, chain.readout.nframes)
        ramp.data[number, :, rows] = data if dark is None else dark_current.subtract(data, dark=dark)


def _polynomials(chain: Chain, rows: slice, pixeldq: NDArray[np.uint32]) -> Polynomials | None:
    """Return usable polynomials of some rows, and add their flags; None where the linearity step is skipped."""
    if chain.linearity is None:
        return None
    coefficients, inverse, flags = coefficients_of(chain.linearity, chain.shape)
    forward, added = linearity.usable(coefficients[:, rows], flags[rows])
    pixeldq[rows] |= added
    if inverse is None or chain.readout.nframes == 1:
        return forward, None
    back, added = linearity.usable(inverse[:, rows], flags[rows])
    pixeldq[rows] |= added
    return forward, back


def _linear(
    data: NDArray[np.float32], polynomials: Polynomials, saturated: NDArray[np.bool_] | None, nframes: int
) -> NDArray[np.float32]:
    """Return the groups after the linearity step."""
    coefficients, inverse = polynomials
    # One group has no line through it: it is corrected as a single read.
    if inverse is None or len(data) == 1:
        return linearity.correct(data, coefficients=coefficients, saturated=saturated)
    lost = np.zeros(data.shape, bool) if saturated is None else saturated
    return linearity.correct_reads(data, coefficients=coefficients, inverse=inverse, saturated=lost, nframes=nframes)


def _dark(chain: Chain, rows: slice, pixeldq: NDArray[np.uint32]) -> NDArray[Any] | None:
    """Return the dark of every group for some rows, and add its flags; None where the step is skipped."""
    if chain.dark is None or chain.dark_match is None:
        return None
    pixeldq[rows] |= chain.dark.array("dq", chain.shape)[rows]
    return dark_current.groups(chain.dark.array("sci", chain.shape)[:, rows], chain.dark_match)


def _without_bias(groups: NDArray[Any], rows: slice, chain: Chain) -> NDArray[np.float32]:
    """Return some rows of an integration in float32 after the ipc and superbias steps."""
    data = groups[:, rows].astype(np.float32) if chain.kernel is None else convolved(groups, rows, chain)
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
