"""Rate products as FITS files."""

import dataclasses
import io
import shutil
import subprocess
import tracemalloc
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from reprocess import errors
from reprocess.formats import product, tail
from tests.formats import files
from tests.formats.test_level1b import scan

INFO = product.ProductInfo(
    dataset="jw01234001001_02101_00001_nrca1",
    created="2026-11-21T00:00:00.000",
    software="0.1.0",
    context="jwst_1584.pmap",
    statuses={"S_DQINIT": "COMPLETE", "S_JUMP": "COMPLETE", "S_IPC": "SKIPPED"},
    references={"superbias": "jwst_nircam_superbias_0201.fits", "ipc": None},
    fingerprint="b" * 64,
    raw_etag='"d41d8cd98f00b204e9800998ecf8427e-12"',
    log=("dq_init: 7 bad pixels", "key: value"),
)


def metadata(data=None):
    """The metadata of a Level 1b file made on the spot."""
    entry, store = scan(files.uncal() if data is None else data)
    return tail.read_tail(store, entry)


def rate(planes=None, info=INFO, source=None):
    """The bytes of a rate file."""
    return b"".join(product.write_rate(planes or files.planes(), source or metadata(), info))


def rateints(planes=None, info=INFO, source=None):
    """The bytes of a rateints file."""
    return b"".join(product.write_rateints(planes or files.planes((2, 16, 12)), source or metadata(), info))


def opened(data):
    """The file, opened with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(io.BytesIO(data), lazy_load_hdus=False) as file:
            file.verify("exception")
            for hdu in file:
                assert hdu.data is not None or hdu.name == "PRIMARY"
            return file


class Late:
    """An array that is only there slice by slice, and remembers the largest slice."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, key):
        self.largest = max(self.largest, key.stop - key.start)
        return self.array[key]


class TestLayout:
    """Extensions, data types and arrays."""

    def test_rate(self):
        """A rate has the official extensions in the official order."""
        assert [hdu.name for hdu in opened(rate())] == [
            "PRIMARY",
            "SCI",
            "ERR",
            "DQ",
            "VAR_POISSON",
            "VAR_RNOISE",
            "ASDF",
        ]

    def test_rateints(self):
        """Rateints have INT_TIMES between DQ and the variances."""
        names = [hdu.name for hdu in opened(rateints())]

        assert names == ["PRIMARY", "SCI", "ERR", "DQ", "INT_TIMES", "VAR_POISSON", "VAR_RNOISE", "ASDF"]

    @pytest.mark.parametrize(("write", "shape"), [(rate, (16, 12)), (rateints, (2, 16, 12))])
    def test_arrays_come_back(self, write, shape):
        """Every plane is read back bit for bit, NaN and the highest flag included."""
        planes = files.planes(shape)
        file = opened(write(planes))

        for name, attribute in zip(
            ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE"), ("sci", "err", "var_poisson", "var_rnoise"), strict=True
        ):
            np.testing.assert_array_equal(file[name].data, getattr(planes, attribute))
            assert file[name].header["BITPIX"] == -32
        np.testing.assert_array_equal(file["DQ"].data, planes.dq)
        assert file["DQ"].data.dtype == np.uint32

    def test_integration_times(self):
        """INT_TIMES is the table of the Level 1b file; without one there is none."""
        file = opened(rateints())
        for name in tail.INT_TIMES.names:
            np.testing.assert_array_equal(file["INT_TIMES"].data[name], files.int_times(2)[name])

        assert "INT_TIMES" not in opened(rateints(source=metadata(files.uncal(times=False))))

    def test_units(self):
        """SCI and ERR are in DN/s; the other planes say no unit, like the official ones."""
        file = opened(rate())

        assert [file[name].header.get("BUNIT") for name in ("SCI", "ERR", "DQ", "VAR_POISSON")] == [
            "DN/s",
            "DN/s",
            None,
            None,
        ]

    @pytest.mark.skipif(not shutil.which("fitsverify"), reason="the program fitsverify is not installed")
    @pytest.mark.parametrize("write", [rate, rateints])
    @pytest.mark.parametrize("name", [None, files.NIRCAM, files.GUIDER])
    def test_fitsverify(self, tmp_path, write, name):
        """Fitsverify finds no error and no warning, whatever the Level 1b headers hold."""
        source = metadata(files.flight_file(name).read_bytes()) if name else None
        path = tmp_path / "x.fits"
        path.write_bytes(write(source=source))
        done = subprocess.run(["fitsverify", path], capture_output=True, text=True, check=False)

        assert "0 warning(s) and 0 error(s)" in done.stdout, done.stdout


