"""The signal after a reset, by answers that are known by reasoning."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import reset
from reprocess.calibration.reference import Reference
from tests.calibration import exposures

READOUT = exposures.make(replace(exposures.MIRI, rows=2, columns=3, nints=3, ngroups=4)).readout
SHAPE = (2, 3)


def reference(values, nints=None, ngroups=None):
    """A reset with these values, (integration, group), in every pixel."""
    signal = np.broadcast_to(np.array(values, np.float32)[:, :, None, None], (*np.shape(values), 2, 3))
    keywords = {"NINTS": nints or len(values), "NGROUPS": ngroups or len(values[0])}
    return Reference("reset", {"sci": signal, "dq": np.zeros(SHAPE, np.uint32)}, keywords, "r.fits")


def subtracted(made, integration, **readout):
    """What is taken from each group of an integration."""
    decay = reset.settle(made, replace(READOUT, **readout), SHAPE).of(integration, slice(0, 2))
    return (-reset.subtract(np.zeros((4, 2, 3), np.float32), decay=decay)[:, 0, 0]).tolist()


class TestReset:
    """`settle` and `subtract`."""

    def test_the_last_integration_stands_for_all_that_follow(self):
        """Each integration has its own signal as long as there are any."""
        made = reference([[8, 4], [6, 3]])

        assert [subtracted(made, number)[0] for number in range(3)] == [8, 6, 6]

    def test_only_the_first_groups_are_changed(self):
        """Groups beyond those of the reference keep their value; NaN counts as 0."""
        assert subtracted(reference([[8, np.nan]]), 0) == [8, 0, 0, 0]

    def test_more_groups_than_the_exposure_has(self):
        """What is left over is not used."""
        assert subtracted(reference([[8, 4, 2, 1, 5, 7]]), 0) == [8, 4, 2, 1]

    def test_keywords_decide(self):
        """NINTS and NGROUPS say how much of the cube counts."""
        assert subtracted(reference([[8, 4], [6, 3]], nints=1, ngroups=1), 1) == [8, 0, 0, 0]

    def test_a_segment_counts_from_the_exposure_s_first_integration(self):
        """The first integration of a later segment is a later integration."""
        assert subtracted(reference([[8], [6], [5]]), 0, first_integration=2) == [6, 0, 0, 0]

    @pytest.mark.parametrize("promised", [{"nints": 3}, {"ngroups": 3}])
    def test_less_than_promised(self, promised):
        """A cube smaller than its keywords is damaged."""
        with pytest.raises(errors.DamagedReference, match=r"reset reference r.fits has axes \(2, 2, 2, 3\)"):
            subtracted(reference([[8, 4], [6, 3]], **promised), 0)
