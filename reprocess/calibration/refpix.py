"""Remove drifts of the readout electronics by the reference pixels, which see no light.

The signal of a group is one number for every detector column (by amplifier and parity, from the reference pixels at
both ends of the columns) and one for every detector row (a running median of the reference pixels at both ends of the
rows). It is a fact of the whole exposure: measured once from the reference pixels of all frames, then subtracted
from any rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import dq
from reprocess.calibration.readout import Readout
from reprocess.calibration.step import Locality, Parameter, Step

# Of the official step, for all readouts. What belongs to IRS2 frames, or to another algorithm, has no effect here.
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        "gaussmooth": 1.0,
        "halfwidth": 30,
        "irs2_mean_subtraction": False,
        "odd_even_columns": True,
        "odd_even_rows": True,
        "ovr_corr_mitigation_ftr": 3.0,
        "preserve_irs2_refpix": False,
        "refpix_algorithm": "median",
        "side_gain": 1.0,
        "side_smoothing_length": 11,
        "siglimit": 3.0,
        "sigreject": 4.0,
        "skip": False,
        "use_side_ref_pixels": True,
    }
)
STEP = Step(
    name="refpix",
    keyword="S_REFPIX",
    revision=1,
    parameters=PARAMETERS,
    locality=Locality(facts=("reference_signal",)),
)

DETECTOR = 2048
EDGE = 4
AMPLIFIER = 512
# Subarrays of NIRSpec that no edge of the detector reaches: their outer columns stand in for reference pixels.
EDGELESS = ("SUB512", "SUB512S", "SUB32")

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


FlagsOf = Callable[[slice, slice], NDArray[np.uint32]]


def layout(flags_of: FlagsOf, readout: Readout, options: Options) -> Layout | None:
    """Find the good reference pixels; None where there are none and nothing is to be done.

    Parameters
    ----------
    flags_of : callable
        Flags after the superbias step of some rows and columns of the frame. Of a whole detector only its edges are
        asked for.
    readout : Readout
    options : Options
    """
    whole = slice(0, DETECTOR)
    first, last = slice(0, EDGE), slice(DETECTOR - EDGE, DETECTOR)
    subarray = readout.rows < DETECTOR or readout.columns < DETECTOR
    if not subarray or readout.outputs == 4:
        ends = [_section(flags_of, readout, rows, whole) for rows in (last, first)]
        sides = [_section(flags_of, readout, whole, columns) for columns in (first, last)] if options.sides else []
        return _compact(list(_amplifiers(ends, options)), [(section.pixels, section.good()) for section in sides])
    section = _section(_with_outer_columns(flags_of, readout), readout, *_window(readout))
    return _compact(list(_parities(section, _window(readout)[1].start, options)), [])


def _with_outer_columns(flags_of: FlagsOf, readout: Readout) -> FlagsOf:
    """Mark the first and the last columns of a subarray without reference pixels as such."""
    if readout.subarray not in EDGELESS:
        return flags_of

    def marked(rows: slice, columns: slice) -> NDArray[np.uint32]:
        flags = flags_of(rows, columns).copy()
        column = np.arange(columns.start, columns.stop)
        flags[:, (column < EDGE) | (column >= readout.columns - EDGE)] |= np.uint32(dq.REFERENCE_PIXEL)
        return flags

    return marked


@dataclass(frozen=True, slots=True)
class _Section:
    """Rows and columns of the detector in its own orientation.

    Attributes
    ----------
    pixels : int array, (row, column)
        Flat indices into a frame of the file; -1 outside of it.
    flags : uint32 array, (row, column)
    """

    pixels: NDArray[np.intp]
    flags: NDArray[np.uint32]

    def good(self, bits: int = 0) -> NDArray[np.bool_]:
        """Return pixels of the frame that have all of some bits and are not DO_NOT_USE."""
        has_bits = (self.flags & np.uint32(dq.DO_NOT_USE | bits)) == bits
        good: NDArray[np.bool_] = (self.pixels >= 0) & has_bits
        return good


def _turned(positions: NDArray[np.intp], axis: int) -> NDArray[np.intp]:
    """Turn positions along a detector axis into those along the axis of the file that it follows, or back."""
    return positions if axis > 0 else DETECTOR - 1 - positions


def _section(flags_of: FlagsOf, readout: Readout, rows: slice, columns: slice) -> _Section:
    """Return a section of the detector, its fast axis being the column axis and both rising in the order of reading."""
    slow = _turned(np.arange(rows.start, rows.stop), readout.slow_axis)[:, None]
    fast = _turned(np.arange(columns.start, columns.stop), readout.fast_axis)[None]
    row, column = (slow, fast) if abs(readout.fast_axis) == 1 else (fast, slow)
    row, column = row - readout.row_start, column - readout.column_start
    inside = (row >= 0) & (row < readout.rows) & (column >= 0) & (column < readout.columns)
    pixels = np.where(inside, row * readout.columns + column, -1)
    flags = np.zeros(pixels.shape, np.uint32)
    if inside.any():
        window = [
            slice(max(0, int(each.min())), min(length, int(each.max()) + 1))
            for each, length in ((row, readout.rows), (column, readout.columns))
        ]
        found = flags_of(window[0], window[1])
        at = np.broadcast_arrays(row - window[0].start, column - window[1].start)
        flags[inside] = found[at[0][inside], at[1][inside]]
    return _Section(pixels, flags)


def _window(readout: Readout) -> tuple[slice, slice]:
    """Return the rows and columns of the detector, in its own orientation, that the frame has."""

    def along(axis: int) -> slice:
        start, length = (readout.column_start, readout.columns) if abs(axis) == 1 else (readout.row_start, readout.rows)
        ends = _turned(np.array([start, start + length - 1]), axis)
        return slice(int(ends.min()), int(ends.max()) + 1)

    return along(readout.slow_axis), along(readout.fast_axis)


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


def _amplifiers(ends: list[_Section], options: Options) -> Iterator[ColumnSet]:
    """Yield each amplifier's columns, by parity, with the good pixels of the last and of the first four rows."""
    good = [end.good() for end in ends]
    step = 2 if options.parity else 1
    for amplifier in range(0, DETECTOR, AMPLIFIER):
        sets = []
        for first in range(amplifier, amplifier + step):
            columns = slice(first, amplifier + AMPLIFIER, step)
            top, bottom = (end.pixels[:, columns][usable[:, columns]] for end, usable in zip(ends, good, strict=True))
            sets.append((np.arange(first, amplifier + AMPLIFIER, step), top, bottom))
        # An amplifier with no good pixel in one parity is not corrected in the other either.
        if all(len(top) or len(bottom) for _, top, bottom in sets):
            yield from sets


