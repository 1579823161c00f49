import threading

import numpy as np
import pytest

from reprocess import errors
from reprocess import shelf as shelves
from reprocess.calibration.reference import Reference
from reprocess.exposure import ReferenceFile
from reprocess.settings import CacheSettings
from reprocess.shelf import Shelf
from reprocess.storage import open_store


def reference(size=100):
    """A reference of so many bytes."""
    return Reference(type="gain", arrays={"sci": np.zeros(size, np.uint8)}, keywords={}, name="gain.fits")


FILE = ReferenceFile("gain", "gain.fits", "ab" * 32, "cd" * 32, 100)
WHOLE = {"corner": (0, 0), "shape": (4, 4)}


@pytest.fixture
def archive(tmp_path):
    """A root with one prepared gain."""
    archive = open_store(str(tmp_path / "archive"))
    gain = Reference(type="gain", arrays={"sci": np.arange(16.0, dtype="f4").reshape(4, 4)}, keywords={}, name="g")
    shelves.write(archive, FILE, gain)
    return archive


@pytest.fixture
def cache(tmp_path):
    return CacheSettings(directory=str(tmp_path / "cache"))


class TestArchive:
    """References prepared in an archive, and kept on the machine."""

    def test_with_a_place_on_the_machine_and_without(self, archive, cache):
        """The arrays are the same, and with a place they outlive the archive."""
        plain = shelves.read(archive, FILE, **WHOLE)
        first = shelves.read(archive, FILE, **WHOLE, cache=cache)
        again = shelves.read(open_store("memory://there-is-nothing"), FILE, **WHOLE, cache=cache)

        for found in (first, again):
            np.testing.assert_array_equal(found.arrays["sci"], plain.arrays["sci"])

    def test_twice(self, archive):
        """Preparing the same reference again changes nothing."""
        before = {stamp.key: archive.get(stamp.key).data for stamp in archive.list()}
        shelves.write(archive, FILE, shelves.read(archive, FILE, **WHOLE))

        assert {stamp.key: archive.get(stamp.key).data for stamp in archive.list()} == before

    @pytest.mark.parametrize("marker", [b"{}\n", b'{"type": "flat", "arrays": {"sci": "0"}}'])
    def test_a_marker_that_tells_nothing(self, archive, cache, marker):
        """A marker from before there were digests, or of another type, is no reason to refuse."""
        archive.put(shelves.ready_key(FILE), marker)

        assert shelves.read(archive, FILE, **WHOLE, cache=cache)

    @pytest.mark.parametrize("marker", [b"", b"[1]", b'{"type": "gain"}'])
    def test_a_damaged_marker(self, archive, cache, marker):
        """A marker that is none is named."""
        archive.put(shelves.ready_key(FILE), marker)
        with pytest.raises(errors.DamagedReference, match="no marker"):
            shelves.read(archive, FILE, **WHOLE, cache=cache)


class TestShelf:
    def test_reads_once(self):
        """What is on the shelf is not read again."""
        shelf, calls = Shelf(1000), []

        first = shelf.get(("a",), lambda: calls.append(1) or reference())
        again = shelf.get(("a",), lambda: calls.append(1) or reference())

        assert first is again
        assert len(calls) == 1

    def test_gives_up_the_least_recently_used(self):
        """When the shelf is full, what was not asked for the longest time goes."""
        shelf = Shelf(250)
        for key in ("a", "b", "a", "c"):
            shelf.get((key,), reference)

        assert shelf.size_bytes == 200
        assert shelf.get(("a",), pytest.fail)
        assert shelf.get(("c",), pytest.fail)

    @pytest.mark.parametrize(("limit", "kept"), [(0, 0), (99, 0), (100, 100)])
    def test_the_limit_is_in_bytes(self, limit, kept):
        """What is larger than the whole shelf is handed out and not kept, and pushes nothing else off."""
        shelf = Shelf(limit)

        assert shelf.get(("a",), reference).arrays["sci"].nbytes == 100
        assert shelf.size_bytes == kept

    def test_a_large_one_leaves_the_others_alone(self):
        """What cannot be kept takes nobody's place."""
        shelf = Shelf(250)
        shelf.get(("a",), reference)
        shelf.get(("b",), lambda: reference(1000))

        assert shelf.get(("a",), pytest.fail)

    def test_a_lower_limit_takes_effect(self):
        """A limit that is lowered is kept from the next reading on."""
        shelf = Shelf(1000)
        for key in "abc":
            shelf.get((key,), reference)
        shelf.limit_bytes = 150
        shelf.get(("d",), reference)

        assert shelf.size_bytes <= 150

    def test_nobody_can_change_what_is_kept(self):
        """Arrays that others will get too are read-only."""
        with pytest.raises(ValueError, match="read-only"):
            Shelf(1000).get(("a",), reference).arrays["sci"][0] = 1

    def test_a_failure_is_not_kept(self):
        """When reading fails, the next one reads again."""
        shelf = Shelf(1000)

        def fail():
            raise errors.StorageUnavailable("no answer")

        with pytest.raises(errors.StorageUnavailable):
            shelf.get(("a",), fail)
        assert shelf.get(("a",), reference)

    def test_threads(self):
        """Many threads at a time get the right reference each and keep to the limit."""
        shelf, wrong = Shelf(350), []

        def work():
            for number in range(300):
                size = 100 + number % 7
                if shelf.get((size,), lambda size=size: reference(size)).arrays["sci"].nbytes != size:
                    wrong.append(size)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert not wrong
        assert shelf.size_bytes <= 350
