"""Random exposures with references that have something wrong with them, seeded; nothing here knows the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference

DO_NOT_USE, NO_GAIN, NO_LIN_CORR, NO_SAT_CHECK, REFERENCE_PIXEL = 1, 1 << 19, 1 << 20, 1 << 21, 1 << 31
HOT, UNRELIABLE_BIAS, UNRELIABLE_DARK = 1 << 11, 1 << 22, 1 << 23


@dataclass(frozen=True)
class Plan:
    """What to make."""

    rows: int = 64
    columns: int = 64
    nints: int = 1
    ngroups: int = 5
    nframes: int = 1
    groupgap: int = 0
    row_start: int = 0
    column_start: int = 0
    fast_axis: int = -1
    slow_axis: int = 2
    outputs: int = 1
    instrument: str = "NIRCAM"
    detector: str = "NRCA1"
    exp_type: str = "NRC_IMAGE"
    dark_groups: int | None = None
    dark_nframes: int = 1
    dark_groupgap: int = 0
    frame_divisor: int | None = None
    seed: int = 1
    brightness: float = 30.0
    kernel: str | None = None
    gain_factor: float | None = None
    inverse: bool = False
    skips: tuple[int, int] = (1, 1)
    reset_groups: int = 4
    missing: tuple[str, ...] = ()
    header: dict[str, Any] = field(default_factory=dict)


MIRI_INTEGRATIONS = 3  # of the dark; the reset has one less
MIRI = Plan(
    instrument="MIRI",
    detector="MIRIMAGE",
    exp_type="MIR_IMAGE",
    fast_axis=1,
    slow_axis=2,
    outputs=4,
    row_start=300,
    column_start=400,
    missing=("superbias",),
)
MIRI_FULL = replace(MIRI, rows=1024, columns=1032, row_start=0, column_start=0, ngroups=6, nints=2)
NIRCAM_FULL = Plan(rows=2048, columns=2048, outputs=4, ngroups=4)
NIRISS = Plan(instrument="NIRISS", detector="NIS", exp_type="NIS_IMAGE", fast_axis=-2, slow_axis=-1)
FGS = Plan(instrument="FGS", detector="GUIDER1", exp_type="FGS_IMAGE", fast_axis=-2, slow_axis=1)


@dataclass(frozen=True)
class Exposure:
    """One made exposure."""

    plan: Plan
    raw: np.ndarray
    header: dict[str, Any]
    references: dict[str, Reference | None]

    @property
    def readout(self) -> Readout:
        return Readout.from_header(self.header, self.raw.shape)

    def without(self, *kinds: str) -> Exposure:
        return replace(self, references={k: None if k in kinds else r for k, r in self.references.items()})

    def cut(self, rows: slice) -> dict[str, Reference | None]:
        return {k: r and r.rows(rows, self.plan.rows) for k, r in self.references.items()}


def make(plan: Plan) -> Exposure:
    rng = np.random.default_rng(plan.seed)
    references = _references(plan, rng)
    chosen = {kind: None if kind in plan.missing else made for kind, made in references.items()}
    return Exposure(plan, _raw(plan, references, rng), _header(plan), chosen)


def _header(plan: Plan) -> dict[str, Any]:
    frame = 0.5
    header = {
        "INSTRUME": plan.instrument,
        "DETECTOR": plan.detector,
        "EXP_TYPE": plan.exp_type,
        "SUBARRAY": "FULL" if min(plan.rows, plan.columns) >= 1024 else "SUB64P",
        "READPATT": "FASTR1" if plan.instrument == "MIRI" else "RAPID",
        "NINTS": plan.nints,
        "NGROUPS": plan.ngroups,
        "NFRAMES": plan.nframes,
        "GROUPGAP": plan.groupgap,
        "TFRAME": frame,
        "TGROUP": frame * (plan.nframes + plan.groupgap),
        "FASTAXIS": plan.fast_axis,
        "SLOWAXIS": plan.slow_axis,
        "SUBSIZE1": plan.columns,
        "SUBSIZE2": plan.rows,
        "SUBSTRT1": plan.column_start + 1,
        "SUBSTRT2": plan.row_start + 1,
        "NOUTPUTS": plan.outputs,
        "DRPFRMS1": 0,
    }
    if plan.frame_divisor is not None:
        header["FRMDIVSR"] = plan.frame_divisor
    return header | plan.header


def edge(plan: Plan) -> np.ndarray:
    rows = np.arange(plan.row_start, plan.row_start + plan.rows)[:, None]
    columns = np.arange(plan.column_start, plan.column_start + plan.columns)
    if plan.instrument == "MIRI":
        return (rows >= 0) & ((columns < 4) | (columns >= 1028))
    return (rows < 4) | (rows >= 2044) | (columns < 4) | (columns >= 2044)


def _some(rng: np.random.Generator, shape: tuple[int, ...], fraction: float) -> np.ndarray:
    return rng.random(shape) < fraction


def _flags(rng: np.random.Generator, shape: tuple[int, int], **bits: float) -> np.ndarray:
    flags = np.zeros(shape, np.uint32)
    for bit, fraction in bits.items():
        flags[_some(rng, shape, fraction)] |= np.uint32(globals()[bit])
    return flags


def _spoiled(rng: np.random.Generator, image: np.ndarray, fraction: float = 0.005) -> np.ndarray:
    image = image.astype(np.float32)
    image[_some(rng, image.shape, fraction)] = np.nan
    return image


def _references(plan: Plan, rng: np.random.Generator) -> dict[str, Reference | None]:
    shape = plan.rows, plan.columns
    mask = _flags(rng, shape, DO_NOT_USE=0.01, HOT=0.02)
    mask[edge(plan)] |= np.uint32(REFERENCE_PIXEL)
    saturation = _spoiled(rng, rng.normal(58000, 2500, shape))
    bias = _spoiled(rng, rng.normal(11000, 400, shape))
    gain = _spoiled(rng, rng.normal(2.0, 0.1, shape), 0.002)
    gain[_some(rng, shape, 0.002)] = -1.0
    made = {
        "mask": {"dq": mask},
        "saturation": {"sci": saturation, "dq": _flags(rng, shape, NO_SAT_CHECK=0.005, DO_NOT_USE=0.001)},
        "superbias": {"sci": bias, "dq": _flags(rng, shape, UNRELIABLE_BIAS=0.01, DO_NOT_USE=0.002)},
        "linearity": {"coeffs": _coefficients(rng, shape), "dq": _flags(rng, shape, NO_LIN_CORR=0.005)},
        "dark": {"sci": _dark(plan, rng), "dq": _flags(rng, shape, UNRELIABLE_DARK=0.01, DO_NOT_USE=0.002)},
        "gain": {"sci": gain},
        "readnoise": {"sci": _spoiled(rng, rng.normal(12.0, 1.0, shape), 0.002)},
    }
    if plan.instrument == "MIRI":
        made |= _only_for_miri(plan, rng)
    if plan.inverse:
        made["linearity"]["inv_coeffs"] = _coefficients(rng, shape, inverse=True)
    keywords = {
        "dark": {"NFRAMES": plan.dark_nframes, "GROUPGAP": plan.dark_groupgap},
        "reset": {"NINTS": MIRI_INTEGRATIONS - 1, "NGROUPS": plan.reset_groups},
        "gain": {} if plan.gain_factor is None else {"GAINFACT": plan.gain_factor},
    }
    references: dict[str, Reference | None] = {
        kind: Reference(kind, arrays, keywords.get(kind, {})) for kind, arrays in made.items()
    }
    references["ipc"] = None if plan.kernel is None else Reference("ipc", {"sci": _kernel(plan, rng)}, {})
    return references


def _only_for_miri(plan: Plan, rng: np.random.Generator) -> dict[str, dict[str, np.ndarray]]:
    """The reset, the table of groups to skip, and a dark for each integration with flags for each."""
    shape = plan.rows, plan.columns
    names = [b"FULL", b"SUB64P", b"SUB64P", b"SUB64P", b"SLITLESSPRISM"]
    first, later = plan.skips
    table = {
        "subarray": np.array(names),
        "readpatt": np.array([b"FASTR1", b"SLOWR1", b"FASTR1", b"FASTR1", b"FASTR1"]),
        "group_skip1": np.array([first, 9, first, 9, first], np.int32),
        "group_skip": np.array([later, 9, later, 9, later], np.int32),
    }
    decay = 40 * np.exp(-np.arange(plan.reset_groups))[:, None, None] * rng.normal(1, 0.2, shape)
    signal = np.stack([_spoiled(rng, decay + shift) for shift in range(MIRI_INTEGRATIONS - 1)])
    darks = np.stack([_dark(plan, rng) for _ in range(MIRI_INTEGRATIONS)])
    flags = [_flags(rng, shape, UNRELIABLE_DARK=0.01, DO_NOT_USE=0.002)[None] for _ in range(MIRI_INTEGRATIONS)]
    return {
        "reset": {"sci": signal, "dq": _flags(rng, shape, HOT=0.02, DO_NOT_USE=0.002)},
        "rscd": table,
        "dark": {"sci": darks, "dq": np.stack(flags)},
    }


def _kernel(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    shape = (3, 3) if plan.kernel == "plain" else (3, 3, plan.rows, plan.columns)
    kernel = rng.normal(-0.005, 0.001, shape).astype(np.float32)
    kernel[1, 1] = 1.04
    return kernel


def _coefficients(rng: np.random.Generator, shape: tuple[int, int], *, inverse: bool = False) -> np.ndarray:
    scale = np.array([0.0, 1.0, -1e-6, 1e-12, 0] if inverse else [0.0, 1.0, 1e-6, 1e-12, 1e-17])[:, None, None]
    coefficients = (scale * rng.normal(1.0, 0.05, (5, *shape))).astype(np.float32)
    coefficients[:, _some(rng, shape, 0.004)] = np.nan
    coefficients[3, _some(rng, shape, 0.002)] = np.nan
    coefficients[1, _some(rng, shape, 0.002)] = 0.0
    return coefficients


def _dark(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    ngroups = plan.dark_groups
    if ngroups is None:
        ngroups = plan.ngroups * plan.nframes + (plan.ngroups - 1) * plan.groupgap
    steps = rng.normal(0.02, 0.3, (ngroups, plan.rows, plan.columns))
    return _spoiled(rng, np.cumsum(steps, axis=0), 0.002)


def _raw(plan: Plan, references: dict[str, Reference | None], rng: np.random.Generator) -> np.ndarray:
    shape = plan.nints, plan.ngroups, plan.rows, plan.columns
    bias = references["superbias"].arrays["sci"]
    flux = plan.brightness * rng.lognormal(0, 1.2, shape[2:])
    # Sources whose ramps saturate in every group that there is, some with all their neighbours.
    sources = _some(rng, shape[2:], 0.01)
    flux = np.where(sources, 60000 * rng.random(shape[2:]) ** 2, flux)
    flux = np.where(edge(plan), 0, flux)
    reads = np.arange(plan.ngroups)[:, None, None] * (plan.nframes + plan.groupgap) + (plan.nframes + 1) / 2
    raw = np.where(np.isnan(bias), 11000, bias) + flux * reads + rng.normal(0, 12, shape)
    for integration in raw:
        _hit(integration, plan, rng)
    raw += rng.normal(0, 15, (plan.nints, plan.ngroups, 1, 1))
    raw += rng.normal(0, 3, (plan.nints, plan.ngroups, plan.rows, 1))
    raw += rng.normal(0, 3, (plan.nints, plan.ngroups, 1, plan.columns))
    raw[_some(rng, shape, 0.0005)] = 0
    if plan.frame_divisor:
        raw *= plan.nframes / plan.frame_divisor
    return np.clip(np.round(raw), 0, 65535).astype(np.uint16)


def _hit(ramps: np.ndarray, plan: Plan, rng: np.random.Generator) -> None:
    """Add cosmic rays in the midst of groups; some fill the pixel in the last frame of one."""
    row, column = np.nonzero(_some(rng, ramps.shape[1:], 0.04) & ~edge(plan))
    charge = np.where(rng.random(len(row)) < 0.2, rng.uniform(30000, 60000, len(row)), rng.exponential(400, len(row)))
    arrival = rng.integers(0, plan.ngroups * plan.nframes, len(row))
    for group in range(plan.ngroups):
        frames_after = np.clip((group + 1) * plan.nframes - arrival, 0, plan.nframes)
        ramps[group, row, column] += charge * frames_after / plan.nframes
