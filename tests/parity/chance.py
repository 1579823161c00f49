"""Exposures, faults and parameters drawn from everything that stage 1 can meet, by seed."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from reprocess.calibration import detector1
from tests.calibration import exposures
from tests.calibration.exposures import Exposure, Plan
from tests.parity import cases, disturbances

# Values of parameters; those that a step here does not have are left out.
PARAMETERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "saturation": {"n_pix_grow_sat": (0, 2, 3), "use_readpatt": (False,)},
    "refpix": {
        "odd_even_columns": (False,),
        "odd_even_rows": (False,),
        "use_side_ref_pixels": (False,),
        "side_gain": (0.7,),
        "side_smoothing_length": (3, 21),
        "siglimit": (2.0,),
    },
    "dark_current": {"average_dark_current": (0.0, 0.02, 3.0)},
    "charge_migration": {"signal_threshold": (5000.0, 20000.0)},
    "jump": {
        "rejection_threshold": (2.5, 3.0, 6.0, 12.0),
        "three_group_rejection_threshold": (3.0, 9.0),
        "four_group_rejection_threshold": (3.0, 9.0),
        "flag_4_neighbors": (False,),
        "min_jump_to_flag_neighbors": (4.0, 50.0),
        "max_jump_to_flag_neighbors": (30.0, 200.0),
        "after_jump_flag_dn1": (10.0, 500.0),
        "after_jump_flag_time1": (1.0, 4.0),
        "after_jump_flag_dn2": (1000.0,),
        "after_jump_flag_time2": (2.0, 20.0),
        "min_diffs_single_pass": (3, 5, 200),
        "minimum_sigclip_groups": (2, 4, 200),
        "only_use_ints": (False,),
    },
    "ramp_fit": {"suppress_one_group": (False,), "firstgroup": (1, 2), "lastgroup": (1, 3)},
}
SKIPPED = ("dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current", "jump", "gain_scale")
KINDS = {
    "NIRCAM": ("NRC_IMAGE", "NRC_CORON", "NRC_TSIMAGE"),
    "NIRISS": ("NIS_IMAGE", "NIS_AMI"),
    "FGS": ("FGS_IMAGE", "FGS_FOCUS"),
    "MIRI": ("MIR_IMAGE", "MIR_LYOT", "MIR_4QPM", "MIR_TACQ"),
}


@dataclass(frozen=True)
class Drawn:
    """A drawn exposure with the parameters of its steps.

    `plan` makes the references; the exposure is the middle of it if `margin` is not 0.
    """

    plan: Plan
    faults: tuple[str, ...]
    disturbances: tuple[str, ...]
    margin: int
    parameters: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        usual = Plan()
        plan = {f.name: getattr(self.plan, f.name) for f in fields(Plan)}
        unusual = {name: value for name, value in plan.items() if value != getattr(usual, name)}
        return f"{unusual} {self.faults} {self.disturbances} margin {self.margin} {self.parameters}"

    def make(self) -> tuple[Exposure, Exposure]:
        """Return the exposure, and the one that its references are made for."""
        rng = np.random.default_rng(self.plan.seed)
        whole = exposures.make(self.plan)
        for fault in self.faults:
            whole = cases.spoil(whole, fault, rng)
        for name in self.disturbances:
            disturbances.ALL[name](whole.raw, rng)
        return disturbances.middle(whole, self.margin), whole


def draw(seed: int) -> Drawn:
    """Draw a case."""
    rng = np.random.default_rng(seed)
    mode = _one(rng, list(cases.MODES))
    like = cases.MODES[mode]
    ngroups = _one(rng, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 20, 33))
    nints = _one(rng, (1, 1, 2, 3, 4, 7)) if rng.random() < 0.85 else 100
    nframes, groupgap = _one(rng, (1, 1, 2, 4, 5, 8)), _one(rng, (0, 0, 1, 2, 5))
    small = nints * ngroups > 150
    rows, columns = (int(rng.integers(8, 16 if small else 56)) for _ in range(2))
    if mode == "MIRI full width":
        rows, columns, nints = 6, cases.FULL_WIDTH, min(nints, 3)
    plan = replace(
        like,
        rows=rows,
        columns=columns,
        ngroups=ngroups,
        nints=nints,
        nframes=nframes,
        groupgap=groupgap,
        outputs=_one(rng, (1, 4)) if nints * ngroups < 30 else 1,
        exp_type=_one(rng, KINDS[like.instrument]),
        frame_divisor=8 if rng.random() < 0.15 else None,
        inverse=rng.random() < 0.15,
        kernel=_one(rng, (None, None, "plain", "pixel")),
        gain_factor=_one(rng, (None, None, 1.37)),
        skips=(int(rng.integers(-1, 6)), int(rng.integers(0, 6))),
        reset_groups=int(rng.integers(1, 8)),
        brightness=10 ** rng.uniform(0, 5) / (ngroups * (nframes + groupgap)) ** _one(rng, (0, 1)),
        header=_segment(rng, nints) if rng.random() < 0.2 else {},
        seed=seed,
        **_place(rng, mode, like, (rows, columns)),
        **_dark(rng, ngroups, nframes, groupgap),
    )
    margin = int(rng.integers(1, 4)) if rng.random() < 0.2 and mode != "MIRI full width" else 0
    faults = tuple(_some(rng, ("NaN", "do not use", "missing", "gain", "unchecked"), 0.2))
    befell = tuple(_some(rng, list(disturbances.ALL), 0.08))
    parameters = _parameters(rng, plan)
    if any(name.startswith("saturated") for name in befell):
        # Groups that every pixel loses to charge migration count officially, but slabs of an exposure know none.
        parameters.pop("charge_migration", None)
    return Drawn(plan, faults, befell, margin, parameters)


def _one(rng: np.random.Generator, levels: Any) -> Any:
    return levels[int(rng.integers(len(levels)))]


def _some(rng: np.random.Generator, levels: Any, chance: float) -> list[Any]:
    return [level for level in levels if rng.random() < chance]


def _segment(rng: np.random.Generator, nints: int) -> dict[str, int]:
    first = int(rng.integers(1, 5))
    return {"NINTS": first + nints + 2, "INTSTART": first, "INTEND": first + nints - 1}


def _place(rng: np.random.Generator, mode: str, like: Plan, shape: tuple[int, int]) -> dict[str, int]:
    if like.instrument == "MIRI":
        start = 0 if mode == "MIRI full width" else _one(rng, (0, 2, 400, 1032 - shape[1]))
        return {"row_start": _one(rng, (0, 300, 1024 - shape[0])), "column_start": start}
    starts = [_one(rng, (0, 2, 700, 2046 - length, 2048 - length)) for length in shape]
    return {"row_start": starts[0], "column_start": starts[1]}


def _dark(rng: np.random.Generator, ngroups: int, nframes: int, groupgap: int) -> dict[str, int | None]:
    fine = ngroups * nframes + (ngroups - 1) * groupgap
    if rng.random() < 0.4:
        return {"dark_groups": max(2, fine + _one(rng, (-3, 0, 4)))}
    coarser = 1 if rng.random() < 0.1 else 0
    return {
        "dark_groups": max(2, ngroups + int(rng.integers(-3, 4))),
        "dark_nframes": nframes + coarser,
        "dark_groupgap": groupgap,
    }


def _parameters(rng: np.random.Generator, plan: Plan) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    steps = {step.name: step for step in detector1.steps_for({"EXP_TYPE": plan.exp_type})}
    if rng.random() < 0.4:
        return {}
    for name, values in PARAMETERS.items():
        for parameter in _some(rng, [p for p in values if p in steps[name].parameters], 0.15):
            found.setdefault(name, {})[parameter] = _one(rng, values[parameter])
    if "charge_migration" in found:
        found["charge_migration"]["skip"] = False
    for name in _some(rng, [name for name in SKIPPED if name in steps], 0.06):
        found[name] = {"skip": True}
    return found
