"""Which exposure has which number: detector, subarray, pattern, date and pointing.

Exposure `n` of a seed and mix is always the same, however many others there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from reprocess.simulation import chance, instruments
from reprocess.simulation.instruments import Detector, ReadPattern, Subarray
from reprocess.simulation.options import SimulationOptions

YEAR_BEGIN = datetime(2022, 7, 12, tzinfo=UTC)
YEAR_DAYS = 365
_GOLDEN_SECTION = (5**0.5 - 1) / 2
_RESET_FRAMES = 1

# Detector, subarray, pattern, integrations x groups.
_SMALL = """
NRCA1 SUB160 RAPID 1x8 | NIS SUB128 NISRAPID 1x8 | GUIDER1 SUB128LL FGSRAPID 1x6 | MIRIMAGE SUB128 FASTR1 1x10
NRCALONG SUB160 BRIGHT1 2x6 | NIS SUB64 NISRAPID 2x10 | GUIDER2 SUB128CNTR FGS 1x6 | MIRIMAGE SUB64 FASTR1 2x12
NRCA1 SUB64P RAPID 1x10 | NIS SUB128 NIS 1x6 | GUIDER2 SUB128LL FGSRAPID 2x6 | MIRIMAGE SUB128 FAST 1x8
NRCB1 SUB160 SHALLOW4 1x5 | NIS SUB256 NISRAPID 1x6 | GUIDER1 SUB128DIAG FGS 1x5 | MIRIMAGE SUB256 FASTR1 1x8
"""
_DEMO = """
NRCA1 FULL BRIGHT1 1x5 | NIS SUB256 NISRAPID 1x8 | GUIDER1 SUB128LL FGSRAPID 1x8 | MIRIMAGE SUB256 FASTR1 1x12
NRCA1 SUB320 RAPID 1x8 | NRCA1 FULL RAPID 1x5 | GUIDER2 SUB128CNTR FGS 1x6 | MIRIMAGE BRIGHTSKY FASTR1 1x8
NRCALONG SUB320 BRIGHT1 2x6 | NIS SUB256 NIS 1x5 | NRCA1 SUB640 RAPID 1x6 | MIRIMAGE SUB256 FAST 2x8
NRCB1 SUB320 SHALLOW4 1x5 | NIS SUB128 NISRAPID 3x8 | GUIDER1 SUB128DIAG FGSRAPID 2x8 | NRCA1 SUB400P RAPID 1x8
NRCALONG SUB640 RAPID 1x5 | NIS SUB256 NISRAPID 2x6 | GUIDER2 SUB128LL FGSRAPID 1x10 | MIRIMAGE SUB128 FASTR1 2x12
NRCA1 SUB320 SHALLOW4 1x6 | NIS SUB256 NISRAPID 1x10 | NRCB1 SUB640 BRIGHT1 1x5 | MIRIMAGE BRIGHTSKY FASTR1 1x6
NRCA1 FULL RAPID 1x6 | NIS SUB128 NIS 1x8 | GUIDER1 SUB128LL FGS 1x6 | MIRIMAGE SUB256 FASTR1 2x10
NRCALONG SUB320 RAPID 2x8 | NRCA1 FULL BRIGHT1 1x6 | NRCA1 SUB320 BRIGHT2 1x8 | NRCB1 SUB320 RAPID 3x6
NRCA1 SUB160 MEDIUM8 1x4 | NIS SUB256 NISRAPID 1x6 | GUIDER2 SUB128CNTR FGSRAPID 2x8 | MIRIMAGE FULL FASTR1 1x8
NRCALONG SUB400P RAPID 1x8 | NIS SUB256 NISRAPID 1x12 | NRCA1 SUB640 BRIGHT1 1x5 | MIRIMAGE SUB256 FASTR1 1x10
"""
_PROGRAMS = ("01234", "01345", "02079", "02561")
_FILTERS = {
    "NIRCAM": (("F115W", "CLEAR"), ("F150W", "CLEAR"), ("F200W", "CLEAR")),
    "NIRCAM LONG": (("F277W", "CLEAR"), ("F356W", "CLEAR"), ("F444W", "CLEAR")),
    "NIRISS": (("CLEAR", "F115W"), ("CLEAR", "F150W"), ("CLEAR", "F200W")),
    "FGS": (("", ""),),
    "MIRI": (("F770W", ""), ("F1000W", ""), ("F560W", "")),
}
_TYPES = {"NIRCAM": "NRC_IMAGE", "NIRISS": "NIS_IMAGE", "FGS": "FGS_IMAGE", "MIRI": "MIR_IMAGE"}


@dataclass(frozen=True, slots=True)
class Mode:
    """How a detector is read."""

    detector: Detector
    subarray: Subarray
    pattern: ReadPattern
    nints: int
    ngroups: int


@dataclass(frozen=True, slots=True)
class Exposure:
    """Everything about one exposure but its pixels.

    Attributes
    ----------
    seed, number : int
        What its content depends on.
    mode : Mode
    dataset, key : str
        Root name of its Level 1b file; key of the file below the root.
    program, observation, visit_exposure : str or int
        Parts of the name.
    start : datetime
        UTC, whole milliseconds.
    filter_name, pupil : str
        Empty where there is none.
    exp_type : str
    ra_deg, dec_deg, roll_deg : float
        Pointing of the middle of the subarray, and position angle.
    """

    seed: int
    number: int
    mode: Mode
    dataset: str
    key: str
    program: str
    observation: int
    visit_exposure: int
    start: datetime
    filter_name: str
    pupil: str
    exp_type: str
    ra_deg: float
    dec_deg: float
    roll_deg: float

    @property
    def group_time_s(self) -> float:
        """Time from one group to the next."""
        pattern = self.mode.pattern
        return (pattern.nframes + pattern.groupgap) * self.mode.subarray.frame_time_s

    @property
    def frames(self) -> int:
        """Frames of an integration, from the first read to the last."""
        pattern = self.mode.pattern
        return self.mode.ngroups * pattern.nframes + (self.mode.ngroups - 1) * pattern.groupgap

    @property
    def integration_time_s(self) -> float:
        """Time from reset to the last read."""
        return self.frames * self.mode.subarray.frame_time_s

    @property
    def duration_s(self) -> float:
        """Time from the start to the end of the exposure, the resets between integrations included."""
        resets = (self.mode.nints - 1) * _RESET_FRAMES * self.mode.subarray.frame_time_s
        return self.mode.nints * self.integration_time_s + resets

    def integration_start_s(self, integration: int) -> float:
        """Seconds from the start of the exposure to the start of an integration, counted from 0."""
        return integration * (self.integration_time_s + _RESET_FRAMES * self.mode.subarray.frame_time_s)


def schedule(options: SimulationOptions) -> tuple[Exposure, ...]:
    """All exposures that the options ask for, in the order of their numbers."""
    modes = _modes(options)
    return tuple(_exposure(options.seed, number, modes[number % len(modes)]) for number in range(options.exposures))


def _modes(options: SimulationOptions) -> list[Mode]:
    """The modes that exposures cycle through."""
    table = _DEMO if options.mix == "demo" else _SMALL
    rows = [text.split() for line in table.strip().splitlines() for text in line.split("|")]
    modes = [_mode(row, options) for row in rows]
    return [mode for mode in modes if not options.instruments or mode.detector.instrument in options.instruments]


def _mode(row: list[str], options: SimulationOptions) -> Mode:
    detector = instruments.DETECTORS[row[0]]
    integrations, groups = (int(number) for number in row[3].split("x"))
    return Mode(
        detector=detector,
        subarray=_subarray(detector, row[1], options.shape),
        pattern=instruments.PATTERNS[row[2]],
        nints=options.integrations or integrations,
        ngroups=options.groups or groups,
    )


def _subarray(detector: Detector, name: str, shape: tuple[int, int] | None) -> Subarray:
    """The subarray of a mode; a shape that is asked for is cut to the detector."""
    if shape is None:
        return instruments.subarray(detector.instrument, name)
    rows, columns = min(shape[0], detector.rows), min(shape[1], detector.columns)
    return instruments.subarray_of_shape(detector.instrument, rows, columns)


def _exposure(seed: int, number: int, mode: Mode) -> Exposure:
    """Exposure `number`: four to a visit, the visits dealt out to the programs."""
    random = chance.generator(seed, "exposure", number)
    visit, exposure = divmod(number, 4)
    program = _PROGRAMS[visit % len(_PROGRAMS)]
    observation = 1 + visit // len(_PROGRAMS)
    visit_id = f"jw{program}{observation:03d}001"
    dataset = f"{visit_id}_02101_{exposure + 1:05d}_{mode.detector.name.lower()}"
    name, pupil = _filter(mode.detector, random)
    return Exposure(
        seed=seed,
        number=number,
        mode=mode,
        dataset=dataset,
        key=f"raw/jwst/public/jw{program}/{visit_id}/{dataset}_uncal.fits",
        program=program,
        observation=observation,
        visit_exposure=exposure + 1,
        start=_start(number, random),
        filter_name=name,
        pupil=pupil,
        exp_type=_TYPES[mode.detector.instrument],
        ra_deg=round(float(random.uniform(0.0, 360.0)), 7),
        dec_deg=round(float(random.uniform(-70.0, 70.0)), 7),
        roll_deg=round(float(random.uniform(0.0, 360.0)), 5),
    )


def _filter(detector: Detector, random: np.random.Generator) -> tuple[str, str]:
    long = detector.name.endswith("LONG")
    choices = _FILTERS["NIRCAM LONG" if long else detector.instrument]
    return choices[int(random.integers(len(choices)))]


def _start(number: int, random: np.random.Generator) -> datetime:
    """A time in the year; multiples of the golden section fill it evenly however many exposures there are."""
    days = (number * _GOLDEN_SECTION % 1.0) * (YEAR_DAYS - 1) + float(random.uniform(0.0, 1.0))
    return YEAR_BEGIN + timedelta(milliseconds=round(days * 86_400_000))
