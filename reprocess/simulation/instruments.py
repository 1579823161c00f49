"""The detectors, subarrays and readout patterns that are simulated: numbers only.

Names, sizes, frame times, patterns and axes are those of the observatory. The corner at which a subarray starts is the
simulator's own choice: some lie on the border of reference pixels, some inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NIR_SIZE = 2048
MIRI_ROWS, MIRI_COLUMNS = 1024, 1032
INSTRUMENTS = ("NIRCAM", "NIRISS", "FGS", "MIRI")


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector.

    Attributes
    ----------
    name, instrument : str
        As in DETECTOR and INSTRUME.
    fast_axis, slow_axis : int
        As in FASTAXIS and SLOWAXIS.
    gain : float
        Electrons per DN.
    read_noise_dn : float
        Noise of the difference of two reads, in DN.
    dark_e_s, sky_e_s : float
        Dark current and typical sky, electrons per second and pixel.
    bias_dn, well_dn : float
        Level of an empty pixel; signal (without the bias) at which a pixel is full, as measured.
    curvature : float
        Second-order coefficient of the linearity correction, 1/DN.
    pixel_arcsec : float
    v2, v3 : float
        Place of the middle of the detector in the telescope's field, arcsec.
    sca : int
        As in SCA_NUM.
    """

    name: str
    instrument: str
    fast_axis: int
    slow_axis: int
    gain: float
    read_noise_dn: float
    dark_e_s: float
    sky_e_s: float
    bias_dn: float
    well_dn: float
    curvature: float
    pixel_arcsec: float
    v2: float
    v3: float
    sca: int

    @property
    def infrared_array(self) -> bool:
        """Whether this is one of the near-infrared arrays, with reference pixels on all four sides."""
        return self.instrument != "MIRI"

    @property
    def rows(self) -> int:
        """Rows of a full frame."""
        return NIR_SIZE if self.infrared_array else MIRI_ROWS

    @property
    def columns(self) -> int:
        """Columns of a full frame."""
        return NIR_SIZE if self.infrared_array else MIRI_COLUMNS


@dataclass(frozen=True, slots=True)
class Subarray:
    """A rectangle of a detector; `row_start` and `column_start` count from 0.

    Attributes
    ----------
    name : str
        As in SUBARRAY.
    row_start, column_start, rows, columns : int
    outputs : int
        Number of outputs it is read through.
    frame_time_s : float
        Time to read it once.
    """

    name: str
    row_start: int
    column_start: int
    rows: int
    columns: int
    outputs: int
    frame_time_s: float


@dataclass(frozen=True, slots=True)
class ReadPattern:
    """How many frames are averaged into a group, and how many are dropped after it."""

    name: str
    nframes: int
    groupgap: int


def _nircam(name: str, axes: tuple[int, int], v2: float, v3: float, sca: int) -> Detector:
    """A NIRCam detector, of the short or of the long wavelength channel."""
    if name.endswith("LONG"):
        return Detector(name, "NIRCAM", *axes, 1.82, 8.4, 0.034, 1.4, 6800.0, 52000.0, 1.5e-6, 0.0630, v2, v3, sca)
    return Detector(name, "NIRCAM", *axes, 2.05, 7.6, 0.002, 0.6, 9600.0, 47000.0, 1.8e-6, 0.0312, v2, v3, sca)


_DETECTORS = (
    _nircam("NRCA1", (-1, 2), 120.6, -527.4, 481),
    _nircam("NRCA2", (1, -2), 120.1, -459.7, 482),
    _nircam("NRCA3", (-1, 2), 51.9, -527.8, 483),
    _nircam("NRCA4", (1, -2), 52.3, -459.8, 484),
    _nircam("NRCALONG", (-1, 2), 86.1, -493.2, 485),
    _nircam("NRCB1", (1, -2), -120.9, -457.8, 486),
    _nircam("NRCBLONG", (1, -2), -89.4, -491.4, 490),
    Detector("NIS", "NIRISS", -2, -1, 1.61, 9.0, 0.026, 0.9, 9200.0, 50000.0, 1.6e-6, 0.0656, -290.1, -697.5, 496),
    Detector("GUIDER1", "FGS", -2, -1, 1.70, 8.8, 0.010, 1.6, 9900.0, 48000.0, 1.7e-6, 0.0692, 207.2, -697.5, 497),
    Detector("GUIDER2", "FGS", 2, -1, 1.75, 8.8, 0.012, 1.6, 9900.0, 48000.0, 1.7e-6, 0.0692, 22.8, -699.4, 498),
    Detector("MIRIMAGE", "MIRI", 1, 2, 3.10, 7.1, 0.200, 55.0, 9800.0, 52000.0, 0.9e-6, 0.1110, -453.6, -373.8, 493),
)
DETECTORS: Mapping[str, Detector] = {detector.name: detector for detector in _DETECTORS}

