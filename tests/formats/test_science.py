"""Which keywords are provenance, and which are science."""

import pytest

from reprocess.formats import science

PROVENANCE = [
    *("DATE", "FILENAME", "CAL_VER", "CAL_VCS", "SDP_VER", "CRDS_CTX", "CRDS_VER", "R_DARK", "S_JUMP", "S_NEW"),
    *("R_NEW", "RPVERS", "RPFPRINT", "RPRAWTAG"),
]


class TestIsProvenance:
    @pytest.mark.parametrize("keyword", PROVENANCE)
    def test_provenance(self, keyword):
        """Dates, versions, names of references and statuses of steps are provenance, known to tables or not."""
        assert science.is_provenance("PRIMARY", keyword)

    @pytest.mark.parametrize(
        ("extension", "keyword"),
        [
            *(("PRIMARY", name) for name in ("FILTER", "GAINFACT", "DATE-OBS", "DATAMODL", "EXPSTART", "UNHEARD")),
            *(("SCI", name) for name in ("S_REGION", "BUNIT", "CRVAL1", "RA_REF")),
            ("ERR", "BUNIT"),
        ],
    )
    def test_science(self, extension, keyword):
        """What the exposure is, when and where, is science; S_REGION is no status of a step."""
        assert not science.is_provenance(extension, keyword)


class TestIsWcs:
    @pytest.mark.parametrize("keyword", ["CRVAL1", "S_REGION", "RA_REF", "RADESYS", "PC1_2", "CTYPE3", "WCSAXES"])
    def test_place(self, keyword):
        """Keywords of the world coordinates and of the region on the sky say where pixels are."""
        assert science.is_wcs("SCI", keyword)

    @pytest.mark.parametrize("keyword", ["BUNIT", "MJD-BEG", "PA_V3", "VA_SCALE"])
    def test_other(self, keyword):
        """Times, units and pointing do not."""
        assert not science.is_wcs("SCI", keyword)
