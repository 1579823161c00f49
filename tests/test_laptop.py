import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors, inspection, laptop
from reprocess.formats import product
from tests import trips

GIVEN = ("mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise")


@pytest.fixture(scope="module")
def published():
    """An archive after a campaign."""
    archive = trips.make(options=trips.TINY)
    return archive, trips.go(archive, trips.target(options=trips.TINY))[0]


@pytest.fixture
def files(published, tmp_path):
    """A Level 1b file on disk, its reference files by type, and the item of the plan."""
    _, made = published
    item = made.items[0]
    source = trips.simulated(trips.TINY)
    uncal = tmp_path / item.entry.key.rpartition("/")[2]
    uncal.write_bytes(source.get(f"raw/{item.entry.key}").data)
    references = {}
    for reference in item.references:
        references[reference.type] = tmp_path / reference.name
        references[reference.type].write_bytes(source.get(f"crds/references/jwst/nircam/{reference.name}").data)
    return uncal, references, item


def calibrate(files, folder, *, parameters=None, **changes):
    uncal, references, _ = files
    return laptop.calibrate(uncal, references={**references, **changes}, parameters=parameters or {}, output_dir=folder)


class TestCalibrate:
    def test_gives_the_pixels_of_the_campaign(self, published, files, tmp_path):
        """Each plane of both products is the one that the campaign published, bit for bit."""
        archive, _ = published
        for path, suffix in zip(calibrate(files, tmp_path / "out"), ("rate", "rateints"), strict=True):
            here, there = trips.planes(path.read_bytes()), trips.rate(archive, files[2].dataset, suffix)

            assert path.name == f"{files[2].dataset}_{suffix}.fits"
            assert list(here) == list(there)
            for name, plane in here.items():
                assert plane.dtype == there[name].dtype
                assert plane.tobytes() == there[name].tobytes(), name

    def test_headers_say_what_was_used(self, files, tmp_path):
        """R_ keywords name every file, S_ keywords say COMPLETE for the steps that ran."""
        rate, _ = calibrate(files, tmp_path)
        header = fits.getheader(rate)

        for kind, keyword in (("mask", "R_MASK"), ("dark", "R_DARK"), ("gain", "R_GAIN"), ("linearity", "R_LINEAR")):
            assert header[keyword] == f"crds://{files[1][kind].name}"
        for keyword in ("S_DQINIT", "S_SATURA", "S_SUPERB", "S_LINEAR", "S_DARK", "S_REFPIX", "S_JUMP", "S_RAMP"):
            assert header[keyword] == "COMPLETE", keyword
        assert header["CRDS_CTX"] == "N/A"
        assert "RPPLAN" not in header

    @pytest.mark.parametrize(
        ("kind", "file", "step"),
        [
            ("superbias", "R_SUPERB", "S_SUPERB"),
            ("dark", "R_DARK", "S_DARK"),
            ("linearity", "R_LINEAR", "S_LINEAR"),
            ("saturation", "R_SATURA", "S_SATURA"),
        ],
    )
    def test_a_reference_that_is_left_out_skips_its_step(self, files, tmp_path, kind, file, step):
        """The product says N/A and SKIPPED, and differs from the full one."""
        full = trips.planes(calibrate(files, tmp_path / "full")[0].read_bytes())
        rate, _ = calibrate(files, tmp_path / "less", **{kind: None})
        header = fits.getheader(rate)

        assert (header[file], header[step]) == ("N/A", "SKIPPED")
        assert header["S_RAMP"] == "COMPLETE"
        less = trips.planes(rate.read_bytes())
        assert any(full[name].tobytes() != less[name].tobytes() for name in full) or kind == "saturation"

    @pytest.mark.parametrize("kind", ["gain", "readnoise"])
    def test_what_cannot_be_left_out(self, files, tmp_path, kind):
        """Without gain or read noise there is no rate: the message names the type, and nothing is written."""
        with pytest.raises(errors.ReprocessError, match=kind):
            calibrate(files, tmp_path / "out", **{kind: None})
        assert not (tmp_path / "out").exists()

    def test_parameters_count(self, files, tmp_path):
        """A skipped step says so in the header."""
        rate, _ = calibrate(files, tmp_path, parameters={"jump": {"skip": True}})

        assert fits.getheader(rate)["S_JUMP"] == "SKIPPED"

    def test_any_name(self, files, tmp_path):
        """The name of the file need not follow any pattern, and the folder may be new."""
        uncal = files[0].rename(tmp_path / "m y.fits")
        made = calibrate((uncal, *files[1:]), tmp_path / "a" / "b")

        assert [path.name for path in made] == ["m y_rate.fits", "m y_rateints.fits"]

    def test_files_can_be_read_by_others(self, files, tmp_path):
        """Products have the permissions that the user's umask gives, not those of a temporary file."""
        before = os.umask(0o022)
        try:
            made = calibrate(files, tmp_path)
        finally:
            os.umask(before)

        assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o644}


