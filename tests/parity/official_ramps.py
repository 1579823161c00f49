"""Runs the official jump step and ramp fit on the ramps of `tests.calibration.ramps`, without any look-up."""

from unittest import mock

from jwst.jump import JumpStep
from jwst.ramp_fitting import RampFitStep
from stdatamodels.jwst import datamodels

_OPTIONAL = (
    "slope",
    "sigslope",
    "var_poisson",
    "var_rnoise",
    "yint",
    "sigyint",
    "pedestal",
    "weights",
    "crmag",
)


def _prepared(model, instrument):
    model.meta.instrument.name = instrument
    window, (rows, columns) = model.meta.subarray, model.shape[-2:]
    window.xstart = window.ystart = 1
    window.xsize, window.ysize = columns, rows
    return model


def _run(step, ramps, readout, parameters, dark_current=None, zeroframe=None):
    model = _prepared(datamodels.RampModel(ramps.data.shape), readout.instrument)
    model.data, model.groupdq, model.pixeldq = (array.copy() for array in ramps.arrays[:3])
    if dark_current is not None:
        model.average_dark_current = dark_current.copy()
    if zeroframe is not None:
        model.zeroframe = zeroframe.copy()
    taken = model.meta.exposure
    taken.drop_frames1 = readout.drop_frames1
    taken.type, taken.ngroups, taken.groupgap = readout.exp_type, readout.ngroups, readout.groupgap
    taken.nframes, taken.group_time, taken.frame_time = readout.nframes, readout.group_time_s, readout.frame_time_s
    step.override_gain = _prepared(datamodels.GainModel(data=ramps.gain.copy()), readout.instrument)
    step.override_readnoise = _prepared(datamodels.ReadnoiseModel(data=ramps.readnoise.copy()), readout.instrument)
    for name, value in parameters.items():
        setattr(step, name, value)
    return step.process(model)


def jump(ramps, readout, parameters):
    """Flags of groups and pixels after the official jump step."""
    result = _run(JumpStep(), ramps, readout, parameters)
    return result.groupdq, result.pixeldq


def ramp_fit(ramps, readout, parameters, dark_current=None, zeroframe=None):
    """The official rate and rateints models, or None and None."""
    return _run(RampFitStep(), ramps, readout, parameters, dark_current, zeroframe)


def optional_fit(ramps, readout, parameters, zeroframe=None):
    """Arrays of the official optional product, by name."""
    kept = {}

    def keep(step, model, suffix=None, **others):
        if suffix == "fitopt":
            kept.update({name: getattr(model, name).copy() for name in _OPTIONAL})

    with mock.patch.object(RampFitStep, "save_model", keep):
        _run(RampFitStep(), ramps, readout, {**parameters, "save_opt": True}, None, zeroframe)
    return kept
