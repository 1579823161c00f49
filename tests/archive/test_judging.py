"""Judging whole archives: rules, mirror, fingerprints and verdicts together, on real stores and real rules."""

import io

import asdf
import pytest
from astropy.io import fits

from reprocess import errors
from reprocess.archive import fingerprint, scan
from reprocess.archive.context import load_context
from reprocess.archive.judging import resolve_parameters, survey
from reprocess.calibration import detector1
from reprocess.target import Target
from tests.archive import small_rules, stores
from tests.archive.stores import CountingStore, dataset, fill, raw_key
from tests.formats import files


class World:
    """A raw archive, a location of references, and an archive root."""

    def __init__(self, cache):
        self.raw, self.references, self.archive = CountingStore(), CountingStore(), CountingStore()
        self.cache = cache
        small_rules.add_files(self.references)
        small_rules.add_context(self.references)

    def judge(self, context="jwst_9001.pmap", parameters=None, software="0.1.0"):
        known = scan.scan([self.raw], self.archive).catalogue
        every = frozenset(entry.dataset for entry in known.entries())
        return survey(
            known.batches(),
            context=load_context(self.references, context, self.cache),
            references=self.references,
            archive=self.archive,
            target=Target(context, ">=0.1", parameters or {}),
            software=software,
            again=every,
        ).judgements

    def publish(self, judgement):
        """Leave a pointer as a publication does."""
        record = {
            "dataset": judgement.entry.dataset,
            "version": "v-1",
            "software": "0.1.0",
            "context": "jwst_9001.pmap",
            "raw": fingerprint.raw_version(judgement.entry),
            "fingerprint": fingerprint.to_record(judgement.fingerprint),
            "equivalents": [],
            "history": [],
        }
        stores.publish(self.archive, record)


def step(name, **parameters):
    return {"class": f"jwst.{name}", "name": name, "parameters": parameters}


def write_parameters(world, file_name, name, **parameters):
    """Put a parameter file where references come from."""
    write_asdf(world, file_name, step(name, **parameters))


def write_asdf(world, file_name, tree):
    stream = io.BytesIO()
    asdf.AsdfFile(tree).write_to(stream)
    world.references.put(f"references/jwst/nircam/{file_name}", stream.getvalue())


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


