"""The chain: slabs and the whole exposure, what is skipped, and what is refused."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reprocess import errors
from reprocess.calibration import detector1, ipc, refpix_miri
from reprocess.calibration.rate import Rate
from reprocess.exposure import Band, Slab
from tests.calibration import exposures
from tests.calibration.exposures import FGS, MIRI, NIRISS, Plan

# A frame at a corner of the detector has reference pixels on two sides; one of whole columns has them all.
PLANS = st.builds(
    Plan,
    rows=st.integers(9, 24),
    columns=st.integers(8, 20),
    nints=st.integers(1, 3),
    ngroups=st.sampled_from([1, 2, 3, 5, 13]),
    nframes=st.sampled_from([1, 4]),
    groupgap=st.integers(0, 1),
    row_start=st.sampled_from([0, 2, 1000, 2024]),
    column_start=st.sampled_from([0, 3, 2028]),
    fast_axis=st.sampled_from([1, -1]),
    slow_axis=st.sampled_from([2, -2]),
    outputs=st.sampled_from([1, 4]),
    kernel=st.sampled_from([None, "plain", "pixel"]),
    brightness=st.sampled_from([20.0, 3000.0, 40000.0]),
    frame_divisor=st.sampled_from([None, 8]),
    inverse=st.booleans(),
    seed=st.integers(0, 10**6),
)
TRANSPOSED = st.builds(
    lambda plan, like: replace(
        plan,
        instrument=like.instrument,
        detector=like.detector,
        exp_type=like.exp_type,
        fast_axis=plan.slow_axis,
        slow_axis=plan.fast_axis,
    ),
    PLANS,
    st.sampled_from([NIRISS, FGS]),
)
# Frames of 16 columns and 12 rows or more stand for full frames, see `small_detector`.
MIRI_PLANS = st.builds(
    lambda plan, skips, reset_groups, dark_groups, segment: replace(
        MIRI,
        rows=plan.rows,
        columns=16 if plan.columns > 12 else plan.columns,
        row_start=0,
        column_start=0,
        nints=plan.nints,
        ngroups=plan.ngroups,
        nframes=plan.nframes,
        kernel=plan.kernel,
        brightness=plan.brightness,
        frame_divisor=plan.frame_divisor,
        seed=plan.seed,
        skips=skips,
        reset_groups=reset_groups,
        dark_groups=dark_groups,
        header={"INTSTART": segment, "INTEND": segment + plan.nints - 1, "NINTS": 9},
    ),
    PLANS,
    st.tuples(st.integers(-1, 5), st.integers(0, 6)),
    st.integers(1, 6),
    st.one_of(st.none(), st.integers(2, 6)),
    st.integers(1, 3),
)


@pytest.fixture(scope="module")
def small_detector():
    """A MIRI detector of 12 rows and 16 columns, four of them reference pixels at either end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refpix_miri, "ROWS", 12)
        patch.setattr(refpix_miri, "COLUMNS", 16)
        patch.setattr(ipc, "MIRI_COLUMNS", 16)
        yield


def slabs(rows, height, halo):
    """Cut `rows` into bands of `height` with the halo."""
    for start in range(0, rows, height):
        stop = min(start + height, rows)
        yield Slab(Band(start, stop), Band(max(0, start - halo), min(rows, stop + halo)))


def stitched(exposure, height, parameters, *, again=False):
    """The exposure calibrated slab by slab, and the facts fed frame by frame: once, or as often as is asked for."""
    steps = detector1.steps_for(exposure.header)
    locality = detector1.locality(steps, parameters)
    frames = detector1.Replay(lambda: (frame for integration in exposure.raw for frame in integration))
    known = {"readout": exposure.readout, "parameters": parameters}
    facts = detector1.gather_facts(frames if again else iter(frames), exposure.references, **known)
    parts = [
        detector1.calibrate(
            exposure.raw[:, :, slab.padded.rows], exposure.cut(slab.padded.rows), slab=slab, facts=facts, **known
        )
        for slab in slabs(exposure.plan.rows, height, locality.halo_rows)
    ]
    return [
        Rate(*(np.concatenate([getattr(getattr(p, which), f.name) for p in parts], axis=-2) for f in fields(Rate)))
        for which in ("rate", "rateints")
    ]


def assert_same_bits(one, other):
    """NaN are compared by position, everything else by bits."""
    for field in fields(Rate):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, err_msg=field.name)


