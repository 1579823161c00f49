"""The rate of an exposure from the rates of its integrations, for the likelihood fit.

Each integration has its photon variance scaled to the rate that all have in common, so that one that is low by chance
does not weigh more. That rate is a median first, and is improved twice. All in single precision, as in the official
algorithm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.dq import DO_NOT_USE
from reprocess.calibration.rate import Rate

Image = NDArray[np.float32]

_ROUNDS = 2
_BLOCK = 1 << 13  # pixels


def combined(rateints: Rate) -> Rate:
    """Combine integrations.

    Parameters
    ----------
    rateints : Rate
        (integration, pixel). The result may share its memory if there is only one.
    """
    if len(rateints.sci) == 1:
        return Rate(*(getattr(rateints, name)[0] for name in Rate.__slots__))
    pixels = rateints.sci.shape[1]
    sci, err, photon, read = (np.empty(pixels, np.float32) for _ in range(4))
    for start in range(0, pixels, _BLOCK):
        block = slice(start, start + _BLOCK)
        sci[block], photon[block], read[block] = _combined(
            rateints.sci[:, block], rateints.var_poisson[:, block], rateints.var_rnoise[:, block]
        )
        np.sqrt(photon[block] + read[block], out=err[block])
    return Rate(sci=sci, err=err, dq=_flags(rateints.dq), var_poisson=photon, var_rnoise=read)


def _combined(rates: Image, photon: Image, read: Image) -> tuple[Image, Image, Image]:
    """Return the rate and its variances."""
    rate = _median(rates)
    for _ in range(_ROUNDS):
        scale: Image = rate / rates
        scale[~np.isfinite(scale) | (scale < 0)] = 0
        scaled: Image = photon * scale
        weight: Image = np.float32(1) / (scaled + read)
        weight /= _known_total(weight, 0)
        product: Image = rates * weight
        rate = _known_total(product, np.nan)
    weight *= weight
    scaled *= weight
    weight *= read
    return rate, _known_total(scaled, np.nan), _known_total(weight, np.nan)


def _median(rates: Image) -> Image:
    """Return the median along the first axis, NaN left out; NaN if there is nothing else."""
    ordered = np.sort(rates, axis=0)
    known = np.add.reduce(~np.isnan(rates), axis=0, dtype=np.intp)
    lower = np.take_along_axis(ordered, np.maximum(known - 1, 0)[np.newaxis] // 2, axis=0)[0]
    upper = np.take_along_axis(ordered, np.minimum(known // 2, len(rates) - 1)[np.newaxis], axis=0)[0]
    middle: Image = np.where(known % 2 == 1, lower, (lower + upper) / np.float32(2))
    return middle


def _known_total(values: Image, nothing: float) -> Image:
    """Return the sum along the first axis, NaN left out, added in its order; `nothing` where all are NaN."""
    unknown = np.isnan(values)
    known = np.where(unknown, np.float32(0), values)
    result: Image = known[0].copy()
    for row in known[1:]:
        result += row
    result[np.logical_and.reduce(unknown, axis=0)] = nothing
    return result


def _flags(flags: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the flags of any integration, and DO_NOT_USE where all have it."""
    unusable = np.uint32(DO_NOT_USE)
    either: NDArray[np.uint32] = np.bitwise_or.reduce(flags, axis=0) & ~unusable
    every: NDArray[np.uint32] = np.bitwise_and.reduce(flags, axis=0) & unusable
    return either | every