class TestJudgeArchive:
    """`survey`."""

    def test_nothing_published(self, world):
        """A new exposure is missing its product, and everything that calibrating it needs is known."""
        fill(world.raw, [dataset(1)])

        (found,) = world.judge()

        assert (found.verdict.state, found.failure_class) == ("missing", "")
        assert tuple(file.type for file in found.references) == small_rules.TYPES
        assert [link.step for link in found.fingerprint] == ["raw", *(step.name for step in detector1.NEAR_INFRARED)]
        assert set(found.parameters) == {step.name for step in detector1.NEAR_INFRARED}
        assert found.locality == detector1.locality(detector1.NEAR_INFRARED)

    def test_what_was_published_is_current(self, world):
        """A product made to a judgement is not stale by the next one."""
        fill(world.raw, [dataset(1)])
        world.publish(world.judge()[0])

        assert world.judge()[0].verdict.state == "current"

    def test_context_with_new_files(self, world):
        """Of the files that a new context selects, only those with another payload make anything stale."""
        fill(world.raw, [dataset(1)])
        world.publish(world.judge()[0])
        small_rules.add_files(world.references, ["dark"], 2, seed=2)
        small_rules.add_files(world.references, ["gain"], 2, history=["the same pixels again"])
        small_rules.add_context(world.references, "jwst_9002.pmap", {"dark": 2, "gain": 2})
        small_rules.add_context(world.references, "jwst_9003.pmap", {"gain": 2})

        (stale,) = world.judge("jwst_9002.pmap")
        (renamed,) = world.judge("jwst_9003.pmap")

        (reason,) = stale.verdict.reasons
        assert (reason.kind, reason.reference_type, reason.step) == ("reference", "dark", "dark_current")
        assert stale.verdict.restart == "detector1"
        assert (renamed.verdict.state, renamed.verdict.restart) == ("stale-in-name-only", None)

    def test_raw_replaced(self, world):
        """A raw object that was replaced makes its product stale."""
        fill(world.raw, [dataset(1)])
        world.publish(world.judge()[0])
        world.raw.put(raw_key(dataset(1)), files.uncal())

        assert [reason.kind for reason in world.judge()[0].verdict.reasons] == ["raw-changed"]

    def test_parameters_of_the_target(self, world):
        """A parameter that the target changes is a reason; one that it repeats, as another kind of number, is none."""
        fill(world.raw, [dataset(1)])
        world.publish(world.judge()[0])

        (same,) = world.judge(parameters={"jump": {"rejection_threshold": 4}})
        (other,) = world.judge(parameters={"jump": {"rejection_threshold": 5.0}})

        assert same.verdict.state == "current"
        assert (other.verdict.reasons[0].new, other.verdict.reasons[0].step) == ("rejection_threshold=5.0", "jump")

    def test_each_file_is_mirrored_once(self, world):
        """Many exposures with the same files cost one copy of each, and a second judgement reads the index only."""
        fill(world.raw, [dataset(number) for number in range(1, 8)])
        found = world.judge()
        copied = {key for key in world.references.reads if key.startswith("references/")}
        again = world.judge()

        assert len({judgement.references for judgement in found}) == 1
        assert copied == {f"references/jwst/nircam/{small_rules.file_name(kind)}" for kind in small_rules.TYPES}
        assert {world.references.reads[key] for key in copied} == {1}
        assert [one.fingerprint for one in again] == [one.fingerprint for one in found]

    def test_one_failure_fails_one_candidate(self, world):
        """Whatever is wrong with one candidate is told of that one, in a class of its own."""
        fill(world.raw, [dataset(1)])
        fill(world.raw, [dataset(2)], primary={"EXP_TYPE": "NRC_DARK"})
        fill(world.raw, [dataset(3)], primary={"EXP_TYPE": None})
        fill(world.raw, [dataset(4)], primary={"DATE-OBS": None})
        fill(world.raw, [dataset(5)], primary={"INSTRUME": "MIRI"})
        fill(world.raw, [dataset(6)], primary={"NGROUPS": 9})
        world.raw.put(raw_key(dataset(7)), b"no FITS")
        world.raw.put("odd_uncal.fits", b"")

        found = {one.entry.dataset: one for one in world.judge()}

        classes = {name: one.failure_class for name, one in found.items()}
        assert classes == {
            dataset(1): "",
            dataset(2): "unsupported",
            dataset(3): "bad-data",
            dataset(4): "bad-data",
            dataset(5): "reference",
            dataset(6): "bad-data",
            dataset(7): "bad-data",
            "odd_uncal.fits": "bad-data",
        }
        for name, one in found.items():
            if one.failure_class:
                assert name in one.failure
                assert one.verdict.state == "unknown"

    def test_missing_and_damaged_files(self, world):
        """A file that is missing or damaged fails the exposures that need it, and the message names it."""
        fill(world.raw, [dataset(1)])
        small_rules.add_context(world.references, "jwst_9002.pmap", {"dark": 7})
        world.references.put(f"references/jwst/nircam/{small_rules.file_name('gain', 8)}", b"no FITS")
        small_rules.add_context(world.references, "jwst_9003.pmap", {"gain": 8})

        (missing,) = world.judge("jwst_9002.pmap")
        (damaged,) = world.judge("jwst_9003.pmap")

        assert (missing.failure_class, damaged.failure_class) == ("reference", "reference")
        assert small_rules.file_name("dark", 7) in missing.failure
        assert small_rules.file_name("gain", 8) in damaged.failure

    def test_type_without_file(self, world):
        """A type that the rules call not applicable is no failure: the step does without, and no file is listed."""
        fill(world.raw, [dataset(1)])
        small_rules.add_context(world.references, "jwst_9002.pmap", absent=["ipc"])

        (found,) = world.judge("jwst_9002.pmap")

        assert found.failure_class == ""
        assert "ipc" not in [file.type for file in found.references]

    def test_parameter_files(self, world):
        """The context's parameter files come between defaults and target; those of later stages are unread."""
        fill(world.raw, [dataset(1)])
        world.publish(world.judge()[0])
        write_parameters(
            world, "jwst_nircam_pars-jumpstep_0007.asdf", "jump", rejection_threshold=5, min_jump_to_flag_neighbors=3.0
        )
        write_parameters(world, "jwst_nircam_pars-saturationstep_0001.asdf", "saturation", n_pix_grow_sat=2, suffix="x")
        kinds = {
            "pars-jumpstep": "jwst_nircam_pars-jumpstep_0007.asdf",
            "pars-saturationstep": "jwst_nircam_pars-saturationstep_0001.asdf",
            "pars-photomstep": "jwst_nircam_pars-photomstep_1.asdf",
        }
        small_rules.add_context(world.references, "jwst_9002.pmap", more=kinds)

        (found,) = world.judge("jwst_9002.pmap", parameters={"jump": {"min_jump_to_flag_neighbors": 4.0}})

        assert found.parameters["jump"]["rejection_threshold"] == 5.0
        assert found.parameters["jump"]["min_jump_to_flag_neighbors"] == 4.0
        assert found.parameters["saturation"]["n_pix_grow_sat"] == 2
        assert [reason.new for reason in found.verdict.reasons] == [
            "n_pix_grow_sat=2",
            "min_jump_to_flag_neighbors=4.0",
            "rejection_threshold=5.0",
        ]

    def test_a_pipelines_file_weighs_more_than_a_steps(self, world):
        """As in the official pipeline, whose own file has the last word on its steps."""
        fill(world.raw, [dataset(1)])
        write_parameters(
            world, "jwst_nircam_pars-jumpstep_0007.asdf", "jump", rejection_threshold=5, flag_4_neighbors=False
        )
        pipeline = {"name": "Detector1Pipeline", "parameters": {}, "steps": [step("jump", rejection_threshold=6.0)]}
        write_asdf(world, "jwst_nircam_pars-detector1pipeline_0001.asdf", pipeline)
        kinds = {
            "pars-jumpstep": "jwst_nircam_pars-jumpstep_0007.asdf",
            "pars-detector1pipeline": "jwst_nircam_pars-detector1pipeline_0001.asdf",
        }
        small_rules.add_context(world.references, "jwst_9002.pmap", more=kinds)

        (found,) = world.judge("jwst_9002.pmap")

        assert found.parameters["jump"]["rejection_threshold"] == 6.0
        assert found.parameters["jump"]["flag_4_neighbors"] is False

    @pytest.mark.parametrize(
        ("values", "outcome_class", "named"),
        [
            ({"wisdom": 3}, "unsupported", "jump.wisdom"),
            (
                {"rejection_threshold": "high"},
                "reference",
                "pars-jumpstep_0007.asdf: [parameters.jump] rejection_threshold",
            ),
            (None, "reference", "pars-jumpstep"),
        ],
    )
    def test_parameter_files_that_cannot_be_followed(self, world, values, outcome_class, named):
        """A parameter that nobody knows, a value of another type and a file that is not there fail what needs them."""
        fill(world.raw, [dataset(1)])
        name = "jwst_nircam_pars-jumpstep_0007.asdf"
        if values is not None:
            write_parameters(world, name, "jump", **values)
        small_rules.add_context(world.references, "jwst_9002.pmap", more={"pars-jumpstep": name})

        (found,) = world.judge("jwst_9002.pmap")

        assert found.failure_class == outcome_class
        assert named in found.failure

    def test_two_objects_with_one_name(self, world):
        """Both are candidates, both say where the other is, and they recover when one goes."""
        fill(world.raw, [dataset(1)])
        world.raw.put(f"elsewhere/{dataset(1)}_uncal.fits", files.uncal())

        first, second = world.judge()
        world.raw.delete(f"elsewhere/{dataset(1)}_uncal.fits")
        (alone,) = world.judge()

        assert first.entry.key != second.entry.key
        assert first.failure == second.failure
        assert first.failure_class == "bad-data"
        assert all(key in first.failure for key in (first.entry.key, second.entry.key))
        assert alone.failure == ""

    def test_skipped_step_needs_no_file(self, world):
        """The files of a step that the target skips are not even fetched."""
        fill(world.raw, [dataset(1)])

        world.judge(parameters={"ipc": {"skip": True}})

        assert f"references/jwst/nircam/{small_rules.file_name('ipc')}" not in world.references.reads

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"software": "0.0.1"}, "asks for software >=0.1, and this is 0.0.1"),
            ({"parameters": {"jumb": {}}}, "jumb"),
            ({"parameters": {"jump": {"treshold": 1}}}, "treshold"),
            ({"parameters": {"jump": {"rejection_threshold": "high"}}}, "type float"),
            ({"parameters": {"jump": {"skip": 1}}}, "type bool"),
        ],
    )
    def test_impossible_target(self, world, changes, named):
        """A target that cannot be met is refused at once, whatever the archive holds."""
        with pytest.raises(errors.TargetError, match=named):
            world.judge(**changes)

    def test_other_context(self, world):
        """A target is never judged by another context than it names."""
        with pytest.raises(errors.TargetError, match=r"jwst_9002\.pmap"):
            survey(
                [],
                context=load_context(world.references, "jwst_9001.pmap", world.cache),
                references=world.references,
                archive=world.archive,
                target=Target("jwst_9002.pmap", "0.1.0"),
                software="0.1.0",
            )

    def test_progress(self, world):
        """Progress counts candidates, batch by batch."""
        fill(world.raw, [dataset(1), dataset(2)])
        fill(world.raw, [dataset(1, program="09999")])
        seen = []

        survey(
            scan.scan([world.raw], world.archive).catalogue.batches(rows=1),
            context=load_context(world.references, "jwst_9001.pmap", world.cache),
            references=world.references,
            archive=world.archive,
            target=Target("jwst_9001.pmap", "0.1.0"),
            software="0.1.0",
            progress=seen.append,
        )

        assert seen == [2, 3]


