"""References cut to the part of the detector that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.exposure import Card
from reprocess.formats import prepared
from reprocess.storage.store import Store

Corner = tuple[int, int]


def read_region(store: Store, prefix: str, *, corner: Corner, shape: tuple[int, int]) -> Reference:
    """Read the part of a prepared reference that covers some detector pixels.

    Parameters
    ----------
    corner : tuple of int
        0-based detector row and column where the part begins, as SUBSTRT2 and SUBSTRT1 count less one.
    shape : tuple of int
        Rows and columns.

    Raises
    ------
    DamagedReference
        The reference does not cover these pixels.
    ObjectMissing
        Nothing is prepared below `prefix`.
    """
    keywords = prepared.read_keywords(store, prefix)
    rows, columns = _window(keywords, corner, shape, prefix)
    return prepared.read_prepared(store, prefix, rows=rows, columns=columns)


def cut(reference: Reference, *, corner: Corner, shape: tuple[int, int]) -> Reference:
    """Cut a whole reference in memory; see `read_region`."""
    rows, columns = _window(reference.keywords, corner, shape, reference.label)
    arrays = {}
    for name, array in reference.arrays.items():
        if not prepared.has_frames(reference.type, array.shape):
            arrays[name] = array
            continue
        if rows.stop > array.shape[-2] or columns.stop > array.shape[-1]:
            raise errors.DamagedReference(
                f"{reference.label}: {name} has frames of {array.shape[-2:]} from its corner on and does not cover "
                f"{shape[0]} x {shape[1]} pixels from {corner}. Take a reference for this subarray."
            )
        arrays[name] = np.ascontiguousarray(array[..., rows, columns])
    return replace(reference, arrays=arrays)


def _window(keywords: Mapping[str, Card], corner: Corner, shape: tuple[int, int], label: str) -> tuple[slice, slice]:
    """Find the part in the frame of the reference, whose own corner is in SUBSTRT1 and SUBSTRT2."""
    slices = []
    for keyword, start, length in (("SUBSTRT2", corner[0], shape[0]), ("SUBSTRT1", corner[1], shape[1])):
        own = keywords.get(keyword, 1)
        if isinstance(own, bool) or not isinstance(own, int) or start < own - 1:
            raise errors.DamagedReference(
                f"{label}: {keyword} is {own!r}, and the science data begin at pixel {start + 1}. "
                "Take a reference that covers them."
            )
        slices.append(slice(start - own + 1, start - own + 1 + length))
    return slices[0], slices[1]
