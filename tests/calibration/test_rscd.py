"""The first groups of MIRI ramps, by answers that are known by reasoning."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import rscd
from reprocess.calibration.reference import Reference
from tests.calibration import exposures

READOUT = exposures.make(replace(exposures.MIRI, rows=2, columns=3, nints=3, ngroups=12)).readout


def table(*rows):
    """A table of (subarray, read pattern, first integration, others)."""
    names, patterns, first, later = zip(*rows, strict=True)
    columns = {
        "subarray": np.array(names, np.bytes_),
        "readpatt": np.array(patterns, np.bytes_),
        "group_skip1": np.array(first, np.int32),
        "group_skip": np.array(later, np.int32),
    }
    return Reference("rscd", columns, {}, "t.fits")


def skips(first, later, **readout):
    """What a table with one row says for both kinds of integration; None if the step is skipped."""
    found = rscd.settle(table(("SUB64P", "FASTR1", first, later)), replace(READOUT, **readout))
    return None if found is None else (found.first, found.later)


class TestSettle:
    """`settle`."""

    def test_the_first_row_that_fits_counts(self):
        """Subarray and read pattern are looked for."""
        rows = [
            ("FULL", "FASTR1", 7, 7),
            ("SUB64P", "SLOWR1", 6, 6),
            ("SUB64P", "FASTR1", 2, 5),
            ("SUB64P", "FASTR1", 9, 9),
        ]
        found = rscd.settle(table(*rows), READOUT)

        assert [found.of(number) for number in range(3)] == [2, 5, 5]

    def test_nothing_fits(self):
        """Without a row the step is skipped."""
        assert rscd.settle(table(("FULL", "FASTR1", 7, 7)), READOUT) is None

    def test_an_old_name(self):
        """SUBPRISM goes by the name that tables have now."""
        found = rscd.settle(table(("SLITLESSPRISM", "FASTR1", 2, 3)), replace(READOUT, subarray="SUBPRISM"))

        assert found.first == 2

    @pytest.mark.parametrize(
        ("ngroups", "expected"),
        [(2, None), (3, (0, 0)), (4, (1, 1)), (5, (1, 1)), (6, (3, 3)), (7, (3, 4)), (8, (3, 5)), (9, (3, 6))],
    )
    def test_two_groups_are_left_beside_the_last_one(self, ngroups, expected):
        """Short ramps lose one group, or none; with fewer than three the step is skipped."""
        assert skips(3, 6, ngroups=ngroups) == expected

    def test_a_table_of_old(self):
        """Without a number for the first integration, one group is left out of it."""
        assert skips(-1, 4) == (1, 4)

    def test_a_later_segment(self):
        """Its first integration is not the first of the exposure."""
        found = rscd.settle(table(("SUB64P", "FASTR1", 1, 4)), replace(READOUT, first_integration=4))

        assert found.of(0) == 4

    def test_a_column_is_missing(self):
        """It is named."""
        damaged = Reference("rscd", {"subarray": np.array([b"FULL"])}, {}, "t.fits")
        with pytest.raises(errors.DamagedReference, match="readpatt"):
            rscd.settle(damaged, READOUT)


class TestFlag:
    """`groups_to_skip` and `flag`."""

    def test_early_saturation_keeps_two_groups(self):
        """All but two groups before the first saturated one may be left out; nothing saves group 0."""
        first = np.arange(9, dtype=np.uint8)[None]

        assert rscd.groups_to_skip(first, 4).tolist() == [[4, 0, 0, 1, 2, 3, 4, 4, 4]]

    def test_flags(self):
        """The groups get DO_NOT_USE, pixels that keep some of them FLUX_ESTIMATED."""
        groupdq, pixeldq = np.zeros((8, 1, 3), np.uint8), np.zeros((1, 3), np.uint32)
        rscd.flag(groupdq, pixeldq, np.array([[8, 3, 0]], np.uint8), 2)

        assert groupdq[:3, 0].tolist() == [[1, 1, 1], [1, 0, 1], [0, 0, 0]]
        assert pixeldq.tolist() == [[0, 1 << 28, 0]]
