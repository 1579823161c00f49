"""What the ramp fit gives: count rates with their errors, variances and flags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration.optional_fit import OptionalFit


@dataclass(frozen=True, slots=True)
class Rate:
    """Count rates of an exposure, (row, column), or of each integration, (integration, row, column).

    Attributes
    ----------
    sci : float32 array
        Count rate in DN/s; NaN where nothing could be fitted.
    err : float32 array
        Its standard error in DN/s; 0 where `sci` is NaN because of flags.
    dq : uint32 array
        Flags of the pixel and of its groups.
    var_poisson, var_rnoise : float32 array
        Variance from photon noise and from read noise, in (DN/s)^2.
    """

    sci: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: NDArray[np.uint32]
    var_poisson: NDArray[np.float32]
    var_rnoise: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fit:
    """Both results of one ramp fit.

    Attributes
    ----------
    rate : Rate
        All integrations combined, (row, column).
    rateints : Rate
        Each integration by itself, (integration, row, column). Of a single integration, it shares memory with `rate`.
    optional : OptionalFit or None
        Each segment by itself, if it was asked for.
    """

    rate: Rate
    rateints: Rate
    optional: OptionalFit | None = None
