"""Bring rates of a non-standard gain setting to the standard one."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from reprocess.calibration.rate import Rate
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Step

STEP = Step(
    name="gain_scale",
    keyword="S_GANSCL",
    revision=1,
    reference_types=("gain",),
    parameters=MappingProxyType({"skip": False}),
)


def factor(gain: Reference | None) -> float | None:
    """Return GAINFACT of the gain reference, or None: nothing is to be done."""
    return None if gain is None else gain.number("GAINFACT")


def scale(rate: Rate, *, by: float) -> Rate:
    """Multiply signal and error by a factor, variances by its square.

    Parameters
    ----------
    rate : Rate
        DN/s.
    by : float
        GAINFACT.
    """
    return replace(
        rate,
        sci=rate.sci * by,
        err=rate.err * by,
        var_poisson=rate.var_poisson * by**2,
        var_rnoise=rate.var_rnoise * by**2,
    )
