"""All segments in step: the same sums as segment by segment."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reprocess.calibration import segment_sums, segments
from reprocess.calibration.dq import DO_NOT_USE, JUMP_DET, PERSISTENCE, SATURATED
from reprocess.calibration.slope_variance import PixelNoise, photon_variance, read_variance

GROUP_TIME_S, LONE_TIME_S = 10.0, 4.0


def drawn(seed, ngroups, nramps=300):
    """Ramps with every kind of flags."""
    chance = np.random.default_rng(seed)
    values = np.cumsum(chance.normal(50, 30, (ngroups, nramps)), axis=0).astype(np.float32)
    flags = np.zeros((ngroups, nramps), np.uint8)
    for bits, share in ((JUMP_DET, 0.2), (DO_NOT_USE, 0.05), (JUMP_DET | DO_NOT_USE, 0.03), (PERSISTENCE, 0.03)):
        flags[chance.random(flags.shape) < share] |= np.uint8(bits)
    flags[np.arange(ngroups)[:, None] >= chance.integers(0, 3 * ngroups, nramps)] |= np.uint8(SATURATED)
    noise = PixelNoise(chance.uniform(1, 3, nramps), chance.uniform(3, 12, nramps), chance.uniform(0, 0.1, nramps))
    lone_time_s = np.where(chance.random(nramps) < 0.3, LONE_TIME_S, GROUP_TIME_S)
    return values, flags, chance.normal(3, 5, nramps), noise, lone_time_s


def in_step(values, flags, rate, noise, lone_time_s):
    return segment_sums.segment_sums(
        values, flags, rate=rate, noise=noise, group_time_s=GROUP_TIME_S, lone_time_s=lone_time_s
    )


def one_by_one(values, flags, rate, noise, lone_time_s):
    """The sums as they are defined, and those of the sizes of what is added."""
    found = segments.find_segments(flags)
    found = found.chosen(np.flatnonzero(flags[0].take(found.ramp) & SATURATED == 0))
    own, length = noise.of(found.ramp), found.length.astype(float)
    time_s = np.where(found.length == 1, lone_time_s[found.ramp], GROUP_TIME_S)
    slope = segments.slopes(values, found, own.gain, own.read_noise**2) / time_s
    photon, read = photon_variance(rate[found.ramp], own, length, time_s), read_variance(own, length, time_s)
    inverse = np.divide(1, photon, out=np.zeros_like(photon), where=photon > 0)
    summands = (slope / read, 1 / read, inverse, 1 / (photon + read))
    return [
        (np.bincount(found.ramp, each, len(rate)), np.bincount(found.ramp, np.abs(each), len(rate)))
        for each in summands
    ]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ngroups=st.sampled_from([1, 2, 3, 4, 5, 9, 10, 11, 20, 33, 70]))
def test_the_same_as_segment_by_segment(seed, ngroups):
    """Slopes, variances and their sums are those of each segment by itself, for any flags."""
    ramps = drawn(seed, ngroups)
    sums = in_step(*ramps)

    for found, (expected, size) in zip(sums.each, one_by_one(*ramps), strict=True):
        assert np.all(np.abs(found - expected) <= 4e-7 * size)


@pytest.mark.parametrize("ngroups", [5, 12])
def test_blocks_do_not_matter(ngroups, monkeypatch):
    """No sum depends on where the blocks end that ramps are worked on in."""
    ramps = drawn(3, ngroups, 4000)
    whole = in_step(*ramps)
    monkeypatch.setattr(segment_sums, "_BLOCK_VALUES", 512 * ngroups)

    for one, other in zip(in_step(*ramps).each, whole.each, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_ramp_without_segments_adds_nothing():
    """Where no group is good all sums are 0, also where the noise is no number."""
    values, flags, rate, noise, lone_time_s = drawn(1, 4, 20)
    flags[:] = DO_NOT_USE
    noise.gain[:5], noise.read_noise[5:9] = 0.0, np.nan
    with np.errstate(all="ignore"):
        sums = in_step(values, flags, rate, noise, lone_time_s)

    assert all((each == 0).all() for each in sums.each)


def test_more_groups_than_eight_bits_count():
    """Three hundred groups in one segment, and in segments of two."""
    values, flags, rate, noise, lone_time_s = drawn(2, 300, 8)
    flags[:, :4] = 0
    flags[:, 4:] = 0
    flags[2::3, 4:] = DO_NOT_USE
    ramps = values, flags, rate, noise, lone_time_s

    for found, (expected, size) in zip(in_step(*ramps).each, one_by_one(*ramps), strict=True):
        assert np.all(np.abs(found - expected) <= 4e-7 * size)
