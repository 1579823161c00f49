"""Levels that wander from group to group and that reference pixels are there to measure."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation.chance import Floats
from reprocess.simulation.schedule import Exposure

Walk = NDArray[np.float64]

_OUTPUT_STEP_DN = 5.0
_PARITY_STEP_DN = 2.0
_ROW_STEP_DN = 1.0
_ROW_WAVES = 4
# Where no reference pixel is read nothing can take the drift out again, so it is kept far below the noise.
_UNSEEN = 0.005
_BORDER = 4


def levels(exposure: Exposure, random: np.random.Generator) -> Iterator[Floats]:
    """Common levels of the groups of one integration, for ever.

    Every output has its own random walk, apart for odd and even columns (MIRI: rows). Full frames of the near-infrared
    arrays also wander slowly along the slow axis.

    Parameters
    ----------
    exposure : Exposure
    random : Generator

    Yields
    ------
    ndarray of float32, broadcastable to (row, column), DN
    """
    outputs = exposure.mode.subarray.outputs
    scale = 1.0 if _sees_reference_pixels(exposure) else _UNSEEN
    walk = np.zeros((outputs, 2))
    while True:
        walk += scale * _OUTPUT_STEP_DN * random.standard_normal((outputs, 1))
        walk += scale * _PARITY_STEP_DN * random.standard_normal((outputs, 2))
        if exposure.mode.detector.infrared_array:
            yield _infrared_level(exposure, walk, random)
        else:
            yield _interleaved_level(exposure, walk)


def _sees_reference_pixels(exposure: Exposure) -> bool:
    """Whether reference pixels are read that the calibration uses: for MIRI only those of a full frame."""
    detector, region = exposure.mode.detector, exposure.mode.subarray
    if not detector.infrared_array:
        return region.name == "FULL"
    edges = (region.row_start, region.column_start)
    ends = (region.row_start + region.rows, region.column_start + region.columns)
    return min(edges) < _BORDER or max(ends) > detector.rows - _BORDER


def _interleaved_level(exposure: Exposure, walk: Walk) -> Floats:
    """Levels of MIRI's outputs, which take turns along a row."""
    region = exposure.mode.subarray
    return np.tile(walk.T.astype(np.float32), (region.rows // 2, region.columns // 4))


def _infrared_level(exposure: Exposure, walk: Walk, random: np.random.Generator) -> Floats:
    """Levels of outputs side by side along the fast axis, and the slow waves of a full frame."""
    detector, region = exposure.mode.detector, exposure.mode.subarray
    fast_is_row = abs(detector.fast_axis) == 2
    fast, slow = (region.rows, region.columns) if fast_is_row else (region.columns, region.rows)
    index = np.arange(fast)
    along_fast = walk[index * walk.shape[0] // fast, index % 2]
    if detector.fast_axis < 0:
        along_fast = along_fast[::-1]
    along_slow = _waves(slow, random) if region.outputs > 1 else np.zeros(slow)
    level = along_slow[None, :] + along_fast[:, None] if fast_is_row else along_fast[None, :] + along_slow[:, None]
    along: Floats = level.astype(np.float32)
    return along


def _waves(length: int, random: np.random.Generator) -> Walk:
    """A few slow waves along the slow axis, of random phase."""
    phase = np.linspace(0.0, 2.0 * np.pi, length)[:, None] * np.arange(1, _ROW_WAVES + 1)
    heights = _ROW_STEP_DN / np.arange(1, _ROW_WAVES + 1) * random.standard_normal(_ROW_WAVES)
    waves: Walk = np.sin(phase + random.uniform(0.0, 2.0 * np.pi, _ROW_WAVES)) @ heights
    return waves
