from reprocess.simulation import deliveries
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import schedule


def expected(options):
    exposures = schedule(options)
    made = deliveries.deliveries(exposures)
    return exposures, made, deliveries.expectations(exposures, made)


def test_only_niriss_exposures_after_the_warm_up_get_the_new_dark():
    """The new dark makes stale what was taken from its date on, and nothing before."""
    exposures, _, outcomes = expected(SimulationOptions(exposures=24, instruments=("NIRISS",)))
    stale = [outcome.state == "stale" for outcome in outcomes]
    late = [f"{exposure.start:%Y-%m-%d %H:%M:%S}" >= deliveries.DARK_RENEWED for exposure in exposures]
    assert stale == late
    assert 0 < sum(late) < len(late)


def test_renamed_gains_make_nothing_stale():
    """All FGS exposures get another gain by name, and only by name."""
    _, _, outcomes = expected(SimulationOptions(exposures=6, instruments=("FGS",)))
    assert {outcome.state for outcome in outcomes} == {"stale-in-name-only"}
    assert {reason.type for outcome in outcomes for reason in outcome.reasons} == {"gain"}


def test_miri_is_current_throughout():
    """An rmap that only changes its name changes no selection."""
    _, made, outcomes = expected(SimulationOptions(exposures=6, instruments=("MIRI",)))
    assert [change.kind for change in made.changes] == ["rules-only"]
    assert all(outcome.state == "current" and outcome.first == outcome.second for outcome in outcomes)


def test_one_superbias_is_new():
    """Exactly one NIRCam superbias is delivered again, and stale is what it serves."""
    _, made, outcomes = expected(SimulationOptions(exposures=12, instruments=("NIRCAM",)))
    (change,) = made.changes
    assert (change.kind, change.type) == ("payload", "superbias")
    served = [change.old in outcome.first.values() for outcome in outcomes]
    assert served == [outcome.state == "stale" for outcome in outcomes]
    assert 0 < sum(served) < len(served)


def test_a_detector_read_in_full_has_full_frame_references():
    """In the demo the subarrays of NRCA1 take their superbias from the full frame, and have darks of their own."""
    exposures, made, outcomes = expected(SimulationOptions.demo())
    regions = {file.name: file.region.name for file in made.files}
    for exposure, outcome in zip(exposures, outcomes, strict=True):
        if exposure.mode.detector.name == "NRCA1":
            assert regions[outcome.first["superbias"]] == "FULL"
            assert regions[outcome.first["dark"]] == exposure.mode.subarray.name


def test_every_exposure_has_every_reference():
    """No exposure misses a type that stage 1 reads for its instrument."""
    exposures, _, outcomes = expected(SimulationOptions.demo())
    for exposure, outcome in zip(exposures, outcomes, strict=True):
        wanted = set(deliveries.reference_types(exposure.mode.detector.instrument))
        assert set(outcome.first) == set(outcome.second) == wanted
