"""Random IRS2 exposures: an ordinary one with reference samples put between its rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from reprocess.calibration import irs2
from reprocess.calibration.reference import Reference
from tests.calibration import exposures
from tests.calibration.exposures import Exposure, Plan

BAD_REF_PIXEL = 1 << 17
NRS = Plan(instrument="NIRSPEC", detector="NRS1", exp_type="NRS_IFU", fast_axis=2, slow_axis=1)
NRS2 = {"detector": "NRS2", "fast_axis": -2, "slow_axis": -1}
IRS2 = replace(
    NRS,
    rows=2048,
    columns=2048,
    ngroups=3,
    outputs=4,
    header={"READPATT": "NRSIRS2RAPID", "NRS_NORM": 16, "NRS_REF": 4},
)


def make(plan: Plan) -> Exposure:
    """Make an IRS2 exposure; rows of the plan are those of the normal pixels."""
    exposure = exposures.make(plan)
    rng = np.random.default_rng(plan.seed + 1000)
    normal = irs2.normal_rows(plan.detector)
    references = {**exposure.references, "refpix": coefficients(rng)}
    mask, bias = references["mask"], references["superbias"]
    level = rng.normal(11000, 400, (irs2.RAW_ROWS, plan.columns)).astype(np.float32)
    if bias is not None:
        level[normal] = bias.arrays["sci"]
        flags = spread(bias.arrays["dq"], normal)
        references["superbias"] = Reference("superbias", {"sci": level, "dq": flags}, bias.keywords)
    if mask is not None:
        flags = spread(mask.arrays["dq"], normal)
        # Rows with bad reference pixels: a lone sample, a whole step aside and the one before, and a normal row.
        for row in (700, *range(1008, 1012), *range(1028, 1032), 5 * 20 + 9, 3000):
            flags[row, rng.integers(plan.columns)] |= np.uint32(BAD_REF_PIXEL)
        references["mask"] = Reference("mask", {"dq": flags}, mask.keywords)
    return replace(exposure, raw=_raw(exposure.raw, level, normal, rng), references=references)


def spread(normal_flags: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Flags of normal pixels in the rows of the raw frame."""
    flags = np.zeros((irs2.RAW_ROWS, normal_flags.shape[1]), np.uint32)
    flags[normal] = normal_flags
    return flags


def coefficients(rng: np.random.Generator) -> Reference:
    """A reference of type refpix with random coefficients and samples that are not to be used."""
    count = irs2.LINES * irs2.PLACES
    arrays = {}
    for output in range(4):
        for letter, size in (("alpha", 0.2), ("beta", 0.6)):
            arrays[f"{letter}_{output}"] = rng.normal(0, size, 2 * count).astype(np.float32)
    arrays["output"] = np.repeat(np.arange(1, 5), 2).astype(np.uint32)
    arrays["odd_even"] = np.tile([1, 2], 4).astype(np.uint32)
    arrays["mask"] = np.array([0, 1 << 31, 3 << 7, 1, 0, 5 << 10, 0xFFFFFFFF, 0], np.uint32)
    return Reference("refpix", arrays, {})


def _raw(raw: np.ndarray, level: np.ndarray, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    whole = np.empty((*raw.shape[:2], *level.shape), np.uint16)
    for integration, groups in enumerate(whole):
        for group, frame in enumerate(groups):
            samples = np.nan_to_num(level[~normal], nan=11000) + rng.normal(0, 12, level[~normal].shape)
            samples += rng.normal(0, 8, level.shape[1])
            frame[~normal] = np.clip(np.round(samples), 0, 65535)
            frame[normal] = raw[integration, group]
            # One pair that is noisy, one whose two samples differ, one that is too high.
            frame[328:330] = rng.integers(9000, 13000, (2, level.shape[1]))
            frame[809] += np.uint16(300)
            frame[2130:2132] += np.uint16(2500)
    return whole
