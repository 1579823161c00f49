"""Subtract what the reset of MIRI's detector leaves in the first groups of an integration."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import Reference
from reprocess.calibration.step import Step

STEP = Step(
    name="reset",
    keyword="S_RESET",
    revision=1,
    reference_types=("reset",),
    parameters=MappingProxyType({"skip": False}),
)


@dataclass(frozen=True, slots=True)
class Decay:
    """The signal after a reset, for a band of rows.

    Attributes
    ----------
    signal : float32 array, (integration, group, row, column)
        DN, NaN where unknown. The last integration stands for all that follow.
    flags : uint32 array, (row, column)
    first_integration : int
        0-based number, in the exposure, of the first integration of the file.
    """

    signal: NDArray[np.float32]
    flags: NDArray[np.uint32]
    first_integration: int

    def of(self, integration: int, rows: slice) -> NDArray[np.float32]:
        """Return the signal of an integration of the file, (group, row, column), 0 where unknown."""
        plane = min(self.first_integration + integration, len(self.signal) - 1)
        return np.nan_to_num(self.signal[plane, :, rows], nan=0.0, posinf=np.inf, neginf=-np.inf)


def settle(reference: Reference, readout: Readout, shape: tuple[int, int]) -> Decay:
    """Take from a reset reference the integrations and groups that its keywords promise.

    Parameters
    ----------
    reference : Reference
    readout : Readout
    shape : tuple of int
        Rows and columns of the band.

    Raises
    ------
    errors.DamagedReference
        If it is no cube of (integration, group, row, column), or has fewer of them than NINTS and NGROUPS say.
    """
    nints, ngroups = reference.integer("NINTS"), reference.integer("NGROUPS")
    signal = reference.array("sci", shape)
    if signal.ndim != 4 or not 0 < nints <= signal.shape[0] or not 0 < ngroups <= signal.shape[1]:
        raise errors.DamagedReference(
            f"{reference.label} has axes {signal.shape}, but NINTS={nints} and NGROUPS={ngroups} promise that many "
            "integrations and groups; take another file of this type"
        )
    used = min(ngroups, readout.ngroups)
    return Decay(signal[:nints, :used], reference.array("dq", shape), readout.first_integration - 1)


def subtract(data: NDArray[np.float32], *, decay: NDArray[np.float32]) -> NDArray[np.float32]:
    """Subtract the signal after the reset from the first groups of an integration, in place.

    Parameters
    ----------
    data : float32 array, (group, row, column)
        DN.
    decay : float32 array, (group, row, column)
        DN; no more groups than `data` has.
    """
    data[: len(decay)] -= decay
    return data