class TestSlabs:
    """Slabs stitched together and the exposure calibrated whole."""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        plan=st.one_of(PLANS, TRANSPOSED),
        height=st.integers(1, 24),
        layers=st.integers(0, 2),
        migration=st.booleans(),
        again=st.booleans(),
    )
    def test_give_the_same_bits(self, plan, height, layers, migration, again):
        """Any height, orientation, place on the detector, readout and number of integrations."""
        exposure = exposures.make(plan)
        parameters = {
            "saturation": {"n_pix_grow_sat": layers},
            "charge_migration": {"skip": not migration, "signal_threshold": 9000.0},
            "jump": {"min_jump_to_flag_neighbors": 4.0},
        }
        try:
            whole = detector1.calibrate(
                exposure.raw, exposure.references, readout=exposure.readout, parameters=parameters
            )
        except errors.BadData:
            with pytest.raises(errors.BadData):
                stitched(exposure, height, parameters, again=again)
            return

        parts = stitched(exposure, height, parameters, again=again)
        for ours, together in zip(parts, (whole.rate, whole.rateints), strict=True):
            assert_same_bits(ours, together)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        plan=MIRI_PLANS,
        height=st.integers(1, 24),
        layers=st.integers(0, 2),
        first=st.sampled_from([None, True, False]),
        again=st.booleans(),
    )
    @pytest.mark.usefixtures("small_detector")
    def test_give_the_same_bits_for_miri(self, plan, height, layers, first, again):
        """Full frames with reference pixels and subarrays, groups left out at both ends, segments of exposures."""
        exposure = exposures.make(plan)
        parameters = {
            "saturation": {"n_pix_grow_sat": layers},
            "firstframe": {"skip": first is None, "bright_use_group1": bool(first)},
            "jump": {"min_jump_to_flag_neighbors": 4.0},
        }
        try:
            whole = detector1.calibrate(
                exposure.raw, exposure.references, readout=exposure.readout, parameters=parameters
            )
        except errors.BadData:
            with pytest.raises(errors.BadData):
                stitched(exposure, height, parameters, again=again)
            return

        parts = stitched(exposure, height, parameters, again=again)
        for ours, together in zip(parts, (whole.rate, whole.rateints), strict=True):
            assert_same_bits(ours, together)

    @pytest.mark.parametrize("checked", [True, False])
    @pytest.mark.parametrize(("saturated", "first"), [(0, [0, 1]), (1, [])])
    def test_know_of_groups_that_miri_leaves_out(self, checked, saturated, first):
        """Groups are lost for the whole exposure only if no pixel saturates so early that it keeps them."""
        exposure = exposures.make(replace(MIRI, rows=12, columns=16, ngroups=11, nints=2, skips=(2, 4)))
        exposure.raw[:] = 30000
        exposure.raw[0, 1:, 5, 5] = 65535 * saturated
        exposure.references["mask"].arrays["dq"][:] = 0
        exposure.references["saturation"].arrays["sci"][:] = 60000
        known = {"readout": exposure.readout, "parameters": {}}
        if checked:
            facts = detector1.gather_facts(exposure.raw, exposure.references, **known)
        else:
            facts = detector1.gather_facts(exposure.raw, exposure.without("saturation").references, **known)
            first = [0, 1]

        lost = [[group for group, dead in enumerate(each) if dead] for each in facts.dead_groups]
        assert lost == [[*first, 10], [0, 1, 2, 3, 10]]

    @pytest.mark.usefixtures("small_detector")
    def test_strips_are_enough_for_the_reference_signal(self):
        """References cut to the strips give the same facts as whole ones."""
        exposure = exposures.make(replace(MIRI, rows=12, columns=16, column_start=0, ngroups=6, nints=2))
        readout = exposure.readout
        strips = [
            {kind: each and each.columns(columns, 16) for kind, each in exposure.references.items()}
            for columns in detector1.edges(readout, {})
        ]
        early = {kind: exposure.references[kind] for kind in ("mask", "saturation", "rscd", "gain")}
        facts = detector1.gather_facts(exposure.raw, early, readout=readout, parameters={}, strips=strips)
        whole = detector1.gather_facts(exposure.raw, exposure.references, readout=readout, parameters={})

        assert [columns.stop - columns.start for columns in detector1.edges(readout, {})] == [5, 5]
        assert whole.reference_signal.levels.any()
        np.testing.assert_array_equal(facts.reference_signal.levels, whole.reference_signal.levels)
        assert facts.groups == whole.groups

    @pytest.mark.parametrize("again", [False, True])
    @pytest.mark.parametrize("nframes", [1, 4])
    def test_know_of_groups_that_are_lost_everywhere(self, nframes, again):
        """The last group reads 0 in every pixel: no slab may use it to choose its way of finding jumps."""
        exposure = exposures.make(Plan(rows=24, columns=16, ngroups=11, nframes=nframes))
        exposure.raw[:, -1] = 0
        exposure.raw[:, 3, :16] = 0
        whole = detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters={})

        assert_same_bits(stitched(exposure, 5, {}, again=again)[0], whole.rate)

    def test_need_the_halo(self):
        """One row less than the declared halo gives other bits somewhere: the declaration is not generous."""
        exposure = exposures.make(
            Plan(rows=48, columns=64, ngroups=6, nframes=4, nints=2, brightness=3000, kernel="plain")
        )
        readout, parameters = exposure.readout, {"jump": {"min_jump_to_flag_neighbors": 4.0}}
        facts = detector1.gather_facts(exposure.raw, exposure.references, readout=readout, parameters=parameters)
        whole = detector1.calibrate(exposure.raw, exposure.references, readout=readout, parameters=parameters)
        differs = False
        for slab in slabs(48, 6, 0):
            part = detector1.calibrate(
                exposure.raw[:, :, slab.padded.rows],
                exposure.cut(slab.padded.rows),
                readout=readout,
                parameters=parameters,
                slab=slab,
                facts=facts,
            )
            differs |= not np.array_equal(part.rate.dq, whole.rate.dq[slab.core.rows])

        assert differs

    def test_need_the_facts(self):
        """A slab without the facts of its exposure is refused."""
        exposure = exposures.make(Plan(rows=16))
        with pytest.raises(errors.UsageError, match="facts"):
            detector1.calibrate(
                exposure.raw[:, :, :8],
                exposure.cut(slice(0, 8)),
                readout=exposure.readout,
                parameters={},
                slab=Slab(Band(0, 4), Band(0, 8)),
            )


