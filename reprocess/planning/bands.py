"""How tall the bands are in which one process calibrates an exposure from its files. Arithmetic only."""

from __future__ import annotations

from reprocess import errors
from reprocess.calibration.step import Locality

PROCESS_BYTES = 120 * 10**6
"""Memory that does not depend on the exposure: interpreter, libraries, blocks of the kernels."""

WORKING_BYTES = 120 * 10**6
"""What the bands of all threads take together where there is no need for more: taller bands are not faster."""

LEAST_HALOS = 4
"""Rows of a band in halos, if the limit allows: with lower bands most of the work would be done twice."""

BYTES_PER_SAMPLE = 10
"""One sample of a ramp: raw 2, science 4, flags 1, and what steps make of it on the way; measured 9.6."""

BYTES_PER_RATE_PIXEL = 40
"""One pixel of one integration of the rate: science, error, flags, two variances, and as much again on its way out."""

BYTES_PER_PIXEL = 96
"""One pixel of the detector while it is calibrated, references left out."""

FACTS_BYTES_PER_PIXEL = 36
"""One pixel of the detector while facts of the exposure are gathered; measured 31."""


def forecast_bytes(shape: tuple[int, int, int, int], rows: int, *, reference_bytes: int, threads: int = 1) -> int:
    """Forecast the peak memory of a process that calibrates bands of an exposure.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    rows : int
        Rows of a band, halo included.
    reference_bytes : int
        Bytes that the references have for one pixel.
    threads : int
        Bands that are in memory at a time.
    """
    _, _, height, columns = shape
    bands = threads * min(rows, height) * columns * _pixel_bytes(shape, reference_bytes)
    return PROCESS_BYTES + max(height * columns * FACTS_BYTES_PER_PIXEL, bands)


def _pixel_bytes(shape: tuple[int, int, int, int], reference_bytes: int) -> int:
    integrations, groups, _, _ = shape
    return integrations * (groups * BYTES_PER_SAMPLE + BYTES_PER_RATE_PIXEL) + BYTES_PER_PIXEL + reference_bytes


def band_rows(
    shape: tuple[int, int, int, int],
    locality: Locality,
    *,
    reference_bytes: int,
    memory_limit_bytes: int | None = None,
    threads: int = 1,
) -> int:
    """Choose how many rows a band has, its halo left out.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    locality : Locality
        What the steps together must see.
    reference_bytes : int
        Bytes that the references have for one pixel.
    memory_limit_bytes : int, optional
        Memory of the process.
    threads : int
        Bands that are in memory at a time.

    Returns
    -------
    int
        All rows if one step must see them; else rows of each band but the last, as equal as they can be.

    Raises
    ------
    UsageError
        Not even one row with its halo fits for each thread, or the exposure cannot be cut and does not fit.
    """
    height, halo = shape[2], locality.halo_rows
    least = height if locality.whole else min(height, 1 + 2 * halo)
    needed = forecast_bytes(shape, least, reference_bytes=reference_bytes, threads=threads)
    if memory_limit_bytes is not None and needed > memory_limit_bytes:
        why = "one of its steps must see all rows at once" if locality.whole else f"one row needs {halo} beside it"
        raise errors.UsageError(
            f"An exposure of shape {shape} needs {needed / 1e6:.0f} MB with {threads} thread(s), because {why}, "
            f"and the limit is {memory_limit_bytes / 1e6:.0f} MB. Raise --memory-limit, or take fewer threads."
        )
    if locality.whole:
        return height
    row_bytes = threads * shape[3] * _pixel_bytes(shape, reference_bytes)
    fitting = max(WORKING_BYTES // row_bytes - 2 * halo, LEAST_HALOS * halo)
    if memory_limit_bytes is not None:
        fitting = min(fitting, (memory_limit_bytes - PROCESS_BYTES) // row_bytes - 2 * halo)
    bands = -(-height // max(1, fitting))
    return -(-height // bands)
