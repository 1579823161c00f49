"""What `reprocess calibrate` writes of each segment is what the official step gives on the same files."""

import warnings

import numpy as np

from tests.parity.test_parity_saved_steps import CHAIN

PLANES = ("slope", "sigslope", "var_poisson", "yint", "sigyint", "var_rnoise", "pedestal", "weights", "crmag")


def theirs(files):
    """The optional model of the official ramp fit."""
    from jwst.pipeline import Detector1Pipeline
    from stdatamodels.jwst import datamodels

    pipe, kept = Detector1Pipeline(), []
    pipe.prefetch_references = False
    model = datamodels.RampModel(str(files.uncal))
    for name in CHAIN[: CHAIN.index("ramp_fit") + 1]:
        step = getattr(pipe, name)
        for kind in step.reference_file_types:
            setattr(step, f"override_{kind}", str(files.references[kind]) if kind in files.references else "N/A")
        if name == "ramp_fit":
            step.save_opt = True
            step.save_model = lambda model, *_, **__: kept.append(model.copy())
        model = step.run(model)
    return kept[0]


def test_same_segments(official, tmp_path):
    """The official reader opens the file without a warning, and finds the official numbers in the same places."""
    from stdatamodels.jwst import datamodels

    from tests import laptop_files

    files = laptop_files.write(tmp_path)
    made = laptop_files.calibrate(files, tmp_path / "out", parameters={"ramp_fit": {"save_opt": True}})
    expected = theirs(files)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(str(made[-1])) as model:
            assert isinstance(model, datamodels.RampFitOutputModel)
            for name in PLANES:
                their = getattr(expected, name)
                our = getattr(model, name)
                assert our.shape == their.shape, name
                np.testing.assert_allclose(our, their, rtol=2e-5, atol=1e-4, err_msg=name)
