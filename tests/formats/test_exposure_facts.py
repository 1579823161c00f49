import math

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import refpix, refpix_miri
from reprocess.calibration.facts import Facts
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.formats import exposure_facts

GROUPS = RampFacts(((True, False), (False, False)), (False, True), 1.83, ((False, False), (True, False)))
NEAR = refpix.Signal(np.arange(24.0).reshape(2, 2, 6), None, True)
SIDES = refpix.Signal(np.arange(24.0).reshape(2, 2, 6), np.full((2, 2, 5), np.nan), False)
MID = refpix_miri.Signal(np.arange(32.0).reshape(2, 2, 2, 4))


def same(first, second):
    assert type(first) is type(second)
    for name in getattr(first, "__dataclass_fields__", {}):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


class TestRoundTrip:
    @pytest.mark.parametrize("signal", [None, NEAR, SIDES, MID])
    def test_arrays(self, signal):
        """What one worker writes another reads, to the last bit."""
        found = exposure_facts.from_bytes(exposure_facts.to_bytes(Facts(signal, GROUPS)), name="f")

        assert found.groups == GROUPS
        same(found.reference_signal, signal)

    def test_no_gain(self):
        """A median gain that is not a number stays one."""
        groups = RampFacts(((False,),), (False,), math.nan)

        found = exposure_facts.from_bytes(exposure_facts.to_bytes(Facts(None, groups)), name="f")

        assert math.isnan(found.groups.median_gain)


class TestFromBytes:
    @pytest.mark.parametrize("data", [b"", b"PK\x03\x04", exposure_facts.to_bytes(Facts(MID, GROUPS))[:-30]])
    def test_damaged(self, data):
        """Bytes that hold no facts are an error that names the object."""
        with pytest.raises(errors.DamagedRecord, match=r"d/facts\.npz"):
            exposure_facts.from_bytes(data, name="d/facts.npz")
