import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration import flat_ramps, jump, jump_search, jump_spread
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.ramp_facts import RampFacts, Reports, revised
from tests.calibration import ramps as make
from tests.calibration.ramps import DO_NOT_USE, JUMP_DET, SATURATED

NO_GAIN_VALUE = 1 << 19
AFTERGLOW = {
    "after_jump_flag_dn1": 20.0,
    "after_jump_flag_time1": 25.0,
    "after_jump_flag_dn2": 500.0,
    "after_jump_flag_time2": 60.0,
}


def flag(ramps, facts=None, *, of=None, in_place=False, **parameters):
    """What the step says of ramps, which are a slab `of` others."""
    return jump.detect(
        Ramp(*ramps.arrays[:3]),
        *ramps.arrays[3:],
        readout=make.readout(of or ramps),
        parameters=parameters,
        facts=facts,
        in_place=in_place,
    )


def detect(ramps, facts=None, **options):
    found = flag(ramps, facts, **options)
    return found.groupdq, found.pixeldq


def line(ngroups=8, slope=50.0, rows=3, columns=3, nints=1):
    groups = slope * np.arange(ngroups, dtype=np.float32)[:, np.newaxis, np.newaxis]
    return np.broadcast_to(groups, (nints, ngroups, rows, columns)).copy()


class TestOneJump:
    @pytest.mark.parametrize("ngroups", [3, 4, 5, 8, 10, 11, 20])
    def test_group_after_the_jump_is_flagged(self, ngroups):
        """A step between two groups flags the later one, in each of the detector's forms, and nothing else."""
        data = line(ngroups)
        data[0, 2:, 1, 1] += 200
        groupdq, _ = detect(make.plain(data), flag_4_neighbors=False)

        assert np.argwhere(groupdq).tolist() == [[0, 2, 1, 1]]
        assert groupdq[0, 2, 1, 1] == JUMP_DET

    def test_drop_is_a_jump_too(self):
        """The size of a jump counts, not its sign."""
        data = line()
        data[0, 5:, 0, 2] -= 900
        groupdq, _ = detect(make.plain(data), flag_4_neighbors=False)

        assert np.argwhere(groupdq).tolist() == [[0, 5, 0, 2]]

    def test_threshold_decides(self):
        """The same step is a jump below its own significance and none above."""
        data = line()
        data[0, 4:, 1, 1] += 100  # 200 electrons over sqrt(100 + 20^2) of noise: 8.9
        low, _ = detect(make.plain(data), flag_4_neighbors=False, rejection_threshold=8.5)
        high, _ = detect(make.plain(data), flag_4_neighbors=False, rejection_threshold=9.5)

        assert low.any()
        assert not high.any()

    def test_two_groups_are_left_alone(self):
        """With fewer than three groups nothing is touched."""
        ramps = make.hit(1, (1, 2, 5, 6))
        groupdq, pixeldq = detect(ramps)

        np.testing.assert_array_equal(groupdq, ramps.groupdq)
        np.testing.assert_array_equal(pixeldq, ramps.pixeldq)

    def test_many_jumps_of_one_ramp_are_all_found(self):
        """The iterative form goes on until no jump is left."""
        data = line(10)
        for group, size in ((2, 500), (5, 3000), (8, 250)):
            data[0, group:, 1, 1] += size
        groupdq, _ = detect(make.plain(data), flag_4_neighbors=False)

        assert np.flatnonzero(groupdq[0, :, 1, 1]).tolist() == [2, 5, 8]

    def test_integrations_are_compared_by_clipping(self):
        """With a hundred integrations a difference is held against the same one of the others."""
        data = line(4, nints=100) + np.random.default_rng(1).normal(0, 1, (100, 4, 3, 3))
        data[40, 2:, 1, 1] += 30
        groupdq, _ = detect(make.plain(data), flag_4_neighbors=False)

        assert groupdq[40, 2, 1, 1] == JUMP_DET
        assert np.count_nonzero(groupdq) < 10


