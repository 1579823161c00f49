from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import likelihood, ramp_fit
from reprocess.calibration.ramp import Ramp
from reprocess.calibration.slope_variance import NoiseImages
from tests.calibration import ramps as make
from tests.calibration.ramps import DO_NOT_USE, JUMP_DET, SATURATED

PLANES = ("sci", "err", "dq", "var_poisson", "var_rnoise")
GROUP_TIME = 10.737


def fit(ramps, *, nframes=1, groupgap=0, zeroframe=None, dark_current=None):
    ramp = Ramp(ramps.data, ramps.groupdq, ramps.pixeldq, zeroframe)
    readout = replace(make.readout(ramps, nframes=nframes), groupgap=groupgap)
    return likelihood.fit(ramp, NoiseImages(ramps.gain, ramps.readnoise, dark_current), readout=readout)


def line(ngroups=8, slope=40.0, nints=1, rows=2, columns=3):
    groups = 1000 + slope * np.arange(ngroups)[:, np.newaxis, np.newaxis]
    return np.broadcast_to(groups, (nints, ngroups, rows, columns)).astype(np.float32)


def textbook(values, gain, read, rate, durations):
    """Generalised least squares of differences with their whole covariance: rate and variance."""
    covariance = np.diag(rate / gain / durations + 2 * (read / durations) ** 2)
    beside = -(read**2) / (durations[1:] * durations[:-1])
    covariance += np.diag(beside, 1) + np.diag(beside, -1)
    inverse = np.linalg.inv(covariance)
    return (inverse @ values).sum() / inverse.sum(), 1 / inverse.sum()


class TestRates:
    @pytest.mark.parametrize("ngroups", [4, 5, 8, 9, 30])
    @pytest.mark.parametrize("nframes", [1, 4])
    @pytest.mark.parametrize("slope", [-3.0, 2.0, 700.0])
    def test_ramp_without_noise_is_recovered(self, ngroups, nframes, slope):
        """The rate of a straight ramp is its rise over its time, whatever the weights are."""
        found = fit(make.plain(line(ngroups, slope, nints=2)), nframes=nframes)

        np.testing.assert_allclose(found.rate.sci, slope / GROUP_TIME, rtol=1e-6)
        np.testing.assert_allclose(found.rateints.sci, slope / GROUP_TIME, rtol=1e-6)
        assert not found.rate.dq.any()

    @pytest.mark.parametrize("ngroups", [4, 7, 10, 25])
    def test_rate_and_error_are_those_of_a_dense_solution(self, ngroups):
        """Rate and error are those of generalised least squares with the covariance written out."""
        rng = np.random.default_rng(ngroups)
        data = np.cumsum(rng.poisson(90, (1, ngroups, 1, 50)), axis=1) + rng.normal(0, 4, (1, ngroups, 1, 50))
        ramps = make.plain(data)
        found = fit(ramps)
        durations = np.full(ngroups - 1, GROUP_TIME)
        for column in np.flatnonzero(found.rate.dq[0] == 0):
            values = np.diff(ramps.data[0, :, 0, column]) / durations
            rate = np.median(values)
            for _ in range(2):
                rate, variance = textbook(values, 2.0, 10 / np.sqrt(2), rate, durations)
            np.testing.assert_allclose(found.rate.sci[0, column], rate, rtol=1e-6)
            np.testing.assert_allclose(found.rate.err[0, column], np.sqrt(variance), rtol=1e-6)

    def test_variances_add_up_to_the_error(self):
        """The square of an error is the sum of the variances from photons and from reading."""
        rate = fit(make.plain(line(10)), nframes=4).rateints

        np.testing.assert_allclose(rate.var_poisson + rate.var_rnoise, rate.err**2, rtol=1e-6)

    def test_dark_current_adds_photon_noise(self):
        """A dark current raises the variance from photons of a ramp that has no signal."""
        ramps = make.plain(line(slope=0.0) + np.float32([[[[0.0]], [[1.0]]] * 4]))
        dark = np.full((2, 3), 0.5, np.float32)

        assert (fit(ramps, dark_current=dark).rate.var_poisson > fit(ramps).rate.var_poisson).all()

    def test_like_integrations_make_the_error_smaller(self):
        """Four like integrations have a quarter of the variances of one."""
        one, four = fit(make.plain(line())).rate, fit(make.plain(line(nints=4))).rate

        np.testing.assert_allclose(four.var_poisson, one.var_poisson / 4, rtol=1e-5)
        np.testing.assert_allclose(four.var_rnoise, one.var_rnoise / 4, rtol=1e-5)

    def test_zero_frame_is_a_group_of_its_own(self):
        """A zero frame on the line keeps its rate and lowers its error; without averaged frames it is not used."""
        ramps = make.plain(line(6))
        frame = np.full((1, 2, 3), 1000 - 40 * 1.5 / 4, np.float32)
        without, with_frame = fit(ramps, nframes=4), fit(ramps, nframes=4, zeroframe=frame)

        np.testing.assert_allclose(with_frame.rate.sci, 40 / GROUP_TIME, rtol=1e-5)
        assert (with_frame.rate.err < without.rate.err).all()
        np.testing.assert_array_equal(fit(ramps, zeroframe=frame).rate.err, fit(ramps).rate.err)


