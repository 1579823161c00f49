"""Runs the first steps of this package's stage 1 as the official ones are run, and compares."""

import numpy as np

from reprocess.calibration import chain, facts, preparation
from reprocess.calibration.steps import STEPS, resolve
from reprocess.exposure import Band

BEFORE_JUMP = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current")


def after(last, exposure, parameters=None):
    """Data, groupdq, pixeldq and the status after the steps up to `last`."""
    later = BEFORE_JUMP[BEFORE_JUMP.index(last) + 1 :]
    wanted = {name: dict(values) for name, values in (parameters or {}).items()}
    for name in later:
        wanted.setdefault(name, {})["skip"] = True
    settings = resolve(STEPS, wanted)
    readout = exposure.readout
    settled = chain.settle(exposure.references, readout=readout, settings=settings, band=Band(0, readout.rows))
    signal = facts.reference_signal(exposure.raw, exposure.references, readout=readout, settings=settings)
    ramp = preparation.prepare(exposure.raw, settled, signal)
    return ramp.data, ramp.groupdq, ramp.pixeldq, chain.statuses(settled)[last]


def assert_same(ours, theirs):
    """The same status, and the same bits in data, groupdq and pixeldq."""
    assert ours[3] == theirs[3]
    for name, our, their in zip(("data", "groupdq", "pixeldq"), ours[:3], theirs[:3], strict=True):
        assert our.dtype == their.dtype, name
        np.testing.assert_array_equal(our, their, err_msg=name)
