import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration import optimal_weights, ramp_fit, segments
from reprocess.calibration.ramp_facts import RampFacts
from reprocess.calibration.readout import Readout
from tests.calibration import ramps as make
from tests.calibration.ramps import CHARGELOSS, DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

NO_GAIN_VALUE = 1 << 19
GROUP_TIME = float(np.float32(10.737))
PLANES = ("sci", "err", "dq", "var_poisson", "var_rnoise")


def fit(ramps, *, instrument="NIRCAM", dark_current=None, facts=None, **parameters):
    return ramp_fit.fit(
        make.ramp(ramps),
        make.images(ramps, dark_current),
        readout=make.readout(ramps, instrument=instrument),
        parameters=parameters,
        facts=facts,
    )


def assert_same(one, other, rows=slice(None)):
    for rate, expected in ((one.rate, other.rate), (one.rateints, other.rateints)):
        for plane in PLANES:
            np.testing.assert_array_equal(getattr(rate, plane), getattr(expected, plane)[..., rows, :], err_msg=plane)


def line(ngroups=8, slope=40.0, nints=1, rows=2, columns=3, pedestal=1000.0):
    groups = pedestal + slope * np.arange(ngroups)[:, np.newaxis, np.newaxis]
    return np.broadcast_to(groups, (nints, ngroups, rows, columns)).astype(np.float32)


class TestLine:
    @pytest.mark.parametrize("ngroups", [2, 3, 4, 5, 9, 10, 20, 70])
    @pytest.mark.parametrize("slope", [-3.0, 0.0, 2.0, 40.0, 700.0])
    def test_ramp_without_noise_is_recovered(self, ngroups, slope):
        """The slope of a straight ramp is its rise over its time, whichever weights the signal asks for."""
        found = fit(make.plain(line(ngroups, slope, nints=2)))

        np.testing.assert_allclose(found.rate.sci, slope / GROUP_TIME, rtol=1e-7)
        np.testing.assert_allclose(found.rateints.sci, slope / GROUP_TIME, rtol=1e-7)
        assert found.rate.sci.dtype == np.float32
        assert not found.rate.dq.any()

    def test_variances_of_a_straight_ramp(self):
        """Variances are those of the closed form, and the error is the root of their sum."""
        ngroups, gain, readnoise = 8, 2.0, 10.0
        rate = fit(make.plain(line(ngroups), gain=gain, readnoise=readnoise)).rate
        read = readnoise * gain / np.sqrt(2)
        var_rnoise = 12 * (read / GROUP_TIME) ** 2 / ((ngroups**3 - ngroups) * gain**2)
        var_poisson = 40.0 / GROUP_TIME / (GROUP_TIME * gain * (ngroups - 1))

        np.testing.assert_allclose(rate.var_rnoise, var_rnoise, rtol=1e-6)
        np.testing.assert_allclose(rate.var_poisson, var_poisson, rtol=1e-6)
        np.testing.assert_allclose(rate.err, np.sqrt(var_rnoise + var_poisson), rtol=1e-6)

    def test_one_group(self):
        """A single group is divided by its own exposure time."""
        ramps = make.plain(np.full((1, 1, 2, 3), 50.0))
        found = fit(ramps).rate

        np.testing.assert_allclose(found.sci, 50 / GROUP_TIME, rtol=1e-6)
        assert (found.err > 0).all()

    def test_integrations_make_the_error_smaller(self):
        """Four like integrations have a quarter of the variances."""
        one, four = fit(make.plain(line())).rate, fit(make.plain(line(nints=4))).rate

        np.testing.assert_allclose(four.var_rnoise, one.var_rnoise / 4, rtol=1e-6)
        np.testing.assert_allclose(four.var_poisson, one.var_poisson / 4, rtol=1e-6)

    def test_dark_current_adds_to_photon_noise_alone(self):
        """The average dark current changes the photon variance and nothing else of the fit."""
        ramps = make.plain(line(slope=0.0))
        dark = np.full((2, 3), 0.5, np.float32)
        without, with_dark = fit(ramps), fit(ramps, dark_current=dark)

        assert not without.rate.var_poisson.any()
        np.testing.assert_allclose(with_dark.rate.var_poisson, 0.5 / (GROUP_TIME * 2.0 * 7), rtol=1e-6)
        np.testing.assert_array_equal(with_dark.rate.var_rnoise, without.rate.var_rnoise)


