"""Runs the first steps of this package's stage 1 as the official ones are run, and compares."""

from dataclasses import replace

import numpy as np

from reprocess.calibration import chain, facts, preparation
from reprocess.calibration.steps import STEPS, resolve
from reprocess.exposure import Band
from tests.calibration.exposures import FGS, NIRISS, Plan

BEFORE_JUMP = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current")

# Exposures that all steps before jump are held against the official ones with.
PLANS = {
    "single frames": Plan(),
    "averaged frames, a gap, two integrations": Plan(ngroups=6, nframes=4, groupgap=1, nints=2),
    "bright": Plan(ngroups=7, nframes=4, brightness=3000),
    "NIRISS": replace(NIRISS, nints=2, row_start=100),
    "FGS with four outputs": replace(FGS, outputs=4, rows=48),
    "upper corner with four outputs": Plan(
        fast_axis=1, slow_axis=-2, row_start=1984, column_start=1990, columns=58, outputs=4
    ),
    "no reference pixels": Plan(row_start=700, column_start=900),
    "one group": Plan(ngroups=1),
    "capacitance, one kernel": Plan(kernel="plain"),
    "capacitance, a kernel for each pixel": Plan(kernel="pixel", nints=2),
    "five frames divided by eight": Plan(nframes=5, frame_divisor=8, rows=32),
    "inverse polynomials": Plan(ngroups=6, nframes=4, groupgap=1, nints=2, inverse=True, brightness=300),
    "inverse polynomials that are not used": Plan(inverse=True),
    "short dark": Plan(ngroups=6, dark_groups=3),
    "short dark, averaged": Plan(ngroups=6, nframes=2, groupgap=1, dark_groups=7),
    "dark of coarser readout": Plan(dark_nframes=2),
    "nothing given": Plan(missing=("mask", "saturation", "superbias", "linearity", "dark")),
}


def after(last, exposure, parameters=None):
    """Data, groupdq, pixeldq and the status after the steps up to `last`."""
    later = BEFORE_JUMP[BEFORE_JUMP.index(last) + 1 :]
    wanted = {name: dict(values) for name, values in (parameters or {}).items()}
    for name in later:
        wanted.setdefault(name, {})["skip"] = True
    settings = resolve(STEPS, wanted)
    readout = exposure.readout
    settled = chain.settle(exposure.references, readout=readout, settings=settings, band=Band(0, readout.rows))
    signal = facts.reference_signal(exposure.raw, settled)
    ramp = preparation.prepare(exposure.raw, settled, signal)
    return ramp.data, ramp.groupdq, ramp.pixeldq, chain.statuses(settled)[last]


def assert_same(ours, theirs):
    """The same status, and the same bits in data, groupdq and pixeldq."""
    assert ours[3] == theirs[3]
    for name, our, their in zip(("data", "groupdq", "pixeldq"), ours[:3], theirs[:3], strict=True):
        assert our.dtype == their.dtype, name
        np.testing.assert_array_equal(our, their, err_msg=name)
