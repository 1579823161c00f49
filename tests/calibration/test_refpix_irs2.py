"""The refpix step of IRS2 frames."""

from dataclasses import replace

import numpy as np
import pytest

from reprocess import errors
from reprocess.calibration import detector1, irs2, refpix, refpix_irs2
from reprocess.calibration.steps import INTERLEAVED, locality, resolve
from tests.calibration.interleaved import IRS2, coefficients
from tests.calibration.test_irs2 import readout_of

COUNT = irs2.LINES * irs2.PLACES
ONE = {"output": 1, "odd_even": 1, "mask": 0b1}


def settled(detector="NRS1", *, alpha=0.0, beta=0.0, unusable=(), marked=()):
    marks = np.zeros(3200, bool)
    marks[list(marked)] = True
    factor = [np.broadcast_to(np.complex64(value), (4, COUNT)) for value in (alpha, beta)]
    return refpix_irs2.Correction(detector, 3.0, *factor, tuple(unusable), None, marks)


def samples_of(level=10.0, ngroups=2):
    rng = np.random.default_rng(4)
    return rng.normal(level, 1, (ngroups, 640, 64)).astype(np.float32)


class TestBadRows:
    """`bad_rows`."""

    def test_finds_pairs_that_stand_out(self):
        """A noisy pair, a pair that is too high and a pair whose samples differ are bad in all integrations."""
        samples = samples_of()
        noisy, high, unlike = 8, 136, 300
        samples[:, noisy : noisy + 2] += np.random.default_rng(1).normal(0, 30, (2, 2, 64)).astype(np.float32)
        samples[:, high : high + 2] += 50
        samples[:, unlike] += 40
        bad = refpix_irs2.bad_rows([samples_of(), samples], settled())
        rows = np.flatnonzero(irs2.between())

        for first in (noisy, high, unlike):
            assert bad[rows[first : first + 2]].all()
        assert bad.sum() < 30

    def test_keeps_what_was_marked(self):
        """Rows that were bad before stay so, whatever they hold, and are not measured."""
        bad = refpix_irs2.bad_rows([samples_of()], settled(marked=[5, 2008]))

        assert bad[[5, 2008]].all()


class TestRepairs:
    """`repairs`."""

    def repairs(self, bad, **given):
        marks = np.zeros(3200, bool)
        marks[bad] = True
        return dict(refpix_irs2.repairs(marks, settled(**given)))

    def test_takes_the_rows_around(self):
        """One period before and after, within the output."""
        found = self.repairs([668, 648])

        assert found == {648: (), 668: (688,)} or found == {648: (650,), 668: (688,)}
        assert self.repairs([688]) == {688: (668, 708)}

    def test_takes_the_other_pair_where_there_is_nothing_around(self):
        """If that is good, else nothing."""
        assert self.repairs([668, 688, 708])[688] == (690,)
        assert self.repairs([668, 688, 708, 690])[688] == ()

    def test_never_crosses_to_another_output(self):
        """The first step aside of an output has only the one after it."""
        assert self.repairs([1288]) == {1288: (1308,)}

    @pytest.mark.parametrize(
        ("detector", "output", "parity", "rows"),
        [
            ("NRS1", 1, 1, [648, 649]),
            ("NRS1", 1, 2, [650, 651]),
            ("NRS1", 2, 1, [1290, 1291]),
            ("NRS2", 1, 1, [2551, 2550]),
            ("NRS2", 4, 2, [631, 630]),
        ],
    )
    def test_reads_the_table_of_the_reference(self, detector, output, parity, rows):
        """Outputs are read in turned directions, so that the parity of pairs changes too."""
        found = refpix_irs2.repairs(np.zeros(3200, bool), settled(detector, unusable=[(output, parity, 1)]))

        assert [row for row, _ in found] == rows


