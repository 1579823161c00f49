"""Remove drifts of the readout electronics by the reference pixels, which see no light.

The signal of a group is one number for every detector column (by amplifier and parity, from the reference pixels at
both ends of the columns) and one for every detector row (a running median of the reference pixels at both ends of the
rows). It is a fact of the whole exposure: measured once from the reference pixels of all frames, then subtracted
from any rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import dq
from reprocess.calibration.readout import Readout
from reprocess.calibration.step import Locality, Parameter, Step

STEP = Step(
    name="refpix",
    keyword="S_REFPIX",
    revision=1,
    parameters=MappingProxyType(
        {
            "odd_even_columns": True,
            "odd_even_rows": True,
            "refpix_algorithm": "median",
            "side_gain": 1.0,
            "side_smoothing_length": 11,
            "siglimit": 3.0,
            "skip": False,
            "use_side_ref_pixels": True,
        }
    ),
    locality=Locality(facts=("reference_signal",)),
)

DETECTOR = 2048
EDGE = 4
AMPLIFIER = 512

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Options:
    """Parameters of the step, checked.

    Attributes
    ----------
    parity : bool
        Whether odd and even columns have signals of their own.
    sides : bool
        Whether the reference pixels at the ends of the rows are used.
    window : int
        Rows of the running median. The official window of an even number of rows reaches one row further back.
    side_gain, clip : float
        Factor of the rows' signal; sigmas beyond which reference pixels of columns are left out.
    """

    parity: bool
    sides: bool
    window: int
    side_gain: float
    clip: float

    @classmethod
    def from_parameters(cls, parameters: dict[str, Parameter]) -> Options:
        """Check the parameters of the step.

        Raises
        ------
        errors.Unsupported
            If the algorithm is not the running median.
        """
        if parameters["refpix_algorithm"] != "median":
            raise errors.Unsupported(
                f"refpix_algorithm={parameters['refpix_algorithm']!r} of step refpix is not supported; use 'median'"
            )
        return cls(
            parity=bool(parameters["odd_even_columns"]),
            sides=bool(parameters["use_side_ref_pixels"]),
            window=max(1, int(parameters["side_smoothing_length"] or 1)),
            side_gain=float(parameters["side_gain"] or 0.0),
            clip=float(parameters["siglimit"] or 0.0),
        )


ColumnSet = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
Side = tuple[NDArray[np.intp], NDArray[np.bool_]]


@dataclass(frozen=True)
class Layout:
    """Where the good reference pixels are.

    Attributes
    ----------
    pixels : int array, (pixel,)
        Flat indices into a frame of the file of all pixels that are read; the other fields count in these.
    columns : tuple of (columns, pixels, pixels)
        For each set of detector columns that share a signal: the columns, and the pixels of both ends.
    sides : tuple of (pixels, good)
        For each end of the rows, (detector row, 4): pixels, and whether they may be used. Empty without sides.
    """

    pixels: NDArray[np.intp]
    columns: tuple[ColumnSet, ...]
    sides: tuple[Side, ...]


@dataclass(frozen=True)
class Signal:
    """The reference signal of every group, in DN, along the axes of the file.

    Attributes
    ----------
    fast : float64 array, (integration, group, column) or, if the detector is read along rows of the file, (..., row)
        Signal of the detector's columns.
    slow : float64 array, (integration, group, row) or (..., column), or None
        Signal of the detector's rows; None where the sides are not used.
    along_columns : bool
        Whether `fast` belongs to the columns of the file.
    """

    fast: NDArray[np.float64]
    slow: NDArray[np.float64] | None
    along_columns: bool


def fits_detector(readout: Readout) -> bool:
    """Return whether the frame lies on the detector; the step is skipped where it does not."""
    return readout.row_start + readout.rows <= DETECTOR and readout.column_start + readout.columns <= DETECTOR


def layout(pixeldq: NDArray[np.uint32], readout: Readout, options: Options) -> Layout | None:
    """Find the good reference pixels; None where there are none and nothing is to be done.

    Parameters
    ----------
    pixeldq : uint32 array, (row, column)
        Flags of the whole frame after the superbias step.
    readout : Readout
    options : Options
    """
    subarray = readout.rows < DETECTOR or readout.columns < DETECTOR
    index, flags = _on_detector(pixeldq, readout)
    good = (index >= 0) & ((flags & np.uint32(dq.DO_NOT_USE)) == 0)
    if not subarray or readout.outputs == 4:
        return _compact(list(_amplifiers(index, good, options)), list(_sides(index, good, options)))
    good &= (flags & np.uint32(dq.REFERENCE_PIXEL)) != 0
    return _compact(list(_parities(index, good, options)), [])


def _compact(columns: list[ColumnSet], sides: list[Side]) -> Layout | None:
    """Number the pixels that are read from 0 on; None if there are none."""
    read = [pixels for _, *ends in columns for pixels in ends] + [pixels[good] for pixels, good in sides]
    pixels = np.unique(np.concatenate(read)) if read else np.zeros(0, np.intp)
    if not len(pixels):
        return None
    last = len(pixels) - 1

    def number(wanted: NDArray[np.intp]) -> NDArray[np.intp]:
        return np.minimum(np.searchsorted(pixels, wanted), last)

    return Layout(
        pixels,
        tuple((members, number(top), number(bottom)) for members, top, bottom in columns),
        tuple((number(wanted), good) for wanted, good in sides),
    )


def _on_detector(pixeldq: NDArray[np.uint32], readout: Readout) -> tuple[NDArray[np.int32], NDArray[np.uint32]]:
    """Return, for each pixel of the detector in its own orientation, the flat index in the frame (or -1) and flags."""
    place = (
        slice(readout.row_start, readout.row_start + readout.rows),
        slice(readout.column_start, readout.column_start + readout.columns),
    )
    index = np.full((DETECTOR, DETECTOR), -1, np.int32)
    index[place] = np.arange(pixeldq.size, dtype=np.int32).reshape(pixeldq.shape)
    flags = np.zeros((DETECTOR, DETECTOR), np.uint32)
    flags[place] = pixeldq
    return oriented(index, readout), oriented(flags, readout)


def oriented(frame: NDArray[Any], readout: Readout) -> NDArray[Any]:
    """Turn a frame so that the detector's fast axis is the column axis and both axes rise in the order of reading."""
    rows_follow = readout.slow_axis if abs(readout.fast_axis) == 1 else readout.fast_axis
    columns_follow = readout.fast_axis if abs(readout.fast_axis) == 1 else readout.slow_axis
    turned: NDArray[Any] = frame[:: 1 if rows_follow > 0 else -1, :: 1 if columns_follow > 0 else -1]
    return turned if abs(readout.fast_axis) == 1 else turned.T


