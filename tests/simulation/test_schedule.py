from datetime import timedelta

import pytest

from reprocess import errors
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import YEAR_BEGIN, YEAR_DAYS, schedule


def test_exposures_do_not_depend_on_their_number():
    """A longer schedule begins with the shorter one."""
    assert schedule(SimulationOptions(exposures=30))[:7] == schedule(SimulationOptions(exposures=7))


def test_the_first_exposure_is_named_as_in_the_public_archive():
    """Program, visit, activity, exposure and detector make the folders and the name."""
    exposure = schedule(SimulationOptions(exposures=1))[0]
    assert exposure.key == "raw/jwst/public/jw01234/jw01234001001/jw01234001001_02101_00001_nrca1_uncal.fits"


def test_names_are_unique_and_dates_fill_the_year():
    """Hundreds of exposures have names of their own and lie within a year, in each quarter of it."""
    exposures = schedule(SimulationOptions(exposures=400))
    assert len({exposure.key for exposure in exposures}) == 400
    days = [(exposure.start - YEAR_BEGIN) / timedelta(days=1) for exposure in exposures]
    assert 0 <= min(days) <= max(days) < YEAR_DAYS
    quarters = [int(4 * day / YEAR_DAYS) for day in days]
    assert all(quarters.count(quarter) > 80 for quarter in range(4))


def test_the_demo_mixes_instruments_and_readouts():
    """Forty exposures of four instruments and several programs; four are full frames; some average frames."""
    exposures = schedule(SimulationOptions.demo())
    shapes = [(one.mode.subarray.rows, one.mode.subarray.columns) for one in exposures]
    assert len(exposures) == 40
    assert shapes.count((2048, 2048)) == 4
    assert {one.mode.detector.instrument for one in exposures} == {"NIRCAM", "NIRISS", "FGS", "MIRI"}
    assert {"GUIDER1", "GUIDER2", "NRCA1", "NRCALONG"} <= {one.mode.detector.name for one in exposures}
    assert len({one.program for one in exposures}) > 2
    assert sum(one.mode.nints > 1 for one in exposures) >= 5
    assert sum(one.mode.pattern.nframes > 1 for one in exposures) >= 3


def test_options_override_the_mix():
    """Instrument, shape, groups and integrations are those asked for; a shape with a name gets it."""
    options = SimulationOptions(exposures=5, instruments=("NIRCAM",), shape=(320, 320), groups=4, integrations=2)
    for exposure in schedule(options):
        mode = exposure.mode
        assert (mode.detector.instrument, mode.subarray.name, mode.ngroups, mode.nints) == ("NIRCAM", "SUB320", 4, 2)
    assert schedule(SimulationOptions(exposures=1, shape=(48, 96)))[0].mode.subarray.name == "GENERIC"
    whole = schedule(SimulationOptions(exposures=1, instruments=("MIRI",), shape=(2048, 2048)))[0]
    assert (whole.mode.subarray.name, whole.mode.subarray.rows, whole.mode.subarray.columns) == ("FULL", 1024, 1032)


def test_group_time_counts_averaged_and_dropped_frames():
    """The time between groups is that of all their frames, as in flight files."""
    exposure = schedule(SimulationOptions(exposures=5))[4]  # BRIGHT1: one frame kept, one dropped
    frame = exposure.mode.subarray.frame_time_s
    assert exposure.group_time_s == pytest.approx(2 * frame)
    assert exposure.integration_time_s == pytest.approx((2 * exposure.mode.ngroups - 1) * frame)


@pytest.mark.parametrize(
    "bad",
    [
        {"exposures": 0},
        {"groups": 0},
        {"integrations": -1},
        {"instruments": ("NIRSPEC",)},
        {"shape": (30, 64)},
        {"shape": (64, 4096)},
        {"mix": "large"},
    ],
)
def test_impossible_options_are_refused(bad):
    """What cannot be simulated is a usage error that names the option's value."""
    with pytest.raises(errors.UsageError, match=str(next(iter(bad.values()))).strip("(),'").split(",")[0]):
        SimulationOptions(**bad)