class TestResolveParameters:
    """`resolve_parameters`."""

    def test_defaults_and_target(self):
        """What the target does not say is the default of the code."""
        found = resolve_parameters(detector1.NEAR_INFRARED, {"jump": {"rejection_threshold": 6}})

        defaults = {step.name: dict(step.parameters) for step in detector1.NEAR_INFRARED}
        assert found == {**defaults, "jump": {**defaults["jump"], "rejection_threshold": 6.0}}
        assert type(found["jump"]["rejection_threshold"]) is float

    def test_whole_numbers(self):
        """A whole number written with a point is taken where a whole number is due; another is refused."""
        found = resolve_parameters(detector1.NEAR_INFRARED, {"saturation": {"n_pix_grow_sat": 2.0}})

        assert type(found["saturation"]["n_pix_grow_sat"]) is int
        with pytest.raises(errors.TargetError, match="type int"):
            resolve_parameters(detector1.NEAR_INFRARED, {"saturation": {"n_pix_grow_sat": 2.5}})


FLATS = {"flat": "jwst_nircam_flat_0001.fits", "distortion": "jwst_nircam_distortion_0001.asdf"}


class TestStage2:
    """`survey` of an archive that holds products of stage 2."""

    @pytest.fixture
    def flats(self, world):
        """Two contexts that differ in a flat, and one that differs from the first in nothing but its names."""
        changed = {**FLATS, "flat": "jwst_nircam_flat_0002.fits"}
        small_rules.add_context(world.references, "jwst_9004.pmap", more=FLATS)
        small_rules.add_context(world.references, "jwst_9005.pmap", more=changed)
        small_rules.add_context(world.references, "jwst_9006.pmap", more=FLATS)
        fill(world.raw, [dataset(number) for number in (1, 2, 3)])
        for one in world.judge("jwst_9004.pmap"):
            world.publish(one)
        return world

    @staticmethod
    def add_cal(world, number, level="cal"):
        """Put a product that the official pipeline made of what the first context selects."""
        files_read = {f"R_{kind.upper()[:6]}": small_rules.file_name(kind) for kind in small_rules.TYPES}
        header = fits.Header(
            {**files_read, "CAL_VER": "3.0.0", "R_FLAT": FLATS["flat"], "R_DISTOR": FLATS["distortion"]}
        )
        image = fits.ImageHDU(files.planes().sci, name="SCI")
        world.raw.put(raw_key(dataset(number), level), files.to_bytes([fits.PrimaryHDU(header=header), image]))

    def test_only_a_flat(self, flats):
        """A context that changes only a flat touches who has used one, and there only stage 2, which is not built."""
        self.add_cal(flats, 1)
        self.add_cal(flats, 2, level="calints")

        before = {one.entry.dataset: one for one in flats.judge("jwst_9004.pmap")}
        after = {one.entry.dataset: one for one in flats.judge("jwst_9005.pmap")}

        assert {one.verdict.state for one in before.values()} == {"current"}
        assert after[dataset(3)].verdict.state == "current"
        for number in (1, 2):
            found = after[dataset(number)]
            (reason,) = found.verdict.reasons
            assert (found.verdict.state, found.verdict.restart) == ("stale", "image2")
            assert (reason.kind, reason.step, reason.reference_type) == ("reference", "flat_field", "flat")
            assert found.failure_class == "unsupported"
            assert dataset(number) in found.failure

    def test_only_names(self, flats):
        """A context whose rules select the same files plans nothing."""
        self.add_cal(flats, 1)

        assert {one.verdict.state for one in flats.judge("jwst_9006.pmap")} == {"current"}

    def test_of_others_alone(self, world):
        """Without any version of ours, products of others are judged alike, with or without their rate product."""
        small_rules.add_context(world.references, "jwst_9004.pmap", more=FLATS)
        small_rules.add_context(
            world.references, "jwst_9005.pmap", more={**FLATS, "flat": "jwst_nircam_flat_0002.fits"}
        )
        fill(world.raw, [dataset(1), dataset(2)])
        for number, level in ((1, "rate"), (1, "cal"), (2, "cal")):
            self.add_cal(world, number, level)

        before, after = (world.judge(name) for name in ("jwst_9004.pmap", "jwst_9005.pmap"))

        assert [one.verdict.state for one in before] == ["current", "current"]
        assert [one.verdict.restart for one in after] == ["image2", "image2"]