def _amplifiers(index: NDArray[np.int32], good: NDArray[np.bool_], options: Options) -> Iterator[ColumnSet]:
    """Yield each amplifier's columns, by parity, with the good pixels of the first and of the last four rows."""
    ends = slice(DETECTOR - EDGE, DETECTOR), slice(0, EDGE)
    step = 2 if options.parity else 1
    for amplifier in range(0, DETECTOR, AMPLIFIER):
        sets = []
        for first in range(amplifier, amplifier + step):
            columns = slice(first, amplifier + AMPLIFIER, step)
            top, bottom = (index[rows, columns][good[rows, columns]].astype(np.intp) for rows in ends)
            sets.append((np.arange(first, amplifier + AMPLIFIER, step), top, bottom))
        # An amplifier with no good pixel in one parity is not corrected in the other either.
        if all(len(top) or len(bottom) for _, top, bottom in sets):
            yield from sets


def _parities(index: NDArray[np.int32], good: NDArray[np.bool_], options: Options) -> Iterator[ColumnSet]:
    """Yield all columns, by parity, with all their good reference pixels; a parity without any is left alone."""
    step = 2 if options.parity else 1
    for first in range(step):
        columns = slice(first, None, step)
        pixels = index[:, columns][good[:, columns]].astype(np.intp)
        if len(pixels):
            yield np.arange(first, DETECTOR, step), pixels, pixels[:0]


def _sides(index: NDArray[np.int32], good: NDArray[np.bool_], options: Options) -> Iterator[Side]:
    """Yield the reference pixels at the first and at the last four columns."""
    if options.sides:
        for columns in (slice(0, EDGE), slice(DETECTOR - EDGE, DETECTOR)):
            yield index[:, columns].astype(np.intp), good[:, columns].copy()


def measure(
    values: NDArray[np.float32], where: Layout, options: Options, *, single: bool
) -> tuple[Values, Values | None]:
    """Measure the reference signal of one group.

    Parameters
    ----------
    values : float32 array, (pixel,)
        The pixels of the layout, after the superbias step, in DN.
    where : Layout
    options : Options
    single : bool
        Whether to work in float32. The official step does so for the first group of an exposure (and everywhere
        without sides), in float64 for the others.

    Returns
    -------
    columns : float64 array, (2048,)
        Signal of the detector's columns.
    rows : float64 array, (2048,), or None
        Signal of its rows, times the side gain.
    """
    dtype = np.float32 if single else np.float64
    columns = np.zeros(DETECTOR, np.float64)
    for members, top, bottom in where.columns:
        columns[members] = _mean_of_ends(values[top].astype(dtype), values[bottom].astype(dtype), options.clip)
    if not where.sides:
        return columns, None
    left, right = (
        _running_median(_less(values[pixels], columns[at], dtype), good, options.window)
        for (pixels, good), at in zip(where.sides, (slice(0, EDGE), slice(DETECTOR - EDGE, DETECTOR)), strict=True)
    )
    return columns, options.side_gain * _average_known(left, right)


