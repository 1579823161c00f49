import dataclasses

import numpy as np
import pytest

from reprocess.simulation import cosmic_rays, pixels, ramp
from reprocess.simulation.instruments import DETECTORS, PATTERNS, Subarray
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule

INSIDE = Subarray("GENERIC", 600, 600, 96, 96, 1, 1.0)


@pytest.fixture(autouse=True)
def _no_cosmic_rays(monkeypatch):
    monkeypatch.setattr(cosmic_rays, "hit_rate", lambda seconds: 0.0)


def exposure(pattern, *, detector="NRCA1", ngroups=6, nints=1):
    first = schedule(SimulationOptions(exposures=1))[0]
    mode = dataclasses.replace(
        first.mode,
        detector=DETECTORS[detector],
        subarray=dataclasses.replace(INSIDE, outputs=4 if detector == "MIRIMAGE" else 1),
        pattern=PATTERNS[pattern],
        ngroups=ngroups,
        nints=nints,
    )
    return dataclasses.replace(first, mode=mode)


def expose(pattern, rate, **readout):
    """Groups and maps of a uniform light of `rate` electrons per second."""
    taken = exposure(pattern, **readout)
    maps = pixels.build(taken.mode.detector, INSIDE, 1)
    light = ramp.Light(np.full(maps.kind.shape, rate, np.float32), np.zeros(maps.kind.shape, np.float32))
    return np.array(list(ramp.read_out(taken, maps, light))), maps


def linear(measured, maps):
    """The linearity polynomial, term by term."""
    return measured + maps.curvature * measured**2 + maps.cubic * measured**3


def test_the_inverse_of_the_polynomial_is_its_inverse():
    """Measuring and correcting gives back the linear signal to a hundredth of a DN up to a full well."""
    maps = pixels.build(DETECTORS["NRCA1"], INSIDE, 1)
    for signal in (0.0, 10.0, 3000.0, 30000.0, 50000.0):
        there = ramp.inverse_linearity(np.full(maps.kind.shape, signal, np.float32), maps)
        np.testing.assert_allclose(linear(there.astype(float), maps), signal, atol=0.02)


def test_groups_grow_by_the_light_they_gather():
    """Corrected for bias and curvature, the mean signal of a group is rate times time over gain."""
    rate = 800.0
    groups, maps = expose("RAPID", rate)
    signal = linear(groups - maps.bias.astype(float), maps) * maps.gain
    expected = rate * np.arange(1, 7)
    np.testing.assert_allclose(np.median(signal, axis=(1, 2)), expected, rtol=0.002, atol=5.0)


def test_dropped_frames_gather_light_too():
    """Between groups of BRIGHT1 two frames of light arrive, one of them never sent down."""
    groups, maps = expose("BRIGHT1", 500.0)
    signal = linear(groups - maps.bias.astype(float), maps) * maps.gain
    np.testing.assert_allclose(np.diff(np.median(signal, axis=(1, 2))), 1000.0, rtol=0.01)


def test_the_difference_of_two_reads_has_the_reference_noise():
    """In the dark two groups differ by the noise that the readnoise reference tells, less for averaged frames."""
    for pattern, frames in (("RAPID", 1), ("SHALLOW4", 4)):
        groups, maps = expose(pattern, 0.0, ngroups=2)
        difference = np.diff(groups.astype(float), axis=0)[0] / maps.read_noise
        spread = 1.4826 * np.median(np.abs(difference - np.median(difference)))
        assert spread == pytest.approx(frames**-0.5, rel=0.04)


def test_poisson_noise_follows_the_light():
    """The variance of a difference is that of the electrons in it plus that of the reads."""
    groups, maps = expose("RAPID", 3000.0, ngroups=2)
    signal = linear(groups - maps.bias.astype(float), maps) * maps.gain
    good = maps.kind == 0
    variance = np.var(np.diff(signal, axis=0)[0][good])
    assert variance == pytest.approx(3000.0 + np.median(maps.read_noise * maps.gain) ** 2, rel=0.06)


def test_a_pixel_fills_up_and_stays_full():
    """Light beyond the well makes no more signal, and nothing passes the range of the converter."""
    groups, maps = expose("RAPID", 2.0e5)
    full = (maps.well + maps.bias)[None]
    assert groups.max() <= 65535
    assert np.abs(groups[2:] - full).max() < 60 + 5 * maps.read_noise.max()


def test_integrations_begin_anew():
    """After a reset the signal is back where it began."""
    groups, _ = expose("RAPID", 800.0, nints=2)
    medians = np.median(groups, axis=(1, 2))
    np.testing.assert_allclose(medians[:6], medians[6:], atol=5.0)


def test_miri_reads_high_after_a_reset():
    """The first groups of a MIRI ramp lie above the line by what the reset reference says, and the last one below."""
    groups, _ = expose("FASTR1", 0.0, detector="MIRIMAGE", ngroups=8)
    level = np.median(groups.astype(float), axis=(1, 2))
    extra = level - level[4]
    np.testing.assert_allclose(extra[:3], ramp.RESET_DECAY_DN, atol=1.5)
    assert extra[-1] < -20.0


def test_a_hit_adds_electrons_to_a_pixel_and_sometimes_to_its_neighbours():
    """Hits only add, about as many as expected, and none falls outside."""
    electrons = np.zeros((200, 200), np.float32)
    cosmic_rays.strike(electrons, 2e-3, np.random.default_rng(1))
    hit = np.count_nonzero(electrons)
    assert 50 < hit < 300
    assert electrons.min() == 0.0
