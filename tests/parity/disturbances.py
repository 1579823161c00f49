"""What can befall the raw data of an exposure, and a part of an exposure whose references cover more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.calibration.exposures import Exposure


def middle(exposure: Exposure, margin: int) -> Exposure:
    """Cut the raw data down, and with them dark and reset; the other references stay."""
    plan = exposure.plan
    margin = min(margin, (plan.rows - 4) // 2, (plan.columns - 4) // 2)
    if not margin:
        return exposure
    inner = slice(margin, -margin)
    shape = plan.rows - 2 * margin, plan.columns - 2 * margin
    cut = {
        "SUBSTRT1": plan.column_start + margin + 1,
        "SUBSTRT2": plan.row_start + margin + 1,
        "SUBSIZE1": shape[1],
        "SUBSIZE2": shape[0],
    }
    plan = replace(
        plan,
        rows=shape[0],
        columns=shape[1],
        row_start=plan.row_start + margin,
        column_start=plan.column_start + margin,
    )
    raw = np.ascontiguousarray(exposure.raw[..., inner, inner])
    references = {
        kind: made.rows(inner, exposure.plan.rows).columns(inner, exposure.plan.columns)
        for kind, made in exposure.references.items()
        if made is not None and kind in ("dark", "reset")
    }
    return replace(
        exposure, plan=plan, raw=raw, header=exposure.header | cut, references=exposure.references | references
    )


def _any(rng: np.random.Generator, length: int) -> int:
    return int(rng.integers(length))


def _lost_group(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[_any(rng, len(raw)), _any(rng, raw.shape[1])] = 0


def _lost_last_group(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[:, -1] = 0


def _lost_first_groups(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[:, : 1 + _any(rng, 2)] = 0


def _saturated_integration(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[_any(rng, len(raw))] = 65535


def _saturated_end(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[:, _any(rng, raw.shape[1]) :] = 65535


def _coarse(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw //= 64
    raw *= 64


def _dropouts(raw: np.ndarray, rng: np.random.Generator) -> None:
    raw[rng.random(raw.shape) < 0.05] = 0


def _blobs(raw: np.ndarray, rng: np.random.Generator) -> None:
    """Discs that saturate at once, with a rim that jumps."""
    rows, columns = np.ogrid[: raw.shape[2], : raw.shape[3]]
    for _ in range(1 + _any(rng, 4)):
        row, column, radius = _any(rng, raw.shape[2]), _any(rng, raw.shape[3]), rng.uniform(1, 9)
        distance = np.hypot(rows - row, columns - column)
        integration, group = _any(rng, len(raw)), _any(rng, raw.shape[1])
        hit = raw[integration, group:].astype(float) + np.where(distance < radius, rng.uniform(500, 5000), 0)
        hit[:, distance < radius / 2] = 65535 if rng.random() < 0.8 else 30000
        raw[integration, group:] = np.clip(hit, 0, 65535)


def _wide_glow(raw: np.ndarray, rng: np.random.Generator) -> None:
    """Many pixels that jump a little in the same group."""
    raw[_any(rng, len(raw)), _any(rng, raw.shape[1]) :, :, : raw.shape[3] // 2] += np.uint16(200)


ALL = {
    "lost group": _lost_group,
    "lost last group": _lost_last_group,
    "lost first groups": _lost_first_groups,
    "saturated integration": _saturated_integration,
    "saturated end": _saturated_end,
    "coarse": _coarse,
    "dropouts": _dropouts,
    "blobs": _blobs,
    "wide glow": _wide_glow,
}
