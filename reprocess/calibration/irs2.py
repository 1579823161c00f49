"""How an IRS2 frame of NIRSpec is laid out: normal pixels, reference samples between them, and a reference output.

A line of the detector is read through five outputs at once, one of which is a reference output without pixels. After
every 16 normal samples the readout steps aside to sample four reference pixels, so that each output gives 640 samples
for a line instead of 512. The file keeps all of them: 3200 rows of 2048 columns, where a row of the file is a position
along the lines. Neighbouring outputs read in opposite directions.

In time, each step aside and back lasts one sample more, and eight samples pass before the next line; in the order of
reading a line of one output therefore has 712 places, of which 72 are gaps.

Sources: Rauscher et al. 2017, PASP 129, 105003; Moseley et al. 2010, Proc. SPIE 7742, 77421B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference, References
from reprocess.exposure import Band

LINES = 2048
OUTPUTS = 5  # the first is the reference output
SAMPLES = 640  # of a line, by output
RAW_ROWS = OUTPUTS * SAMPLES
NORMAL = 16  # samples between two steps aside
REFERENCE = 4  # samples of each step aside
PERIOD = NORMAL + REFERENCE
STEPS_ASIDE = 32  # of a line, by output
PLACES = (PERIOD + 2) * STEPS_ASIDE + 8  # of a line in time, by output
RAW_TYPES = ("mask", "superbias")  # references whose frames are laid out like the raw data
DETECTORS = ("NRS1", "NRS2")
BYTES_PER_PIXEL = 80  # of the raw frame: coefficients, spectra, and means over the groups in double precision


def check(readout: Readout) -> None:
    """Refuse an interleaved exposure that is not laid out as above.

    Raises
    ------
    errors.Unsupported
        If the detector is not one of NIRSpec, or the numbers of samples are others.
    """
    if readout.detector not in DETECTORS:
        raise errors.Unsupported(
            f"READPATT {readout.read_pattern} interleaves reference samples, and DETECTOR is {readout.detector!r}; "
            f"only {' and '.join(DETECTORS)} are read so"
        )
    found = readout.normal_samples, readout.reference_samples
    if found != (NORMAL, REFERENCE):
        raise errors.Unsupported(
            f"keywords NRS_NORM and NRS_REF are {found[0]} and {found[1]}; only IRS2 frames with {NORMAL} and "
            f"{REFERENCE} are supported, because there are coefficients for no others"
        )


def between() -> NDArray[np.bool_]:
    """Return, for each row of the raw frame, whether it has reference samples between those of normal pixels.

    The reference output is sampled in the same pattern and is marked like the others. The pattern is its own mirror
    image, so it is the same in the file and in the order of reading.
    """
    place = np.arange(RAW_ROWS) % PERIOD
    return (place >= NORMAL // 2) & (place < NORMAL // 2 + REFERENCE)


def normal_rows(detector: str) -> NDArray[np.bool_]:
    """Return, for each row of the raw frame as it is in the file, whether it has normal pixels.

    Parameters
    ----------
    detector : str
        NRS1, whose reference output comes first, or NRS2, where it comes last.
    """
    normal = ~between()
    normal[:SAMPLES] = False
    return normal if detector == "NRS1" else normal[::-1]


def in_detector(frame: NDArray[Any], detector: str) -> NDArray[Any]:
    """Turn a frame (row, column) of the file into (line, position) of the detector, or back; a view."""
    return frame.T if detector == "NRS1" else frame[::-1, ::-1].T


def row_of(position: int, detector: str) -> int:
    """Return the row of the raw frame that is at a position along the lines."""
    return position if detector == "NRS1" else RAW_ROWS - 1 - position


def sample_places() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the samples of a line are, by output.

    Returns
    -------
    samples : int array, (640,)
        Indices of all samples in the order of reading.
    places : int array, (640,)
        Places of those samples in time: one place passes at each step aside, and one at each step back.
    """
    samples = np.arange(SAMPLES)
    block, place = np.divmod(samples, PERIOD)
    aside = place >= NORMAL // 2
    back = place >= NORMAL // 2 + REFERENCE
    return samples, samples + 2 * block + aside + back


def to_time(lines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put the samples of a frame in the order of reading.

    Parameters
    ----------
    lines : float32 array, (line, position)
        Raw frame in the detector's orientation.

    Returns
    -------
    float32 array, (output, line, place)
        0 in the gaps.
    """
    samples, places = sample_places()
    timed = np.zeros((OUTPUTS, LINES, PLACES), np.float32)
    for output, forward in enumerate(_forward()):
        of_output = lines[:, output * SAMPLES : (output + 1) * SAMPLES]
        timed[output][:, places] = of_output[:, samples if forward else samples[::-1]]
    return timed


def from_time(timed: NDArray[Any]) -> NDArray[Any]:
    """Take the normal pixels of all outputs but the reference output out of the order of reading.

    Parameters
    ----------
    timed : array, (output, line, place)
        All five outputs.

    Returns
    -------
    array, (line, position)
        2048 x 2048, in the detector's orientation.
    """
    places = normal_places()
    return np.concatenate(
        [timed[output][:, places if forward else places[::-1]] for output, forward in enumerate(_forward()) if output],
        axis=1,
    )


def normal_places() -> NDArray[np.intp]:
    """Return the places in time of a line's 512 normal samples."""
    return sample_places()[1][~between()[:SAMPLES]]


def _forward() -> tuple[bool, ...]:
    """Return for each output whether its samples are read in the order of the positions."""
    return tuple(output % 2 == 1 for output in range(OUTPUTS))


def raw_band(kind: str, band: Band, readout: Readout) -> Band:
    """Return the rows of a reference that belong to a band of the frame: for raw types of interleaved frames, all."""
    return Band(0, RAW_ROWS) if readout.interleaved and kind in RAW_TYPES else band


def reference_shape(kind: str, readout: Readout) -> tuple[int, int]:
    """Return rows and columns that a reference must cover."""
    rows = RAW_ROWS if readout.interleaved and kind in RAW_TYPES else readout.rows
    return rows, readout.columns


def select(references: References, rows: NDArray[np.bool_]) -> Mapping[str, Reference | None]:
    """Cut the references that are laid out like the raw data to some of its rows.

    Parameters
    ----------
    references : mapping of str to Reference or None
    rows : bool array, (3200,)

    Raises
    ------
    errors.DamagedReference
        If a mask or superbias does not have the rows of the raw frame.
    """
    raw = {kind: _selected(references[kind], rows) for kind in RAW_TYPES if references.get(kind) is not None}
    return {**references, **raw}


def _selected(reference: Reference | None, rows: NDArray[np.bool_]) -> Reference | None:
    assert reference is not None
    for name, array in reference.arrays.items():
        if array.ndim > 1 and array.shape[-2] != RAW_ROWS:
            raise errors.DamagedReference(
                f"{reference.label}: array {name!r} has shape {array.shape}, but an IRS2 frame has {RAW_ROWS} rows; "
                "take a reference for the IRS2 readout"
            )
    cut = {n: a[..., rows, :] if a.ndim > 1 else a for n, a in reference.arrays.items()}
    return replace(reference, arrays=cut)
