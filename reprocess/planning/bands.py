"""How tall the bands are in which one process calibrates an exposure from its files. Arithmetic only."""

from __future__ import annotations

import math

from reprocess import errors
from reprocess.calibration.step import Locality

PROCESS_BYTES = 120 * 10**6
"""Memory that does not depend on the exposure: interpreter, libraries, blocks of the kernels."""

WORKING_BYTES = 120 * 10**6
"""What the bands of all threads take together where there is no need for more: taller bands are not faster."""

LEAST_HALOS = 8
"""Rows of a band in halos, if the limit allows: with lower bands most of the work would be done twice."""

BYTES_PER_SAMPLE = 10
"""One sample of a single integration: raw 2, science 4, flags 1, and what steps make of it on the way; measured 9.6."""

BYTES_PER_SAMPLE_OF_MANY = 5.25
"""One sample where integrations are read a few at a time: science 4, flags 1; of the rest only a few integrations."""

BYTES_PER_RATE_PIXEL = 32
"""One pixel of one integration of the rate: science, error, flags, two variances, and the slope in double precision."""

BYTES_PER_PLANE = 3600
"""One group of one integration of the pixels that jumps are looked for in, or that are fitted, together."""

BYTES_PER_PIXEL = 96
"""One pixel of the detector while it is calibrated, references left out."""

FACTS_BYTES_PER_PIXEL = 36
"""One pixel of the detector while facts of the exposure are gathered; measured 31."""


def forecast_bytes(
    shape: tuple[int, int, int, int], rows: int, *, reference_bytes: int, halo: int = 0, threads: int = 1
) -> int:
    """Forecast the peak memory of a process that calibrates bands of an exposure.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    rows : int
        Rows of a band, its halo left out.
    reference_bytes : int
        Bytes that the references have for one pixel.
    halo : int
        Rows that a band reads on each side of its own.
    threads : int
        Bands that are in memory at a time.
    """
    integrations, groups, height, columns = shape
    read, rated = _row_bytes(shape, reference_bytes)
    band = min(rows + 2 * halo, height) * read + min(rows, height) * rated + integrations * groups * BYTES_PER_PLANE
    return PROCESS_BYTES + max(height * columns * FACTS_BYTES_PER_PIXEL, threads * band)


def _row_bytes(shape: tuple[int, int, int, int], reference_bytes: int) -> tuple[int, int]:
    """Return the bytes of a row that is read, and what comes to them if it is fitted too."""
    integrations, groups, _, columns = shape
    sample = BYTES_PER_SAMPLE if integrations == 1 else BYTES_PER_SAMPLE_OF_MANY + BYTES_PER_SAMPLE / integrations
    ramp = math.ceil(integrations * groups * sample)
    return columns * (ramp + BYTES_PER_PIXEL + reference_bytes), columns * integrations * BYTES_PER_RATE_PIXEL


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
    least = height if locality.whole else 1
    needed = forecast_bytes(shape, least, reference_bytes=reference_bytes, halo=halo, threads=threads)
    if memory_limit_bytes is not None and needed > memory_limit_bytes:
        why = "one of its steps must see all rows at once" if locality.whole else f"one row needs {halo} beside it"
        raise errors.UsageError(
            f"An exposure of shape {shape} needs {needed / 1e6:.0f} MB with {threads} thread(s), because {why}, "
            f"and the limit is {memory_limit_bytes / 1e6:.0f} MB. Raise --memory-limit, or take fewer threads."
        )
    if locality.whole:
        return height
    read, rated = _row_bytes(shape, reference_bytes)
    fixed = shape[0] * shape[1] * BYTES_PER_PLANE + 2 * halo * read
    fitting = max((WORKING_BYTES // threads - 2 * halo * read) // (read + rated), LEAST_HALOS * halo)
    if memory_limit_bytes is not None:
        fitting = min(fitting, ((memory_limit_bytes - PROCESS_BYTES) // threads - fixed) // (read + rated))
    bands = -(-height // max(1, fitting))
    return -(-height // bands)