def calibrated(exposure, **parameters):
    return detector1.calibrate(exposure.raw, exposure.references, readout=exposure.readout, parameters=parameters)


SMALL = Plan(rows=12, columns=12, ngroups=4)


class TestStatuses:
    """What is done and what is skipped."""

    def test_of_everything_that_can_be_done(self):
        """With all references every step is complete but those that have nothing to do or are off."""
        done = calibrated(exposures.make(replace(SMALL, kernel="plain", gain_factor=2.0, nframes=5, frame_divisor=8)))

        skipped = {"charge_migration", "picture_frame", "clean_flicker_noise", "persistence"}
        assert {name for name, status in done.statuses.items() if status == "SKIPPED"} == skipped
        assert list(done.statuses) == [step.name for step in detector1.NEAR_INFRARED]

    @pytest.mark.parametrize(
        ("kind", "step"),
        [
            ("mask", "dq_init"),
            ("saturation", "saturation"),
            ("superbias", "superbias"),
            ("linearity", "linearity"),
            ("dark", "dark_current"),
            ("ipc", "ipc"),
        ],
    )
    def test_of_a_step_without_its_reference(self, kind, step):
        """A step whose reference is None is skipped, and so it is when the target asks for it: the same bits."""
        exposure = exposures.make(replace(SMALL, kernel="plain"))
        without = calibrated(exposure.without(kind))
        asked = calibrated(exposure, **{step: {"skip": True}})

        assert without.statuses[step] == asked.statuses[step] == "SKIPPED"
        if kind != "superbias":  # saturation still reads the superbias of a step that is only skipped
            assert_same_bits(without.rate, asked.rate)

    def test_of_miri(self):
        """A subarray's reference pixels are left alone, and steps that are off are named."""
        done = calibrated(exposures.make(replace(MIRI, rows=12, columns=12)))

        assert list(done.statuses) == [step.name for step in detector1.MID_INFRARED]
        off = {"emicorr", "firstframe", "charge_migration", "picture_frame", "clean_flicker_noise", "persistence"}
        idle = {"group_scale", "ipc", "refpix", "gain_scale"}
        assert {name for name, status in done.statuses.items() if status == "SKIPPED"} == off | idle

    def test_of_a_dark_that_cannot_be_brought_to_the_readout(self):
        """A dark that averages more frames than the science data is not subtracted."""
        assert calibrated(exposures.make(replace(SMALL, dark_nframes=2))).statuses["dark_current"] == "SKIPPED"

    def test_of_two_groups(self):
        """Jumps are not looked for in fewer than three groups."""
        assert calibrated(exposures.make(replace(SMALL, ngroups=2))).statuses["jump"] == "SKIPPED"

    def test_of_a_gain_without_factor(self):
        """Rates are scaled only where the gain reference has GAINFACT, and then by it."""
        plain, scaled = (calibrated(exposures.make(replace(SMALL, gain_factor=by))) for by in (None, 2.0))

        assert (plain.statuses["gain_scale"], scaled.statuses["gain_scale"]) == ("SKIPPED", "COMPLETE")
        np.testing.assert_array_equal(scaled.rate.sci, 2 * plain.rate.sci)
        np.testing.assert_array_equal(scaled.rateints.var_rnoise, 4 * plain.rateints.var_rnoise)


