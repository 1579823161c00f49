"""References cut to the part of the detector that was read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reprocess.calibration.reference import Reference
from reprocess.formats import prepared
from reprocess.formats.reference import has_frames
from reprocess.formats.window import Corner, outside, window
from reprocess.storage.store import Store


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
    rows, columns = window(keywords, corner, shape, prefix)
    return prepared.read_prepared(store, prefix, rows=rows, columns=columns)


def cut(reference: Reference, *, corner: Corner, shape: tuple[int, int]) -> Reference:
    """Cut a whole reference in memory; see `read_region`."""
    rows, columns = window(reference.keywords, corner, shape, reference.label)
    arrays = {}
    for name, array in reference.arrays.items():
        if not has_frames(reference.type, array.shape):
            arrays[name] = array
            continue
        if rows.stop > array.shape[-2] or columns.stop > array.shape[-1]:
            raise outside(reference.label, name, array.shape, corner=corner, shape=shape)
        arrays[name] = np.ascontiguousarray(array[..., rows, columns])
    return replace(reference, arrays=arrays)