class TestCorrect:
    """`correct`."""

    def correct(self, frames, correction):
        out = np.empty((len(frames), 2048, 2048), np.float32)
        return refpix_irs2.correct(lambda group: frames[group].copy(), correction, (), out=out)

    @pytest.mark.parametrize("detector", ["NRS1", "NRS2"])
    def test_without_coefficients_only_a_line_is_removed(self, detector):
        """Frames that differ by a constant keep the mean of the ramp."""
        image = np.random.default_rng(3).normal(100, 5, (3200, 2048)).astype(np.float32)
        out = self.correct([image - 3, image + 3], settled(detector))

        np.testing.assert_allclose(out[0], image[irs2.normal_rows(detector)], atol=2e-3)
        np.testing.assert_allclose(out[1], out[0], atol=2e-3)

    def test_noise_that_all_samples_share_is_removed(self):
        """With a coefficient of 1 for the slow frequencies the pixels lose what the reference samples show."""
        time = np.arange(COUNT).reshape(2048, 712)
        wave = 20 * np.sin(time * 2 * np.pi * 40 / COUNT)
        _, places = irs2.sample_places()
        turned = [wave[:, places] if output % 2 else wave[:, places[::-1]] for output in range(5)]
        noise = np.concatenate(turned, axis=1).T.astype(np.float32)
        correction = settled()
        # Eight of 22 places carry reference samples: their spectrum is that much lower.
        slow = np.zeros(COUNT, np.complex64)
        slow[1:200] = slow[-199:] = 712 / (32 * 8)
        correction = replace(correction, beta=np.broadcast_to(slow, (4, COUNT)))
        out = self.correct([100 + noise, 100 - noise], correction)
        before = np.std(noise[irs2.normal_rows("NRS1")])

        assert np.std(out[0]) < 0.05 * before


class TestSettle:
    """`settle` and the declaration."""

    def settle(self, reference, **parameters):
        given = {**refpix.PARAMETERS, **parameters}
        marks = np.zeros(3200, bool)
        return refpix_irs2.settle(reference, given, readout_of(IRS2), bias=None, marked=marks)

    @pytest.mark.parametrize(
        ("parameters", "named"),
        [({"skip": True}, "skipped"), ({"preserve_irs2_refpix": True}, "preserve_irs2_refpix")],
    )
    def test_refuses_what_is_not_done(self, parameters, named):
        """By name."""
        with pytest.raises(errors.Unsupported, match=named):
            self.settle(None, **parameters)

    def test_needs_its_reference(self):
        """Without it the samples would stay in the frames."""
        with pytest.raises(errors.MissingReference, match="refpix"):
            self.settle(None)

    def test_refuses_a_short_table(self):
        """The number of frequencies is that of the readout."""
        reference = coefficients(np.random.default_rng(0))
        short = replace(reference, arrays={**reference.arrays, "beta_2": reference.arrays["beta_2"][:-2]})

        with pytest.raises(errors.DamagedReference, match="beta_2"):
            self.settle(short)

    def test_parts_are_real_and_imaginary_in_turn(self):
        """So they are stored."""
        reference = coefficients(np.random.default_rng(0))
        found = self.settle(reference)

        assert found.alpha[3, 1] == complex(*map(float, reference.arrays["alpha_3"][2:4]))
        assert found.beta.shape == (4, COUNT)

    def test_the_exposure_cannot_be_cut(self):
        """Its frames are transformed as a whole."""
        chain = detector1.steps_for({"EXP_TYPE": "NRS_IFU", "READPATT": "NRSIRS2", "SUBSIZE2": 2048})

        assert chain == INTERLEAVED
        assert locality(chain).whole
        assert "refpix" in detector1.reference_types(chain)
        assert not locality(detector1.steps_for({"EXP_TYPE": "NRS_IFU", "READPATT": "NRSRAPID"})).whole
        assert resolve(chain, {})["refpix"]["ovr_corr_mitigation_ftr"] == 3.0
