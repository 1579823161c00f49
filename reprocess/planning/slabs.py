"""Slabs: how an exposure is cut into bands of rows that fit a memory limit. Arithmetic only."""

from __future__ import annotations

from reprocess import errors
from reprocess.calibration.step import Locality
from reprocess.exposure import Band, Slab

PROCESS_BYTES = 300 * 10**6
"""Resident memory of a worker process before it reads anything: interpreter, libraries, scheduler connection."""

BYTES_PER_SAMPLE = 14
"""One sample of a ramp: raw 2, science 4, flags 1, the dark's 4, and the temporaries of one step at a time."""

BYTES_PER_RATE_PIXEL = 40
"""One pixel of one integration of the rate: science, error, flags, two variances, and as much again on its way out."""

BYTES_PER_PIXEL = 96
"""One pixel of the detector: flags and the flat references."""


def forecast_bytes(shape: tuple[int, int, int, int], rows: int | None = None) -> int:
    """Forecast the peak memory of a process that calibrates a band of an exposure.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    rows : int, optional
        Rows of the band, halo included; all rows when it is left out.

    Returns
    -------
    int
        Bytes.
    """
    integrations, groups, height, columns = shape
    pixels = (height if rows is None else rows) * columns
    per_pixel = integrations * (groups * BYTES_PER_SAMPLE + BYTES_PER_RATE_PIXEL) + BYTES_PER_PIXEL
    return PROCESS_BYTES + pixels * per_pixel


def rows_per_slab(shape: tuple[int, int, int, int], memory_limit_bytes: int, locality: Locality) -> int:
    """Choose how many rows a slab has.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    memory_limit_bytes : int
        Memory of one worker process.
    locality : Locality
        What the steps together must see.

    Returns
    -------
    int
        0 when the exposure fits whole; else rows of each slab but the last, as equal as they can be.

    Raises
    ------
    PlanError
        Not even one row with its halo fits.
    """
    height = shape[2]
    if forecast_bytes(shape) <= memory_limit_bytes:
        return 0
    row_bytes = forecast_bytes(shape, 1) - PROCESS_BYTES
    fitting = (memory_limit_bytes - PROCESS_BYTES) // row_bytes - 2 * locality.halo_rows
    if fitting < 1:
        least = forecast_bytes(shape, min(height, 1 + 2 * locality.halo_rows))
        raise errors.PlanError(
            f"An exposure of shape {shape} needs {least / 1e6:.0f} MB for one row and {locality.halo_rows} rows of "
            f"halo on each side, and a worker has {memory_limit_bytes / 1e6:.0f} MB. Raise memory_limit_mb."
        )
    slabs = -(-height // fitting)
    return -(-height // slabs)


def cut(rows: int, rows_per_slab: int, halo: int) -> tuple[Slab, ...]:
    """Cut the rows of an image into slabs whose cores cover each row exactly once.

    Parameters
    ----------
    rows : int
        Rows of the image.
    rows_per_slab : int
        Rows of each core; 0 for one slab that is the whole image.
    halo : int
        Rows that a slab reads beyond its core on each side, as far as there are any.
    """
    step = rows_per_slab or rows
    cores = (Band(start, min(start + step, rows)) for start in range(0, rows, step))
    return tuple(Slab(core, Band(max(0, core.start - halo), min(rows, core.stop + halo))) for core in cores)
