import os

import pytest

from reprocess.demo import trip
from reprocess.simulation.options import SimulationOptions
from tests import trips

OPTIONS = SimulationOptions(exposures=12, shape=(32, 32), groups=4, instruments=("NIRCAM", "NIRISS", "FGS"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The folder of a demonstration on a small archive, both summaries, and what was printed."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("demo")
    before = dict(os.environ)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        summaries = trip.show(folder, trips.settings(), OPTIONS)
    assert dict(os.environ) == before
    return folder, summaries, out.getvalue()


@pytest.mark.slow
class TestShow:
    """The demonstration, with this process as the only worker."""

    def test_both_sums_close(self, shown):
        """First there is less than later; the second campaign redoes what has changed and makes what is new."""
        _, (first, second), _ = shown

        assert first.closes
        assert second.closes
        assert not first.failed
        assert not second.failed
        assert first.candidates < second.candidates == 12
        assert first.classes["published"] == first.candidates
        assert 0 < second.classes["published"] < 12
        assert second.classes["current"] + second.classes["published"] == 12

    def test_what_is_left(self, shown):
        """Both reports, a product, its picture and its provenance are in the folder."""
        folder, _, _ = shown
        names = set(os.listdir(folder))

        assert {"report.html", "report-first.html", "provenance.json"} <= names
        assert {name[name.rfind(".") :] for name in names} == {".html", ".json", ".fits", ".png"}
        for name in ("report.html", "report-first.html"):
            assert "<html" in (folder / name).read_text()

    def test_what_is_said(self, shown):
        """It says where it listens, that every verdict is right, that nothing is read again, and that it cleans up."""
        _, _, text = shown

        assert "An S3 endpoint listens at http://127.0.0.1:" in text
        assert "verdicts are those that the simulator's own record asks for" in text
        assert "judged" not in text.partition("verdicts are those")[2].partition("\n")[2].splitlines()[0]
        assert "12 raw objects unchanged, 0 read." in text
        assert "0 problems" in text
        assert "Everything that was started is stopped." in text
        assert "Traceback" not in text


def test_the_environment_is_put_back(monkeypatch, tmp_path):
    """A user's own credentials are out of reach meanwhile and there again afterwards, whatever happens."""
    monkeypatch.setenv("AWS_PROFILE", "own")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
    before, seen = dict(os.environ), {}

    def fail(*_):
        seen.update(os.environ)
        raise ZeroDivisionError

    monkeypatch.setattr(trip, "_simulate", fail)
    with pytest.raises(ZeroDivisionError):
        trip.show(tmp_path, trips.settings())

    assert "AWS_PROFILE" not in seen
    assert "own-secret" not in seen.values()
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert dict(os.environ) == before


def test_a_folder_that_is_a_file(tmp_path):
    """A file in the place of the folder is found before anything is started."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(FileExistsError):
        trip.show(tmp_path / "file", trips.settings())