class TestNeighbours:
    def hit_at(self, size, row=1, column=1, **parameters):
        data = line(rows=4, columns=4)
        data[0, 3:, row, column] += size
        return detect(make.plain(data), **parameters)[0][0, 3]

    def test_four_neighbours_of_a_large_jump(self):
        """A jump of middling size flags the pixels left, right, above and below in the same group."""
        assert np.argwhere(self.hit_at(2000)).tolist() == [[0, 1], [1, 0], [1, 1], [1, 2], [2, 1]]

    def test_edge_and_corner(self):
        """A jump at the corner does not reach around the edge."""
        assert np.argwhere(self.hit_at(2000, 0, 3)).tolist() == [[0, 2], [0, 3], [1, 3]]

    @pytest.mark.parametrize("size", [100, 1e5])
    def test_small_and_huge_jumps_have_none(self, size):
        """Below and above the limits the neighbours are left alone."""
        assert np.argwhere(self.hit_at(size)).tolist() == [[1, 1]]

    def test_unusable_neighbours_are_left_alone(self):
        """A neighbour that is saturated or unusable in that group gets no flag."""
        data = line()
        data[0, 3:, 1, 1] += 2000
        ramps = make.plain(data)
        ramps.groupdq[0, 3:, 0, 1] = SATURATED
        ramps.groupdq[0, 3, 1, 0] = DO_NOT_USE
        groupdq, _ = detect(ramps)

        assert groupdq[0, 3, 0, 1] == SATURATED
        assert groupdq[0, 3, 1, 0] == DO_NOT_USE
        assert groupdq[0, 3, 1, 2] == JUMP_DET


class TestAfterglow:
    def test_groups_after_a_large_jump(self):
        """Groups within the given time of a jump above the given size are flagged too."""
        data = line(10)
        data[0, 3:, 1, 1] += 300
        parameters = {"after_jump_flag_dn1": 200.0, "after_jump_flag_time1": 25.0, "flag_4_neighbors": False}
        groupdq, _ = detect(make.plain(data), **parameters)

        assert np.flatnonzero(groupdq[0, :, 1, 1]).tolist() == [3, 4, 5]

    def test_small_jumps_have_none(self):
        """A jump below the given size has no afterglow."""
        data = line(10)
        data[0, 3:, 1, 1] += 150
        parameters = {"after_jump_flag_dn1": 200.0, "after_jump_flag_time1": 25.0, "flag_4_neighbors": False}
        groupdq, _ = detect(make.plain(data), **parameters)

        assert np.flatnonzero(groupdq[0, :, 1, 1]).tolist() == [3]


