"""Undo the on-board division of a group's frames where it was not by their number."""

from __future__ import annotations

from types import MappingProxyType

from reprocess.calibration.readout import Readout
from reprocess.calibration.step import Step

STEP = Step(name="group_scale", keyword="S_GRPSCL", revision=1, parameters=MappingProxyType({"skip": False}))


def factor(readout: Readout) -> float | None:
    """Return FRMDIVSR / NFRAMES, by which every group is multiplied; None where nothing is to be done.

    The detectors' electronics divide the sum of a group's frames by a power of two; a group of, say, five frames
    comes down divided by eight.
    """
    if readout.frame_divisor is None or readout.frame_divisor == readout.nframes:
        return None
    return float(readout.frame_divisor) / readout.nframes
