"""Headers to readouts."""

import pytest

from reprocess import errors
from reprocess.calibration.readout import Readout
from tests.calibration import exposures

HEADER = exposures.make(exposures.Plan(rows=8, columns=6, ngroups=3)).header
SHAPE = (1, 3, 8, 6)


class TestFromHeader:
    """`Readout.from_header`."""

    def test_reads_the_keywords(self):
        """Each field comes from its keyword, positions are counted from 0."""
        readout = Readout.from_header(HEADER | {"SUBSTRT1": 5, "SUBSTRT2": 9, "NFRAMES": 4}, SHAPE)

        assert (readout.column_start, readout.row_start, readout.nframes) == (4, 8, 4)
        assert readout.shape == SHAPE
        assert (readout.instrument, readout.detector, readout.exp_type) == ("NIRCAM", "NRCA1", "NRC_IMAGE")

    @pytest.mark.parametrize(
        "keyword", ["INSTRUME", "EXP_TYPE", "NGROUPS", "NINTS", "NFRAMES", "GROUPGAP", "TGROUP", "FASTAXIS", "SUBSIZE1"]
    )
    def test_names_a_missing_keyword(self, keyword):
        """A keyword that is not there, or empty, is named together with the data set."""
        for header in ({k: v for k, v in HEADER.items() if k != keyword}, HEADER | {keyword: " "}):
            with pytest.raises(errors.MissingKeyword, match=f"jw01: keyword {keyword}"):
                Readout.from_header(header, SHAPE, name="jw01")

    @pytest.mark.parametrize(
        ("keyword", "value"),
        [
            ("NGROUPS", "three"),
            ("NGROUPS", 2.5),
            ("NFRAMES", 0),
            ("TGROUP", 0.0),
            ("TFRAME", float("nan")),
            ("TGROUP", True),
            ("FASTAXIS", 3),
            ("SLOWAXIS", "2"),
            ("SUBSTRT1", 0),
            ("EXP_TYPE", 3),
            ("NOUTPUTS", "four"),
        ],
    )
    def test_names_an_unusable_value(self, keyword, value):
        """A value of the wrong kind or range is named with its keyword."""
        with pytest.raises(errors.MissingKeyword, match=f"{keyword} is {value!r}"):
            Readout.from_header(HEADER | {keyword: value}, SHAPE)

    def test_refuses_one_axis_twice(self):
        """The fast and the slow axis are different axes."""
        with pytest.raises(errors.MissingKeyword, match="FASTAXIS=2 and SLOWAXIS=-2"):
            Readout.from_header(HEADER | {"FASTAXIS": 2, "SLOWAXIS": -2}, SHAPE)

    def test_names_both_shapes(self):
        """SCI that is not what the keywords promise is refused, with both shapes."""
        with pytest.raises(errors.WrongLayout, match=r"\(1, 2, 8, 6\).*\(1, 3, 8, 6\)"):
            Readout.from_header(HEADER, (1, 2, 8, 6))

    def test_refuses_no_groups(self):
        """An exposure without groups is refused as such."""
        with pytest.raises(errors.WrongLayout, match="NGROUPS=0"):
            Readout.from_header(HEADER | {"NGROUPS": 0}, (1, 0, 8, 6))

    def test_counts_the_integrations_of_a_segment(self):
        """A segment holds INTSTART to INTEND, not NINTS."""
        readout = Readout.from_header(HEADER | {"NINTS": 9, "INTSTART": 4, "INTEND": 6}, (3, 3, 8, 6))

        assert (readout.nints, readout.first_integration) == (3, 4)
