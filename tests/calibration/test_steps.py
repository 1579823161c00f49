"""Which steps there are, and what they declare together."""

import pytest

from reprocess import errors
from reprocess.calibration import detector1
from reprocess.calibration.steps import DARK_TYPES, GUIDE_STAR_TYPES, MID_INFRARED_TYPES, NEAR_INFRARED_TYPES

BEFORE_JUMP = ("group_scale", "dq_init", "saturation", "ipc", "superbias", "refpix", "linearity", "dark_current")
BEFORE_JUMP_OF_MIRI = (
    "group_scale",
    "dq_init",
    "emicorr",
    "saturation",
    "ipc",
    "firstframe",
    "lastframe",
    "reset",
    "linearity",
    "rscd",
    "dark_current",
    "refpix",
)
AFTER_DARK = (
    "charge_migration",
    "jump",
    "picture_frame",
    "clean_flicker_noise",
    "persistence",
    "ramp_fit",
    "gain_scale",
)


class TestStepsFor:
    """`steps_for`."""

    @pytest.mark.parametrize("exp_type", sorted(NEAR_INFRARED_TYPES))
    def test_takes_near_infrared_imaging(self, exp_type):
        """All steps of the official chain are there, in its order."""
        names = [step.name for step in detector1.steps_for({"EXP_TYPE": exp_type})]

        assert names[:8] == [*BEFORE_JUMP]
        assert names[8:] == [*AFTER_DARK]

    @pytest.mark.parametrize("exp_type", sorted(MID_INFRARED_TYPES))
    def test_takes_mid_infrared_imaging(self, exp_type):
        """All steps of the official chain are there, in its order."""
        names = [step.name for step in detector1.steps_for({"EXP_TYPE": exp_type})]

        assert names[:12] == [*BEFORE_JUMP_OF_MIRI]
        assert names[12:] == [*AFTER_DARK]

    @pytest.mark.parametrize("exp_type", ["nrc_image", "NRC_NEWMODE", "N/A", "ANY"])
    def test_names_what_it_does_not_take(self, exp_type):
        """The refusal names the type and what is supported."""
        with pytest.raises(errors.Unsupported, match=f"{exp_type}.*NIRCam, NIRISS, FGS, NIRSpec and MIRI"):
            detector1.steps_for({"EXP_TYPE": exp_type})

    @pytest.mark.parametrize("exp_type", sorted(DARK_TYPES))
    def test_says_that_darks_are_not_for_stage_1(self, exp_type):
        """A dark less a dark is nothing."""
        with pytest.raises(errors.Unsupported, match=f"{exp_type}: darks are not taken by stage 1"):
            detector1.steps_for({"EXP_TYPE": exp_type})

    @pytest.mark.parametrize(
        ("header", "interleaved"),
        [
            ({"READPATT": "NRSIRS2RAPID", "SUBSIZE2": 2048}, True),
            ({"READPATT": "NRSIRS2", "SUBSIZE2": 256}, False),
            ({"READPATT": "NRSRAPID", "SUBSIZE2": 2048}, False),
        ],
    )
    def test_irs2_frames_have_a_refpix_step_of_their_own(self, header, interleaved):
        """It reads a reference, and must see whole frames."""
        steps = detector1.steps_for({"EXP_TYPE": "NRS_MSASPEC", **header})

        assert ("refpix" in detector1.reference_types(steps)) == interleaved
        assert detector1.locality(steps).whole == interleaved

    @pytest.mark.parametrize("exp_type", sorted(GUIDE_STAR_TYPES))
    def test_says_that_guide_star_data_are_not_for_stage_1(self, exp_type):
        """Guide-star acquisition has a chain of its own."""
        with pytest.raises(
            errors.Unsupported, match=f"{exp_type}: guide-star acquisition data are not taken by stage 1"
        ):
            detector1.steps_for({"EXP_TYPE": exp_type})

    def test_refuses_stripes(self):
        """Frames made of stripes are not whole frames."""
        with pytest.raises(errors.Unsupported, match="MSTR_RD1"):
            detector1.steps_for({"EXP_TYPE": "NRC_IMAGE", "MSTR_RD1": 40})

    @pytest.mark.parametrize("header", [{}, {"EXP_TYPE": ""}, {"EXP_TYPE": 3}])
    def test_needs_the_type(self, header):
        """A header without EXP_TYPE is damaged, not unsupported."""
        with pytest.raises(errors.MissingKeyword, match="EXP_TYPE"):
            detector1.steps_for(header)


class TestDeclarations:
    """`reference_types` and `locality`."""

    def test_reference_types(self):
        """Each type is named once."""
        assert detector1.reference_types(detector1.NEAR_INFRARED) == (
            "dark",
            "gain",
            "ipc",
            "linearity",
            "mask",
            "readnoise",
            "saturation",
            "superbias",
        )

    def test_steps_of_all_instruments(self):
        """A target may name the steps of both chains; each is declared once."""
        names = [step.name for step in detector1.STEPS]

        assert len(names) == len(set(names))
        assert all(step in detector1.STEPS for step in (*detector1.NEAR_INFRARED, *detector1.MID_INFRARED))

    def test_reference_types_of_miri(self):
        """MIRI reads types of its own."""
        types = set(detector1.reference_types(detector1.MID_INFRARED))

        assert types - set(detector1.reference_types(detector1.NEAR_INFRARED)) == {"reset", "rscd"}

    def test_halos_add_up(self):
        """The halo of the chain is the sum of the halos of steps that run, and wider where saturation grows further."""
        plain = detector1.locality(detector1.NEAR_INFRARED)
        wider = detector1.locality(detector1.NEAR_INFRARED, {"saturation": {"n_pix_grow_sat": 3}})
        migrating = detector1.locality(detector1.NEAR_INFRARED, {"charge_migration": {"skip": False}})

        assert migrating.halo_rows == sum(step.locality.halo_rows for step in detector1.NEAR_INFRARED)
        assert wider.halo_rows == plain.halo_rows + 4
        assert migrating.halo_rows == plain.halo_rows + 1

    def test_facts_are_fields_of_facts(self):
        """Every declared fact can be read from the record that is gathered."""
        facts = detector1.locality(detector1.STEPS).facts

        assert len(facts) == len(set(facts))
        assert all(hasattr(detector1.Facts, fact) or fact in detector1.Facts.__dataclass_fields__ for fact in facts)


class TestResolve:
    """`resolve`."""

    def test_fills_in_defaults(self):
        """A value that is not given is the step's default; giving one changes nobody else."""
        settings = detector1.resolve(detector1.NEAR_INFRARED, {"refpix": {"side_gain": 0.5}})

        assert settings["refpix"]["side_gain"] == 0.5
        assert settings["refpix"]["side_smoothing_length"] == 11
        assert detector1.resolve(detector1.NEAR_INFRARED, {})["refpix"]["side_gain"] == 1.0

    def test_names_what_does_not_exist(self):
        """An unknown step and an unknown parameter are named."""
        with pytest.raises(errors.UsageError, match="'flat_field'"):
            detector1.resolve(detector1.NEAR_INFRARED, {"flat_field": {}})
        with pytest.raises(errors.UsageError, match=r"refpix.*'sidegain'"):
            detector1.resolve(detector1.NEAR_INFRARED, {"refpix": {"sidegain": 1}})

    def test_refuses_steps_that_are_off(self):
        """Asking for a step that cannot be run is refused, not ignored."""
        with pytest.raises(errors.Unsupported, match="clean_flicker_noise"):
            detector1.resolve(detector1.NEAR_INFRARED, {"clean_flicker_noise": {"skip": False}})
