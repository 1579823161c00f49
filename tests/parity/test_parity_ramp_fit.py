import dataclasses

import numpy as np
import pytest

from reprocess.calibration import ramp_fit
from tests.calibration import ramps as make

PLANES = {"sci": "data", "err": "err", "var_poisson": "var_poisson", "var_rnoise": "var_rnoise"}
PARAMETERS = {
    "defaults": {},
    "lone groups kept": {"suppress_one_group": False},
    "some groups": {"firstgroup": 1, "lastgroup": 3},
}


@pytest.fixture(scope="module")
def official_ramps(official):
    from tests.parity import official_ramps

    return official_ramps


@pytest.fixture
def same_rates(official_ramps):
    def compare(ramps, readout, parameters=None, dark_current=None, zeroframe=None):
        theirs = official_ramps.ramp_fit(ramps, readout, parameters or {}, dark_current, zeroframe)
        ours = ramp_fit.fit(
            make.ramp(ramps, zeroframe), make.images(ramps, dark_current), readout=readout, parameters=parameters or {}
        )
        assert (ours is None) == (theirs[0] is None)
        for rate, expected in zip((ours.rate, ours.rateints) if ours else (), theirs, strict=False):
            np.testing.assert_array_equal(rate.dq, expected.dq)
            for plane, name in PLANES.items():
                # Below atol both are the rounding errors of 0 in double precision.
                close = {"rtol": 5e-7, "atol": 2e-12, "err_msg": plane}
                np.testing.assert_allclose(getattr(rate, plane), getattr(expected, name), **close)

    return compare


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
@pytest.mark.parametrize("ngroups", [1, 2, 3, 4, 5, 7, 10, 20, 70])
@pytest.mark.parametrize("nints", [1, 2, 3])
@pytest.mark.parametrize("lost", [False, True], ids=["", "charge loss"])
def test_rates_are_those_of_the_official_step(same_rates, lost, nints, ngroups, parameters):
    """On the same ramps rates and errors agree to a few float32 roundings; NaN and flags are in the same places."""
    nframes = 1 + 3 * (nints % 2)
    for whole_numbers in (False, True):
        ramps = make.flagged(100 * ngroups + nints, (nints, ngroups, 24, 40), whole_numbers=whole_numbers, lost=lost)
        dark = np.random.default_rng(1).uniform(0, 0.1, (24, 40)).astype(np.float32) if nints > 1 else None
        same_rates(ramps, make.readout(ramps, nframes=nframes), parameters, dark)


@pytest.mark.parametrize(
    ("ngroups", "dead"), [(6, [0, 5]), (6, [0, 1, 4, 5]), (4, [0, 1, 3]), (3, [0, 1, 2]), (5, [4]), (5, [0])]
)
def test_miri(same_rates, ngroups, dead):
    """For MIRI, wholly unusable groups at the ends are left out as in the official step."""
    ramps = make.flagged(ngroups, (2, ngroups, 24, 40))
    ramps.groupdq[:, dead] |= make.DO_NOT_USE
    ramps.groupdq[ramps.groupdq & 3 > 0] &= 0xFF ^ make.JUMP_DET
    same_rates(ramps, make.readout(ramps, instrument="MIRI"))


def test_all_saturated(same_rates):
    """Where the official step makes no products there are none."""
    ramps = make.flagged(1, (2, 5, 8, 8))
    ramps.groupdq[:] |= make.SATURATED
    same_rates(ramps, make.readout(ramps))


def test_variances_that_are_too_large(same_rates):
    """Variances from the official limit on are 0, and the rate with them."""
    ramps = make.plain(np.cumsum(np.random.default_rng(1).poisson(1e4, (2, 5, 8, 8)), axis=1))
    ramps.readnoise[:4] = np.geomspace(1e3, 1e6, 32).reshape(4, 8)
    ramps.gain[4:] = np.geomspace(1e-6, 1e-2, 32).reshape(4, 8)
    same_rates(ramps, make.readout(ramps))


@pytest.mark.parametrize("ngroups", [1, 2, 3, 6])
@pytest.mark.parametrize("nints", [1, 3])
@pytest.mark.parametrize("lost", [False, True], ids=["", "charge loss"])
@pytest.mark.parametrize("suppressed", [False, True], ids=["used", "suppressed"])
def test_zero_frame(same_rates, suppressed, lost, nints, ngroups):
    """A ramp without a good group has the rate of its zero frame, if lone groups are kept at all."""
    ramps, zeroframe = make.with_zeroframe(17 * ngroups + nints, (nints, ngroups, 24, 40), lost=lost)
    same_rates(ramps, make.readout(ramps, nframes=4), {"suppress_one_group": suppressed}, zeroframe=zeroframe)


@pytest.mark.parametrize("ngroups", [1, 2, 3, 5, 8, 21])
@pytest.mark.parametrize("nints", [1, 2])
@pytest.mark.parametrize("instrument", ["NIRCAM", "MIRI"])
@pytest.mark.parametrize("suppressed", [False, True], ids=["lone groups kept", ""])
def test_optional_product(official_ramps, suppressed, instrument, nints, ngroups):
    """The optional product has the shapes and the values of the official one."""
    seed = 31 * ngroups + nints
    ramps, zeroframe = make.with_zeroframe(seed, (nints, ngroups, 24, 40), lost=bool(nints % 2))
    if instrument == "MIRI" and ngroups > 3:
        ramps.groupdq[:, [0, -1]] |= make.DO_NOT_USE
    readout = dataclasses.replace(make.readout(ramps, nframes=2, instrument=instrument), groupgap=3, drop_frames1=1)
    parameters = {"suppress_one_group": suppressed}
    theirs = official_ramps.optional_fit(ramps, readout, parameters, zeroframe)
    fitted = ramp_fit.fit(
        make.ramp(ramps, zeroframe), make.images(ramps), readout=readout, parameters={**parameters, "save_opt": True}
    )
    for field in dataclasses.fields(fitted.optional):
        plane, expected = getattr(fitted.optional, field.name), theirs[field.name]
        assert (plane.shape, plane.dtype) == (expected.shape, expected.dtype), field.name
        np.testing.assert_allclose(plane, expected, rtol=1e-5, atol=1e-7, err_msg=field.name)
