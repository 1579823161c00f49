"""What the gate decides."""

import pytest

from reprocess.comparison import gate
from reprocess.comparison.compare import Findings
from reprocess.target import Budget

IMAGE = {
    "pixels": 100,
    "changed": 60,
    "nan_old": 1,
    "nan_new": 3,
    "median_sigma": -0.2,
    "mad_sigma": 0.5,
    "max_sigma": 40.0,
}
FLAGS = {"pixels": 100, "changed": 10, "bits_gained": {"JUMP_DET": 10}, "bits_lost": {}}
FINDINGS = Findings(
    extensions={"rate/SCI": IMAGE, "rate/ERR": IMAGE, "rate/DQ": FLAGS}, keywords={"GAINFACT": (1.0, 2.0)}
)
RESHAPED = {"pixels": 4, "changed": 4, "shape_old": [2, 3], "shape_new": [2, 2], "type_old": "f4", "type_new": "f4"}


class TestDecide:
    def test_identical(self):
        """Without any finding a version is identical, whatever the budget."""
        assert gate.decide(Findings(), Budget(changed_fraction=0.0, keywords=())) == ("identical", ())

    def test_without_a_budget(self):
        """What a target says nothing of may change: pixels, errors, flags and keywords."""
        assert gate.decide(FINDINGS, Budget()) == ("within", ())

    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("changed_fraction", 0.6, "rate/SCI: 60 % of the pixels changed; the budget allows 50 %."),
            ("median_sigma", 0.2, "rate/SCI: the median of the differences is -0.2 ERR; the budget allows 0.1 ERR."),
            ("mad_sigma", 0.5, "rate/SCI: the scatter of the differences is 0.5 ERR; the budget allows 0.4 ERR."),
            ("max_sigma", 40, "rate/SCI: the largest difference is 40 ERR; the budget allows 39.9 ERR."),
            ("nan_fraction", 0.02, "rate/SCI: 2 % of the pixels lost their value; the budget allows 1 %."),
            ("dq_fraction", 0.1, "rate/DQ: 10 % of the pixels have other flags; the budget allows 0 %."),
            ("err_median", 0.2, "rate/ERR: the median of the differences of the errors is -0.2 ERR; "),
        ],
    )
    def test_limits(self, key, value, said):
        """A limit is inside the budget; beyond it the version is held back, and the sentence has both numbers."""
        less = {"nan_fraction": 0.01}.get(key, value - 0.1)

        assert gate.decide(FINDINGS, Budget(**{key: value})) == ("within", ())
        verdict, reasons = gate.decide(FINDINGS, Budget(**{key: less}))
        assert verdict == "outside"
        assert len(reasons) == 1
        assert reasons[0].startswith(said)

    @pytest.mark.parametrize("median", [None, 0.0])
    def test_nothing_to_compare(self, median):
        """Where no pixel could be compared there is no median to be held against."""
        record = {**IMAGE, "median_sigma": median, "mad_sigma": median, "max_sigma": median}
        findings = Findings({"rate/SCI": record})

        assert gate.decide(findings, Budget(median_sigma=0, mad_sigma=0, max_sigma=0))[0] == "within"

    def test_gained_values(self):
        """That pixels have values which had none is no reason to hold a version back."""
        findings = Findings({"rate/SCI": {**IMAGE, "nan_old": 90, "nan_new": 0}})

        assert gate.decide(findings, Budget(nan_fraction=0))[0] == "within"

    def test_many_without_value(self):
        """Even without a budget, a version that lost the values of many pixels is held back."""
        findings = Findings({"rate/SCI": {**IMAGE, "nan_new": 50}})

        assert gate.decide(findings, Budget())[0] == "outside"
        assert gate.decide(findings, Budget(nan_fraction=1.0))[0] == "within"

    def test_shape(self):
        """Another shape is held back unless the budget allows it, whatever it says of pixels."""
        findings = Findings({"rate/SCI": RESHAPED})
        verdict, reasons = gate.decide(findings, Budget(changed_fraction=0.0))

        assert verdict == "outside"
        assert reasons == ("rate/SCI was 2 x 3 of type f4 and is 2 x 2 of type f4; the budget does not allow it.",)
        assert gate.decide(findings, Budget(shape=True, changed_fraction=0.0))[0] == "within"

    def test_place_on_the_sky(self):
        """The place on the sky has a limit of its own, which a list of keywords does not lift."""
        findings = Findings(keywords={"SCI/CRVAL1": (1.0, 2.0)})

        assert gate.decide(findings, Budget())[0] == "outside"
        assert gate.decide(findings, Budget(keywords=("CRVAL1",)))[0] == "outside"
        assert gate.decide(findings, Budget(keywords=(), wcs=True))[0] == "within"

    def test_keywords(self):
        """With a list only the keywords on it may change."""
        assert gate.decide(FINDINGS, Budget(keywords=("GAINFACT",)))[0] == "within"
        verdict, reasons = gate.decide(FINDINGS, Budget(keywords=("FILTER",)))
        assert (verdict, reasons) == ("outside", ("Keywords changed: GAINFACT; the budget does not allow it.",))

    def test_many_keywords(self):
        """A sentence stays short however many keywords changed."""
        findings = Findings(keywords={f"KEY{n}": (1, 2) for n in range(100)})

        assert gate.decide(findings, Budget(keywords=()))[1][0].endswith(
            "KEY4 and 95 more; the budget does not allow it."
        )
