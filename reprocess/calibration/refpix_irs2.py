"""Remove the noise of the readout from IRS2 frames of NIRSpec, by the reference samples between the pixels.

Sources: Rauscher et al. 2017, PASP 129, 105003 (IRS2); Moseley et al. 2010, Proc. SPIE 7742, 77421B (the coefficients).

The noise of an output k is modelled in the frequencies f of the time in which a frame is read: with R_k the spectrum of
the output's own reference samples and O that of the reference output,

    noise_k(t) = Re F^-1 [ beta_k(f) R_k(f) + alpha_k(f) O(f) ]

and what is subtracted from the pixels is noise_k at the times when they were read. alpha and beta come with the
reference file. Before that the mean over the groups is taken away (and given back at the end), and from each frame and
output a straight line in time through its first and last four lines. O needs a value at every time: where the reference
output was not sampled, first a mean of the neighbours in time, then, three times over, what is left of the signal when
the middle frequencies are taken out of it.

Everything is in single precision, as officially: results agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from reprocess import errors
from reprocess.calibration import dq, irs2, refpix
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Locality, Parameter, Step

STEP = Step(
    name="refpix",
    keyword="S_REFPIX",
    revision=1,
    reference_types=("refpix",),
    parameters=refpix.PARAMETERS,
    locality=Locality(whole=True),
)

BAD_REF_PIXEL = 1 << 17
TIMES = irs2.LINES * irs2.PLACES
OUTPUTS = irs2.OUTPUTS - 1
COEFFICIENTS = tuple(f"{letter}_{output}" for letter in ("alpha", "beta") for output in range(OUTPUTS))

FrameOf = Callable[[int], NDArray[np.float32]]
Repairs = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Correction:
    """What the step does to an exposure.

    Attributes
    ----------
    detector : str
    sigmas : float
        Deviations beyond which a pair of reference samples is bad.
    alpha, beta : complex64 array, (output, frequency)
        Factors of the reference output and of an output's own reference samples.
    unusable : tuple of (int, int, int)
        Output, parity and bits of reference samples that the reference file calls bad.
    bias : float32 array, (row, column), or None
        Superbias in the rows of the raw frame that have no normal pixels.
    marked : bool array, (3200,)
        Rows of the raw frame in which some pixel is a bad reference pixel already.
    """

    detector: str
    sigmas: float
    alpha: NDArray[np.complex64]
    beta: NDArray[np.complex64]
    unusable: tuple[tuple[int, int, int], ...]
    bias: NDArray[np.float32] | None
    marked: NDArray[np.bool_]


@dataclass(frozen=True)
class Frames:
    """Frames after the step.

    Attributes
    ----------
    data : float32 array, (integration, group, row, column)
        DN, normal pixels only.
    flags : uint32 array, (row, 1)
        What the step adds to the flags of the pixels.
    """

    data: NDArray[np.float32]
    flags: NDArray[np.uint32]


def settle(
    reference: Reference | None,
    parameters: Mapping[str, Parameter],
    readout: Readout,
    *,
    bias: NDArray[np.float32] | None,
    marked: NDArray[np.bool_],
) -> Correction:
    """Check the exposure, the parameters and the reference of the step; see `Correction` for the others.

    Raises
    ------
    errors.Unsupported
        If the step is skipped, or a parameter asks for what is not done.
    errors.MissingReference
        If there is no reference: nothing else takes the reference samples out of the frames.
    errors.DamagedReference
        If the reference has another number of coefficients.
    """
    irs2.check(readout)
    if parameters["skip"]:
        raise errors.Unsupported("step refpix cannot be skipped for an IRS2 exposure: frames would keep their samples")
    for name in ("preserve_irs2_refpix", "irs2_mean_subtraction"):
        if parameters[name]:
            raise errors.Unsupported(f"{name}={parameters[name]!r} of step refpix is not supported; leave it out")
    if reference is None:
        raise errors.MissingReference(
            "there is no refpix reference; the reference samples of an IRS2 exposure cannot be taken out without"
        )
    columns = [_coefficients(reference, name) for name in COEFFICIENTS]
    return Correction(
        detector=readout.detector,
        sigmas=float(parameters["ovr_corr_mitigation_ftr"] or 0.0),
        alpha=np.stack(columns[:OUTPUTS]),
        beta=np.stack(columns[OUTPUTS:]),
        unusable=_unusable(reference),
        bias=bias,
        marked=marked,
    )


def _coefficients(reference: Reference, name: str) -> NDArray[np.complex64]:
    """Return a column of numbers, real and imaginary parts in turn, as complex numbers."""
    column = reference.arrays.get(name)
    if column is None or column.shape != (2 * TIMES,):
        found = "is not there" if column is None else f"has shape {column.shape}"
        raise errors.DamagedReference(
            f"{reference.label}: column {name} {found}; {2 * TIMES} rows are expected. Take another file of this type."
        )
    return np.ascontiguousarray(column, np.float32).view(np.complex64)


def _unusable(reference: Reference) -> tuple[tuple[int, int, int], ...]:
    columns = [reference.arrays.get(name) for name in ("output", "odd_even", "mask")]
    if any(column is None for column in columns):
        return ()
    rows = tuple((int(a), int(b), int(c)) for a, b, c in zip(*columns, strict=True))
    if any(output not in range(1, irs2.OUTPUTS) or parity not in (1, 2) for output, parity, _ in rows):
        raise errors.DamagedReference(
            f"{reference.label}: its table DQ has {rows}, but OUTPUT is 1 to 4 and ODD_EVEN is 1 or 2"
        )
    return rows


def bad_rows(integrations: Iterable[NDArray[np.float32]], correction: Correction) -> NDArray[np.bool_]:
    """Find the rows of the raw frame whose reference samples are not to be used.

    Reference pixels are sampled twice in a row. Of each pair, by output and integration: the mean difference of the
    two, their mean and their standard deviation must not exceed those of the other pairs by more than some deviations.

    Parameters
    ----------
    integrations : iterable of float32 array, (group, row, column)
        For each integration the reference samples after the superbias step, all rows that have some.
    correction : Correction

    Returns
    -------
    bool array, (3200,)
        Those marked before included.
    """
    rows = np.flatnonzero(irs2.between())
    bad = correction.marked.copy()
    for samples in integrations:
        for output in range(irs2.OUTPUTS):
            of_output = np.flatnonzero(rows // irs2.SAMPLES == output)[::2]
            firsts = [first for first in of_output if not correction.marked[rows[first : first + 2]].any()]
            for first in _outliers(samples, firsts, correction.sigmas):
                bad[rows[first : first + 2]] = True
    return bad


def _outliers(samples: NDArray[np.float32], firsts: Sequence[int], sigmas: float) -> list[int]:
    """Return which pairs of samples stand out of all pairs."""
    pairs = [samples[:, first : first + 2] for first in firsts]
    outlying = np.zeros(len(pairs), bool)
    if not pairs:
        return []
    for measured in (
        [np.mean(np.abs(pair[:, 1] - pair[:, 0])) for pair in pairs],
        [np.mean(pair) for pair in pairs],
        [np.std(pair) for pair in pairs],
    ):
        values = np.array(measured)
        mean, deviation = _clipped(values, sigmas)
        outlying |= (values - mean) > (sigmas * deviation)
    return [first for first, outlier in zip(firsts, outlying, strict=True) if outlier]


_CLIPS = 5  # as often as the official step clips at most


def _clipped(values: NDArray[Any], sigmas: float) -> tuple[Any, Any]:
    """Return mean and standard deviation without the values that are too far from the median."""
    kept = values[np.isfinite(values)]
    for _ in range(_CLIPS):
        middle, reach = np.median(kept), sigmas * np.std(kept)
        near = (kept >= middle - reach) & (kept <= middle + reach)
        if near.all():
            break
        kept = kept[near]
    return np.mean(kept), np.std(kept)


def repairs(bad: NDArray[np.bool_], correction: Correction) -> Repairs:
    """Say what bad rows of the raw frame are replaced with, in order.

    Parameters
    ----------
    bad : bool array, (3200,)
    correction : Correction

    Returns
    -------
    tuple of (int, tuple of int)
        Row, and the rows whose mean replaces it; 0 does where there are none.
    """
    steps = [(int(row), _replacement(int(row), bad)) for row in np.flatnonzero(bad)]
    known = bad.copy()
    for output, parity, bits in correction.unusable:
        new = [row for row in _called_bad(output, parity, bits, correction.detector) if not known[row]]
        known[new] = True
        steps += [(row, _replacement(row, known)) for row in new]
    return tuple(steps)


def _called_bad(output: int, parity: int, bits: int, detector: str) -> Iterator[int]:
    """Yield the rows that a row of the reference's table means; neighbouring outputs are read in turned directions."""
    second = (parity == 2) != (output % 2 == 0)
    for block in range(irs2.STEPS_ASIDE):
        if bits >> block & 1:
            first = output * irs2.SAMPLES + irs2.NORMAL // 2 + block * irs2.PERIOD + 2 * second
            yield irs2.row_of(first, detector)
            yield irs2.row_of(first + 1, detector)