def test_a_file_that_was_only_renamed(world):
    """Products of others are held against what was in the file that they were made with, which is read once."""
    small_rules.add_files(world.references, ["gain"], 2, history=["the same pixels again"])
    small_rules.add_files(world.references, ["gain"], 3, seed=7)
    for number in (2, 3):
        small_rules.add_context(world.references, f"jwst_900{number}.pmap", {"gain": number})
    fill(world.raw, [dataset(1), dataset(2)])
    for number in (1, 2):
        TestStage2.add_cal(world, number, "rate")

    same = world.judge("jwst_9002.pmap")
    world.references.reads.clear()
    again = world.judge("jwst_9002.pmap")
    other = world.judge("jwst_9003.pmap")

    assert {one.verdict.state for one in (*same, *again)} == {"stale-in-name-only"}
    assert {one.verdict.state for one in other} == {"stale"}
    assert not any("gain_0001" in key for key in world.references.reads)
    assert [stamp.key for stamp in world.archive.list("references/index/") if "gain_0001" in stamp.key] == []


def test_one_odd_date_harms_no_other(world):
    """A date that one header has as a number is that exposure's problem alone."""
    fill(world.raw, [dataset(1), dataset(2)])
    fill(world.raw, [dataset(3)], primary={"DATE-OBS": 20220712})
    fill(world.raw, [dataset(4)], primary={"TIME-OBS": 5})

    found = {one.entry.dataset: one for one in world.judge()}

    assert {found[dataset(number)].verdict.state for number in (1, 2)} == {"missing"}
    assert {found[dataset(number)].failure_class for number in (1, 2)} == {""}
    assert {found[dataset(number)].failure_class for number in (3, 4)} == {"bad-data"}


def test_a_damaged_pointer_is_not_worked_on(world):
    """What readers see cannot be told, so nothing may be published: the plan says so, before any work."""
    fill(world.raw, [dataset(1)])
    world.archive.put(f"pointers/{dataset(1)}.json", b"{")

    (found,) = world.judge()

    assert (found.verdict.state, found.failure_class) == ("unknown", "publication")
    assert f"pointers/{dataset(1)}.json" in found.failure
