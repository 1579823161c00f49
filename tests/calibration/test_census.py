"""Groups that are lost in every pixel, found from frames that come in pieces of any size."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprocess.calibration import chain, detector1, facts, preparation
from reprocess.calibration.ramp_facts import RampFacts, median_gain
from reprocess.calibration.steps import resolve, steps_of
from reprocess.exposure import Band
from tests.calibration import exposures
from tests.calibration.exposures import MIRI, Plan

NEAR = Plan(rows=20, columns=9, row_start=1000, column_start=900)
PLANS = st.builds(
    replace,
    st.sampled_from([NEAR, replace(MIRI, rows=20, columns=9, skips=(2, 3))]),
    nints=st.integers(1, 3),
    ngroups=st.sampled_from([1, 2, 3, 7]),
    nframes=st.sampled_from([1, 4]),
    brightness=st.sampled_from([20.0, 3000.0, 60000.0]),
    seed=st.integers(0, 10**6),
)
SPOILED = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.sampled_from([0, 65535])), max_size=4)


def flags_of(exposure, parameters):
    """Flags of the whole exposure before jump."""
    readout = exposure.readout
    wanted = resolve(steps_of(exposure.plan.exp_type), parameters)
    settled = chain.settle(exposure.references, readout=readout, settings=wanted, band=Band(0, readout.rows))
    signal = facts.reference_signal(exposure.raw, settled, exposure.references, wanted)
    return preparation.prepare(exposure.raw, settled, signal).groupdq


def pieces(raw, size):
    """The frames, `size` at a time."""
    frames = raw.reshape(-1, *raw.shape[2:])
    return (frames[start : start + size] for start in range(0, len(frames), size))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=PLANS, spoiled=SPOILED, size=st.integers(1, 8), again=st.booleans(), layers=st.integers(0, 2))
def test_finds_what_the_flags_say(plan, spoiled, size, again, layers):
    """Groups that read nothing, or are full, but for one pixel or for none; frames once or as often as needed."""
    exposure = exposures.make(plan)
    for number, (integration, group, value) in enumerate(spoiled):
        frame = exposure.raw[integration % plan.nints, group % plan.ngroups]
        kept = frame[0, 0]
        frame[:] = value
        frame[0, 0] = kept if number % 2 else value
    parameters = {"saturation": {"n_pix_grow_sat": layers}}
    frames = detector1.Replay(lambda: pieces(exposure.raw, size)) if again else pieces(exposure.raw, size)
    found = detector1.gather_facts(frames, exposure.references, readout=exposure.readout, parameters=parameters)

    assert found.groups == RampFacts.of(flags_of(exposure, parameters), exposure.references["gain"].arrays["sci"])


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.9, 1.0])
@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
@pytest.mark.parametrize("digits", [1, 9])
def test_median_of_the_gain(fraction, size, digits):
    """The median without NaN, of many equal values too."""
    rng = np.random.default_rng(size)
    gain = np.round(rng.normal(2, 0.1, (1, size)), digits).astype(np.float32)
    gain[rng.random(gain.shape) < fraction] = np.nan
    known = gain[~np.isnan(gain)]

    np.testing.assert_equal(median_gain(gain), float(np.median(known)) if len(known) else np.nan)
