"""Open products with the official data models, every warning an error; run by test_parity_formats.py."""

import json
import sys
import warnings

import numpy as np

warnings.simplefilter("error")

from stdatamodels.jwst import datamodels  # noqa: E402

WANTED = (
    "meta.filename",
    "meta.model_type",
    "meta.exposure.type",
    "meta.exposure.group_time",
    "meta.cal_step.jump",
    "meta.ref_file.superbias.name",
    "meta.ref_file.crds.context_used",
    "meta.wcsinfo.crval1",
    "meta.bunit_data",
    "meta.bunit_err",
    "meta.calibration_software_version",
)


def describe(path):
    """What the official reader finds in a file."""
    with datamodels.open(path) as model:
        tree = model.to_flat_dict(include_arrays=False)
        found = {name: tree.get(name) for name in WANTED}
        sums = {name: float(getattr(model, name).sum(dtype="f8")) for name in ("err", "var_poisson", "var_rnoise")}
        found |= {"class": type(model).__name__, "shape": model.data.shape, "dq": int(model.dq.sum(dtype="u8")), **sums}
        found["logs"] = list(model.cal_logs.instance["reprocess"])
        found["meta"] = {name: value for name, value in tree.items() if value is not None and name.startswith("meta.")}
        times = model.int_times if found["class"] == "CubeModel" else None
        found["int_times"] = None if times is None else [float(value) for value in times["int_mid_MJD_UTC"]]
    kind = getattr(datamodels, found["class"])
    with kind(path, strict_validation=True, validate_on_assignment=True, validate_arrays=True) as model:
        model.validate()
    return found


def flattened(path):
    """Largest difference between the official flat-field correction of a product and its pixels divided by two.

    None for a file whose pixels are not of the shape that its Level 1b headers promise.
    """
    from jwst.flatfield import flat_field

    with datamodels.open(path) as model:
        before, shape = model.data.copy(), model.data.shape[-2:]
        if (model.meta.subarray.ysize, model.meta.subarray.xsize) != shape:
            return None
        flat = datamodels.FlatModel(data=np.full(shape, 2, "f4"), dq=np.zeros(shape, "u4"), err=np.zeros(shape, "f4"))
        flat.meta.instrument.name = model.meta.instrument.name
        flat.meta.subarray = model.meta.subarray
        result, _ = flat_field.do_correction(model, flat)
        assert result.meta.cal_step.flat_field == "COMPLETE"
        return float(np.nanmax(np.abs(result.data - before / 2)))


report = [describe(path) for path in sys.argv[1:]]
warnings.resetwarnings()
for path, found in zip(sys.argv[1:], report, strict=True):
    found["flattened"] = flattened(path)
print(json.dumps(report, default=str))
