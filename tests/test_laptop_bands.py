"""An exposure calibrated in bands of rows is the exposure calibrated at once."""

import os
import threading
import time

import numpy as np
import pytest
from astropy.io import fits

from reprocess import errors, laptop, slabwise
from reprocess.calibration import detector1
from reprocess.formats import product_rows
from reprocess.formats.exposure_file import ExposureFile
from reprocess.simulation.options import SimulationOptions
from tests import laptop_files
from tests.laptop_files import MIRI, NIRCAM, NIRISS, calibrate, content

EXPOSURES = {"NIRCam": NIRCAM, "NIRISS": NIRISS, "MIRI": MIRI}


@pytest.fixture
def files(tmp_path):
    return laptop_files.write(tmp_path)


class TestBands:
    """The cut, and the number of threads, never change a pixel."""

    @pytest.mark.parametrize("name", EXPOSURES)
    def test_odd_heights(self, tmp_path, monkeypatch, name):
        """Bands of 1, 5 and 13 rows give every plane of both products bit for bit."""
        files = laptop_files.write(tmp_path, EXPOSURES[name])
        whole = [content(path) for path in calibrate(files, tmp_path / "whole", rows=64, monkeypatch=monkeypatch)]

        for rows in (1, 5, 13):
            made = calibrate(files, tmp_path / str(rows), rows=rows, monkeypatch=monkeypatch)
            assert [content(path) for path in made] == whole

    @pytest.mark.parametrize("threads", [2, 3, 50])
    def test_threads(self, files, tmp_path, monkeypatch, threads):
        """Bands at the same time give the same planes."""
        one = calibrate(files, tmp_path / "one", rows=64, monkeypatch=monkeypatch)
        several = calibrate(files, tmp_path / "several", rows=3, monkeypatch=monkeypatch, threads=threads)

        assert [content(path) for path in several] == [content(path) for path in one]

    def test_saved_steps(self, files, tmp_path, monkeypatch):
        """What is saved between the steps does not depend on the cut either."""
        steps = ("dq_init", "refpix", "charge_migration", "jump", "ramp_fit")
        whole = calibrate(files, tmp_path / "whole", rows=64, monkeypatch=monkeypatch, save_steps=steps)
        cut = calibrate(files, tmp_path / "cut", rows=7, monkeypatch=monkeypatch, save_steps=steps, threads=2)

        assert [content(path) for path in cut] == [content(path) for path in whole]

    @pytest.mark.parametrize("name", ["NIRCam", "MIRI"])
    def test_integrations_at_a_time(self, tmp_path, monkeypatch, name):
        """Integrations that are read one by one give what those give that are read at once, and all saved steps."""
        files = laptop_files.write(tmp_path, EXPOSURES[name])
        options = {"rows": 7, "monkeypatch": monkeypatch, "save_steps": ("saturation", "refpix", "jump")}
        once = calibrate(files, tmp_path / "once", **options)
        monkeypatch.setattr(slabwise, "_PIECE_VALUES", 1)
        counts = []
        read = ExposureFile.read
        monkeypatch.setattr(
            ExposureFile,
            "read",
            lambda self, band, out, **given: counts.append(len(out)) or read(self, band, out, **given),
        )
        apart = calibrate(files, tmp_path / "apart", **options)

        assert [content(path) for path in apart] == [content(path) for path in once]
        assert set(counts) == {1}

    def test_a_chain_that_must_see_all_rows(self, files, tmp_path, monkeypatch):
        """If a step must see all rows, there is one slab."""
        seen = []
        monkeypatch.setattr(
            detector1, "locality", lambda *_: detector1.STEPS[0].locality.__class__(halo_rows=5, whole=True)
        )
        run = slabwise.calibrate
        monkeypatch.setattr(
            slabwise,
            "calibrate",
            lambda inputs, slabs, *rest, **more: (seen.append(len(slabs)), run(inputs, slabs, *rest, **more)),
        )
        calibrate(files, tmp_path / "out")

        assert seen == [1]

    def test_a_long_dark_is_not_read_whole(self, files, tmp_path, monkeypatch):
        """A dark of many more groups gives the same rate, and only the groups that are needed are read."""
        short = calibrate(files, tmp_path / "short")
        with fits.open(files.references["dark"]) as file:
            dark = file["SCI"].data
            assert dark.ndim == 3
            more = np.concatenate([dark, np.full((40, *dark.shape[1:]), np.nan, dark.dtype)])
            file["SCI"].data = more
            file.writeto(tmp_path / "long.fits")
        read = []
        take = slabwise.Buffers.take
        monkeypatch.setattr(
            slabwise.Buffers,
            "take",
            lambda self, name, shape, dtype: (read.append((name, shape)), take(self, name, shape, dtype))[1],
        )
        files.references["dark"] = tmp_path / "long.fits"
        long = calibrate(files, tmp_path / "long")

        assert [content(path) for path in long] == [content(path) for path in short]
        assert max(shape[0] for name, shape in read if name == "dark.sci") <= len(dark)

    def test_references_that_do_not_stand_plainly_in_their_file(self, files, tmp_path):
        """Scaled integers, doubles and compressed images give what plain floats of the same values give."""
        with fits.open(files.references["gain"]) as file:
            values = np.round(file["SCI"].data.astype(np.float64) * 8) / 8
            file["SCI"].data = values.astype(np.float32)
            file.writeto(tmp_path / "plain.fits")
            file["SCI"].data = values.astype(np.float64)
            file.writeto(tmp_path / "doubles.fits")
            file["SCI"] = fits.CompImageHDU(
                values.astype(np.float32), name="SCI", compression_type="GZIP_1", quantize_level=0
            )
            file.writeto(tmp_path / "compressed.fits")
            scaled = fits.ImageHDU(values.astype(np.float64), name="SCI")
            scaled.scale("int16", bscale=0.125, bzero=1.0)
            file["SCI"] = scaled
            file.writeto(tmp_path / "scaled.fits")
        made = {}
        for name in ("plain", "doubles", "compressed", "scaled"):
            files.references["gain"] = tmp_path / f"{name}.fits"
            made[name] = [content(path) for path in calibrate(files, tmp_path / name)]

        assert made["doubles"] == made["plain"]
        assert made["compressed"] == made["plain"]
        assert made["scaled"] == made["plain"]


