"""Runs the first steps of this package's stage 1 as the official ones are run, and compares."""

from dataclasses import replace

import numpy as np

from reprocess.calibration import chain, facts, irs2, preparation
from reprocess.calibration.steps import resolve, steps_of
from reprocess.exposure import Band
from tests.calibration.exposures import FGS, MIRI, MIRI_FULL, NIRISS, Plan

BEFORE_JUMP = {
    "NIR": ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current"),
    "MIRI": (
        *("group_scale", "dq_init", "emicorr", "saturation", "ipc", "firstframe", "lastframe", "reset", "linearity"),
        *("rscd", "dark_current", "refpix"),
    ),
}

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


# Exposures that MIRI's steps are held against the official ones with.
MIRI_PLANS = {
    "MIRI subarray, three groups": replace(MIRI, ngroups=3),
    "MIRI subarray, five groups, two integrations": replace(MIRI, nints=2),
    "MIRI subarray, eleven groups, three integrations": replace(MIRI, ngroups=11, nints=3, skips=(3, 5)),
    "MIRI subarray with reference pixels": replace(MIRI, column_start=0, ngroups=7, nints=2),
    "MIRI subarray with the last columns": replace(MIRI, column_start=1032 - 64, ngroups=7, kernel="plain"),
    "MIRI, bright": replace(MIRI, ngroups=11, nints=3, skips=(4, 6), brightness=3000),
    "MIRI, later segment": replace(
        MIRI, ngroups=8, nints=2, skips=(2, 4), header={"NINTS": 5, "INTSTART": 3, "INTEND": 4}
    ),
    "MIRI, first segment": replace(
        MIRI, ngroups=8, nints=2, skips=(2, 4), header={"NINTS": 5, "INTSTART": 1, "INTEND": 2}
    ),
    "MIRI, table of old": replace(MIRI, ngroups=8, nints=2, skips=(-1, 4)),
    "MIRI, subarray not in the table": replace(MIRI, ngroups=8, header={"SUBARRAY": "MASK1065"}),
    "MIRI, old name of a subarray": replace(MIRI, ngroups=8, nints=2, skips=(1, 3), header={"SUBARRAY": "SUBPRISM"}),
    "MIRI, two groups": replace(MIRI, ngroups=2),
    "MIRI, one group": replace(MIRI, ngroups=1),
    "MIRI, more groups than the dark and fewer than the reset": replace(MIRI, dark_groups=3, reset_groups=6),
    "MIRI, averaged frames": replace(MIRI, ngroups=6, nframes=4, groupgap=1, nints=2),
    "MIRI, averaged frames, a short dark": replace(MIRI, ngroups=6, nframes=4, groupgap=1, nints=4, dark_groups=7),
    "MIRI, averaged frames, later segment": replace(
        MIRI, ngroups=6, nframes=4, nints=2, header={"NINTS": 5, "INTSTART": 3, "INTEND": 4}
    ),
    "MIRI, divided frames": replace(MIRI, ngroups=6, nframes=5, frame_divisor=8, nints=2),
    "MIRI, dark of coarser readout": replace(MIRI, dark_nframes=2),
    "MIRI coronagraph": replace(MIRI, exp_type="MIR_LYOT", ngroups=7, nints=2, skips=(2, 3)),
    "MIRI target acquisition": replace(MIRI, exp_type="MIR_TACQ", ngroups=7, nframes=4),
    "MIRI, nothing given": replace(
        MIRI, ngroups=6, missing=("mask", "saturation", "superbias", "linearity", "dark", "reset", "rscd")
    ),
    "MIRI full frame": MIRI_FULL,
}


def before_jump(exposure):
    """The steps before jump of the exposure's instrument, in their order."""
    return BEFORE_JUMP.get(exposure.plan.instrument, BEFORE_JUMP["NIR"])


def after(last, exposure, parameters=None):
    """Data, groupdq, pixeldq and the status after the steps up to `last`."""
    order = before_jump(exposure)
    later = order[order.index(last) + 1 :]
    wanted = {name: dict(values) for name, values in (parameters or {}).items()}
    for name in later:
        wanted.setdefault(name, {})["skip"] = True
    readout = exposure.readout
    settings = resolve(steps_of(exposure.plan.exp_type, interleaved=readout.interleaved), wanted)
    settled = chain.settle(exposure.references, readout=readout, settings=settings, band=Band(0, readout.rows))
    signal = facts.reference_signal(exposure.raw, settled, exposure.references, settings)
    raw = exposure.raw[:, :, irs2.normal_rows(readout.detector)] if readout.interleaved else exposure.raw
    ramp = preparation.prepare(raw, settled, signal)
    return ramp.data, ramp.groupdq, ramp.pixeldq, chain.statuses(settled).get(last, "SKIPPED")


def assert_same(ours, theirs):
    """The same status, and the same bits in data, groupdq and pixeldq."""
    assert ours[3] == theirs[3]
    for name, our, their in zip(("data", "groupdq", "pixeldq"), ours[:3], theirs[:3], strict=True):
        assert our.dtype == their.dtype, name
        np.testing.assert_array_equal(our, their, err_msg=name)
