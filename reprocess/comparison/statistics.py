"""Differences of two arrays, counted piece by piece: NumPy in, plain numbers out.

Every tally takes pieces of two flat arrays, in order and with native byte order, and tells at the end what was seen. No
more is kept than some samples, however large the arrays are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reprocess.formats import flags

Array = npt.NDArray[Any]

_BLOCK = 1 << 16  # pixels that stay in the processor's cache
_SAMPLES = 1 << 20
_LARGEST = np.finfo(np.float32).max  # stands for infinity, which JSON does not know
_GAUSSIAN = 1.4826  # standard deviation of a normal distribution by its median absolute deviation


class ImageTally:
    """Counts how an image of floating-point numbers changed.

    Median and scatter are those of all pixels that can be compared (both have values, and the error is above 0), up to
    2^20 pixels; of more pixels, those of every n-th.

    Parameters
    ----------
    pixels : int
        Pixels of the whole array.
    squared : bool
        Whether the numbers are variances, which are compared in units of the squared error.
    """

    def __init__(self, pixels: int, *, squared: bool = False) -> None:
        self._pixels = pixels
        self._squared = squared
        # Odd, so that it meets every column of a detector.
        self._stride = -(-pixels // _SAMPLES) | 1
        self._seen = self._changed = self._nan_old = self._nan_new = 0
        self._largest = 0.0
        self._samples: list[Array] = []

    def add(self, old: Array, new: Array, error: Array) -> None:
        """Take the next pixels of both arrays, and the errors that are their units."""
        for start in range(0, old.size, _BLOCK):
            piece = slice(start, start + _BLOCK)
            self._add(old[piece], new[piece], error[piece])

    def _add(self, old: Array, new: Array, error: Array) -> None:
        changed = _bits(old) != _bits(new)
        count = int(np.count_nonzero(changed))
        nan_old, nan_new = np.isnan(old), np.isnan(new)
        self._nan_old += int(np.count_nonzero(nan_old))
        self._nan_new += int(np.count_nonzero(nan_new))
        if count:
            count -= int(np.count_nonzero(changed & nan_old & nan_new))
        self._changed += count
        first = -self._seen % self._stride
        self._seen += old.size
        if count:
            scaled = self._scaled(old, new, error)
            self._largest = max(self._largest, _largest(scaled))
            picked = scaled[first :: self._stride]
            self._samples.append(np.clip(picked[~np.isnan(picked)], -_LARGEST, _LARGEST))
        else:
            usable = (error[first :: self._stride] > 0) & np.isfinite(old[first :: self._stride])
            self._samples.append(np.zeros(int(np.count_nonzero(usable)), np.float32))

    def _scaled(self, old: Array, new: Array, error: Array) -> Array:
        """Return differences in units of the error; NaN where there is none."""
        with np.errstate(all="ignore"):
            scaled: Array = (new - old) / (error * error if self._squared else error)
        scaled[~(error > 0)] = np.nan
        return scaled

    def record(self) -> dict[str, Any]:
        """Tell what was seen."""
        samples = np.concatenate(self._samples) if self._samples else np.zeros(0, np.float32)
        centre = _median(samples)
        scatter = None if centre is None else _median(_distances(samples, centre))
        return {
            "pixels": self._pixels,
            "changed": self._changed,
            "nan_old": self._nan_old,
            "nan_new": self._nan_new,
            "median_sigma": _rounded(centre),
            "mad_sigma": None if scatter is None else _rounded(_GAUSSIAN * scatter),
            "max_sigma": _rounded(self._largest) if samples.size or self._largest else None,
        }


class FlagTally:
    """Counts pixels that gained or lost flags, flag by flag.

    Parameters
    ----------
    pixels : int
        Pixels of the whole array.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._changed = 0
        self._gained = np.zeros(len(flags.NAMES), np.int64)
        self._lost = np.zeros(len(flags.NAMES), np.int64)

    def add(self, old: Array, new: Array) -> None:
        """Take the next pixels of both arrays."""
        for start in range(0, old.size, _BLOCK):
            before, after = old[start : start + _BLOCK], new[start : start + _BLOCK]
            turned = before ^ after
            count = int(np.count_nonzero(turned))
            if count:
                self._changed += count
                _count_bits(turned & after, self._gained)
                _count_bits(turned & before, self._lost)

    def record(self) -> dict[str, Any]:
        """Tell what was seen."""
        return {
            "pixels": self._pixels,
            "changed": self._changed,
            "bits_gained": _named(self._gained),
            "bits_lost": _named(self._lost),
        }


class RowTally:
    """Counts rows of a table that changed; the pieces are of shape (row, byte)."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._changed = 0

    def add(self, old: Array, new: Array) -> None:
        """Take the next rows of both tables."""
        self._changed += int(np.count_nonzero((old != new).any(axis=1)))

    def record(self) -> dict[str, Any]:
        """Tell what was seen."""
        return {"pixels": self._rows, "changed": self._changed}


def _bits(values: Array) -> Array:
    return values.view(f"u{values.itemsize}")


def _distances(samples: Array, centre: float) -> Array:
    with np.errstate(over="ignore"):  # far beyond any rate
        return np.abs(samples - np.float32(centre))


def _largest(scaled: Array) -> float:
    found = np.fmax.reduce(np.abs(scaled))
    return 0.0 if np.isnan(found) else min(float(found), float(_LARGEST))


def _median(samples: Array) -> float | None:
    """Median of values without NaN; None of nothing."""
    if not samples.size:
        return None
    middle = samples.size // 2
    # Asked for two places, NumPy is forty times faster than for one where most values are equal, as they are here.
    places = [max(middle - 1, 0), middle]
    found = np.partition(samples, places)[places[samples.size % 2 :]]
    return min(float(found.astype(np.float64).mean()), float(_LARGEST))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _count_bits(values: Array, counts: npt.NDArray[np.int64]) -> None:
    occurring = int(np.bitwise_or.reduce(values))
    for bit in range(len(counts)):
        if occurring >> bit & 1:
            counts[bit] += np.count_nonzero(values & np.uint32(1 << bit))


def _named(counts: npt.NDArray[np.int64]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(flags.NAMES, counts, strict=True) if count}