class TestMemory:
    """`--memory-limit`."""

    def test_a_limit_that_is_too_small(self, files, tmp_path):
        """A limit under what one row needs is refused before anything is written, and the message says how much."""
        with pytest.raises(errors.UsageError, match=r"needs \d+ MB .*limit is 1 MB.*--memory-limit"):
            calibrate(files, tmp_path / "out", memory_limit_bytes=10**6)
        assert not (tmp_path / "out").exists()

    def test_a_limit_that_is_enough(self, files, tmp_path):
        """A limit that suffices changes nothing."""
        free = calibrate(files, tmp_path / "free")
        limited = calibrate(files, tmp_path / "limited", memory_limit_bytes=400 * 10**6)

        assert [content(path) for path in limited] == [content(path) for path in free]

    @pytest.mark.parametrize(
        ("text", "size"),
        [("400MB", 400 * 10**6), ("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("1000000", 10**6), ("64k", 64000)],
    )
    def test_sizes(self, text, size):
        """Sizes have decimal or binary prefixes; a plain number is bytes."""
        assert laptop.read_size(text) == size

    @pytest.mark.parametrize("text", ["", "much", "-1", "0", "4 lightyears", "1e9", "MB"])
    def test_no_sizes(self, text):
        """Anything else is refused with an example."""
        with pytest.raises(errors.UsageError, match="400MB"):
            laptop.read_size(text)


class TestAllOrNothing:
    """Files appear together, or nothing is left."""

    @pytest.fixture
    def failing(self, monkeypatch):
        """Writing fails after some rows were written, as on a full disk; the exception can be chosen."""
        put, count = product_rows._put, []

        def fail(error):
            def some(*given):
                count.append(1)
                if len(count) > 30:
                    raise error
                put(*given)

            monkeypatch.setattr(product_rows, "_put", some)

        return fail

    @pytest.mark.parametrize("threads", [1, 2])
    def test_full_disk(self, files, tmp_path, monkeypatch, failing, threads):
        """A disk that runs full is told in a sentence; neither files nor new directories stay."""
        failing(OSError(28, "No space left on device"))
        with pytest.raises(errors.UsageError, match="No space left"):
            calibrate(files, tmp_path / "a" / "b", rows=3, monkeypatch=monkeypatch, threads=threads)

        assert not (tmp_path / "a").exists()

    def test_interrupt(self, files, tmp_path, monkeypatch, failing):
        """Ctrl-C leaves an earlier product as it was, and nothing beside it."""
        rate, rateints = calibrate(files, tmp_path / "out")
        before = rate.read_bytes(), rateints.read_bytes()
        failing(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            calibrate(files, tmp_path / "out", rows=3, monkeypatch=monkeypatch)

        assert sorted((tmp_path / "out").iterdir()) == sorted([rate, rateints])
        assert (rate.read_bytes(), rateints.read_bytes()) == before

    def test_interrupt_with_threads(self, files, tmp_path, monkeypatch):
        """An interrupt of the main thread ends the others before anything is cleaned up."""
        running = []
        run = slabwise._calibrate_one

        def slow(*given):
            if threading.current_thread() is threading.main_thread():
                return run(*given)
            running.append(1)
            time.sleep(0.05)
            run(*given)
            running.pop()

        monkeypatch.setattr(slabwise, "_calibrate_one", slow)
        monkeypatch.setattr(slabwise, "as_completed", lambda _: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            calibrate(files, tmp_path / "out", rows=3, monkeypatch=monkeypatch, threads=2)

        assert not running
        assert not (tmp_path / "out").exists()

    def test_a_product_that_cannot_be_moved(self, files, tmp_path, monkeypatch):
        """If the second file cannot be moved into place, the first one is again what it was."""
        rate, rateints = calibrate(files, tmp_path / "out")
        before = rate.read_bytes(), rateints.read_bytes()
        replace = os.replace

        def once(source, target):
            if str(target) == str(rateints) and not str(source).endswith(".before"):
                raise OSError(13, "Permission denied", str(target))
            replace(source, target)

        monkeypatch.setattr(os, "replace", once)
        with pytest.raises(errors.UsageError, match="Permission denied"):
            calibrate(files, tmp_path / "out", parameters={"jump": {"skip": True}})

        assert (rate.read_bytes(), rateints.read_bytes()) == before
        assert sorted((tmp_path / "out").iterdir()) == sorted([rate, rateints])

    def test_a_directory_in_the_way(self, files, tmp_path):
        """A directory that has the name of a product is told, and left alone."""
        name = files.uncal.name.replace("_uncal", "_rateints")
        (tmp_path / "out" / name / "inside").mkdir(parents=True)
        with pytest.raises(errors.UsageError, match="directory"):
            calibrate(files, tmp_path / "out")

        assert [path.name for path in (tmp_path / "out").iterdir()] == [name]

    def test_an_exposure_that_changes(self, files, tmp_path, monkeypatch):
        """A Level 1b file that is written to meanwhile gives no product."""
        gather = slabwise.gather

        def meanwhile(inputs):
            os.utime(files.uncal, (1, 1))
            return gather(inputs)

        monkeypatch.setattr(slabwise, "gather", meanwhile)
        with pytest.raises(errors.RawReplaced, match=files.uncal.name):
            calibrate(files, tmp_path / "out")

        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("kind", ["dark", "uncal"])
    def test_a_file_that_shrinks(self, files, tmp_path, monkeypatch, kind):
        """A file that ends earlier than when it was opened is named, and nothing is written."""
        path = files.uncal if kind == "uncal" else files.references[kind]
        gather = slabwise.gather

        def meanwhile(inputs):
            facts = gather(inputs)
            os.truncate(path, 20000)
            return facts

        monkeypatch.setattr(slabwise, "gather", meanwhile)
        with pytest.raises(errors.ReprocessError, match=path.name):
            calibrate(files, tmp_path / "out")

        assert not (tmp_path / "out").exists()


class TestFactsThatSlabsTell:
    """What only calibrated slabs can tell of the whole exposure makes all of them be calibrated anew."""

    LONG = SimulationOptions(exposures=1, shape=(16, 16), groups=3, integrations=120, instruments=("NIRISS",))

    def same_whatever_the_cut(self, tmp_path, monkeypatch, files, parameters):
        """The planes of the products, and how many slabs were calibrated in bands of five rows."""
        made = []
        run = slabwise._calibrate_one
        monkeypatch.setattr(slabwise, "_calibrate_one", lambda *given: (made.append(given[-1]), run(*given)))
        options = {"monkeypatch": monkeypatch, "parameters": parameters}
        whole = calibrate(files, tmp_path / "whole", rows=64, **options)
        made.clear()
        cut = calibrate(files, tmp_path / "cut", rows=5, **options)

        assert [content(path) for path in cut] == [content(path) for path in whole]
        return len(made)

    def test_a_group_whose_charge_migrates_everywhere(self, tmp_path, monkeypatch):
        """A group that is lost in every pixel counts as such for the jump step, in slabs too."""
        files = laptop_files.write(tmp_path)
        with fits.open(files.uncal, mode="update") as file:
            file["SCI"].data[1, 2:] = 60000
        parameters = {
            "charge_migration": {"skip": False, "signal_threshold": 20000.0},
            **{step: {"skip": True} for step in ("saturation", "refpix")},
        }

        count = self.same_whatever_the_cut(tmp_path, monkeypatch, files, parameters)

        assert count == 2 * 7  # seven bands of 32 rows, twice

    def test_a_jump_of_the_whole_detector(self, tmp_path, monkeypatch):
        """A group in which every pixel jumps tells of no cosmic ray by sigma clipping, in slabs too."""
        files = laptop_files.write(tmp_path, self.LONG)
        with fits.open(files.uncal, mode="update") as file:
            file["SCI"].data[60, 1:] += 9000

        parameters = {step: {"skip": True} for step in ("saturation", "refpix")}
        count = self.same_whatever_the_cut(tmp_path, monkeypatch, files, parameters)

        assert count == 2 * 4

    def test_nothing_is_done_twice_without_need(self, tmp_path, monkeypatch):
        """Ordinary exposures are calibrated once."""
        files = laptop_files.write(tmp_path)

        assert self.same_whatever_the_cut(tmp_path, monkeypatch, files, {}) == 7


def test_the_fit_of_each_segment_is_written_if_it_is_asked_for(files, tmp_path, monkeypatch):
    """With save_opt there is a third product, whatever the bands would have been."""
    asked = {"ramp_fit": {"save_opt": True}}
    made = calibrate(files, tmp_path / "made", parameters=asked)

    assert [path.name.rpartition("_")[2] for path in made] == ["rate.fits", "rateints.fits", "fitopt.fits"]
    with fits.open(made[-1]) as file:
        assert file["SLOPE"].data.shape[0] == 2
        assert file["SLOPE"].data.shape[-2:] == file["PEDESTAL"].data.shape[-2:] == (32, 32)
