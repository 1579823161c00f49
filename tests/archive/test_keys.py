"""Names out of keys."""

import pytest

from reprocess.archive import keys
from reprocess.archive.keys import KeyPattern, Name

PUBLIC = {
    "jwst/public/jw01075/jw01075001001/jw01075001001_03105_00009_nrca2_uncal.fits": (
        "jw01075001001_03105_00009_nrca2",
        "uncal",
    ),
    "jw02667001001_0310a_00001-seg002_nrs1_uncal.fits": ("jw02667001001_0310a_00001-seg002_nrs1", "uncal"),
    "a/jw01019001001_gs-acq1_2022117003102_uncal.fits": ("jw01019001001_gs-acq1_2022117003102", "uncal"),
    "a/jw01019001001_gs-fg_2022117003102-seg001_uncal.fits": ("jw01019001001_gs-fg_2022117003102-seg001", "uncal"),
    "jw01234001001_02101_00001_nrcblong_rateints.fits": ("jw01234001001_02101_00001_nrcblong", "rateints"),
    "jw01234001001_02101_00001_nrca2_o001_crf.fits": ("jw01234001001_02101_00001_nrca2_o001", "crf"),
}


class TestKeyPattern:
    """`KeyPattern.parse`."""

    @pytest.mark.parametrize("key", PUBLIC)
    def test_public_layout(self, key):
        """Exposures, segments, base-36 activities and guide-star files are told apart from their level."""
        assert KeyPattern().parse(key) == Name(*PUBLIC[key])

    @pytest.mark.parametrize("key", ["notes.txt", "jw123_uncal.fits", "x/uncal.fits", "jw01234001001_a_uncal.fits.gz"])
    def test_other_keys(self, key):
        """A key that does not follow the pattern as a whole has no name."""
        assert KeyPattern().parse(key) is None

    def test_own_pattern(self):
        """An archive can say what its keys mean."""
        pattern = KeyPattern(r"(?P<level>\w+)/(?P<dataset>[^/]+)\.fits")

        assert pattern.parse("uncal/night-7.fits") == Name("night-7", "uncal")


class TestProgram:
    """`program`."""

    def test_official_names(self):
        """The partition of an official name is its program."""
        assert keys.program("jw01075001001_03105_00009_nrca2") == "01075"

    def test_other_names(self):
        """Other names are spread over at most 256 partitions, none of which can be a program."""
        found = {keys.program(f"night-{number}") for number in range(2000)}

        assert 200 < len(found) <= 256
        assert all(name.startswith("x") for name in found)


class TestLooksRaw:
    """`looks_raw`."""

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("a_uncal.fits", True),
            ("a_UNCAL.FITS", True),
            ("a_uncal.fits.gz", True),
            ("a_rate.fits", False),
            ("a.txt", False),
        ],
    )
    def test_by_suffix(self, key, expected):
        """The end of the name decides."""
        assert keys.looks_raw(key) is expected


class TestUnparsable:
    """`unparsable`."""

    @pytest.mark.parametrize(
        ("key", "advice"), [("a_uncal.fits", "Rename it"), ("a_uncal.fits.gz", "Store it uncompressed")]
    )
    def test_says_what_to_do(self, key, advice):
        """The message names the key and what to do with it."""
        text = str(keys.unparsable(key, KeyPattern()))

        assert text.startswith(key)
        assert advice in text


class TestPointerDataset:
    """`pointer_dataset`."""

    def test_reads_its_own_keys_only(self):
        """Only a record directly below pointers/ is one."""
        assert keys.pointer_dataset("pointers/jw01.json") == "jw01"
        assert keys.pointer_dataset("pointers/a/jw01.json") is None
        assert keys.pointer_dataset("pointers/jw01.txt") is None


class TestMeant:
    """`keys.meant`."""

    @pytest.mark.parametrize("key", PUBLIC)
    @pytest.mark.parametrize("place", ["", "s3://bucket/some/where/"])
    def test_of_a_key(self, key, place):
        """The dataset of a key or URL is among what is meant, and what was written comes first."""
        found = keys.meant(place + key, KeyPattern())

        assert found[0] == place + key
        assert PUBLIC[key][0] in found

    @pytest.mark.parametrize(
        "text",
        [
            "d_1_uncal.fits",
            "d_1_uncal.fits.gz",
            "x/d_1_cal.fits",
            "d_1_rate",
            "pointers/d_1.json",
            "products/d_1/v/m.json",
        ],
    )
    def test_other_names(self, text):
        """Names that no pattern knows are taken apart, and files of ours are known."""
        assert "d_1" in keys.meant(text, KeyPattern("(?P<dataset>-)(?P<level>-)"))

    def test_a_dataset_is_left_as_it_is(self):
        """A part of a name is nobody's dataset."""
        assert keys.meant("jw01234001001_02101_00001_nrca1", KeyPattern()) == ("jw01234001001_02101_00001_nrca1",)

    @pytest.mark.parametrize("text", ["", "/", "//", "_"])
    def test_of_nothing(self, text):
        """An empty part is no dataset."""
        assert all(keys.meant(text, KeyPattern()))
