import pytest

from reprocess import errors, settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return {"HOME": str(tmp_path)}


class TestLoad:
    def test_defaults(self, home):
        """With no file, no environment and no flags, every setting has its default."""

        assert settings.load(home, {}) == settings.Settings()

    def test_weight(self, home, tmp_path):
        """A flag outweighs the environment, and the environment outweighs the file."""
        (tmp_path / "reprocess.toml").write_text('[execution]\nworkers = 1\nattempts = 7\n[storage]\nregion = "a"\n')
        environment = {**home, "REPROCESS_EXECUTION_WORKERS": "2", "REPROCESS_STORAGE_REGION": "b"}

        found = settings.load(environment, {"storage": {"region": "c", "profile": None}})

        assert (found.execution.attempts, found.execution.workers, found.storage.region) == (7, 2, "c")
        assert found.storage.profile == ""

    def test_prices(self, home, tmp_path):
        """A price may be written as a whole number, and set in the environment."""
        (tmp_path / "reprocess.toml").write_text("[prices]\ncore_hour = 1\n")

        found = settings.load({**home, "REPROCESS_PRICES_GB_MONTH": "0.023"}, {})

        assert found.prices == settings.PriceSettings(core_hour=1.0, gb_month=0.023)
        assert type(found.prices.core_hour) is float
        with pytest.raises(errors.UsageError, match="REPROCESS_PRICES_GB_MONTH is 'dear'; it must be a number"):
            settings.load({**home, "REPROCESS_PRICES_GB_MONTH": "dear"}, {})

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("[execution\n", "valid TOML"),
            ("[executon]\n", "executon"),
            ("[execution]\nworker = 2\n", "'worker'"),
            ("[execution]\nworkers = '2'\n", "of type int"),
            ("[storage]\nanonymous = 1\n", "of type bool"),
            ("[prices]\ncore_hour = '1'\n", "of type float"),
            ("[prices]\ncore_hour = nan\n", "of type float"),
            ("[prices]\ngb_month = -1\n", "0.0 or more"),
        ],
    )
    def test_bad_file(self, home, tmp_path, text, named):
        """A file that is malformed or names something unknown is an error that names it."""
        (tmp_path / "reprocess.toml").write_text(text)

        with pytest.raises(errors.UsageError, match=named):
            settings.load(home, {})

    def test_named_file_missing(self, home):
        """A settings file that is named but not there is an error, not a default."""
        with pytest.raises(errors.UsageError, match="REPROCESS_SETTINGS"):
            settings.load({**home, "REPROCESS_SETTINGS": "none.toml"}, {})

    @pytest.mark.parametrize("text", ["many", "1.5", ""])
    def test_bad_environment(self, home, text):
        """A variable of the wrong type is an error that names the variable."""
        with pytest.raises(errors.UsageError, match="REPROCESS_EXECUTION_WORKERS"):
            settings.load({**home, "REPROCESS_EXECUTION_WORKERS": text}, {})

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("YES", True), ("0", False), ("no", False)])
    def test_switches(self, home, text, value):
        """A switch in the environment is written as people write it."""

        assert settings.load({**home, "REPROCESS_STORAGE_ANONYMOUS": text}, {}).storage.anonymous is value