class TestProperties:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.integers(3, 13), offset=st.integers(-4000, 4000))
    def test_constant_added_to_a_ramp_changes_nothing(self, seed, ngroups, offset):
        """Jumps are differences: what all groups have in common does not matter."""
        ramps = make.hit(seed, (1, ngroups, 6, 7), whole_numbers=True)
        shifted = make.Ramps(ramps.data + np.float32(offset), *ramps.arrays[1:])

        np.testing.assert_array_equal(detect(shifted)[0], detect(ramps)[0])

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.integers(3, 13), value=st.floats(width=32))
    def test_values_of_unusable_groups_never_matter(self, seed, ngroups, value):
        """What a saturated or unusable group holds, be it NaN or infinite, changes no flag."""
        ramps = make.hit(seed, (2, ngroups, 6, 7))
        data = np.where(ramps.groupdq & (SATURATED | DO_NOT_USE), np.float32(value), ramps.data)

        np.testing.assert_array_equal(detect(make.Ramps(data, *ramps.arrays[1:]))[0], detect(ramps)[0])

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.sampled_from([3, 5, 12]), cut=st.integers(1, 11))
    def test_slabs_equal_the_whole(self, seed, ngroups, cut):
        """Two slabs with a halo of one row, and the facts of the exposure, give the flags of the whole."""
        ramps = make.hit(seed, (2, ngroups, 12, 5))
        ramps.groupdq[0, 0] |= DO_NOT_USE
        whole, pixels = detect(ramps, **AFTERGLOW)
        facts = RampFacts.of(ramps.groupdq, ramps.gain)
        above = detect(ramps.rows(slice(0, cut + 1)), facts, of=ramps, **AFTERGLOW)
        below = detect(ramps.rows(slice(cut - 1, 12)), facts, of=ramps, **AFTERGLOW)

        np.testing.assert_array_equal(np.concatenate([above[0][:, :, :cut], below[0][:, :, 1:]], axis=2), whole)
        np.testing.assert_array_equal(np.concatenate([above[1][:cut], below[1][1:]]), pixels)

    @pytest.mark.parametrize(("nints", "ngroups"), [(1, 5), (1, 12), (2, 8), (100, 4)])
    def test_blocks_do_not_matter(self, nints, ngroups, monkeypatch):
        """Pixels are worked on in blocks, and no flag depends on where those end."""
        ramps = make.hit(3, (nints, ngroups, 20, 25))
        whole, _ = detect(ramps, **AFTERGLOW)
        monkeypatch.setattr(flat_ramps, "blocks", lambda pixels, planes, **_: jump_blocks(pixels, 37))
        monkeypatch.setattr(jump_spread, "batches", lambda chosen, _: (chosen[b] for b in jump_blocks(len(chosen), 11)))
        monkeypatch.setattr(jump_search, "BATCH_VALUES", 300)

        np.testing.assert_array_equal(detect(ramps, **AFTERGLOW)[0], whole)

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-3, 3))
    def test_unit_of_the_counts_does_not_matter(self, seed, exponent):
        """Counts and read noise times a power of two, gain divided by it, are the same electrons."""
        ramps, scale = make.hit(seed, (1, 9, 6, 7)), np.float32(2.0**exponent)
        data, groupdq, pixeldq, gain, readnoise = ramps.arrays
        scaled = make.Ramps(data * scale, groupdq, pixeldq, gain / scale, readnoise * scale)

        np.testing.assert_array_equal(detect(scaled)[0], detect(ramps)[0])

    def test_inputs_are_not_changed(self):
        """The arrays that were handed over stay as they are."""
        ramps = make.hit(2, (1, 8, 9, 9))
        before = [array.copy() for array in ramps.arrays]
        detect(ramps, **AFTERGLOW)

        for array, copy in zip(ramps.arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)

    @pytest.mark.parametrize("ngroups", [2, 5, 12])
    def test_in_place_gives_the_same(self, ngroups):
        """Overwriting the flags that were handed over spares a copy and changes nothing else."""
        ramps = make.hit(2, (1, ngroups, 9, 9))
        copies = make.Ramps(*(array.copy() for array in ramps.arrays))
        groupdq, pixeldq = detect(copies, in_place=True, **AFTERGLOW)

        assert groupdq is copies.groupdq
        for our, their in zip((groupdq, pixeldq), detect(ramps, **AFTERGLOW), strict=True):
            np.testing.assert_array_equal(our, their)


class TestFlags:
    def test_jumps_of_unusable_groups_are_forgotten(self):
        """JUMP_DET does not stay beside SATURATED or DO_NOT_USE."""
        ramps = make.plain(line())
        ramps.groupdq[0, 6:, 1, 1] = SATURATED | JUMP_DET
        ramps.groupdq[0, 2, 0, 0] = DO_NOT_USE | JUMP_DET
        groupdq, _ = detect(ramps)

        assert not (groupdq & JUMP_DET).any()

    @pytest.mark.parametrize("gain", [np.nan, 0.0, -2.0])
    def test_pixel_without_gain(self, gain):
        """A gain that is not positive flags the pixel."""
        ramps = make.plain(line())
        ramps.gain[1, 2] = gain
        _, pixeldq = detect(ramps)

        assert pixeldq[1, 2] == NO_GAIN_VALUE | DO_NOT_USE
        assert np.count_nonzero(pixeldq) == 1

    def test_group_that_jumps_everywhere_is_released(self):
        """By clipping, a group that all pixels of an integration jump in is no jump."""
        data = line(4, nints=100) + np.random.default_rng(1).normal(0, 1, (100, 4, 3, 3))
        data[7, 2:] += 500
        groupdq, _ = detect(make.plain(data), flag_4_neighbors=False)

        assert not groupdq[7, 2].any()


