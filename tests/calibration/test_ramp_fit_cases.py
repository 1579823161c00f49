"""Ramps of one pixel whose answers follow from the definitions: what counts, what breaks a ramp, what is reported.

Every ramp rises by ten DN a group but for what its case says, so that the answer can be seen without a calculation.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from reprocess.calibration import ramp_fit
from tests.calibration import ramps as make
from tests.calibration.ramps import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED

GROUP_TIME_S = float(np.float32(10.737))
READ_NOISE_DN, GAIN = 10.0, 2.0
RATE = 10 / GROUP_TIME_S
BAD, FULL, HIT = DO_NOT_USE, SATURATED, JUMP_DET


@dataclass(frozen=True)
class Case:
    """One ramp and its answer.

    Attributes
    ----------
    why : str
    counts : tuple of float
        DN of each group.
    flags : tuple of int
        Of each group.
    rate : float or None
        Groups' rise in tens of DN that is expected; None: NaN.
    dq : int
        Flags of the pixel in the rate.
    cube : int or None
        Sum over segments of n^3 - n, which the variance from read noise is divided by; None: not checked.
    """

    why: str
    counts: tuple[float, ...]
    flags: tuple[int, ...]
    rate: float | None
    dq: int = 0
    cube: int | None = None


def rising(count, *, jumps=(), height=500.0):
    """Counts of a ramp that jumps before some groups."""
    return tuple(100 + 10.0 * group + height * sum(group >= jump for jump in jumps) for group in range(count))


CASES = [
    Case("a plain ramp is one segment", rising(6), (0,) * 6, 1, cube=210),
    Case("two groups give the difference", rising(2), (0, 0), 1, cube=6),
    Case("a jump parts a ramp, and the group that was hit begins the second part",
         rising(8, jumps=[4]), (0, 0, 0, 0, HIT, 0, 0, 0), 1, HIT, 60 + 60),
    Case("a jump in the second group leaves a first part of one group, which is left out",
         rising(6, jumps=[1]), (0, HIT, 0, 0, 0, 0), 1, HIT, 120),
    Case("a jump in the last group leaves a last part of nothing",
         rising(6, jumps=[5]), (0, 0, 0, 0, 0, HIT), 1, HIT, 120),
    Case("two jumps leave three parts", rising(9, jumps=[3, 6]), (0, 0, 0, HIT, 0, 0, HIT, 0, 0), 1, HIT, 24 * 3),
    Case("two jumps one after the other: the group between them belongs to nothing",
         rising(7, jumps=[3, 4]), (0, 0, 0, HIT, HIT, 0, 0), 1, HIT, 24 + 24),
    Case("saturation ends a ramp", (*rising(4), 60000.0, 60000.0), (0, 0, 0, 0, FULL, FULL), 1, FULL, 60),
    Case("saturation from the second group on leaves one group, which is suppressed",
         (100.0, 6e4, 6e4, 6e4), (0, FULL, FULL, FULL), None, BAD | FULL),
    Case("saturation from the first group on leaves nothing", (6e4,) * 4, (FULL,) * 4, None, BAD | FULL),
    Case("a group that must not be used parts a ramp like a jump, and belongs to nothing",
         (*rising(3), 9999.0, *rising(7)[4:]), (0, 0, 0, BAD, 0, 0, 0), 1, 0, 24 + 24),
    Case("unusable groups at the start are left out", (0.0, 0.0, *rising(7)[2:]), (BAD, BAD, 0, 0, 0, 0, 0), 1, 0, 120),
    Case("unusable groups at the end are left out", (*rising(5), 0.0), (0, 0, 0, 0, 0, BAD), 1, 0, 120),
    Case("a pixel without a usable group has no rate", rising(4), (BAD,) * 4, None, BAD),
    Case("a jump before saturation: two parts, then nothing",
         (*rising(6, jumps=[3]), 6e4), (0, 0, 0, HIT, 0, 0, FULL), 1, HIT | FULL, 24 + 24),
    Case("a jump and an unusable group at once are no beginning of a part",
         (*rising(3), 9999.0, *rising(7, jumps=[3])[4:]), (0, 0, 0, HIT | BAD, 0, 0, 0), 1, HIT, 24 + 24),
    Case("persistence is reported and does not count", rising(5), (0, 0, PERSISTENCE, 0, 0), 1, PERSISTENCE, 120),
    Case("parts of one group only: the first is the rate, over the time of a group",
         (30.0, 900.0, 40.0, 900.0, 50.0), (0, BAD, 0, BAD, 0), 3, 0, 6),
    Case("what a saturated group holds does not matter",
         (*rising(4), -5e8, np.inf), (0, 0, 0, 0, FULL, FULL), 1, FULL, 60),
    Case("a falling ramp has a negative rate", tuple(reversed(rising(6))), (0,) * 6, -1, cube=210),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_answers(case):
    """Rate, flags and the variance from read noise of one ramp, alone and among two hundred like it."""
    for columns in (1, 200):
        counts = np.broadcast_to(np.array(case.counts)[:, None, None], (len(case.counts), 1, columns))
        ramps = make.plain(counts[None], gain=GAIN, readnoise=READ_NOISE_DN)
        ramps.groupdq[:] = np.array(case.flags, np.uint8)[None, :, None, None]
        # Neighbours without flags, so that the ramps in question are not the whole exposure.
        ramps.data[..., 1::2], ramps.groupdq[..., 1::2] = 100, 0
        found = ramp_fit.fit(make.ramp(ramps), make.images(ramps), readout=make.readout(ramps), parameters={})
        if found is None:
            assert case.rate is None
            continue

        rate = found.rate
        assert set(rate.dq[0, ::2].tolist()) == {case.dq}
        np.testing.assert_allclose(rate.sci[0, ::2], np.nan if case.rate is None else case.rate * RATE, rtol=1e-6)
        if case.cube is not None:
            variance = 6 * (READ_NOISE_DN / GROUP_TIME_S) ** 2 / case.cube
            np.testing.assert_allclose(rate.var_rnoise[0, ::2], variance, rtol=1e-6)


def test_the_second_of_two_integrations_may_be_lost():
    """An integration without a usable group adds nothing, and the rate is that of the other one."""
    ramps = make.plain(np.broadcast_to(np.array(rising(6))[None, :, None, None], (2, 6, 1, 4)).copy())
    ramps.groupdq[1, :, :, :2] = SATURATED
    rate = ramp_fit.fit(make.ramp(ramps), make.images(ramps), readout=make.readout(ramps), parameters={}).rate

    np.testing.assert_allclose(rate.sci, RATE, rtol=1e-6)
    np.testing.assert_allclose(rate.var_rnoise[0, :2], 2 * rate.var_rnoise[0, 2:], rtol=1e-6)
    assert set(rate.dq[0, :2].tolist()) == {SATURATED}


def test_a_lone_first_group_has_its_own_time():
    """With suppress_one_group off, a first group that is the only good one is divided by its own exposure time."""
    ramps = make.plain(np.broadcast_to(np.array([80.0, 6e4, 6e4])[None, :, None, None], (1, 3, 1, 4)).copy())
    ramps.groupdq[:, 1:, :, :2] = SATURATED
    readout = make.readout(ramps, nframes=4)
    found = ramp_fit.fit(
        make.ramp(ramps), make.images(ramps), readout=readout, parameters={"suppress_one_group": False}
    )

    np.testing.assert_allclose(found.rate.sci[0, :2], 80 / ((4 + 1) * readout.frame_time_s / 2), rtol=1e-6)
