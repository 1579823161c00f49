"""`reprocess calibrate` on input that cannot be calibrated: one sentence that names it, and nothing is written."""

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

from reprocess import cli
from tests import laptop_files, trips


@pytest.fixture
def files(tmp_path):
    return laptop_files.write(tmp_path)


def run(files, folder, *options):
    """Exit code and what is said to the user."""
    given = [f"--reference={kind}={path}" for kind, path in files.references.items()]
    done = CliRunner().invoke(
        cli.main, ["calibrate", str(files.uncal), *given, "--output-dir", str(folder), *options], prog_name="reprocess"
    )
    return done.exit_code, done.stderr


def refused(files, folder, *words, options=()):
    """Hold the command to a wrong request that says all these words and leaves nothing, hidden or not."""
    before = sorted(path.name for path in folder.parent.iterdir())
    code, said = run(files, folder, *options)

    assert code == cli.EXIT_USAGE, said
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert sorted(path.name for path in folder.parent.iterdir()) == before


def change(path, extension, change):
    """Change the data of an extension."""
    with fits.open(path, mode="update") as file:
        file[extension].data = change(file[extension].data)


class TestExposure:
    """The Level 1b file."""

    def test_no_groups(self, files, tmp_path):
        """A cube without groups names SCI and NGROUPS=0."""
        with fits.open(files.uncal) as file:
            header, primary = file["SCI"].header, file[0]
            primary.header["NGROUPS"] = 0
            header["NAXIS3"] = 0
            files.uncal.write_bytes(primary.header.tostring().encode() + header.tostring().encode())
        refused(files, tmp_path / "out", files.uncal.name, "SCI", "NGROUPS=0")

    def test_unknown_readout_pattern(self, files, tmp_path):
        """A readout pattern that JWST does not have is named."""
        files.uncal.write_bytes(trips.having(files.uncal.read_bytes(), "READPATT", "'SLOWEST '"))
        refused(files, tmp_path / "out", files.uncal.name, "READPATT", "'SLOWEST'")

    def test_all_saturated(self, files, tmp_path):
        """An exposure without a single usable pixel has no rate."""
        change(files.uncal, "SCI", lambda data: np.full_like(data, 65535))
        refused(files, tmp_path / "out", files.uncal.name, "saturated")

    @pytest.mark.parametrize("keep", [0.5, 0.9])
    def test_truncated(self, files, tmp_path, keep):
        """A file that ends within its pixels, or within what follows them, is named."""
        data = files.uncal.read_bytes()
        files.uncal.write_bytes(data[: int(len(data) * keep)])
        refused(files, tmp_path / "out", files.uncal.name, "bytes")

    def test_floats(self, files, tmp_path):
        """A SCI extension that is not of raw numbers names BITPIX."""
        change(files.uncal, "SCI", lambda data: data.astype(np.float32))
        refused(files, tmp_path / "out", files.uncal.name, "SCI", "BITPIX = -32")

    def test_shape_that_the_header_does_not_promise(self, files, tmp_path):
        """A cube of another shape than the keywords say names both."""
        change(files.uncal, "SCI", lambda data: data[:, :-1].copy())
        refused(files, tmp_path / "out", files.uncal.name, "(2, 3, 32, 32)", "(2, 4, 32, 32)")


class TestReferences:
    """Reference files."""

    @pytest.mark.parametrize("kind", ["gain", "readnoise", "superbias", "linearity", "dark", "saturation", "mask"])
    def test_wrong_shape(self, files, tmp_path, kind):
        """A reference that does not cover the frame is named, with its shape."""
        with fits.open(files.references[kind], mode="update") as file:
            for hdu in file:
                if isinstance(hdu, fits.ImageHDU):
                    hdu.data = hdu.data[..., :20, :].copy()
        refused(files, tmp_path / "out", files.references[kind].name, "(20, 32)")

    @pytest.mark.parametrize("kind", ["gain", "readnoise", "superbias", "linearity", "dark"])
    def test_not_a_number(self, files, tmp_path, kind):
        """A reference without a single number is named, with its extension."""
        extension = "COEFFS" if kind == "linearity" else "SCI"
        change(files.references[kind], extension, lambda data: np.full_like(data, np.nan))
        refused(files, tmp_path / "out", files.references[kind].name, extension, "finite")

    def test_number_at_the_end(self, files, tmp_path):
        """One finite number is enough to be a reference, wherever it is."""

        def last(data):
            changed = np.full_like(data, np.nan)
            changed.flat[-1] = data.flat[-1]
            return changed

        change(files.references["superbias"], "SCI", last)
        code, said = run(files, tmp_path / "out")

        assert code == 0, said

    @pytest.mark.parametrize("keep", [0.1, 0.6, 0.99])
    def test_truncated(self, files, tmp_path, keep):
        """A reference that is cut off is named."""
        path = files.references["dark"]
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        refused(files, tmp_path / "out", path.name, "dark")

    def test_missing_extension(self, files, tmp_path):
        """A reference without its array is named, with the extension."""
        with fits.open(files.references["gain"], mode="update") as file:
            file["SCI"].header["EXTNAME"] = "OTHER"
        refused(files, tmp_path / "out", files.references["gain"].name, "no SCI extension")

    def test_arrays_of_different_frames(self, files, tmp_path):
        """Arrays of one reference that cover different frames are told by their shapes."""
        change(files.references["superbias"], "DQ", lambda data: data[:, :-1].copy())
        refused(files, tmp_path / "out", files.references["superbias"].name, "(32, 31)", "(32, 32)")

    def test_a_directory(self, files, tmp_path):
        """A directory is no reference."""
        files.references["gain"] = tmp_path
        refused(files, tmp_path / "out", "gain", str(tmp_path))


class TestOptions:
    """What the user asks for."""

    @pytest.mark.parametrize(
        ("parameter", "value"),
        [
            ("jump.rejection_threshold", "-1"),
            ("jump.after_jump_flag_time1", "-0.5"),
            ("jump.rejection_threshold", "high"),
            ("saturation.n_pix_grow_sat", "-1"),
            ("saturation.n_pix_grow_sat", "1.5"),
            ("refpix.side_smoothing_length", "0"),
            ("dark_current.average_dark_current", "-1"),
        ],
    )
    def test_values_out_of_range(self, files, tmp_path, parameter, value):
        """A value that a parameter cannot have is told with its name before any file is read."""
        for path in files.references.values():
            path.unlink()
        refused(files, tmp_path / "out", parameter, value.strip("-"), options=[f"--parameter={parameter}={value}"])

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (["--save-step", "jmp"], "jmp"),
            (["--save-step", "rscd"], "rscd"),
            (["--memory-limit", "lots"], "lots"),
            (["--memory-limit", "3MB"], "3 MB"),
            (["--skip", "ramp_fit"], "ramp_fit"),
        ],
    )
    def test_what_cannot_be(self, files, tmp_path, options, word):
        """A wrong option is told by what was given."""
        refused(files, tmp_path / "out", word, options=options)

    def test_threads(self, files, tmp_path):
        """There is at least one thread."""
        assert run(files, tmp_path / "out", "--threads", "0")[0] == cli.EXIT_USAGE
