"""Dark, by answers that are known by reasoning."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import dark_current
from reprocess.calibration.reference import Reference
from tests.calibration import exposures

READOUT = exposures.make(exposures.Plan(rows=2, columns=3, ngroups=3)).readout


def dark(*values, nframes=1, groupgap=0, **keywords):
    """A dark whose groups have these values in every pixel."""
    cube = np.repeat(np.array(values, np.float32), 6).reshape(-1, 2, 3)
    return Reference("dark", {"sci": cube}, {"NFRAMES": nframes, "GROUPGAP": groupgap} | keywords, "dark.fits")


def signal(reference, **readout):
    """What is subtracted from each group."""
    how = dark_current.match(reference, replace(READOUT, **readout))
    groups = dark_current.groups(reference.arrays["sci"], how)
    assert (groups == groups[:, :1, :1]).all()
    return groups[:, 0, 0].tolist()


class TestGroups:
    """`match` and `groups`."""

    def test_the_same_readout(self):
        """Group n is subtracted from group n, NaN as 0; what is left over is not used."""
        assert signal(dark(1, np.nan, 3, 4)) == [1, 0, 3]

    def test_frames_are_averaged_and_gaps_left_out(self):
        """Two frames of three make a group."""
        assert signal(dark(1, 3, 9, 5, 7, 9, 0, 2), nframes=2, groupgap=1) == [2, 6, 1]

    def test_one_frame_and_a_gap(self):
        """Every second frame is a group."""
        assert signal(dark(1, 2, 3, 4, 5), groupgap=1) == [1, 3, 5]

    def test_a_short_dark_goes_on_as_it_ended(self):
        """Missing groups follow the difference of the last two."""
        assert signal(dark(1, 2, 5), ngroups=5) == [1, 2, 5, 8, 11]
        assert signal(dark(1, 2, 5), ngroups=2, nframes=2) == [1.5, 6.5]

    @pytest.mark.parametrize("more", [{"nframes": 2}, {"groupgap": 1}])
    def test_a_dark_of_coarser_readout_cannot_be_used(self, more):
        """More frames in a group, or a larger gap, than the science data: no match."""
        assert dark_current.match(dark(1, 2, 3, **more), READOUT) is None

    def test_one_group_cannot_be_extrapolated(self):
        """The reference is named with what it lacks."""
        with pytest.raises(errors.DamagedReference, match=r"dark\.fits has 1 group"):
            dark_current.match(dark(1), READOUT)

    def test_an_image_is_no_dark(self):
        """A dark has groups."""
        image = Reference("dark", {"sci": np.zeros((2, 3), np.float32)}, {"NFRAMES": 1, "GROUPGAP": 0})
        with pytest.raises(errors.DamagedReference, match=r"\(2, 3\)"):
            dark_current.match(image, READOUT)


class TestAverage:
    """`average`."""

    def test_parameter_before_image_before_keyword(self):
        """The first that there is counts."""
        keyword = dark(1, 2, AVDRKCUR=0.5)
        image = replace(keyword, arrays={**keyword.arrays, "average_dark_current": np.full((2, 3), 0.25, np.float32)})

        assert dark_current.average(image, 0.125, (2, 3)).max() == 0.125
        assert dark_current.average(image, None, (2, 3)).max() == 0.25
        assert dark_current.average(keyword, None, (2, 3)).max() == 0.5
        assert dark_current.average(dark(1), None, (2, 3)) is None
        assert dark_current.average(None, None, (2, 3)) is None


class TestIntegrations:
    """`cube_for` and `flags_of`: MIRI's darks have a cube for each integration."""

    @pytest.mark.parametrize(
        ("readout", "expected"),
        [
            ({"nints": 5}, [0, 1, 2, 2, 2]),
            ({"nints": 2, "first_integration": 4}, [2, 2]),
            ({"nints": 2, "nframes": 2}, [0, 1]),
            ({"nints": 2, "nframes": 2, "first_integration": 4}, [None, None]),
            ({"nints": 3, "nframes": 2, "first_integration": 4}, [2, 2, 2]),
        ],
    )
    def test_the_last_cube_stands_for_all_that_follow(self, readout, expected):
        """And for all of a later segment; officially that one is empty if it was averaged for fewer integrations."""
        one = dark(1, 2, 3, 4, 5, 6)
        made = replace(one, arrays={"sci": np.stack([one.arrays["sci"]] * 3)})
        read = replace(READOUT, **readout)
        how = dark_current.match(made, read)
        numbers = range(read.nints)

        assert expected == [
            dark_current.cube_for(made.arrays["sci"], how, integration=number, readout=read) for number in numbers
        ]

    @pytest.mark.parametrize("shape", [(2, 2, 3), (2, 1, 2, 3)])
    def test_flags_are_put_together(self, shape):
        """A pixel has the flags that any integration gives it."""
        flags = np.zeros(shape, np.uint32)
        flags[0, ..., 0, 0], flags[1, ..., 0, 0] = 1, 4

        assert dark_current.flags_of(Reference("dark", {"dq": flags}, {}), (2, 3)).tolist() == [[5, 0, 0], [0, 0, 0]]


def test_an_image_of_another_shape_is_no_average():
    """As officially, the keyword does not stand in for an image that does not fit."""
    image = np.full((3, 3), 0.5, np.float32)
    reference = Reference("dark", {"average_dark_current": image}, {"AVDRKCUR": 0.25})

    assert dark_current.average(reference, None, (2, 3)) is None