class TestRefusals:
    """Data and references that cannot be calibrated end with an error of this package."""

    def test_every_pixel_saturated(self):
        """There is no rate where every first group is saturated."""
        exposure = exposures.make(SMALL)
        exposure.raw[:] = 65535
        exposure.references["saturation"].arrays["sci"][:] = 60000
        exposure.references["saturation"].arrays["dq"][:] = 0
        with pytest.raises(errors.BadData, match="saturated"):
            calibrated(exposure)

    def test_every_value_nan(self):
        """Raw data that are not numbers give no signal, as officially: NaN where flagged, else 0."""
        exposure = exposures.make(SMALL)
        nothing = np.full(exposure.raw.shape, np.nan, np.float32)
        done = detector1.calibrate(nothing, exposure.references, readout=exposure.readout, parameters={})

        assert not np.nan_to_num(done.rate.sci).any()

    def test_every_pixel_do_not_use(self):
        """A mask that leaves nothing gives rates that are NaN and flagged."""
        exposure = exposures.make(SMALL)
        exposure.references["mask"].arrays["dq"][:] |= 1
        done = calibrated(exposure)

        assert np.isnan(done.rate.sci).all()
        assert (done.rate.dq & 1).all()

    @pytest.mark.parametrize("kind", ["gain", "readnoise"])
    def test_no_gain_or_read_noise(self, kind):
        """Jump and ramp fit cannot do without."""
        with pytest.raises(errors.MissingReference, match=kind):
            calibrated(exposures.make(SMALL).without(kind))

    @pytest.mark.parametrize("kind", ["mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise"])
    def test_a_reference_of_another_shape(self, kind):
        """The reference is named with both shapes."""
        exposure = exposures.make(SMALL)
        other = exposures.make(replace(SMALL, rows=11)).references[kind]
        with pytest.raises(errors.DamagedReference, match=rf"{kind} reference.*\(.*11, 12\).*\(12, 12\)"):
            calibrated(replace(exposure, references=exposure.references | {kind: other}))

    def test_raw_data_of_another_shape(self):
        """The axes of the data are held against the readout."""
        exposure = exposures.make(SMALL)
        with pytest.raises(errors.WrongLayout, match=r"\(1, 3, 12, 12\)"):
            detector1.calibrate(exposure.raw[:, :3], exposure.references, readout=exposure.readout, parameters={})

    def test_raw_data_of_another_type(self):
        """Data in foreign byte order are refused, not misread."""
        exposure = exposures.make(SMALL)
        with pytest.raises(errors.WrongLayout, match=">u2"):
            detector1.calibrate(
                exposure.raw.astype(">u2"), exposure.references, readout=exposure.readout, parameters={}
            )

    @pytest.mark.parametrize("count", [3, 5])
    def test_frames_that_are_not_the_readouts(self, count):
        """Facts are gathered from all frames of the exposure, no more and no fewer."""
        exposure = exposures.make(SMALL)
        with pytest.raises(errors.WrongLayout, match="frames"):
            detector1.gather_facts(
                [exposure.raw[0, 0]] * count, exposure.references, readout=exposure.readout, parameters={}
            )

    def test_raw_data_are_not_changed(self):
        """Neither the raw data nor the references are written to."""
        exposure, again = exposures.make(SMALL), exposures.make(SMALL)
        for reference in exposure.references.values():
            for array in reference.arrays.values() if reference else ():
                array.flags.writeable = False
        exposure.raw.flags.writeable = False
        calibrated(exposure)

        np.testing.assert_array_equal(exposure.raw, again.raw)
