"""References as kernels ask for them."""

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration.reference import Reference

DARK = Reference("dark", {"sci": np.zeros((3, 8, 6), np.float32)}, {"NFRAMES": 1, "GROUPGAP": "none"}, "dark_0001.fits")


class TestReference:
    """Arrays and keywords."""

    def test_gives_an_array_that_fits(self):
        """Leading axes are free."""
        assert DARK.array("sci", (8, 6)).shape == (3, 8, 6)

    def test_names_type_file_array_and_shapes(self):
        """An array of another shape is refused by name."""
        with pytest.raises(
            errors.DamagedReference, match=r"dark reference dark_0001.fits: array 'sci'.*\(3, 8, 6\).*\(8, 8\)"
        ):
            DARK.array("sci", (8, 8))

    def test_names_a_missing_array(self):
        """An array that is not there is refused by name."""
        with pytest.raises(errors.DamagedReference, match="no array 'dq'"):
            DARK.array("dq", (8, 6))

    def test_names_a_keyword_that_is_no_number(self):
        """Missing and wordy keywords are refused by name."""
        assert DARK.integer("NFRAMES") == 1
        for keyword in ("GROUPGAP", "NGROUPS"):
            with pytest.raises(errors.DamagedReference, match=keyword):
                DARK.integer(keyword)

    def test_a_number_may_be_missing(self):
        """An optional number is None where it is missing, refused where it is text."""
        assert DARK.number("AVDRKCUR") is None
        with pytest.raises(errors.DamagedReference, match="GROUPGAP"):
            DARK.number("GROUPGAP")

    def test_cuts_rows(self):
        """Arrays with the height of the frame are cut, a plain kernel stays."""
        kernel = Reference("ipc", {"sci": np.ones((3, 3), np.float32)}, {})

        assert DARK.rows(slice(2, 5), 8).arrays["sci"].shape == (3, 3, 6)
        assert kernel.rows(slice(2, 5), 8).arrays["sci"].shape == (3, 3)
