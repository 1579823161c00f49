import pytest

from reprocess import errors, target

TEXT = """
context = "jwst_0541.pmap"
software = ">=0.1"
[parameters.jump]
rejection_threshold = 5.0
[products]
zarr = true
[limits]
memory_limit_mb = 900
[budget.NRC_IMAGE]
changed_fraction = 0.01
"""


class TestReadTarget:
    def test_complete(self):
        """Every section of a target is read as it stands, and the text is kept."""
        found = target.read_target(TEXT, name="t.toml")

        assert found == target.Target(
            context="jwst_0541.pmap",
            software=">=0.1",
            parameters={"jump": {"rejection_threshold": 5.0}},
            zarr=True,
            memory_limit_mb=900,
            budget={"NRC_IMAGE": {"changed_fraction": 0.01}},
            text=TEXT,
        )

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("context = ", "valid TOML"),
            ('software = "1"', "context"),
            ('context = "a"', "software"),
            ('context = 3\nsoftware = "1"', "context"),
            (TEXT + "[parameter.jump]\n", "parameter"),
            ('context = "a"\nsoftware = "1"\nparameters = 3', "parameters"),
            (TEXT.replace("zarr", "parquet"), "parquet"),
            (TEXT.replace("true", "1"), "zarr is 1"),
            (TEXT.replace("900", "'900'"), "memory_limit_mb"),
            ('context = "a"\nsoftware = "1"\n[parameters]\njump = 3', "jump"),
        ],
    )
    def test_malformed(self, text, named):
        """A target that is malformed is an error that names the file and what is wrong in it."""
        with pytest.raises(errors.TargetError, match=rf"t\.toml.*{named}"):
            target.read_target(text, name="t.toml")