class TestGroupsThatJumpEverywhere:
    """By clipping, a slab alone cannot tell whether all of its exposure jumps."""

    def in_slabs(self, ramps, cut, facts):
        upper = flag(ramps.rows(slice(0, cut + 1)), facts, of=ramps)
        lower = flag(ramps.rows(slice(cut - 1, 8)), facts, of=ramps)
        groupdq = np.concatenate([upper.groupdq[:, :, :cut], lower.groupdq[:, :, 1:]], axis=2)
        return groupdq, (upper.wholly_jumped, lower.wholly_jumped)

    def series(self):
        data = line(4, nints=100, rows=8) + np.random.default_rng(1).normal(0, 1, (100, 4, 8, 3))
        data[7, 2:] += 500
        data[9, 1:, :5] += 500
        ramps = make.plain(data)
        ramps.groupdq[11, 3] |= DO_NOT_USE
        ramps.groupdq[7, 2, 3] |= DO_NOT_USE
        return ramps

    @pytest.mark.parametrize("cut", range(1, 8))
    def test_slabs_equal_the_whole(self, cut):
        """What all slabs report settles which groups are released; with that fact they give the whole."""
        ramps = self.series()
        facts = RampFacts.of(ramps.groupdq)
        _, reports = self.in_slabs(ramps, cut, facts)
        settled = revised(facts, [Reports(each) for each in reports])

        assert np.argwhere(settled.released_groups).tolist() == [[7, 2]]
        np.testing.assert_array_equal(self.in_slabs(ramps, cut, settled)[0], flag(ramps).groupdq)

    @pytest.mark.parametrize("cut", range(1, 8))
    def test_slabs_alone_are_right_where_the_exposure_does_not_jump(self, cut):
        """A group that a slab jumps in wholly, but not all of the exposure, needs no second run."""
        ramps = self.series()
        ramps.data[7, 2:, 7] -= 500
        facts = RampFacts.of(ramps.groupdq)
        groupdq, reports = self.in_slabs(ramps, cut, facts)

        assert revised(facts, [Reports(each) for each in reports]) is None
        np.testing.assert_array_equal(groupdq, flag(ramps).groupdq)

    def test_other_forms_report_nothing(self):
        """Without clipping no group is released, and nothing has to be settled."""
        ramps = make.hit(1, (2, 6, 4, 5))

        assert flag(ramps).wholly_jumped is None
        assert revised(RampFacts.of(ramps.groupdq), [Reports(), Reports()]) is None


class TestBadInput:
    @pytest.mark.parametrize("ngroups", [4, 12])
    def test_nan_everywhere(self, ngroups):
        """Ramps of NaN have no jumps."""
        ramps = make.plain(np.full((1, ngroups, 4, 4), np.nan))

        assert not detect(ramps)[0].any()

    def test_nothing_usable(self):
        """Groups that are all unusable have no jumps."""
        ramps = make.plain(line())
        ramps.groupdq[:] = DO_NOT_USE

        assert not (detect(ramps)[0] & JUMP_DET).any()

    def test_no_groups(self):
        """Without groups an error names the shape."""
        with pytest.raises(errors.WrongLayout, match=r"data has shape \(1, 0, 3, 3\)"):
            detect(make.plain(np.zeros((1, 0, 3, 3))), of=make.plain(line()))

    def test_shapes_that_do_not_fit(self):
        """An error names the array that does not fit."""
        ramps = make.plain(line())
        wrong = make.Ramps(*ramps.arrays[:3], ramps.gain[:2], ramps.readnoise)
        with pytest.raises(errors.WrongLayout, match="gain has shape"):
            detect(wrong)

    def test_negative_threshold(self):
        """A negative threshold is refused by name and value."""
        with pytest.raises(errors.UsageError, match=r"rejection_threshold is -1\.0"):
            detect(make.plain(line()), rejection_threshold=-1.0)


def jump_blocks(pixels, length):
    return (slice(start, min(start + length, pixels)) for start in range(0, pixels, length))
