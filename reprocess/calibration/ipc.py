"""Give back to every pixel the charge that its neighbours measured (inter-pixel capacitance)."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Locality, Step

HALO_ROWS = 2

STEP = Step(
    name="ipc",
    keyword="S_IPC",
    revision=1,
    reference_types=("ipc",),
    parameters=MappingProxyType({"skip": False}),
    locality=Locality(halo_rows=HALO_ROWS),
)

EDGE = 4
DETECTOR = 2048
MIRI_COLUMNS = 1032


def kernel(reference: Reference, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the kernel of a reference: (y, x), or (y, x, row, column) where it differs from pixel to pixel.

    Raises
    ------
    errors.DamagedReference
        If it has another number of axes, an even side, is larger than the halo allows, or does not fit the data.
    """
    sci = reference.arrays.get("sci")
    found = None if sci is None else sci.shape
    if sci is None or sci.ndim not in (2, 4) or any(n % 2 == 0 or n > 2 * HALO_ROWS + 1 for n in sci.shape[:2]):
        raise errors.DamagedReference(
            f"{reference.label} has axes {found}, but must be a kernel of odd sides up to {2 * HALO_ROWS + 1}, "
            "alone or for each pixel"
        )
    return reference.array("sci", shape) if sci.ndim == 4 else sci


def science_area(readout: Readout) -> tuple[slice, slice]:
    """Return the rows and columns of the frame that are not reference pixels of the detector's edge.

    MIRI has reference pixels at the ends of its rows only.
    """

    def inside(start: int, length: int, detector: int) -> slice:
        return slice(max(0, EDGE - start), min(length, detector - EDGE - start))

    if readout.instrument == "MIRI":
        return slice(0, readout.rows), inside(readout.column_start, readout.columns, MIRI_COLUMNS)
    rows = inside(readout.row_start, readout.rows, DETECTOR)
    return rows, inside(readout.column_start, readout.columns, DETECTOR)


def convolve(
    data: NDArray[np.float32], *, kernel: NDArray[np.float32], rows: slice, columns: slice, core: slice
) -> NDArray[np.float32]:
    """Convolve the science pixels of every group with the kernel.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN, of the wanted rows and of the rows around them that the kernel reaches.
    kernel : float32 array, (y, x) or (y, x, row, column)
    rows, columns : slice
        Science pixels within `data`: only they are corrected, only they give.
    core : slice
        Wanted rows within `data`.

    Returns
    -------
    float32 array, (group, row, column)
        The wanted rows.
    """
    result = data[:, core].copy()
    top, bottom = max(rows.start, core.start), min(rows.stop, core.stop)
    if bottom <= top or columns.stop <= columns.start:
        return result
    half_y, half_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = _with_border(data, slice(top - half_y, bottom + half_y), rows, columns, half_x)
    height, width = bottom - top, columns.stop - columns.start
    total = np.zeros((len(data), height, width), np.float32)
    for y, x in _middle_last(kernel.shape[0], kernel.shape[1]):
        down, right = kernel.shape[0] - 1 - y, kernel.shape[1] - 1 - x
        weight = kernel[y, x] if kernel.ndim == 2 else kernel[y, x, top:bottom, columns]
        total += weight * padded[:, down : down + height, right : right + width]
    result[:, top - core.start : bottom - core.start, columns] = total
    return result


def _with_border(
    data: NDArray[np.float32], wanted: slice, rows: slice, columns: slice, half_x: int
) -> NDArray[np.float32]:
    """Return the wanted rows of the science pixels, with 0 for what is not a science pixel."""
    width = columns.stop - columns.start
    padded = np.zeros((len(data), wanted.stop - wanted.start, width + 2 * half_x), np.float32)
    start, stop = max(wanted.start, rows.start), min(wanted.stop, rows.stop)
    padded[:, start - wanted.start : stop - wanted.start, half_x : half_x + width] = data[:, start:stop, columns]
    return padded


def _middle_last(height: int, width: int) -> list[tuple[Any, Any]]:
    """Return the kernel's elements row by row, the middle one, the largest, at the end."""
    middle = (height // 2, width // 2)
    return [(y, x) for y in range(height) for x in range(width) if (y, x) != middle] + [middle]
