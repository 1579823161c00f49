from dataclasses import replace

import numpy as np
import pytest

from reprocess.calibration import ramp_fit
from tests.calibration import ramps as make

PLANES = {"sci": "data", "err": "err", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise"}


@pytest.fixture(scope="module")
def official_ramps(official):
    from tests.parity import official_ramps

    return official_ramps


@pytest.fixture
def same_rates(official_ramps):
    def compare(ramps, readout, parameters=None, dark_current=None, zeroframe=None):
        parameters = {"algorithm": "LIKELY", **(parameters or {})}
        theirs = official_ramps.ramp_fit(ramps, readout, parameters, dark_current, zeroframe)[:2]
        ours = ramp_fit.fit(
            make.ramp(ramps, zeroframe), make.images(ramps, dark_current), readout=readout, parameters=parameters
        )
        for rate, expected in zip((ours.rate, ours.rateints), theirs, strict=True):
            np.testing.assert_array_equal(rate.dq, expected.dq)
            for plane, name in PLANES.items():
                # Below atol both are the rounding errors of 0 in double precision.
                close = {"rtol": 1e-6, "atol": 1e-9, "err_msg": plane}
                np.testing.assert_allclose(getattr(rate, plane), getattr(expected, name), **close)

    return compare


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("nframes", "groupgap"), [(1, 0), (1, 3), (2, 1), (4, 0), (4, 2)])
@pytest.mark.parametrize("ngroups", [4, 5, 9, 10, 20])
def test_rates_are_those_of_the_official_step(same_rates, ngroups, nframes, groupgap):
    """On the same ramps rates, errors and variances agree to a few roundings; flags and NaN are in the same places."""
    nints = 1 + (ngroups + groupgap) % 3
    for whole_numbers in (False, True):
        ramps = make.flagged(100 * ngroups + nframes, (nints, ngroups, 24, 40), whole_numbers=whole_numbers)
        dark = np.random.default_rng(1).uniform(0, 0.1, (24, 40)).astype(np.float32) if nints > 1 else None
        same_rates(ramps, replace(make.readout(ramps, nframes=nframes), groupgap=groupgap), dark_current=dark)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("nframes", [1, 4])
@pytest.mark.parametrize("ngroups", [70])
def test_long_ramps(same_rates, ngroups, nframes):
    """The same holds for ramps that are so long that products of variances would leave the range of a double."""
    ramps = make.flagged(ngroups, (1, ngroups, 24, 40))
    same_rates(ramps, make.readout(ramps, nframes=nframes))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "parameters", [{"firstgroup": 1, "lastgroup": 6}, {"suppress_one_group": False}, {"lastgroup": 1}]
)
def test_parameters(same_rates, parameters):
    """Groups that were not asked for are not used; the treatment of lone groups has no effect."""
    ramps = make.flagged(3, (2, 9, 24, 40))
    same_rates(ramps, make.readout(ramps, nframes=4), parameters)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ngroups", [1, 2, 3])
def test_short_ramps(same_rates, ngroups):
    """Ramps of fewer than four groups are fitted by least squares, as officially."""
    ramps = make.flagged(ngroups, (2, ngroups, 24, 40))
    same_rates(ramps, make.readout(ramps))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dead", [[0, 5], [0, 1, 4, 5]])
def test_miri(same_rates, dead):
    """Wholly unusable groups at the ends are not cut off for this algorithm."""
    ramps = make.flagged(6, (2, 6, 24, 40))
    ramps.groupdq[:, dead] |= make.DO_NOT_USE
    same_rates(ramps, make.readout(ramps, instrument="MIRI"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_saturated(same_rates):
    """There is a product, all NaN, even if every pixel is saturated in the first group."""
    ramps = make.flagged(1, (2, 5, 8, 8))
    ramps.groupdq[:] |= make.SATURATED
    same_rates(ramps, make.readout(ramps))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("nframes", [1, 2, 4])
def test_zero_frames(same_rates, nframes):
    """A zero frame, usable or not, is a group of its own where groups are means of frames; else it has no effect."""
    ramps = make.flagged(5, (2, 6, 24, 40))
    rng = np.random.default_rng(2)
    zeroframe = (ramps.data[:, 0] - rng.uniform(0, 20, (2, 24, 40)) * (rng.random((2, 24, 40)) > 0.1)).astype(
        np.float32
    )
    zeroframe[rng.random(zeroframe.shape) < 0.05] = 0
    same_rates(ramps, make.readout(ramps, nframes=nframes), zeroframe=zeroframe)
