"""Budgets of a target: what new pixels may differ by."""

import pytest

from reprocess import errors, target
from reprocess.target import Budget

TEXT = """
context = "jwst_0541.pmap"
software = ">=0.1"
[budget.default]
nan_fraction = 0.01
wcs = true
[budget.NRC_IMAGE]
changed_fraction = 1
median_sigma = 0.5
nan_fraction = 0
keywords = ["GAINFACT"]
"""


class TestBudgetFor:
    def test_mode_before_default_before_built_in(self):
        """What is said of a mode counts, then the default of the file, then the built-in one."""
        read = target.read_target(TEXT, name="t.toml")

        assert read.budget_for("NRC_IMAGE") == Budget(
            changed_fraction=1.0, median_sigma=0.5, nan_fraction=0.0, keywords=("GAINFACT",), wcs=True
        )
        assert read.budget_for("NIS_IMAGE") == Budget(nan_fraction=0.01, wcs=True)
        assert read.budget_for("") == Budget(nan_fraction=0.01, wcs=True)

    def test_without_any(self):
        """A target that says nothing lets pixels change, but neither shape nor place, nor many values vanish."""
        budget = target.read_target(TEXT.partition("[budget")[0], name="t.toml").budget_for("NRC_IMAGE")

        assert budget == Budget()
        assert (budget.shape, budget.wcs, budget.nan_fraction, budget.keywords) == (False, False, 0.05, None)


class TestMalformed:
    @pytest.mark.parametrize(
        ("line", "named"),
        [
            ("changed_pixels = 0.1", "changed_pixels.*changed_fraction"),
            ("changed_fraction = 1.1", "changed_fraction is 1.1.*from 0 to 1"),
            ("dq_fraction = -0.1", "dq_fraction is -0.1"),
            ("median_sigma = -1", "median_sigma is -1"),
            ("median_sigma = nan", "median_sigma is nan"),
            ("max_sigma = inf", "max_sigma is inf"),
            ("mad_sigma = true", "mad_sigma is True"),
            ("mad_sigma = '1'", "mad_sigma is '1'"),
            ("wcs = 1", "wcs is 1; it must be true or false"),
            ("shape = 'no'", "shape is 'no'"),
            ("keywords = 'GAINFACT'", "keywords is 'GAINFACT'; it must be a list"),
            ("keywords = [1]", r"keywords is \[1\]"),
        ],
    )
    def test_values(self, line, named):
        """A key or value that a budget cannot have is refused, and the message says where and what is possible."""
        with pytest.raises(errors.TargetError, match=rf"t\.toml: \[budget\.NIS_WFSS\].*{named}"):
            target.read_target(f"{TEXT}[budget.NIS_WFSS]\n{line}\n", name="t.toml")

    @pytest.mark.parametrize("mode", ["nrc_image", "NRC", '"NRC IMAGE"', "Default"])
    def test_modes(self, mode):
        """A section is named default or like an EXP_TYPE: anything else would never be looked at."""
        with pytest.raises(errors.TargetError, match=r"t\.toml: \[budget\] has.*NRC_IMAGE"):
            target.read_target(f"{TEXT}[budget.{mode}]\nwcs = true\n", name="t.toml")

    def test_a_limit_outside_a_mode(self):
        """A limit right below [budget] belongs to no mode."""
        with pytest.raises(errors.TargetError, match=r"\[budget\] has 'wcs'"):
            target.read_target(TEXT.partition("[budget")[0] + "[budget]\nwcs = true\n", name="t.toml")
