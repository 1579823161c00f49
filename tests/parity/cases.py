"""The factors of an exposure that stage 1 can take differently, and exposures made of their levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from reprocess.calibration.reference import Reference
from tests.calibration import exposures
from tests.calibration.exposures import DO_NOT_USE, FGS, MIRI, NIRISS, NO_SAT_CHECK, Exposure, Plan

FULL_WIDTH = 1032
MODES = {
    "NIRCam corner": Plan(),
    "NIRCam inside": Plan(row_start=700, column_start=900),
    "NIRCam long wave": Plan(detector="NRCBLONG", fast_axis=1, slow_axis=-2, row_start=1984, column_start=1984),
    "NIRISS": NIRISS,
    "FGS": replace(FGS, outputs=4),
    "MIRI full width": replace(MIRI, row_start=100, column_start=0),
    "MIRI inside": MIRI,
}
# DN above the bias in the last read of a typical pixel.
SIGNAL = {"faint": 100.0, "medium": 8000.0, "saturating": 120000.0}
FACTORS: dict[str, tuple[Any, ...]] = {
    "mode": tuple(MODES),
    "ngroups": (1, 2, 3, 4, 5, 9, 10, 11, 20, 100),
    "nints": (1, 2, 5, 100),
    "nframes": (1, 2, 4, 8),
    "groupgap": (0, 1, 2),
    "references": ("usual", "NaN", "do not use", "missing", "gain", "unchecked"),
    "brightness": tuple(SIGNAL),
    "kernel": (None, "plain"),
    "dark": ("same", "longer", "shorter", "finer"),
}


def allowed(case: Mapping[str, Any]) -> bool:
    """Leave out what is too large to be small, and darks that cannot be shorter and still be extrapolated."""
    if case["mode"] == "MIRI full width" and case["nints"] * case["ngroups"] > 500:
        return False
    return not (case["dark"] == "shorter" and case["ngroups"] < 3)


def make(case: Mapping[str, Any], seed: int) -> Exposure:
    """Make the exposure of a case."""
    plan = replace(
        MODES[case["mode"]],
        **_size(case),
        **{name: case[name] for name in ("ngroups", "nints", "nframes", "groupgap", "kernel")},
        **_dark(case),
        brightness=SIGNAL[case["brightness"]] / (case["ngroups"] * (case["nframes"] + case["groupgap"])),
        seed=seed,
    )
    return spoil(exposures.make(plan), case["references"], np.random.default_rng(seed))


def _size(case: Mapping[str, Any]) -> dict[str, int]:
    frames = case["nints"] * case["ngroups"]
    if case["mode"] == "MIRI full width":
        return {"rows": 16 if frames <= 40 else 5, "columns": FULL_WIDTH}
    rows, columns = (44, 60) if frames <= 200 else (20, 24) if frames <= 1000 else (12, 14)
    if case["mode"] == "NIRCam long wave":
        return {"rows": rows, "columns": columns, "row_start": 2048 - rows, "column_start": 2048 - columns}
    if case["mode"] == "FGS" and frames > 20:
        return {"rows": rows, "columns": columns, "outputs": 1}  # the official step takes 60 ms a frame with four
    return {"rows": rows, "columns": columns}


def _dark(case: Mapping[str, Any]) -> dict[str, int | None]:
    if case["dark"] == "finer":
        return {"dark_groups": None}
    ngroups = case["ngroups"]
    groups = {"same": ngroups, "longer": ngroups + 3, "shorter": max(2, ngroups // 2)}
    return {
        "dark_groups": groups[case["dark"]],
        "dark_nframes": case["nframes"],
        "dark_groupgap": case["groupgap"],
    }


def spoil(exposure: Exposure, how: str, rng: np.random.Generator) -> Exposure:
    """Put more of one fault into all references; `usual` leaves the little of each that they have."""
    if how == "missing":
        optional = ("mask", "saturation", "superbias", "linearity", "dark", "reset", "rscd")
        return exposure.without(*rng.choice(optional, size=3, replace=False))
    faults = {"NaN": _more_nan, "do not use": _more_do_not_use, "gain": _bad_gain, "unchecked": _unchecked}
    if how == "usual":
        return exposure
    spoiled = {
        kind: reference and replace(reference, arrays=faults[how](reference, rng))
        for kind, reference in exposure.references.items()
    }
    return replace(exposure, references=spoiled)


def _some(array: np.ndarray, rng: np.random.Generator, fraction: float) -> np.ndarray:
    """Pixels, the same in all planes."""
    return np.broadcast_to(rng.random(array.shape[-2:]) < fraction, array.shape)


def _more_nan(reference: Reference, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if reference.type == "ipc":
        return dict(reference.arrays)
    return {
        name: np.where(_some(array, rng, 0.04), np.float32(np.nan), array) if array.dtype == np.float32 else array
        for name, array in reference.arrays.items()
    }


def _more_do_not_use(reference: Reference, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        name: np.where(_some(array, rng, 0.06), array | np.uint32(DO_NOT_USE), array) if name == "dq" else array
        for name, array in reference.arrays.items()
    }


def _bad_gain(reference: Reference, rng: np.random.Generator) -> dict[str, np.ndarray]:
    if reference.type != "gain":
        return dict(reference.arrays)
    gain = reference.arrays["sci"].copy()
    for value in (np.nan, 0, -1.5):
        gain[_some(gain, rng, 0.05)] = value
    return {"sci": gain}


def _unchecked(reference: Reference, rng: np.random.Generator) -> dict[str, np.ndarray]:
    arrays = dict(reference.arrays)
    if reference.type == "saturation":
        unchecked = _some(arrays["dq"], rng, 0.2)
        arrays["dq"] = np.where(unchecked, arrays["dq"] | np.uint32(NO_SAT_CHECK), arrays["dq"])
    return arrays