class TestSegments:
    def test_a_jump_leaves_the_slope_alone(self):
        """Two segments around a flagged jump have the slope of the ramp without it."""
        data = line(10).copy()
        data[0, 4:] += 5000
        ramps = make.plain(data)
        ramps.groupdq[0, 4] = JUMP_DET
        found = fit(ramps)

        np.testing.assert_allclose(found.rate.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert (found.rate.dq == JUMP_DET).all()
        assert (found.rateints.dq == JUMP_DET).all()

    def test_saturation_cuts_the_ramp(self):
        """Groups after saturation are not fitted, and the pixel says that it saturated."""
        ramps = make.plain(line(10))
        ramps.groupdq[0, 6:] = SATURATED
        ramps.data[0, 6:] = 65535
        found = fit(ramps).rate

        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert (found.dq == SATURATED).all()

    def test_no_good_group_but_flags_that_permit_one(self):
        """A ramp of jumps has rate 0 without DO_NOT_USE, as the official step has it."""
        ramps = make.plain(line(4))
        ramps.groupdq[0, :, 0, 0] = JUMP_DET
        found = fit(ramps).rate

        assert (found.sci[0, 0], found.err[0, 0], found.dq[0, 0]) == (0, 0, JUMP_DET)

    @pytest.mark.parametrize(
        ("flags", "expected"),
        [
            ([0, 0, 0, 0], [(0, 4)]),
            ([0, 0, 4, 0], [(0, 2), (2, 2)]),
            ([0, 4, 4, 0], [(2, 2)]),
            ([0, 0, 5, 0], [(0, 2)]),
            ([4, 0, 0, 2], [(0, 3)]),
            ([0, 1, 0, 1], [(0, 1)]),
            ([32, 36, 32, 0], [(1, 3)]),
            ([0, 128, 0, 0], [(2, 2)]),
            ([1, 1, 1, 1], []),
        ],
    )
    def test_runs_of_good_groups(self, flags, expected):
        """A run may begin with a pure jump; runs of one group stay only if there is no longer one."""
        others = np.array([[0, 0, 0, 0], [4, 1, 0, 1]], np.uint8)
        found = segments.find_segments(np.stack([others[0], np.array(flags, np.uint8), others[1]]).T)
        runs = [run for run in zip(found.ramp, found.start, found.length, strict=True) if run[0] == 1]

        assert [(start, length) for _, start, length in runs] == expected

    def test_charge_loss_gives_read_noise_of_the_whole_ramp(self):
        """Groups left out for charge loss count for the read noise and for nothing else."""
        ramps = make.plain(line(10))
        ramps.groupdq[0, 5:, 0, 0] = CHARGELOSS | DO_NOT_USE
        ramps.data[0, 5:, 0, 0] = 0
        found = fit(ramps).rate

        assert found.var_rnoise[0, 0] == found.var_rnoise[1, 1]
        assert found.var_poisson[0, 0] > found.var_poisson[1, 1]
        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)


class TestLoneGroups:
    def lone(self):
        ramps = make.plain(line(6, pedestal=60.0))
        ramps.groupdq[0, 1:, 0, 0] = SATURATED
        return ramps

    def test_suppressed(self):
        """A ramp with one good group is not used by default."""
        found = fit(self.lone()).rate

        assert np.isnan(found.sci[0, 0])
        assert found.err[0, 0] == 0
        assert found.dq[0, 0] == DO_NOT_USE | SATURATED

    def test_kept(self):
        """If asked for, its first group is divided by the group's own exposure time."""
        found = fit(self.lone(), suppress_one_group=False).rate

        np.testing.assert_allclose(found.sci[0, 0], 60 / GROUP_TIME, rtol=1e-6)
        assert found.dq[0, 0] == SATURATED

    def test_persistence_does_not_make_a_group_bad(self):
        """A group with PERSISTENCE alone is fitted, and the pixel has the flag."""
        ramps = make.plain(line())
        ramps.groupdq[0, 3] = PERSISTENCE
        found = fit(ramps).rate

        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert (found.dq == PERSISTENCE).all()


class TestWeights:
    @pytest.mark.parametrize("length", range(2, 40))
    def test_coefficients_give_the_slope_of_a_line(self, length):
        """For every power the coefficients give slope 1 for the line of slope 1."""
        pairs = np.arange(length - 1, 0, -2)

        np.testing.assert_allclose(optimal_weights.coefficients(length) @ pairs, 1, rtol=1e-14)

    def test_signal_decides(self):
        """The power rises with the signal-to-noise ratio at the official limits."""
        ratio = np.array([0.0, 4.99, 5.01, 9.99, 10.01, 19.9, 20.1, 49.9, 50.1, 99.9, 100.1])
        rise = (ratio**2 + ratio * np.sqrt(ratio**2 + 4 * 25)) / 2
        power = optimal_weights.power_class(rise, np.ones(11), np.full(11, 25.0))

        assert power.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]

    def test_negative_and_unknown_rise(self):
        """A falling ramp has the lowest power, and one whose rise is NaN the highest."""
        power = optimal_weights.power_class(np.array([-1e6, np.nan]), np.ones(2), np.ones(2))

        assert power.tolist() == [0, 5]


