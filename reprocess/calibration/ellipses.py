"""Ellipses that stand for regions of pixels: found from their second moments, widened, and drawn.

The ellipse of a region has its centre and, along each axis, four times its standard deviation, less one pixel. The
direction of a nearly round region hangs on the last bit of its moments, and the outermost pixels of the ellipse on the
direction. The moments are therefore summed in a fixed order, and products are rounded once with their sum: that is what
official results are on the common processors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.regions import Regions


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse of an image.

    Attributes
    ----------
    column, row : float
        Its centre.
    minor, major : float
        Whole lengths of its axes in pixels; -1 where a region has no width.
    angle_deg : float
        Of the major axis from the rows' direction.
    """

    column: float
    row: float
    minor: float
    major: float
    angle_deg: float

    def contains(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points, (point, column and row), lie inside or on the ellipse."""
        turn = math.radians(180 - self.angle_deg)
        across, along = points[:, 0] - self.column, points[:, 1] - self.row
        first = across * math.cos(turn) - along * math.sin(turn)
        second = across * math.sin(turn) + along * math.cos(turn)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = first**2 / (self.major * 0.5) ** 2 + second**2 / np.float64((self.minor * 0.5) ** 2)
        inside: NDArray[np.bool_] = distance <= 1
        return inside


def of(regions: Regions) -> Iterator[Ellipse]:
    """Yield the ellipse of each region."""
    if not len(regions):
        return
    tensors = np.array([_inertia((len(image), image.shape[1]), image.tobytes()) for image in regions.images()])
    centres = regions.centres()
    spreads = np.sqrt(np.maximum(np.linalg.eigvalsh(tensors), 0))
    for centre, (small, large), tensor in zip(centres.tolist(), spreads.tolist(), tensors.tolist(), strict=True):
        yield Ellipse(centre[0], centre[1], 4 * small - 1, 4 * large - 1, math.degrees(_orientation(tensor)))


def longest_axis(regions: Regions) -> NDArray[np.float64]:
    """Return a bound that the major axes of the ellipses do not exceed, (region,)."""
    counts = regions.counts
    squares = np.zeros(len(regions))
    for places in (regions.rows, regions.columns):
        squares += regions.total(places * places) / counts - (regions.total(places) / counts) ** 2
    # Squares of places on a detector are small enough that the difference is good to a millionth of a pixel.
    longest: NDArray[np.float64] = np.maximum(4 * np.sqrt(np.maximum(squares, 0)), 1)
    return longest


@lru_cache(maxsize=4096)
def _inertia(shape: tuple[int, int], pixels: bytes) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the inertia of a region about its centre for one pixel, given the bytes of its image."""
    image = np.frombuffer(pixels, np.bool_).reshape(shape)
    rows, columns = np.nonzero(image)
    count = len(rows)
    down = _powers(shape[0], int(rows.sum()) / count)
    right = _powers(shape[1], int(columns.sum()) / count)
    # Unlike a sum, accumulation goes row by row whatever the shape is.
    number, offset, square = (np.add.accumulate(image * down[:, power : power + 1], axis=0)[-1] for power in range(3))
    across = float(np.add.accumulate(square)[-1])
    along, mixed = _fused_sum(number, right[:, 2]), _fused_sum(offset, right[:, 1])
    total = across + along
    return ((total - across) / count, -mixed / count), (-mixed / count, (total - along) / count)


def _powers(length: int, centre: float) -> NDArray[np.float64]:
    """Return the distances of places from a centre to the powers 0 to 3, as `numpy.power` has them; (place, power).

    Its square, unlike that of a product, may be off by a bit, and so is the official one.
    """
    powers: NDArray[np.float64] = (np.arange(float(length)) - centre)[:, np.newaxis] ** np.arange(4.0)
    return powers


def _fused_sum(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Add up products, each rounded once together with the sum so far."""
    total = 0.0
    for first, second in zip(one.tolist(), other.tolist(), strict=True):
        total = float(Fraction(first) * Fraction(second) + Fraction(total))
    return total


def _orientation(tensor: list[list[float]]) -> float:
    (first, mixed), (_, second) = tensor
    if first == second:
        return math.pi / 4 if mixed < 0 else -math.pi / 4
    return 0.5 * math.atan2(-2 * mixed, second - first)


def widened(ellipse: Ellipse, factor: float, *, limit: float) -> Ellipse:
    """Return an ellipse whose minor axis is longer by a factor, and the major axis by as many pixels.

    Parameters
    ----------
    ellipse : Ellipse
    factor : float
    limit : float
        Length that no axis exceeds.
    """
    small, large = ellipse.minor, ellipse.major
    if large < small:
        small, large = small + (factor - 1) * large, large * factor
    else:
        small, large = small * factor, large + (factor - 1) * small
    return _resized(ellipse, small, large, limit)


def thickened(ellipse: Ellipse, pixels: float, *, limit: float) -> Ellipse:
    """Return an ellipse with some pixels added to both axes.

    Parameters
    ----------
    ellipse : Ellipse
    pixels : float
    limit : float
        Length that no axis exceeds.
    """
    return _resized(ellipse, ellipse.minor + pixels, ellipse.major + pixels, limit)


def _resized(ellipse: Ellipse, small: float, large: float, limit: float) -> Ellipse:
    return Ellipse(ellipse.column, ellipse.row, min(small, limit), min(large, limit), ellipse.angle_deg)


def drawn(ellipse: Ellipse, shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return a window of an image and the pixels of it that lie inside an ellipse.

    Centre and half axes are rounded to whole pixels.

    Parameters
    ----------
    ellipse : Ellipse
    shape : (int, int)
        Rows and columns of the image.
    """
    stamp = _stamp(round(ellipse.minor / 2), round(ellipse.major / 2), ellipse.angle_deg)
    down, right = (length // 2 for length in stamp.shape)
    top, left = round(ellipse.row) - down, round(ellipse.column) - right
    rows = slice(max(top, 0), max(0, min(top + stamp.shape[0], shape[0])))
    columns = slice(max(left, 0), max(0, min(left + stamp.shape[1], shape[1])))
    return (rows, columns), stamp[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


@lru_cache(maxsize=256)
def _stamp(small: int, large: int, angle_deg: float) -> NDArray[np.bool_]:
    """Return the pixels of an ellipse in the middle of an image of odd height and width."""
    if small == 0 or large == 0:
        return np.zeros((1, 1), np.bool_)
    angle = math.radians(angle_deg) % math.pi
    sine, cosine = math.sin(angle), math.cos(angle)
    down = math.floor(abs(large * cosine) + small * sine)
    right = math.floor(large * sine + abs(small * cosine))
    if down < 0 or right < 0:
        return np.zeros((1, 1), np.bool_)
    row, column = np.ogrid[-down : down + 1.0, -right : right + 1.0]
    distance = ((row * cosine + column * sine) / large) ** 2 + ((row * sine - column * cosine) / small) ** 2
    stamp: NDArray[np.bool_] = distance < 1
    stamp.setflags(write=False)
    return stamp
