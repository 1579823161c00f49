import dataclasses
import io

import numpy as np
import pytest
from astropy.io import fits

from reprocess.calibration import ramp_fit
from reprocess.formats.fit_product import write_fitopt
from tests.calibration import ramps as make
from tests.formats.test_product import INFO, metadata


def optional(*, hit: bool):
    ramps = make.flagged(5, (2, 6, 8, 9)) if hit else make.plain(np.ones((2, 6, 8, 9)))
    parameters = {"save_opt": True}
    fit = ramp_fit.fit(make.ramp(ramps), make.images(ramps), readout=make.readout(ramps), parameters=parameters)
    return fit.optional


@pytest.mark.parametrize("hit", [True, False])
def test_planes_come_back(hit):
    """Every plane with values in it is an extension of its official name, and the header names the kind of model."""
    fit = optional(hit=hit)
    with fits.open(io.BytesIO(b"".join(write_fitopt(fit, metadata(), INFO)))) as file:
        assert file["PRIMARY"].header["DATAMODL"] == "RampFitOutputModel"
        assert file["PRIMARY"].header["FILENAME"] == f"{INFO.dataset}_fitopt.fits"
        for plane in dataclasses.fields(fit):
            values = getattr(fit, plane.name)
            assert (plane.name.upper() in file) == (values.size > 0)
            if values.size:
                np.testing.assert_array_equal(file[plane.name.upper()].data, values)