class TestFlags:
    def test_a_jump_is_found_and_left_out(self):
        """A step that no flag tells of is left out of the fit, and the pixel says so."""
        data = line(10).copy()
        data[0, 4:, 0, 0] += 5000
        found = fit(make.plain(data)).rate

        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert found.dq[0, 0] == JUMP_DET
        assert not found.dq.flat[1:].any()

    def test_a_jump_inside_an_averaged_group_spoils_two_differences(self):
        """With several frames in a group, a jump within it leaves out the differences on both sides of it."""
        data = line(12).copy()
        data[0, 6:, 0, 0] += 5000
        data[0, 5, 0, 0] += 2500
        found = fit(make.plain(data), nframes=4).rate

        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert found.dq[0, 0] == JUMP_DET

    @pytest.mark.parametrize("flag", [DO_NOT_USE, SATURATED, JUMP_DET, make.PERSISTENCE])
    def test_differences_with_a_flag_are_not_used(self, flag):
        """Whatever a group is flagged with, neither of its differences takes part."""
        data = line(10).copy()
        data[0, 7] += 300
        ramps = make.plain(data)
        ramps.groupdq[0, 7] = flag
        found = fit(ramps).rate

        np.testing.assert_allclose(found.sci, 40 / GROUP_TIME, rtol=1e-6)
        assert (found.dq == flag & (SATURATED | JUMP_DET)).all()

    def test_nothing_to_fit(self):
        """Without two neighbouring good groups the rate is NaN; DO_NOT_USE says that no group is good."""
        ramps = make.plain(line(6))
        ramps.groupdq[0, :, 0] = SATURATED
        ramps.groupdq[0, ::2, 1] = SATURATED
        found = fit(ramps).rate

        assert np.isnan([found.sci, found.err, found.var_poisson, found.var_rnoise]).all()
        assert (found.dq == [[SATURATED | DO_NOT_USE], [SATURATED]]).all()

    def test_unusable_integrations(self):
        """DO_NOT_USE is in the rate only if it is in all integrations, other flags if they are in any."""
        ramps = make.plain(line(6, nints=2))
        ramps.groupdq[0] = SATURATED
        ramps.groupdq[1, :, 0] = DO_NOT_USE
        found = fit(ramps).rate

        assert (found.dq == [[SATURATED | DO_NOT_USE], [SATURATED]]).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, value):
        """A value that is not finite takes its pixel's rate and no other's."""
        ramps = make.plain(line(6))
        ramps.data.setflags(write=True)
        ramps.data[0, 3, 0, 0] = value
        found = fit(ramps).rate

        assert np.isnan(found.sci).tolist() == [[True, False, False], [False, False, False]]


class TestSlabs:
    @pytest.mark.parametrize("shape", [(1, 10, 24, 40), (2, 5, 24, 40), (1, 20, 24, 40)])
    @pytest.mark.parametrize("nframes", [1, 4])
    def test_rows_are_those_of_the_whole(self, shape, nframes, monkeypatch):
        """Any rows fitted alone, in blocks of any length, give the bits that they have in the whole."""
        ramps = make.flagged(7, shape)
        whole = fit(ramps, nframes=nframes)
        monkeypatch.setattr("reprocess.calibration.blocks.SHORTEST_BLOCK", 1)
        monkeypatch.setattr(likelihood, "_EVEN_VALUES", 130)
        monkeypatch.setattr(likelihood, "_MASKED_VALUES", 70)
        for rows in (slice(0, 1), slice(1, 9), slice(9, 24)):
            part = fit(ramps.rows(rows), nframes=nframes)
            for one, other in ((part.rate, whole.rate), (part.rateints, whole.rateints)):
                for plane in PLANES:
                    np.testing.assert_array_equal(getattr(one, plane), getattr(other, plane)[..., rows, :])


class TestRefusals:
    def test_too_few_groups(self):
        """Fewer groups than the jump test needs are refused here."""
        with pytest.raises(errors.WrongLayout, match="4 groups"):
            fit(make.plain(line(3)))

    @pytest.mark.parametrize("wrong", [{"nframes": 0}, {"groupgap": -1}, {"frame_time_s": np.nan}])
    def test_readout_without_times(self, wrong):
        """Readouts from which no times follow are refused, naming the keyword."""
        ramps = make.plain(line())
        with pytest.raises(errors.MissingKeyword):
            likelihood.fit(
                Ramp(ramps.data, ramps.groupdq, ramps.pixeldq),
                NoiseImages(ramps.gain, ramps.readnoise),
                readout=replace(make.readout(ramps), **wrong),
            )

    def test_ramp_fit_takes_the_other_algorithm_for_short_ramps(self):
        """Asked for LIKELY with three groups, the ramp fit gives what it gives without."""
        ramps = make.plain(line(3))
        images = NoiseImages(ramps.gain, ramps.readnoise)
        results = [
            ramp_fit.fit(
                Ramp(ramps.data, ramps.groupdq, ramps.pixeldq),
                images,
                readout=make.readout(ramps),
                parameters={"algorithm": algorithm},
            )
            for algorithm in ("LIKELY", "OLS_C")
        ]

        np.testing.assert_array_equal(results[0].rate.err, results[1].rate.err)
