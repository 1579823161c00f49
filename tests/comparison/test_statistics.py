"""Differences of arrays, against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from reprocess.comparison import statistics
from reprocess.formats import flags


def images(elements=None):
    """Three images of one size: old, new and error."""
    values = elements or st.floats(-1e6, 1e6, width=32) | st.just(np.float32("nan"))
    return st.integers(1, 60).flatmap(lambda size: st.tuples(*[hnp.arrays(np.float32, size, elements=values)] * 3))


def plain(old, new, error, squared=False):
    """What NumPy says of two images in one go."""
    unit = error * error if squared else error
    same = (old.view(np.uint32) == new.view(np.uint32)) | (np.isnan(old) & np.isnan(new))
    with np.errstate(all="ignore"):
        scaled = ((new - old) / unit)[(error > 0) & ~np.isnan(new - old)]
        scaled = np.clip(scaled, -np.finfo("f4").max, np.finfo("f4").max)
        centre = np.median(scaled.astype(np.float64)) if scaled.size else None
        scatter = None if centre is None else 1.4826 * np.median(np.abs(scaled - np.float32(centre)).astype(np.float64))
    return {
        "pixels": old.size,
        "changed": int(np.count_nonzero(~same)),
        "nan_old": int(np.isnan(old).sum()),
        "nan_new": int(np.isnan(new).sum()),
        "median_sigma": centre,
        "mad_sigma": scatter,
        "max_sigma": None if centre is None else float(np.abs(scaled).max()),
    }


def tallied(old, new, error, cuts=(), squared=False):
    """What the tally says, of arrays that come in pieces."""
    tally = statistics.ImageTally(old.size, squared=squared)
    for start, stop in zip((0, *cuts), (*cuts, old.size), strict=True):
        tally.add(old[start:stop], new[start:stop], error[start:stop])
    return tally.record()


class TestImageTally:
    @given(images(), st.booleans())
    def test_as_plain_numpy(self, three, squared):
        """Every figure is the one that NumPy gives for whole arrays, NaN and zero errors included."""
        found, said = tallied(*three, squared=squared), plain(*three, squared=squared)

        for name, value in said.items():
            if value is None or not np.isfinite(value):
                assert found[name] is None or np.isfinite(found[name]), name
            elif value > 3e38:
                assert found[name] > 3e38
            else:
                assert found[name] == pytest.approx(value, rel=6e-6, abs=1e-30), name

    @given(images(), st.data())
    def test_pieces_do_not_matter(self, three, data):
        """However the arrays are cut, the figures are the same."""
        size = three[0].size
        cuts = sorted(data.draw(st.sets(st.integers(1, size - 1), max_size=4))) if size > 1 else []

        assert tallied(*three, cuts=cuts) == tallied(*three)

    @given(images())
    def test_equal(self, three):
        """An image and its copy do not differ, wherever it has no value."""
        old, _, error = three
        found = tallied(old, old.copy(), error)

        assert found["changed"] == 0
        assert found["nan_old"] == found["nan_new"]
        assert found["median_sigma"] in (0, None)

    @given(images())
    def test_symmetric(self, three):
        """Old and new the other way round: the counts change places, the median its sign."""
        old, new, error = three
        there, back = tallied(old, new, error), tallied(new, old, error)

        assert there["changed"] == back["changed"]
        assert (there["nan_old"], there["nan_new"]) == (back["nan_new"], back["nan_old"])
        assert there["max_sigma"] == back["max_sigma"]
        if there["median_sigma"]:
            assert back["median_sigma"] == -there["median_sigma"]

    def test_large(self):
        """Of more pixels than are kept, median and scatter are those of a sample, and the rest is exact."""
        random = np.random.default_rng(1)
        old = random.normal(5, 2, 3 * 2**20 + 17).astype("f4")
        new = old + random.normal(0.5, 1, old.size).astype("f4")
        new[123456] += 100
        found = tallied(old, new, np.ones_like(old), cuts=(1000, 2**20 + 1))

        assert found == tallied(old, new, np.ones_like(old))
        assert found["changed"] == np.count_nonzero(old != new)
        assert found["max_sigma"] == pytest.approx(float(np.abs(new - old).max()), rel=1e-5)
        assert found["median_sigma"] == pytest.approx(0.5, abs=0.005)
        assert found["mad_sigma"] == pytest.approx(1.0, abs=0.005)

    def test_samples_meet_every_column(self):
        """Where every other column of a detector moved, the scatter shows it, however few pixels are kept."""
        old = np.zeros((1024, 2048), "f4")
        new = old + np.random.default_rng(1).normal(0, 0.1, old.shape).astype("f4")
        new[:, 1::2] += 4

        assert tallied(old.ravel(), new.ravel(), np.ones(old.size, "f4"))["mad_sigma"] > 0.3

    def test_any_nan_is_one(self):
        """A pixel without value before and after did not change, whatever bits say so."""
        old, new = np.array([0x7FC00000, 0x3F800000], np.uint32), np.array([0xFFC00001, 0x3F800000], np.uint32)
        found = tallied(old.view("f4"), new.view("f4"), np.ones(2, "f4"))

        assert (found["changed"], found["nan_old"], found["nan_new"]) == (0, 1, 1)

    def test_mostly_unchanged(self):
        """Pixels that did not change count: a few outliers move neither median nor scatter."""
        old, error = np.zeros(200_000, "f4"), np.ones(200_000, "f4")
        new = old.copy()
        new[:100] = 7
        found = tallied(old, new, error)

        assert (found["changed"], found["median_sigma"], found["mad_sigma"], found["max_sigma"]) == (100, 0, 0, 7)


class TestFlagTally:
    @given(st.integers(1, 50).flatmap(lambda size: st.tuples(*[hnp.arrays(np.uint32, size)] * 2)))
    def test_as_plain_numpy(self, two):
        """Flags gained and lost are counted by name; the other way round they change places."""
        old, new = two
        tally, back = statistics.FlagTally(old.size), statistics.FlagTally(old.size)
        tally.add(old, new)
        back.add(new, old)
        found = tally.record()

        for bit, name in enumerate(flags.NAMES):
            before, after = old >> np.uint32(bit) & 1, new >> np.uint32(bit) & 1
            assert found["bits_gained"].get(name, 0) == np.count_nonzero(after > before)
            assert found["bits_lost"].get(name, 0) == np.count_nonzero(after < before)
        assert found["changed"] == np.count_nonzero(old != new)
        assert back.record()["bits_lost"] == found["bits_gained"]

    def test_names(self):
        """The lowest bit is DO_NOT_USE and the third JUMP_DET."""
        tally = statistics.FlagTally(2)
        tally.add(np.array([0, 4], np.uint32), np.array([1, 0], np.uint32))

        assert tally.record() == {
            "pixels": 2,
            "changed": 2,
            "bits_gained": {"DO_NOT_USE": 1},
            "bits_lost": {"JUMP_DET": 1},
        }


class TestRowTally:
    def test_counts_rows(self):
        """A row that differs in several bytes is one."""
        old = np.zeros((3, 8), np.uint8)
        new = old.copy()
        new[1] = 9
        tally = statistics.RowTally(3)
        tally.add(old, new)

        assert tally.record() == {"pixels": 3, "changed": 1}