class TestKeywords:
    """Headers."""

    def test_what_the_product_says_of_itself(self):
        """Name, date, model, software, context, plan and fingerprint are in the primary header."""
        header = opened(rate())["PRIMARY"].header
        found = {key: header[key] for key in ("FILENAME", "DATE", "DATAMODL", "CAL_VER", "CRDS_CTX", "RPFPRINT")}

        assert found == {
            "FILENAME": "jw01234001001_02101_00001_nrca1_rate.fits",
            "DATE": INFO.created,
            "DATAMODL": "ImageModel",
            "CAL_VER": "reprocess 0.1.0",
            "CRDS_CTX": "jwst_1584.pmap",
            "RPFPRINT": "b" * 64,
        }

    def test_steps_and_references(self):
        """Statuses are as given, references are crds:// names, and N/A where there is none."""
        header = opened(rate())["PRIMARY"].header

        assert (header["S_JUMP"], header["S_IPC"]) == ("COMPLETE", "SKIPPED")
        assert (header["R_SUPERB"], header["R_IPC"]) == ("crds://jwst_nircam_superbias_0201.fits", "N/A")

    def test_level1b_keywords_are_carried(self):
        """Every keyword of the Level 1b headers is there, but for layout and for what this run decided."""
        source = metadata(files.flight_file(files.NIRCAM).read_bytes())
        file = opened(rate(source=source))
        layout = {"NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "NAXIS4", "BITPIX", "BSCALE", "BZERO"}
        decided = {"DATE", "FILENAME", "DATAMODL", "BUNIT", "", *layout}
        for name, block in (("PRIMARY", source.primary), ("SCI", source.sci)):
            before = fits.Header.fromstring(block)
            for card in before.cards:
                if card.keyword not in decided:
                    assert (file[name].header[card.keyword], file[name].header.comments[card.keyword]) == card[1:]

    def test_coordinates(self):
        """The coordinate system of the Level 1b file is that of the product."""
        wcs = WCS(opened(rate())["SCI"].header, fix=False)

        np.testing.assert_allclose(wcs.wcs_pix2world([[1024.5, 1024.5]], 1), [[12.5, -4.25]])

    def test_nothing_of_an_earlier_run(self):
        """Statuses, references and context that the input claims do not survive."""
        earlier = {"S_FLAT": "COMPLETE", "R_FLAT": "old.fits", "CAL_VCS": "x"}
        source = metadata(files.uncal(primary=earlier))
        header = opened(rate(source=source))["PRIMARY"].header

        assert not {"S_FLAT", "R_FLAT", "CAL_VCS"} & set(header)
        assert header["CRDS_CTX"] == "jwst_1584.pmap"

    def test_cards_that_are_not_fits(self):
        """A card whose value is not FITS is left out, and the rest is valid."""
        data = files.uncal().replace(b"TGROUP  =             21.47354", b"TGROUP  =        21.47354 oops")
        file = opened(rate(source=metadata(data)))

        assert "TGROUP" not in file["PRIMARY"].header

    @pytest.mark.parametrize("change", [{"references": {"weather": "x"}}, {"statuses": {"JUMP": "COMPLETE"}}])
    def test_unknown_names(self, change):
        """A reference type or a status that no keyword stands for is refused."""
        with pytest.raises(errors.ReprocessError, match="keyword"):
            rate(info=dataclasses.replace(INFO, **change))


class TestBytes:
    """Determinism and memory."""

    def test_same_bytes(self):
        """The same input gives the same bytes."""
        assert rate() == rate()
        assert rateints() == rateints()

    def test_arrays_may_come_late(self, monkeypatch):
        """Planes read slice by slice give the same bytes, and slices stay small."""
        planes = files.planes((2, 16, 12))
        whole = rateints(planes)
        monkeypatch.setattr(product, "_BLOCK_BYTES", 100)
        late = files.Planes(*(Late(getattr(planes, field.name)) for field in dataclasses.fields(planes)))

        assert rateints(late) == whole
        assert late.sci.largest == 1

    def test_byte_order_and_storage_of_the_arrays_do_not_matter(self):
        """Arrays in other byte order or not contiguous give the same bytes."""
        planes = files.planes()
        other = files.Planes(*(np.asfortranarray(getattr(planes, field.name)) for field in dataclasses.fields(planes)))
        other.sci = planes.sci.astype(">f4")

        assert rate(other) == rate(planes)

    def test_memory(self):
        """Writing holds a few blocks beside the arrays, not a second copy."""
        planes = files.planes((4, 1024, 1024))
        source = metadata()
        tracemalloc.start()
        for block in product.write_rateints(planes, source, INFO):
            del block
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 4 * product._BLOCK_BYTES

    @pytest.mark.parametrize(
        "planes",
        [
            files.planes((2, 16, 12)),
            dataclasses.replace(files.planes(), err=np.zeros((15, 12), "f4")),
            dataclasses.replace(files.planes(), dq=np.zeros((16, 12), "i4")),
        ],
    )
    def test_wrong_arrays(self, planes):
        """Arrays of unequal shape, of wrong rank, or signed flags are refused."""
        with pytest.raises(errors.ReprocessError, match="jw01234001001"):
            rate(planes)
