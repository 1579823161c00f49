"""Runs the official stage 1, or the first steps of it, on an exposure of `tests.calibration.exposures`."""

import copy
from pathlib import Path

import numpy as np
from jwst.pipeline import Detector1Pipeline
from stdatamodels.jwst import datamodels

from tests.parity.steps import before_jump

REFERENCE_MODELS = {
    "mask": (datamodels.MaskModel, {"dq": "dq"}),
    "saturation": (datamodels.SaturationModel, {"data": "sci", "dq": "dq"}),
    "superbias": (datamodels.SuperBiasModel, {"data": "sci", "dq": "dq"}),
    "linearity": (datamodels.LinearityModel, {"coeffs": "coeffs", "dq": "dq"}),
    "dark": (datamodels.DarkModel, {"data": "sci", "dq": "dq"}),
    "gain": (datamodels.GainModel, {"data": "sci"}),
    "readnoise": (datamodels.ReadnoiseModel, {"data": "sci"}),
    "ipc": (datamodels.IPCModel, {"data": "sci"}),
    "reset": (datamodels.ResetModel, {"data": "sci", "dq": "dq"}),
    "rscd": (datamodels.RSCDModel, {}),
}
KEYWORDS = {
    "NFRAMES": "nframes",
    "GROUPGAP": "groupgap",
    "GAINFACT": "gain_factor",
    "NINTS": "nints",
    "NGROUPS": "ngroups",
}
STATUS = {"dark_current": "dark_sub"}


def science(exposure, folder, model_class=datamodels.RampModel):
    """The exposure as a ramp model, or as a model of Level 1b with its whole numbers."""
    header = exposure.header
    model = model_class(exposure.raw.shape)
    model.data = exposure.raw.astype(model.data.dtype)
    meta = model.meta
    meta.filename = str(folder / "jw00001001001_02101_00001_nrca1_uncal.fits")
    meta.telescope, meta.observation.date, meta.observation.time = "JWST", "2026-01-01", "00:00:00"
    meta.instrument.name, meta.instrument.detector = header["INSTRUME"], header["DETECTOR"]
    _subarray(model, header)
    meta.subarray.fastaxis, meta.subarray.slowaxis = header["FASTAXIS"], header["SLOWAXIS"]
    taken = meta.exposure
    taken.type, taken.readpatt, taken.noutputs = header["EXP_TYPE"], header["READPATT"], header["NOUTPUTS"]
    taken.nints, taken.ngroups, taken.nframes = header["NINTS"], header["NGROUPS"], header["NFRAMES"]
    taken.groupgap, taken.drop_frames1 = header["GROUPGAP"], header["DRPFRMS1"]
    taken.frame_time, taken.group_time = header["TFRAME"], header["TGROUP"]
    taken.frame_divisor = header.get("FRMDIVSR")
    taken.nrs_normal, taken.nrs_reference = header.get("NRS_NORM"), header.get("NRS_REF")
    taken.integration_start, taken.integration_end = header.get("INTSTART"), header.get("INTEND")
    return model


def _subarray(model, header):
    window = model.meta.subarray
    window.name = header["SUBARRAY"]
    window.xstart, window.xsize = header["SUBSTRT1"], header["SUBSIZE1"]
    window.ystart, window.ysize = header["SUBSTRT2"], header["SUBSIZE2"]


def references(exposure, folder):
    """The references as files, by type; N/A for those that are missing."""
    names = dict.fromkeys((*REFERENCE_MODELS, "refpix", "sirskernel"), "N/A")
    for kind, (model_class, arrays) in REFERENCE_MODELS.items():
        given = exposure.references.get(kind)
        if given is None:
            continue
        miri_dark = (kind, exposure.header["INSTRUME"]) == ("dark", "MIRI")
        model = datamodels.DarkMIRIModel() if miri_dark else model_class()
        for attribute, name in arrays.items():
            setattr(model, attribute, given.arrays[name].copy())
        if "inv_coeffs" in given.arrays:
            model.inv_coeffs = given.arrays["inv_coeffs"].copy()
        if kind == "ipc":
            model.data = whole_kernel(given.arrays["sci"], exposure.plan)
        if "dq" in arrays:
            model.dq_def = dq_definition(model)
        if kind == "rscd":
            model.rscd_group_skip_table = skip_table(given, model)
        elif kind != "ipc":
            _subarray(model, exposure.header)
        meta = model.meta
        meta.instrument.name, meta.instrument.detector = exposure.header["INSTRUME"], exposure.header["DETECTOR"]
        meta.reftype, meta.author, meta.pedigree = kind, "nobody", "GROUND"
        meta.description, meta.useafter = "random", "2000-01-01T00:00:00"
        for keyword, attribute in KEYWORDS.items():
            if keyword in given.keywords:
                setattr(meta.exposure, attribute, given.keywords[keyword])
        if kind == "dark":
            meta.exposure.ngroups = given.arrays["sci"].shape[-3]
            meta.exposure.average_dark_current = given.keywords.get("AVDRKCUR")
        path = Path(folder) / f"{kind}.fits"
        model.save(path)
        names[kind] = str(path)
    names["refpix"] = save_coefficients(exposure, folder)
    return names