class TestProperties:
    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.integers(2, 13), offset=st.integers(-4000, 4000))
    def test_constant_added_to_a_ramp_leaves_its_slope_alone(self, seed, ngroups, offset):
        """Slopes are made of differences where two good groups follow each other."""
        ramps = make.flagged(seed, (2, ngroups, 6, 7), whole_numbers=True)
        data = np.nan_to_num(ramps.data)
        before = fit(make.Ramps(data, *ramps.arrays[1:]))
        after = fit(make.Ramps(data + np.float32(offset), *ramps.arrays[1:]))
        np.testing.assert_array_equal(after.rateints.dq, before.rateints.dq)
        for integration, flags in enumerate(ramps.groupdq):
            lines = segments.find_segments(flags.reshape(ngroups, -1))
            ramp = np.unique(lines.ramp[lines.length > 1])
            slopes = [found.rateints.sci[integration].reshape(-1)[ramp] for found in (after, before)]
            np.testing.assert_allclose(*slopes, rtol=1e-6, atol=1e-9)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.integers(2, 13), value=st.floats(width=32))
    def test_values_of_unusable_groups_never_matter(self, seed, ngroups, value):
        """What a saturated or unusable group holds, be it NaN or infinite, changes nothing."""
        ramps = make.flagged(seed, (2, ngroups, 6, 7), lost=True)
        data = np.where(ramps.groupdq & (SATURATED | DO_NOT_USE), np.float32(value), ramps.data)

        assert_same(fit(make.Ramps(data, *ramps.arrays[1:])), fit(ramps))

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), ngroups=st.sampled_from([1, 2, 5, 12]), cut=st.integers(1, 11))
    def test_slabs_equal_the_whole(self, seed, ngroups, cut):
        """Each slab gives the rows of the whole exposure bit for bit."""
        ramps = make.flagged(seed, (2, ngroups, 12, 5), lost=True)
        whole, facts = fit(ramps), RampFacts.of(ramps.groupdq)

        for rows in (slice(0, cut), slice(cut, 12)):
            assert_same(fit(ramps.rows(rows), facts=facts), whole, rows)

    @pytest.mark.parametrize("ngroups", [5, 12])
    def test_blocks_do_not_matter(self, ngroups, monkeypatch):
        """No rate depends on where the blocks end that pixels are worked on in."""
        ramps = make.flagged(3, (2, ngroups, 40, 50), lost=True)
        whole = fit(ramps)

        def short(pixels, planes, **_):
            return (slice(start, min(start + 37, pixels)) for start in range(0, pixels, 37))

        monkeypatch.setattr(ramp_fit, "blocks", short)
        monkeypatch.setattr(ramp_fit, "batches", lambda chosen, planes, **_: (chosen[b] for b in short(len(chosen), 1)))

        assert_same(fit(ramps), whole)

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), nints=st.integers(1, 2))
    def test_neighbours_do_not_matter(self, seed, share, nints):
        """Pixels have the rates that they have among clean ramps, however many others are flagged."""
        ramps = make.flagged(seed, (nints, 6, 4, 12), lost=True)
        freed = np.random.default_rng(seed).random((4, 12)) < share
        ramps.groupdq[:, :, freed] = 0
        facts = RampFacts.of(ramps.groupdq)
        many = fit(ramps, facts=facts)
        ramps.groupdq[:, :, 1:] = 0
        few = fit(ramps, facts=facts)

        for rate, expected in ((few.rate, many.rate), (few.rateints, many.rateints)):
            for plane in PLANES:
                kept = (..., slice(0, 1), slice(None))
                np.testing.assert_array_equal(getattr(rate, plane)[kept], getattr(expected, plane)[kept])

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-3, 3))
    def test_scaling(self, seed, exponent):
        """Counts and read noise times a power of two, gain divided by it, scale rates and errors alike."""
        ramps, scale = make.hit(seed, (1, 9, 6, 7)), np.float32(2.0**exponent)
        data, groupdq, pixeldq, gain, readnoise = ramps.arrays
        rate = fit(ramps).rate
        scaled = fit(make.Ramps(data * scale, groupdq, pixeldq, gain / scale, readnoise * scale)).rate

        np.testing.assert_array_equal(scaled.dq, rate.dq)
        small = rate.var_rnoise + rate.var_poisson < 1e3
        np.testing.assert_allclose(scaled.sci[small], rate.sci[small] * scale, rtol=1e-6)
        np.testing.assert_allclose(scaled.err[small], rate.err[small] * scale, rtol=1e-6)

    def test_flags_that_do_not_matter_take_the_other_way(self):
        """The fit of clean ramps and that of flagged ones agree: PERSISTENCE forces the second."""
        rng = np.random.default_rng(5)
        for ngroups in (2, 3, 8, 9):
            data = rng.poisson(30, (2, ngroups, 20, 20)).cumsum(1) + rng.normal(0, 8, (2, ngroups, 20, 20))
            ramps = make.plain(data)
            clean = fit(ramps)
            ramps.groupdq[:, 1] = PERSISTENCE
            other = fit(ramps)

            for plane in ("sci", "err", "var_poisson", "var_rnoise"):
                np.testing.assert_allclose(getattr(other.rate, plane), getattr(clean.rate, plane), rtol=5e-7)
                np.testing.assert_allclose(getattr(other.rateints, plane), getattr(clean.rateints, plane), rtol=5e-7)

    def test_inputs_are_not_changed(self):
        """The arrays that were handed over stay as they are."""
        ramps = make.flagged(2, (2, 8, 9, 9), lost=True)
        before = [array.copy() for array in ramps.arrays]
        fit(ramps, firstgroup=2)

        for array, copy in zip(ramps.arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


class TestNothingToFit:
    def test_all_saturated_from_the_start(self):
        """An exposure without one unsaturated first group has no rate."""
        ramps = make.plain(line())
        ramps.groupdq[:] = SATURATED

        assert fit(ramps) is None

    def test_slab_of_an_exposure_that_has_a_rate(self):
        """A slab that is saturated from the start has NaN rates if the exposure has others."""
        ramps = make.plain(line())
        ramps.groupdq[:, :, 0] = SATURATED
        found = fit(ramps.rows(slice(0, 1)), facts=RampFacts.of(ramps.groupdq))

        assert np.isnan(found.rate.sci).all()
        assert (found.rate.dq == DO_NOT_USE | SATURATED).all()

    def test_miri_leaves_out_dead_groups_at_the_ends(self):
        """For MIRI, groups that are wholly unusable at the ends do not count, and two have to be left."""
        ramps = make.plain(line(6))
        ramps.groupdq[:, [0, 5]] = DO_NOT_USE
        ramps.groupdq[:, 1] |= JUMP_DET
        found = fit(ramps, instrument="MIRI")
        ramps.groupdq[:, 1:4] = DO_NOT_USE

        assert not found.rate.dq.any()
        assert fit(ramps, instrument="MIRI") is None


class TestBadInput:
    def test_nan_everywhere(self):
        """Ramps of NaN that nothing flags have rate 0 from three groups on, as the official step has it."""
        found = fit(make.plain(np.full((1, 5, 2, 2), np.nan)))

        assert (found.rate.sci == 0).all()
        assert np.isfinite(found.rate.err).all()

    @pytest.mark.parametrize("gain", [np.nan, 0.0, -2.0])
    def test_pixel_without_gain(self, gain):
        """A pixel without a positive gain has no rate, zero errors, and says so."""
        ramps = make.plain(line())
        ramps.gain[1, 2] = gain
        found = fit(ramps).rate

        assert np.isnan(found.sci[1, 2])
        assert (found.err[1, 2], found.var_poisson[1, 2], found.var_rnoise[1, 2]) == (0, 0, 0)
        assert found.dq[1, 2] == NO_GAIN_VALUE | DO_NOT_USE

    def test_unknown_read_noise(self):
        """NaN read noise gives NaN rate and error, a photon variance, and no flag."""
        ramps = make.plain(line())
        ramps.readnoise[0, 0] = np.nan
        found = fit(ramps).rate

        assert np.isnan([found.sci[0, 0], found.err[0, 0], found.var_rnoise[0, 0]]).all()
        assert found.var_poisson[0, 0] > 0
        assert found.dq[0, 0] == 0

    def test_no_groups(self):
        """Without groups an error names the shape."""
        empty = make.plain(np.zeros((1, 0, 3, 3)))
        with pytest.raises(errors.WrongLayout, match=r"data has shape \(1, 0, 3, 3\)"):
            fit(empty)

    @pytest.mark.parametrize(("field", "keyword"), [("nframes", "NFRAMES"), ("group_time_s", "TGROUP")])
    def test_times_that_are_none(self, field, keyword):
        """An error names the keyword and its value."""
        ramps = make.plain(line())
        fields = {name: getattr(make.readout(ramps), name) for name in Readout.__dataclass_fields__}
        with pytest.raises(errors.MissingKeyword, match=f"{keyword} is 0"):
            ramp_fit.fit(make.ramp(ramps), make.images(ramps), readout=Readout(**(fields | {field: 0})), parameters={})

    def test_other_algorithm(self):
        """Another algorithm is refused by name."""
        with pytest.raises(errors.Unsupported, match="MEDIAN"):
            fit(make.plain(line()), algorithm="MEDIAN")


class TestZeroFrame:
    def lost(self, zeroframe=300.0):
        """A pixel that saturates from the start, with a zero frame."""
        ramps = make.plain(line(6))
        ramps.groupdq[0, :, 0, 0] = SATURATED
        return ramps, np.full((1, 2, 3), zeroframe, np.float32)

    def fit(self, ramps, zeroframe, **parameters):
        readout = make.readout(ramps, nframes=4)
        return ramp_fit.fit(
            make.ramp(ramps, zeroframe), make.images(ramps), readout=readout, parameters=parameters
        ).rate

    def test_stands_in_for_a_ramp_without_a_good_group(self):
        """It is divided by the time of one frame; the pixel still says that it saturated, and others stay."""
        ramps, zeroframe = self.lost()
        found = self.fit(ramps, zeroframe, suppress_one_group=False)

        np.testing.assert_allclose(found.sci[0, 0], 300 / (GROUP_TIME / 4), rtol=1e-6)
        assert found.dq[0, 0] == SATURATED
        np.testing.assert_allclose(found.sci[1], 40 / GROUP_TIME, rtol=1e-6)

    @pytest.mark.parametrize(("zeroframe", "suppressed"), [(0.0, False), (300.0, True)])
    def test_is_not_used(self, zeroframe, suppressed):
        """A zero frame of 0 says nothing, and none is used where ramps with one good group are not."""
        ramps, zeros = self.lost(zeroframe)

        assert np.isnan(self.fit(ramps, zeros, suppress_one_group=suppressed).sci[0, 0])

    def test_of_another_shape(self):
        """An error names the shape that it needs."""
        ramps, _ = self.lost()
        with pytest.raises(errors.WrongLayout, match="zeroframe"):
            self.fit(ramps, np.zeros((2, 3), np.float32))


class TestOptional:
    def test_a_ramp_with_a_jump(self):
        """Both segments are there with slope and intercept, and the jump with its height; nothing else is."""
        data = line(10).copy()
        data[0, 4:] += 5000
        ramps = make.plain(data)
        ramps.groupdq[0, 4, 1, 1] = JUMP_DET
        ramps.data[0, 4:, :, :] -= np.where(np.arange(6).reshape(2, 3) == 4, 0, 5000).astype(np.float32)
        optional = fit(ramps, save_opt=True).optional

        assert optional.slope.shape == (1, 2, 2, 3)
        np.testing.assert_allclose(optional.slope[0, :, 1, 1], 40 / GROUP_TIME, rtol=1e-6)
        np.testing.assert_allclose(optional.yint[0, :, 1, 1], [1000, 6000], rtol=1e-6)
        np.testing.assert_allclose(optional.crmag[0, 0, 1, 1], 5040)
        assert np.count_nonzero(optional.crmag) == 1
        assert np.count_nonzero(optional.slope[0, 1]) == 1

    def test_does_not_change_the_rates(self):
        """Rates are the same bit for bit whether it is asked for or not; it is None if not."""
        ramps = make.flagged(8, (2, 7, 9, 11), lost=True)
        with_it, without = fit(ramps, save_opt=True), fit(ramps)

        assert_same(with_it, without)
        assert without.optional is None


def test_neighbours_with_the_same_flags_do_not_matter():
    """A pixel has the same rate, bit for bit, among thousands with its flags and alone."""
    for ngroups, nints in ((9, 1), (10, 1), (4, 3), (20, 2)):
        ramps = make.flagged(ngroups, (nints, ngroups, 30, 40), lost=True)
        ramps.groupdq[...] = ramps.groupdq[:, :, :1, :3].repeat(10, axis=3)[..., :1].repeat(40, axis=3)
        whole, facts = fit(ramps), RampFacts.of(ramps.groupdq)
        for row in range(0, 30, 7):
            part = make.Ramps(*(array[..., row : row + 1, :] for array in ramps.arrays))
            assert_same(fit(part, facts=facts), whole, slice(row, row + 1))
