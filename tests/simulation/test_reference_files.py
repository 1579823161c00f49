import io

import numpy as np
import pytest
from astropy.io import fits

LAYOUTS = {
    "mask": ["DQ", "DQ_DEF"],
    "saturation": ["SCI", "DQ", "DQ_DEF"],
    "superbias": ["SCI", "ERR", "DQ", "DQ_DEF"],
    "linearity": ["COEFFS", "DQ", "DQ_DEF"],
    "dark": ["SCI", "ERR", "DQ", "DQ_DEF"],
    "reset": ["SCI", "ERR", "DQ", "DQ_DEF"],
    "gain": ["SCI"],
    "readnoise": ["SCI"],
    "rscd": ["RSCD_GROUP_SKIP"],
}


@pytest.fixture(scope="module")
def files(simulated):
    """All reference files by name, with their type."""
    store, summary = simulated
    opened = {}
    for key in summary.references:
        name = key.rsplit("/", 1)[1]
        opened[name] = (name.split("_")[2], fits.open(io.BytesIO(store.get(key).data)))
    return opened


def test_files_have_the_extensions_of_their_type(files):
    """Every type of file has its real extensions, and its keywords name it."""
    assert {kind for kind, _ in files.values()} == set(LAYOUTS)
    for name, (kind, file) in files.items():
        assert [one.name for one in file[1:]] == LAYOUTS[kind], name
        header = file[0].header
        assert (header["FILENAME"], header["REFTYPE"], header["TELESCOP"]) == (name, kind.upper(), "JWST")


def test_darks_have_an_axis_of_integrations_for_miri_only(files):
    """MIRI darks are of four axes, all others of three, and NGROUPS is right."""
    for name, (kind, file) in files.items():
        if kind == "dark":
            shape = file["SCI"].data.shape
            assert len(shape) == (4 if "miri" in name else 3)
            assert file[0].header["NGROUPS"] == shape[-3]


def test_a_header_only_delivery_has_the_same_pixels(simulated, files):
    """The FGS gains of the second context differ from those of the first in their headers alone."""
    pairs = [(one.old, one.new) for one in simulated[1].changes if one.kind == "header-only"]
    assert pairs
    for old, new in pairs:
        np.testing.assert_array_equal(files[old][1]["SCI"].data, files[new][1]["SCI"].data)
        assert files[old][1][0].header["DATE"] != files[new][1][0].header["DATE"]


def test_new_payloads_differ_in_their_pixels(simulated, files):
    """The new superbias and the new darks are other than the old ones, nearly everywhere."""
    pairs = [(one.old, one.new) for one in simulated[1].changes if one.kind in ("payload", "useafter")]
    assert pairs
    for old, new in pairs:
        assert (files[old][1]["SCI"].data != files[new][1]["SCI"].data).mean() > 0.5


def test_bits_mean_what_the_table_says(files):
    """A mask's DQ uses only bits that its DQ_DEF defines, and marks its border as reference pixels."""
    _, file = files["jwst_nircam_mask_9001.fits"]
    values = {row["NAME"]: row["VALUE"] for row in file["DQ_DEF"].data}
    flags = file["DQ"].data
    assert not (flags & ~np.uint8(sum(values.values()))).any()
    assert (flags[0] == values["REFERENCE_PIXEL"]).all()