def _parities(section: _Section, start: int, options: Options) -> Iterator[ColumnSet]:
    """Yield all columns, by parity, with all their good reference pixels; a parity without any is left alone."""
    good = section.good(dq.REFERENCE_PIXEL)
    step = 2 if options.parity else 1
    for first in range(step):
        columns = slice((first - start) % step, None, step)
        pixels = section.pixels[:, columns][good[:, columns]]
        if len(pixels):
            yield np.arange(first, DETECTOR, step), pixels, pixels[:0]


def measure(
    values: NDArray[np.float32], where: Layout, options: Options, *, single: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Measure the reference signal of some groups.

    Parameters
    ----------
    values : float32 array, (group, pixel)
        The pixels of the layout, after the superbias step, in DN.
    where : Layout
    options : Options
    single : bool
        Whether to work in float32. The official step does so for the first group of an exposure (and everywhere
        without sides), in float64 for the others.

    Returns
    -------
    columns : float64 array, (group, 2048)
        Signal of the detector's columns.
    rows : float64 array, (group, 2048), or None
        Signal of its rows, times the side gain.
    """
    precise = values.astype(np.float32 if single else np.float64)
    columns = np.zeros((len(values), DETECTOR), np.float64)
    for members, top, bottom in where.columns:
        for group, ends in enumerate(zip(precise[:, top], precise[:, bottom], strict=True)):
            columns[group, members] = _mean_of_ends(*ends, options.clip)
    if not where.sides:
        return columns, None
    left, right = (
        _running_median(_less(values[:, pixels], columns[:, None, at], precise.dtype), good, options.window)
        for (pixels, good), at in zip(where.sides, (slice(0, EDGE), slice(DETECTOR - EDGE, DETECTOR)), strict=True)
    )
    return columns, options.side_gain * _average_known(left, right)


def _less(values: NDArray[np.float32], signal: NDArray[np.float64], dtype: np.dtype[Any]) -> Values:
    """Return the values less the columns' signal, rounded to the working precision."""
    return (values.astype(np.float64) - signal).astype(dtype, copy=False)


def _mean_of_ends(top: Values, bottom: Values, clip: float) -> float:
    """Return the mean of both ends' clipped means, or of the one end that has pixels."""
    means = [clipped_mean(end, clip) for end in (top, bottom) if len(end)]
    return float(means[0]) if len(means) == 1 else float(0.5 * (means[0] + means[1]))


def clipped_mean(values: Values, clip: float) -> np.floating[Any]:
    """Return the mean of the values after leaving out, again and again, those beyond `clip` standard deviations.

    Works in the precision of the values; equal values give their mean in float64.
    """
    if len(values) and values[0] == values[-1] and np.std(values, dtype=np.float64) == 0:
        return np.mean(values, dtype=np.float64)
    before = len(values) + 1
    while 0 < len(values) < before:
        before = len(values)
        mean, reach = _mean_and_deviation(values)
        reach *= clip
        values = values[(values >= mean - reach) & (values <= mean + reach)]
    result: np.floating[Any] = np.add.reduce(values) / len(values) if len(values) else values.dtype.type(np.nan)
    return result


def _mean_and_deviation(values: Values) -> tuple[np.floating[Any], np.floating[Any]]:
    """Return mean and standard deviation with the bits of those that NumPy returns, in half the time."""
    mean: np.floating[Any] = np.add.reduce(values) / len(values)
    squares = values - mean
    squares *= squares
    deviation: np.floating[Any] = np.sqrt(np.add.reduce(squares) / len(values))
    return mean, deviation


def _running_median(values: Values, good: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    """Return the median of a window of rows around each row, reflected at the ends; NaN where no pixel is good.

    Parameters
    ----------
    values : array, (group, row, column)
    good : bool array, (row, column)
        Pixels that may be used.
    window : int
        Rows.

    Returns
    -------
    float64 array, (group, row)
    """
    height = len(good)
    reach = window // 2
    rows = np.abs(np.arange(-reach, height - reach + window - 1))
    rows = np.minimum(rows, 2 * (height - 1) - rows)
    usable = np.lib.stride_tricks.sliding_window_view(good[rows], window, axis=0).reshape(height, -1)
    count = np.count_nonzero(usable, axis=1)
    values = np.where(good, values, values.dtype.type(np.inf))[:, rows]
    lower, upper = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, usable.shape[1] - 1)
    every = np.arange(height)
    medians = np.empty((len(values), height))
    for median, group in zip(medians, values, strict=True):
        boxes = np.lib.stride_tricks.sliding_window_view(group, window, axis=0).reshape(height, -1)
        boxes.sort(axis=1)
        median[:] = (boxes[every, lower] + boxes[every, upper]) / boxes.dtype.type(2)
        median[np.isnan(boxes[:, -1]) | (count == 0)] = np.nan
    return medians


def _average_known(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of both sides, the known one where one is NaN, 0 where both are."""
    mean = np.where(np.isnan(left), right, np.where(np.isnan(right), left, 0.5 * (left + right)))
    return np.where(np.isnan(mean), 0.0, mean)


def in_frame(signal: NDArray[np.float64], readout: Readout, *, fast: bool) -> NDArray[np.float64]:
    """Turn the signal of the detector's columns (`fast`) or rows into the file's direction and cut it to the frame.

    Parameters
    ----------
    signal : float64 array, (group, 2048)
    readout : Readout
    fast : bool
        Whether it is that of the columns.
    """
    axis = readout.fast_axis if fast else readout.slow_axis
    start, length = (readout.column_start, readout.columns) if abs(axis) == 1 else (readout.row_start, readout.rows)
    part: NDArray[np.float64] = signal[:, :: 1 if axis > 0 else -1][:, start : start + length]
    return part


def signal_of(
    measured: Sequence[tuple[NDArray[np.float64], NDArray[np.float64] | None]], readout: Readout, *, groups: int
) -> Signal:
    """Put together what `measure` gives for all groups of an exposure, in their order.

    Parameters
    ----------
    measured : sequence of (columns, rows)
    readout : Readout
    groups : int
        Groups of an integration.
    """
    axes = (readout.nints, groups, -1)
    fast = [in_frame(columns, readout, fast=True) for columns, _ in measured]
    slow = [in_frame(rows, readout, fast=False) for _, rows in measured if rows is not None]
    return Signal(
        np.concatenate(fast).reshape(axes),
        np.concatenate(slow).reshape(axes) if slow else None,
        along_columns=abs(readout.fast_axis) == 1,
    )


def subtract(
    data: NDArray[np.float32],
    signal: Signal,
    *,
    integration: int,
    rows: slice,
    scratch: NDArray[np.float64] | None = None,
    single: bool = True,
) -> NDArray[np.float32]:
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
    scratch : float64 array, (group, row, column), optional
        Overwritten.
    single : bool
        Whether the first group of the first integration is the first of the exposure, see `measure`.
    """
    fast = _aligned(signal.fast[integration], rows, along_columns=signal.along_columns)
    # A cast of its own, and then arithmetic in one precision, is faster than arithmetic that casts.
    precise = np.empty(data.shape) if scratch is None else scratch
    np.copyto(precise, data)
    precise -= fast
    if signal.slow is not None:
        if integration == 0 and single:
            # The first group of an exposure is in float32 between the two subtractions.
            precise[0] = precise[0].astype(np.float32)
        precise -= _aligned(signal.slow[integration], rows, along_columns=not signal.along_columns)
    np.copyto(data, precise, casting="same_kind")
    return data


def _aligned(signal: NDArray[np.float64], rows: slice, *, along_columns: bool) -> NDArray[np.float64]:
    """Give a (group, position) signal the axes of (group, row, column)."""
    return signal[:, None, :] if along_columns else signal[:, rows, None]