def save_coefficients(exposure, folder):
    """The reference of IRS2 frames as a file; N/A where there is none."""
    given = exposure.references.get("refpix")
    if given is None:
        return "N/A"
    model = datamodels.IRS2Model()
    for table, renamed in (("irs2_table", str), ("dq_table", str.lower)):
        dtype = model.get_dtype(table)
        rows = np.zeros(len(given.arrays[renamed(dtype.names[0])]), dtype)
        for name in dtype.names:
            rows[name] = given.arrays[renamed(name)]
        setattr(model, table, rows)
    meta = model.meta
    meta.instrument.name, meta.instrument.detector = exposure.header["INSTRUME"], exposure.header["DETECTOR"]
    meta.reftype, meta.author, meta.pedigree = "refpix", "nobody", "GROUND"
    meta.description, meta.useafter = "random", "2000-01-01T00:00:00"
    path = Path(folder) / "refpix.fits"
    model.save(path)
    return str(path)


def skip_table(given, model):
    """The rows of a table of groups to skip."""
    dtype = model.get_dtype("rscd_group_skip_table")
    return np.array(list(zip(*(given.arrays[name] for name in dtype.names), strict=True)), dtype=dtype)


def dq_definition(model):
    """A table that maps every bit to itself."""
    names = {value: name for name, value in datamodels.dqflags.pixel.items() if value}
    dtype = model.get_dtype("dq_def")
    rows = [(bit, 1 << bit, names[1 << bit], "") for bit in range(32) if 1 << bit in names]
    return np.array(rows, dtype=dtype)


def pipeline(exposure, folder, parameters=None):
    """The official pipeline with every reference named and no look-up."""
    pipe = Detector1Pipeline()
    pipe.prefetch_references = False
    pipe.output_dir = str(folder)
    names = references(exposure, folder)
    for step_name in pipe.step_defs:
        step = getattr(pipe, step_name)
        for kind in step.reference_file_types:
            setattr(step, f"override_{kind}", names.get(kind, "N/A"))
        for name, value in (parameters or {}).get(step_name, {}).items():
            setattr(step, name, value)
    return pipe


def whole_kernel(kernel, plan):
    """A kernel for each pixel covers the detector from its first pixel on, not the subarray."""
    if kernel.ndim == 2:
        return kernel.copy()
    return np.pad(kernel, [(0, 0), (0, 0), (plan.row_start, 0), (plan.column_start, 0)])


def trail(exposure, folder, parameters=None):
    """Data, groupdq, pixeldq and the status after each of the steps before jump, by step."""
    pipe = pipeline(exposure, folder, parameters)
    model = science(exposure, folder)
    seen = {}
    for name in before_jump(exposure):
        model = getattr(pipe, name).run(model)
        arrays = [np.array(array) for array in (model.data, model.groupdq, model.pixeldq)]
        seen[name] = (*arrays, getattr(model.meta.cal_step, STATUS.get(name, name)))
    return seen


def detector1(exposure, folder, parameters=None):
    """The official rate and rateints models; None, None where the official pipeline makes none."""
    pipe = pipeline(exposure, folder, parameters)
    kept = []

    def keep(model, suffix=None, **_):
        if suffix == "rateints":
            kept.append(copy.deepcopy(model))

    pipe.save_model = keep
    rate = pipe.run(science(exposure, folder))
    return rate, kept[0] if kept else None
