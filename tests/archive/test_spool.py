"""Listed objects put aside."""

import random
import tempfile
import tracemalloc

import pytest

from reprocess import errors
from reprocess.archive import spool
from reprocess.archive.spool import Found, Spool
from reprocess.storage.store import Stamp

ROWS = [
    (f"{number % 7:05d}", f"s3://{'ba'[number % 2]}", Stamp(f"ä/{number:04d}", number, f'"e{number}"'), f"d{number}")
    for number in range(500)
]


def filled(rows):
    made = Spool(["s3://b", "s3://a", "s3://b"])
    for program, location, stamp, dataset in rows:
        made.add(program, location, stamp, dataset, "uncal")
    return made


class TestSpool:
    """`Spool`."""

    @pytest.mark.parametrize("held", [1, 13, 10_000])
    def test_gives_back_what_was_put(self, monkeypatch, held):
        """However many are held in memory, a program's objects come back in the order of locations and keys."""
        monkeypatch.setattr(spool, "_ROWS", held)
        shuffled = random.Random(1).sample(ROWS, len(ROWS))

        made = filled(shuffled)

        assert sorted(made) == [f"{program:05d}" for program in range(7)]
        for program in made:
            mine = [row for row in ROWS if row[0] == program]
            expected = [
                Found(location, stamp, dataset, "uncal")
                for wanted in ("s3://b", "s3://a")
                for _, location, stamp, dataset in mine
                if location == wanted
            ]
            assert made[program] == made[program] == expected
            assert made.count(program) == len(expected)

    def test_unknown_program(self):
        """What was never added is not there, and asking does not add it."""
        made = filled([])

        with pytest.raises(KeyError):
            made["00001"]
        assert (list(made), "00001" in made, made.count("00001"), list(made)) == ([], False, 0, [])

    def test_memory_is_flat(self, monkeypatch):
        """Ten times the objects take no more than a tenth more memory at the peak."""
        monkeypatch.setattr(spool, "_ROWS", 2_000)
        monkeypatch.setattr(spool, "_MEMORY_BYTES", 2**16)

        def peak(count):
            tracemalloc.start()
            made = Spool(["s3://a"])
            for number in range(count):
                stamp = Stamp(f"jw/public/{number:09d}_uncal.fits", number, f'"{number:032x}"')
                made.add(f"{number // 2000 % 10:05d}", "s3://a", stamp, f"{number:09d}", "uncal")
            size = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return size

        assert peak(50_000) < 1.1 * peak(5_000)

    def test_no_room(self, monkeypatch):
        """A full disk is said to be that, with what to do."""
        monkeypatch.setattr(spool, "_ROWS", 1)
        made = Spool(["s3://a"])

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(made._file, "write", full)
        with pytest.raises(errors.StorageError, match=f"{tempfile.gettempdir()}.*TMPDIR"):
            made.add("00001", "s3://a", Stamp("k", 1, "e"), "d", "uncal")
