"""What `reprocess calibrate --save-step` writes is what the official step gives on the same files."""

import warnings

import numpy as np
import pytest

CHAIN = (
    *("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current"),
    *("charge_migration", "jump", "picture_frame", "clean_flicker_noise", "persistence", "ramp_fit", "gain_scale"),
)
STEPS = ("dq_init", "saturation", "superbias", "refpix", "linearity", "dark_current", "jump", "ramp_fit", "gain_scale")


@pytest.fixture(scope="module")
def saved(official, tmp_path_factory):
    """Paths that the command wrote, by suffix, with the files it was given."""
    from tests import laptop_files

    folder = tmp_path_factory.mktemp("saved")
    files = laptop_files.write(folder)
    made = laptop_files.calibrate(files, folder / "out", save_steps=STEPS)
    return files, {path.stem.split("_nrca1_")[-1].split("_nrca2_")[-1]: path for path in made}


@pytest.fixture(scope="module")
def theirs(official, saved, tmp_path_factory):
    """What the official steps give, one after the other, by the suffix that the official files have."""
    from jwst.pipeline import Detector1Pipeline
    from stdatamodels.jwst import datamodels

    files, _ = saved
    pipe = Detector1Pipeline()
    pipe.prefetch_references = False
    found = {}
    model = datamodels.RampModel(str(files.uncal))
    for name in CHAIN:
        step = getattr(pipe, name)
        for kind in step.reference_file_types:
            path = files.references.get(kind)
            setattr(step, f"override_{kind}", str(path) if path else "N/A")
        if name == "ramp_fit":
            model, ints = step.run(model)
            found |= {"0_ramp_fit": model.copy(), "1_ramp_fit": ints.copy()}
        elif name == "gain_scale":
            found |= {"gain_scale": step.run(model).copy(), "gain_scaleints": step.run(ints).copy()}
        else:
            model = step.run(model)
            if name not in STEPS:
                continue
            found[name] = model.copy()
    return found


@pytest.mark.parametrize("suffix", [*STEPS[:-2], "0_ramp_fit", "1_ramp_fit", "gain_scale", "gain_scaleints"])
def test_same_file(saved, theirs, suffix):
    """The official reader opens the file without a warning as the model of the step, with its arrays and statuses."""
    from stdatamodels.jwst import datamodels

    their = theirs[suffix]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(saved[1][suffix]) as our:
            assert our.meta.filename == saved[1][suffix].name
            names = ("data", "pixeldq", "groupdq") if our.data.ndim == 4 else ("data", "err", "dq", "var_poisson")
            arrays = {name: np.array(getattr(our, name)) for name in names}
            kind, statuses = type(our).__name__, our.meta.cal_step.instance
    assert kind == type(their).__name__
    assert statuses == {name: value for name, value in their.meta.cal_step.instance.items() if name in statuses}
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, getattr(their, name), rtol=2e-6, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(array, getattr(their, name), err_msg=name)
