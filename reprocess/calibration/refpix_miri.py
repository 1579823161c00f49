"""Remove drifts of MIRI's readout electronics by the reference pixels at both ends of the rows.

Four amplifiers take turns along a row. The signal of a group is one number for each amplifier and parity of the rows,
measured on what the group has more than the first group of its integration. It is a fact of the whole exposure. The
step comes after the dark is subtracted, and subarrays are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import dq
from reprocess.calibration.readout import Readout
from reprocess.calibration.refpix import clipped_mean
from reprocess.calibration.step import Parameter

ROWS, COLUMNS = 1024, 1032
EDGE = 4
AMPLIFIERS = 4


@dataclass(frozen=True, slots=True)
class Options:
    """Parameters of the step that MIRI has a use for.

    Attributes
    ----------
    parity : bool
        Whether odd and even rows have signals of their own.
    clip : float
        Sigmas beyond which reference pixels are left out.
    """

    parity: bool
    clip: float

    @classmethod
    def from_parameters(cls, parameters: dict[str, Parameter]) -> Options:
        """Take the parameters from those of the step."""
        return cls(parity=bool(parameters["odd_even_rows"]), clip=float(parameters["siglimit"] or 0.0))


@dataclass(frozen=True)
class Signal:
    """The reference signal of every group.

    Attributes
    ----------
    levels : float64 array, (integration, group, parity of the row, amplifier)
        DN; 0 where there is nothing to measure.
    """

    levels: NDArray[np.float64]


@dataclass(frozen=True)
class Edge:
    """The reference pixels at one end of the rows.

    Attributes
    ----------
    data : float32 array, (group, row, 4)
        One integration as the refpix step receives it, in DN.
    good : bool array, (row, 4)
        Pixels that may be used.
    """

    data: NDArray[np.float32]
    good: NDArray[np.bool_]

    @classmethod
    def of(cls, data: NDArray[np.float32], pixeldq: NDArray[np.uint32], columns: slice) -> Edge:
        """Take the reference pixels out of an integration, (group, row, column)."""
        return cls(data[..., columns], (pixeldq[:, columns] & np.uint32(dq.DO_NOT_USE)) == 0)

    def by_parity(self, *, split: bool) -> list[Edge]:
        """Return the even rows and the odd rows, counted from 0; all rows if they are not split."""
        rows = [slice(0, None, 2), slice(1, None, 2)] if split else [slice(None)]
        return [Edge(self.data[:, each], self.good[each]) for each in rows]

    def mean(self, group: int, amplifier: int, clip: float) -> np.floating[Any]:
        """Return the clipped mean of what a group has more than the first one."""
        rise = self.data[group, :, amplifier] - self.data[0, :, amplifier]
        return clipped_mean(rise[self.good[:, amplifier]], clip)


def is_full_frame(readout: Readout) -> bool:
    """Return whether there are reference pixels for the step; it is skipped for subarrays."""
    return readout.rows >= ROWS and readout.columns >= COLUMNS


def measure(left: Edge, right: Edge, options: Options) -> NDArray[np.float64]:
    """Measure the reference signal of the groups of one integration.

    If any amplifier and parity has no good pixel at one end, nothing is measured at all.

    Parameters
    ----------
    left, right : Edge
        Both ends of the rows.
    options : Options

    Returns
    -------
    float64 array, (group, parity of the row, amplifier)
        DN; 0 in the first group.
    """
    levels = np.zeros((len(left.data), 2, AMPLIFIERS))
    ends = [end.by_parity(split=options.parity) for end in (left, right)]
    if not all(end.good.any(axis=0).all() for sides in ends for end in sides):
        return levels
    for parity, (one, other) in enumerate(zip(*ends, strict=True)):
        place = parity if options.parity else slice(None)
        for group in range(1, len(levels)):
            for amplifier in range(AMPLIFIERS):
                means = [each.mean(group, amplifier, options.clip) for each in (one, other)]
                levels[group, place, amplifier] = 0.5 * (means[0] + means[1])
    return levels


def subtract(data: NDArray[np.float32], signal: Signal, *, integration: int, rows: slice) -> NDArray[np.float32]:
    """Subtract the reference signal from some rows of an integration, in place.

    The first group is taken off before and put back on afterwards, as officially: each rounds to float32.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN.
    signal : Signal
    integration : int
        Index of the integration.
    rows : slice
        Rows of the frame that `data` holds.
    """
    first = data[0].copy()
    data -= first
    parity = np.arange(rows.start, rows.stop)[:, None] % 2
    amplifier = np.arange(data.shape[-1]) % AMPLIFIERS
    for group, levels in zip(data[1:], signal.levels[integration, 1:], strict=True):
        np.subtract(group, levels[parity, amplifier], out=group, casting="same_kind")
    data += first
    return data
