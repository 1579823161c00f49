"""Random numbers that depend on what they describe, never on how many others were drawn before."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from reprocess.simulation.instruments import Subarray

Floats = NDArray[np.float32]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ROW_STRIDE = np.uint64(4096)
_IRWIN_HALL_SIGMA = 65536.0 * np.sqrt(4.0 / 12.0)


def key(*words: object) -> int:
    """A 64-bit number that names the words, the same on every machine."""
    text = "|".join(str(word) for word in words)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def generator(*words: object) -> np.random.Generator:
    """A generator of its own for everything that the words name."""
    return np.random.Generator(np.random.SFC64(key(*words)))


def uniform(region: Subarray, *words: object) -> Floats:
    """A number in [0, 1) for every pixel, which depends on its place on the detector and not on the region asked for.

    Parameters
    ----------
    region : Subarray
        Part of the detector.
    *words
        Name of the field.

    Returns
    -------
    ndarray of float32, shape (row, column)
    """
    return (_bits(region, key(*words)) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def normal(region: Subarray, *words: object) -> Floats:
    """A number of mean 0 and standard deviation 1 for every pixel, within 3.5 of 0.

    The sum of four uniform numbers (Irwin and Hall) is near enough to normal for a map of pixel properties, and being
    bounded it never makes a pixel of negative gain.

    Returns
    -------
    ndarray of float32, shape (row, column)
    """
    bits = _bits(region, key(*words))
    quarters = bits.view(np.uint16).reshape(*bits.shape, 4)
    total = quarters.sum(axis=-1, dtype=np.uint32).astype(np.float32)
    deviate: Floats = (total - np.float32(2 * 65535)) / np.float32(_IRWIN_HALL_SIGMA)
    return deviate


def _bits(region: Subarray, seed: int) -> NDArray[np.uint64]:
    """64 random bits per pixel: the finaliser of SplitMix64 over the pixel's number (Steele et al. 2014)."""
    rows = np.arange(region.row_start, region.row_start + region.rows, dtype=np.uint64)[:, None]
    columns = np.arange(region.column_start, region.column_start + region.columns, dtype=np.uint64)[None, :]
    bits = (rows * _ROW_STRIDE + columns) * _GOLDEN + np.uint64(seed)
    bits ^= bits >> np.uint64(30)
    bits *= _FIRST
    bits ^= bits >> np.uint64(27)
    bits *= _SECOND
    bits ^= bits >> np.uint64(31)
    return bits