class TestFailures:
    """Nothing half-written is left."""

    @pytest.fixture
    def before(self, tmp_path):
        """A folder with products of an earlier call."""
        folder = tmp_path / "out"
        folder.mkdir()
        return folder

    def test_a_second_product_that_fails(self, files, before, monkeypatch):
        """When the second product cannot be written, the first one is not there either."""

        def broken(*given, suffix):
            yield from layout(*given, suffix=suffix)
            if suffix == "rateints":
                raise errors.ReprocessError("broken")

        layout = product.layout
        monkeypatch.setattr(product, "layout", broken)
        with pytest.raises(errors.ReprocessError, match="broken"):
            calibrate(files, before)

        assert not list(before.iterdir())

    @pytest.mark.parametrize(
        ("damage", "error"),
        [
            (lambda data: data[:5000], errors.BadData),
            (lambda data: b"", errors.BadData),
            (lambda data: b"not FITS" * 1000, errors.BadData),
            (lambda data: trips.without(data, "TFRAME"), errors.MissingKeyword),
            (lambda data: trips.without(data, "NGROUPS"), errors.MissingKeyword),
            (lambda data: trips.having(data, "EXP_TYPE", "'FGS_ACQ1'"), errors.Unsupported),
        ],
    )
    def test_bad_files(self, files, before, damage, error):
        """A bad Level 1b file is refused by its own class, named, and nothing is written."""
        uncal = files[0]
        uncal.write_bytes(damage(uncal.read_bytes()))

        with pytest.raises(error, match=uncal.name):
            calibrate(files, before)
        assert not list(before.iterdir())

    def test_no_file(self, files, before, tmp_path):
        """A file that is not there is a wrong request."""
        with pytest.raises(errors.UsageError, match=r"none\.fits"):
            calibrate((tmp_path / "none.fits", *files[1:]), before)

    def test_bad_references(self, files, before, tmp_path):
        """A reference that is missing, damaged or of a type that no step reads is named."""
        with pytest.raises(errors.MissingReference, match=r"dark .*none\.fits"):
            calibrate(files, before, dark=tmp_path / "none.fits")
        files[1]["dark"].write_bytes(b"damaged")
        with pytest.raises(errors.DamagedReference, match=files[1]["dark"].name):
            calibrate(files, before)
        files[1]["dark"].unlink()
        with pytest.raises(errors.UsageError, match="drak"):
            calibrate((files[0], {k: v for k, v in files[1].items() if k != "dark"}, None), before, drak=None)
        assert not list(before.iterdir())

    def test_references_of_another_shape(self, files, before):
        """A reference that does not cover the exposure is refused by its name."""
        with fits.open(files[1]["gain"], mode="update") as file:
            file["SCI"].data = file["SCI"].data[:16].copy()

        with pytest.raises(errors.ReferenceFileError, match="gain"):
            calibrate(files, before)

    def test_unknown_parameters(self, files, before):
        """A parameter that does not exist is refused before any work."""
        with pytest.raises(errors.UsageError, match="threshold"):
            calibrate(files, before, parameters={"jump": {"threshold": 4}})

    def test_unknown_steps(self, files, before):
        """A step that does not exist is refused, not ignored."""
        with pytest.raises(errors.UsageError, match="jmp"):
            calibrate(files, before, parameters={"jmp": {"skip": True}})

    def test_a_folder_that_cannot_be_made(self, files, tmp_path):
        """A folder below a file is a wrong request in one sentence."""
        (tmp_path / "file").write_text("x")

        with pytest.raises(errors.UsageError, match="file"):
            calibrate(files, tmp_path / "file" / "out")


class TestOptions:
    """What the command line hands over."""

    def test_references(self):
        """Types are in lower case, and N/A means none."""
        found = laptop.read_references(["GAIN=a/b=c.fits", "dark=N/A"])

        assert found == {"gain": Path("a/b=c.fits"), "dark": None}

    @pytest.mark.parametrize("option", ["gain", "=x", "gain=", ""])
    def test_malformed_references(self, option):
        """Anything else is refused with an example."""
        with pytest.raises(errors.UsageError, match="TYPE=PATH"):
            laptop.read_references([option])

    def test_references_given_twice(self):
        """A type can be given once, however it is written."""
        with pytest.raises(errors.UsageError, match="twice"):
            laptop.read_references(["gain=a", "GAIN=b"])

    @pytest.mark.parametrize(
        ("text", "value"),
        [("5", 5), ("5.0", 5.0), ("true", True), ("True", True), ("None", None), ("median", "median"), ('"5"', "5")],
    )
    def test_values(self, text, value):
        """Values are JSON, Python's words, or text."""
        found = laptop.read_parameters([f"jump.x={text}"], ["dark_current"])

        assert json.dumps(found) == json.dumps({"dark_current": {"skip": True}, "jump": {"x": value}})

    @pytest.mark.parametrize("option", ["jump", "jump=1", "jump.=1", ".x=1", "=1", ""])
    def test_malformed_parameters(self, option):
        """Anything else is refused with an example."""
        with pytest.raises(errors.UsageError, match=r"STEP\.NAME=VALUE"):
            laptop.read_parameters([option], [])

    @pytest.mark.parametrize("text", ["NaN", "Infinity", "[1, 2]", "{}"])
    def test_values_that_no_parameter_has(self, text, files, tmp_path):
        """A list, a table or a number without value is refused by the name of the parameter."""
        parameters = laptop.read_parameters([f"jump.rejection_threshold={text}"], [])

        with pytest.raises(errors.UsageError, match="rejection_threshold"):
            calibrate(files, tmp_path, parameters=parameters)


def test_campaign_and_laptop_agree_on_every_exposure(published, tmp_path):
    """With the references that the plan names, each exposure gives the same rate."""
    archive, made = published
    source = trips.simulated(trips.TINY)
    for item in made.items:
        uncal = tmp_path / item.entry.key.rpartition("/")[2]
        uncal.write_bytes(source.get(f"raw/{item.entry.key}").data)
        references = {}
        for reference in item.references:
            references[reference.type] = tmp_path / reference.name
            data = archive.store.get(f"references/files/{reference.sha256}/{reference.name}").data
            references[reference.type].write_bytes(data)
        rate, _ = laptop.calibrate(uncal, references=references, parameters={}, output_dir=tmp_path)

        np.testing.assert_array_equal(trips.planes(rate.read_bytes())["SCI"], trips.rate(archive, item.dataset)["SCI"])
    assert inspection.verify(archive).problems == ()