_PATTERNS = (
    ReadPattern("RAPID", 1, 0),
    ReadPattern("BRIGHT1", 1, 1),
    ReadPattern("BRIGHT2", 2, 0),
    ReadPattern("SHALLOW2", 2, 3),
    ReadPattern("SHALLOW4", 4, 1),
    ReadPattern("MEDIUM2", 2, 8),
    ReadPattern("MEDIUM8", 8, 2),
    ReadPattern("NISRAPID", 1, 0),
    ReadPattern("NIS", 4, 0),
    ReadPattern("FGSRAPID", 1, 0),
    ReadPattern("FGS", 4, 0),
    ReadPattern("FASTR1", 1, 0),
    ReadPattern("FAST", 1, 0),
)
PATTERNS: Mapping[str, ReadPattern] = {pattern.name: pattern for pattern in _PATTERNS}
FIRST_PATTERN = {"NIRCAM": "RAPID", "NIRISS": "NISRAPID", "FGS": "FGSRAPID", "MIRI": "FASTR1"}

# Square subarrays of the near-infrared arrays: instrument, name, first row, first column, size.
_NIR_SQUARES = (
    ("NIRCAM", "SUB640", 0, 0, 640),
    ("NIRCAM", "SUB320", 0, 0, 320),
    ("NIRCAM", "SUB160", 0, 0, 160),
    ("NIRCAM", "SUB400P", 1640, 8, 400),
    ("NIRCAM", "SUB160P", 1880, 8, 160),
    ("NIRCAM", "SUB64P", 1976, 8, 64),
    ("NIRISS", "SUB256", 1792, 0, 256),
    ("NIRISS", "SUB128", 1920, 0, 128),
    ("NIRISS", "SUB80", 1032, 1032, 80),
    ("NIRISS", "SUB64", 1984, 0, 64),
    ("FGS", "SUB128CNTR", 960, 960, 128),
    ("FGS", "SUB128DIAG", 480, 480, 128),
    ("FGS", "SUB128LL", 0, 0, 128),
    ("FGS", "SUB32CNTR", 1008, 1008, 32),
)
_MIRI_SUBARRAYS = (
    Subarray("FULL", 0, 0, MIRI_ROWS, MIRI_COLUMNS, 4, 2.77504),
    Subarray("BRIGHTSKY", 50, 456, 512, 512, 4, 0.86528),
    Subarray("SUB256", 50, 412, 256, 256, 4, 0.29952),
    Subarray("SUB128", 888, 0, 128, 136, 4, 0.11904),
    Subarray("SUB64", 778, 0, 64, 72, 4, 0.08500),
)


def subarrays(instrument: str) -> tuple[Subarray, ...]:
    """The named subarrays of an instrument, the full frame first."""
    if instrument == "MIRI":
        return _MIRI_SUBARRAYS
    full = Subarray("FULL", 0, 0, NIR_SIZE, NIR_SIZE, 4, 10.73677)
    named = [Subarray(n, r, c, s, s, 1, _one_output(s, s)) for i, n, r, c, s in _NIR_SQUARES if i == instrument]
    return (full, *named)


def subarray(instrument: str, name: str) -> Subarray:
    """The subarray of that name."""
    return next(one for one in subarrays(instrument) if one.name == name)


def subarray_of_shape(instrument: str, rows: int, columns: int) -> Subarray:
    """The named subarray of that shape, or else one called GENERIC in the corner of the detector."""
    for one in subarrays(instrument):
        if (one.rows, one.columns) == (rows, columns):
            return one
    if instrument == "MIRI":
        return Subarray("GENERIC", 0, 0, rows, columns, 4, round((columns / 4 + 9) * (rows + 1) * 1e-5, 5))
    return Subarray("GENERIC", 0, 0, rows, columns, 1, _one_output(rows, columns))


def _one_output(rows: int, columns: int) -> float:
    """Frame time of a near-infrared subarray read through one output: 10 us a pixel, and the overheads of a row."""
    return round((columns + 12) * (rows + 2) * 1e-5, 5)