def _replacement(row: int, bad: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the good rows one period before and after, or else the other pair of the same step aside."""
    start = row // irs2.SAMPLES * irs2.SAMPLES
    good = range(start, start + irs2.SAMPLES)
    around = tuple(other for other in (row - irs2.PERIOD, row + irs2.PERIOD) if other in good and not bad[other])
    if around:
        return around
    sampled = irs2.between()
    beside = (other for other in (row - 2, row + 2) if other in good and sampled[other] and not bad[other])
    return tuple(beside)[:1]


def correct(
    frame_of: FrameOf, correction: Correction, steps: Repairs, *, out: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Correct the frames of one integration.

    Parameters
    ----------
    frame_of : callable
        Gives the raw frame of a group after the superbias step, (3200, 2048) float32, the caller's to write to.
    correction : Correction
    steps : tuple
        From `repairs`.
    out : float32 array, (group, row, column)
        For the normal pixels.
    """
    mean = np.zeros((irs2.RAW_ROWS, irs2.LINES))
    for group in range(len(out)):
        mean += _repaired(frame_of(group), steps)
    mean /= float(len(out))
    mean_of_normal = mean[irs2.normal_rows(correction.detector)]
    for group in range(len(out)):
        frame = _repaired(frame_of(group), steps)
        frame -= mean
        pixels = _correct_lines(irs2.in_detector(frame, correction.detector), correction)
        out[group] = irs2.in_detector(pixels, correction.detector)
        out[group] += mean_of_normal
    return out


def _repaired(frame: NDArray[np.float32], steps: Repairs) -> NDArray[np.float32]:
    """Replace, in place, the bad rows of a raw frame."""
    for row, sources in steps:
        frame[row] = np.mean(frame[list(sources)], axis=0) if sources else 0
    return frame


def _correct_lines(lines: NDArray[np.float32], correction: Correction) -> NDArray[np.float32]:
    """Return the normal pixels of a frame (line, position), the mean over the groups taken away, without its noise."""
    timed = irs2.to_time(lines)
    for output in timed:
        _remove_line(output)
    _fill(timed[0])
    spectrum = np.fft.fft(_filtered(timed[0]).reshape(-1)) / float(TIMES)
    pixels = irs2.normal_places()
    for output, alpha, beta in zip(timed[1:], correction.alpha, correction.beta, strict=True):
        noise = np.fft.fft(_references(output).reshape(-1).astype(np.complex64)) / float(TIMES)
        noise *= beta
        noise += alpha * spectrum
        noise = np.fft.ifft(noise) * float(TIMES)
        output[:, pixels] -= noise.real.reshape(output.shape)[:, pixels]
    return irs2.from_time(timed)


@cache
def _times() -> NDArray[np.float32]:
    """Return the time of each place of a frame (line, place), counted from the middle of the frame."""
    times = np.arange(TIMES, dtype=np.float32).reshape(irs2.LINES, irs2.PLACES)
    times -= times.mean(dtype=np.float64)
    return times


def _remove_line(output: NDArray[np.float32]) -> None:
    """Subtract, in place, a straight line in time through the samples of an output's first and last four lines."""
    ends = [*range(4), *range(irs2.LINES - 4, irs2.LINES)]
    values, times = output[ends], _times()[ends]
    sampled = values != 0
    y, x = values[sampled], times[sampled]
    if not len(y):
        return
    count, mean_x, mean_y = float(len(x)), x.mean(), y.mean()
    slope = ((x * y).sum() - count * mean_x * mean_y) / ((x**2).sum() - count * mean_x**2)
    start = mean_y - slope * mean_x
    output -= (np.float32(start) + _times() * np.float32(slope)) * (output != 0)


def _fill(output: NDArray[np.float32]) -> None:
    """Fill, in place, places without a sample with the mean of those near in time, weighted by half a sine wave."""
    weights = np.sin(np.arange(1, 32, dtype=np.float32) / 32.0 * np.pi)
    values = output.reshape(-1)
    sampled = (values != 0).astype(np.float32)
    total, weight = (convolve1d(each, weights, mode="wrap") for each in (values, sampled))
    none = weight == 0
    mean = np.where(none, np.float32(0), total) / np.where(none, np.float32(1), weight)
    values += mean * (1 - sampled)


def _filtered(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Replace all but the normal samples of an output, three times, by what a filter makes of the whole."""
    normal = np.zeros(output.shape, bool)
    normal[:, irs2.normal_places()] = True
    kept = normal.reshape(-1)
    given = output.reshape(-1)
    signal = given.copy()
    for _ in range(3):
        spectrum = np.fft.fft(signal)
        spectrum *= _filter()
        signal[:] = np.fft.ifft(spectrum).real
        signal[kept] = given[kept]
    return signal.reshape(output.shape)


@cache
def _filter() -> NDArray[np.float64]:
    """Return the factors of all frequencies: 1 for the lowest and the highest, 0 between, cosines from one to other."""
    slope = 110000 // (irs2.PERIOD + 2)
    passed = irs2.PLACES // (irs2.PERIOD + 2) * irs2.LINES // 2 - slope // 2
    fall = (np.cos(np.arange(slope) * np.pi / float(slope)) + 1.0) / 2.0
    stopped = np.zeros(TIMES // 2 - 2 * passed - 2 * slope)
    half = np.concatenate([np.ones(passed), fall, stopped, fall[::-1], np.ones(passed)])
    return np.concatenate([half, np.roll(half, -1)[::-1]])


def _references(output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an output's reference samples alone, spread evenly around their times.

    Eight places around each step aside take the first sample of both pairs twice, then the second of both twice.
    """
    first = irs2.NORMAL // 2 + 1
    around = np.arange(first - 2, first + irs2.REFERENCE + 2)
    taken = np.array([0, 2, 0, 2, 1, 3, 1, 3]) + first
    blocks = irs2.STEPS_ASIDE * (irs2.PERIOD + 2)
    alone = np.zeros_like(output)
    shape = irs2.LINES, irs2.STEPS_ASIDE, irs2.PERIOD + 2
    spread = np.zeros(shape, np.float32)
    spread[:, :, around] = output[:, :blocks].reshape(shape)[:, :, taken]
    alone[:, :blocks] = spread.reshape(irs2.LINES, blocks)
    return alone


def flags_of(bad: NDArray[np.bool_], detector: str) -> NDArray[np.uint32]:
    """Return what bad rows add to the flags of normal pixels, (row, 1)."""
    added = np.where(bad[irs2.normal_rows(detector)], np.uint32(BAD_REF_PIXEL | dq.DO_NOT_USE), np.uint32(0))
    return added[:, None]


def marked(flags: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return rows in which some pixel is a bad reference pixel."""
    bad: NDArray[np.bool_] = ((flags & np.uint32(BAD_REF_PIXEL)) != 0).any(axis=1)
    return bad
