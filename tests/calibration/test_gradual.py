"""Raw data in pieces are for slabs whose facts are given."""

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import detector1, gradual
from tests.calibration import exposures
from tests.calibration.exposures import Plan


def pieces_of(exposure):
    return gradual.Pieces(exposure.raw.shape, exposure.raw.dtype, lambda: (each[np.newaxis] for each in exposure.raw))


def test_pieces_give_what_all_gives():
    """An exposure whose integrations come one by one has the rates of one that comes at once."""
    exposure = exposures.make(Plan(rows=24, columns=16, nints=3, ngroups=6))
    known = {"readout": exposure.readout, "parameters": {}}
    facts = detector1.gather_facts([exposure.raw], exposure.references, **known)

    apart = detector1.calibrate(pieces_of(exposure), exposure.references, facts=facts, **known)
    once = detector1.calibrate(exposure.raw, exposure.references, facts=facts, **known)

    for name in ("sci", "err", "dq", "var_poisson", "var_rnoise"):
        for mine, other in ((apart.rate, once.rate), (apart.rateints, once.rateints)):
            assert getattr(mine, name).tobytes() == getattr(other, name).tobytes()
    assert apart.ramp.pixeldq.tobytes() == once.ramp.pixeldq.tobytes()


def test_pieces_without_facts_are_refused():
    """Without facts the raw data would have to be gone through for them first."""
    exposure = exposures.make(Plan(rows=24, columns=16, nints=2, ngroups=6))

    with pytest.raises(errors.UsageError, match="pieces"):
        detector1.calibrate(pieces_of(exposure), exposure.references, readout=exposure.readout, parameters={})
