"""Slabs: how an exposure is cut into bands of rows that fit a memory limit. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from reprocess import errors
from reprocess.calibration.step import Locality
from reprocess.exposure import Band, Slab

NEAR_INFRARED_PIXELS, MIRI_PIXELS = 2048 * 2048, 1024 * 1032
"""Pixels of a whole detector."""

PROCESS_BYTES = 250 * 10**6
"""Memory of a worker process that does not depend on the exposure: interpreter, libraries, blocks of the kernels."""

BYTES_PER_SAMPLE = 8
"""One sample of a ramp: raw 2, science 4, flags 1; measured 6.6."""

BYTES_PER_RATE_PIXEL = 40
"""One pixel of one integration of the rate: science, error, flags, two variances, and as much again on its way out."""

BYTES_PER_PIXEL = 64
"""One pixel of the detector while it is calibrated, references left out; measured 46."""

FEWEST_REFERENCE_BYTES = 64
"""One pixel of all flat references together."""


def forecast_bytes(
    shape: tuple[int, int, int, int], rows: int | None = None, *, reference_bytes: int = FEWEST_REFERENCE_BYTES
) -> int:
    """Forecast the peak memory of a process that calibrates a band of an exposure.

    The constants were measured with the kernels of stage 1 on one process and rounded up by a quarter.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    rows : int, optional
        Rows of the band, halo included; all rows when it is left out.
    reference_bytes : int
        Bytes that the reference files have for one pixel, see `reference_bytes_per_pixel`.

    Returns
    -------
    int
        Bytes.
    """
    integrations, groups, height, columns = shape
    pixels = (height if rows is None else rows) * columns
    per_pixel = integrations * (groups * BYTES_PER_SAMPLE + BYTES_PER_RATE_PIXEL) + BYTES_PER_PIXEL + reference_bytes
    return PROCESS_BYTES + pixels * per_pixel


def reference_bytes_per_pixel(sizes: Iterable[int], detector_pixels: int = NEAR_INFRARED_PIXELS) -> int:
    """Bound the bytes that reference files have for one pixel.

    Parameters
    ----------
    sizes : iterable of int
        Bytes of each file. A file is taken to cover the full detector; one that covers a subarray is small, and so are
        the exposures that read it.
    detector_pixels : int
    """
    return max(FEWEST_REFERENCE_BYTES, -(-sum(sizes) // detector_pixels))


def rows_per_slab(
    shape: tuple[int, int, int, int],
    memory_limit_bytes: int,
    locality: Locality,
    *,
    reference_bytes: int = FEWEST_REFERENCE_BYTES,
) -> int:
    """Choose how many rows a slab has.

    Parameters
    ----------
    shape : tuple of int
        Exposure as (integration, group, row, column).
    memory_limit_bytes : int
        Memory of one worker process.
    locality : Locality
        What the steps together must see.
    reference_bytes : int
        Bytes that the reference files have for one pixel.

    Returns
    -------
    int
        0 when the exposure fits whole; else rows of each slab but the last, as equal as they can be.

    Raises
    ------
    PlanError
        Not even one row with its halo fits, or the exposure cannot be cut.
    """
    forecast = partial(forecast_bytes, shape, reference_bytes=reference_bytes)
    height, halo = shape[2], locality.halo_rows
    if forecast() <= memory_limit_bytes:
        return 0
    if locality.whole:
        raise errors.PlanError(
            f"An exposure of shape {shape} needs {forecast() / 1e6:.0f} MB, because one of its steps must see all rows "
            f"at once, and a worker has {memory_limit_bytes / 1e6:.0f} MB. Raise memory_limit_mb."
        )
    fitting = (memory_limit_bytes - PROCESS_BYTES) // (forecast(1) - PROCESS_BYTES) - 2 * halo
    if fitting < 1:
        least = forecast(min(height, 1 + 2 * halo))
        raise errors.PlanError(
            f"An exposure of shape {shape} needs {least / 1e6:.0f} MB for one row and {halo} rows beside it, "
            f"and a worker has {memory_limit_bytes / 1e6:.0f} MB. Raise memory_limit_mb."
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
    return tuple(widened(core, rows=rows, halo=halo) for core in cores)


def widened(core: Band, *, rows: int, halo: int) -> Slab:
    """Return the slab with a core, in an image of so many rows."""
    return Slab(core, Band(max(0, core.start - halo), min(rows, core.stop + halo)))
