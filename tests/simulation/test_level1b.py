import io
import os
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits

from reprocess.simulation import keywords


def opened(simulated, number=0):
    store, summary = simulated
    return fits.open(io.BytesIO(store.get(summary.exposures[number].key).data))


@pytest.mark.parametrize("number", range(6))
def test_files_are_laid_out_as_flight_data(simulated, number):
    """SCI is the first extension, unsigned and of four axes; GROUP has 13 columns and INT_TIMES 7."""
    with opened(simulated, number) as file:
        assert [one.name for one in file] == ["PRIMARY", "SCI", "GROUP", "INT_TIMES", "ASDF"]
        header = file["SCI"].header
        assert (header["BITPIX"], header["BZERO"]) == (16, 32768)
        assert file["SCI"].data.dtype == np.uint16
        assert file["SCI"].data.shape == simulated[1].exposures[number].shape
        nints, ngroups = file[0].header["NINTS"], file[0].header["NGROUPS"]
        assert (len(file["GROUP"].columns), len(file["GROUP"].data)) == (13, nints * ngroups)
        assert (len(file["INT_TIMES"].columns), len(file["INT_TIMES"].data)) == (7, nints)


def test_the_tree_repeats_the_headers(simulated):
    """Every keyword of the headers stands in the ASDF tree under its own path, with the same value.

    A header has fifteen digits of a small number, the tree all of them.
    """
    with opened(simulated) as file:
        document = file["ASDF"].data["ASDF_METADATA"].tobytes()
        with asdf.open(io.BytesIO(document)) as tree:
            for header, table in ((file[0].header, keywords.PRIMARY), (file["SCI"].header, keywords.SCIENCE)):
                for one in table:
                    if one.name in header and one.name:
                        node = tree["meta"]
                        for name in one.path.split("."):
                            node = node[name]
                        wanted = header[one.name]
                        exact = isinstance(wanted, (str, int))
                        assert node == (wanted if exact else pytest.approx(wanted, rel=1e-12)), one.name


def test_times_agree_with_each_other(simulated):
    """Integrations follow each other within the exposure, and the last group ends with the last integration."""
    with opened(simulated, 4) as file:
        primary, times, groups = file[0].header, file["INT_TIMES"].data, file["GROUP"].data
        assert primary["NINTS"] == 2
        begins, ends = times["int_start_MJD_UTC"], times["int_end_MJD_UTC"]
        assert begins[0] == pytest.approx(primary["EXPSTART"], abs=1e-9)
        assert ends[-1] == pytest.approx(primary["EXPEND"], abs=1e-9)
        assert ends[0] < begins[1]
        spent = (ends - begins) * 86400.0
        np.testing.assert_allclose(spent, primary["EFFINTTM"], atol=1e-4)
        milliseconds = np.diff(groups["end_milliseconds"][: primary["NGROUPS"]])
        np.testing.assert_allclose(milliseconds, 1000 * primary["TGROUP"], atol=1.1)


def test_keywords_are_those_of_a_flight_file(simulated):
    """A flight exposure has every keyword that ours has, in the same extension and of the same type."""
    shared = Path(os.environ.get("REPROCESS_SHARED", Path(__file__).parents[3] / "shared"))
    flight = shared / "data/jwst/jw01075001001_03105_00009_nrca2_uncal.fits"
    if not flight.exists():
        pytest.skip(f"the flight file {flight.name} is not below REPROCESS_SHARED or ../shared")
    with opened(simulated) as ours, fits.open(flight) as theirs:
        for extension in (0, "SCI"):
            header, model = ours[extension].header, theirs[extension].header
            names = {name for name in header if name not in ("", "GSC_VER", "CONTINUE")}
            assert names <= set(model)
            numbers = (int, float)
            different = [
                name
                for name in names
                if type(header[name]) is not type(model[name])
                and not (type(header[name]) in numbers and type(model[name]) in numbers)
            ]
            assert different == []