def _less(values: NDArray[np.float32], signal: NDArray[np.float64], dtype: type[np.floating[Any]]) -> Values:
    """Return the values less the columns' signal, rounded to the working precision."""
    return (values.astype(np.float64) - signal).astype(dtype)


def _mean_of_ends(top: Values, bottom: Values, clip: float) -> float:
    """Return the mean of both ends' clipped means, or of the one end that has pixels."""
    means = [clipped_mean(end, clip) for end in (top, bottom) if len(end)]
    return float(means[0]) if len(means) == 1 else float(0.5 * (means[0] + means[1]))


def clipped_mean(values: Values, clip: float) -> np.floating[Any]:
    """Return the mean of the values after leaving out, again and again, those beyond `clip` standard deviations.

    Works in the precision of the values; equal values give their mean in float64.
    """
    if np.std(values, dtype=np.float64) == 0:
        return np.mean(values, dtype=np.float64)
    before = len(values) + 1
    while 0 < len(values) < before:
        before = len(values)
        mean, reach = values.mean(), values.std() * clip
        values = values[(values >= mean - reach) & (values <= mean + reach)]
    result: np.floating[Any] = values.mean() if len(values) else values.dtype.type(np.nan)
    return result


def _running_median(values: Values, good: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    """Return the median of a window of rows around each row, reflected at the ends; NaN where no pixel is good."""
    reach = window // 2
    rows = np.abs(np.arange(-reach, len(values) - reach + window - 1))
    rows = np.minimum(rows, 2 * (len(values) - 1) - rows)
    around = np.lib.stride_tricks.sliding_window_view(rows, window)
    usable = good[around].reshape(len(values), -1)
    boxes = values[around].reshape(len(values), -1)
    unknown = (np.isnan(boxes) & usable).any(axis=1)
    boxes = np.sort(np.where(usable, boxes, boxes.dtype.type(np.inf)), axis=1)
    count = usable.sum(axis=1)
    lower, upper = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, boxes.shape[1] - 1)
    every = np.arange(len(values))
    median: NDArray[np.float64] = np.asarray((boxes[every, lower] + boxes[every, upper]) / boxes.dtype.type(2), float)
    median[unknown | (count == 0)] = np.nan
    return median


def _average_known(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of both sides, the known one where one is NaN, 0 where both are."""
    mean = np.where(np.isnan(left), right, np.where(np.isnan(right), left, 0.5 * (left + right)))
    return np.where(np.isnan(mean), 0.0, mean)


def in_frame(signal: NDArray[np.float64], readout: Readout, *, fast: bool) -> NDArray[np.float64]:
    """Turn the signal of the detector's columns (`fast`) or rows into the file's direction and cut it to the frame."""
    axis = readout.fast_axis if fast else readout.slow_axis
    start, length = (readout.column_start, readout.columns) if abs(axis) == 1 else (readout.row_start, readout.rows)
    part: NDArray[np.float64] = signal[:: 1 if axis > 0 else -1][start : start + length]
    return part


def subtract(data: NDArray[np.float32], signal: Signal, *, integration: int, rows: slice) -> NDArray[np.float32]:
    """Subtract the reference signal from some rows of an integration, in place.

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
    fast = _aligned(signal.fast[integration], rows, along_columns=signal.along_columns)
    if signal.slow is None:
        return np.subtract(data, fast, out=data, casting="same_kind")
    slow = _aligned(signal.slow[integration], rows, along_columns=not signal.along_columns)
    once: NDArray[np.float64] = data - fast
    if integration == 0:
        # The first group of an exposure is in float32 between the two subtractions, see `measure`.
        once[0] = once[0].astype(np.float32)
    return np.subtract(once, slow, out=data, casting="same_kind")


def _aligned(signal: NDArray[np.float64], rows: slice, *, along_columns: bool) -> NDArray[np.float64]:
    """Give a (group, position) signal the axes of (group, row, column)."""
    return signal[:, None, :] if along_columns else signal[:, rows, None]
