import threading

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.shelf import Shelf


def reference(size=100):
    """A reference of so many bytes."""
    return Reference(type="gain", arrays={"sci": np.zeros(size, np.uint8)}, keywords={}, name="gain.fits")


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
