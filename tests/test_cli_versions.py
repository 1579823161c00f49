"""The commands about versions: what they print, and their exit codes."""

import json

import pytest

from reprocess import campaign
from reprocess.publication import pointer as pointers
from reprocess.storage import open_store
from tests import trips


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """A directory with an archive after two campaigns; nobody changes it."""
    archive = trips.make(options=trips.TINY)
    plans = [trips.go(archive, trips.target(options=trips.TINY))[0]]
    campaign.scan(archive)
    wanted = trips.target("first", "\n[parameters.superbias]\nskip = true\n", options=trips.TINY)
    plans.append(trips.go(archive, wanted, created=trips.LATER)[0])
    return archive.store, plans


@pytest.fixture
def arc(twice, tmp_path):
    """A copy of it that may be changed, by its path."""
    trips.copy(twice[0], open_store(str(tmp_path / "arc")))
    return tmp_path / "arc"


@pytest.fixture
def dataset(twice):
    return twice[1][0].items[0].dataset


def loaded(result):
    assert result.stderr == ""
    return json.loads(result.stdout)


class TestGet:
    def test_it_prints_paths(self, reprocess, arc, dataset, tmp_path):
        """The paths of the files are printed, one a line, and the files are there."""
        out = reprocess("get", arc, dataset, "--output-dir", tmp_path / "out").stdout

        assert sorted(out.split()) == sorted(str(path) for path in (tmp_path / "out").iterdir())
        assert any(line.endswith("_rate.fits") for line in out.split())

    def test_json(self, reprocess, arc, dataset, twice):
        """JSON tells version, campaign, time and files."""
        record = loaded(reprocess("get", arc, dataset, "--output-dir", "out", "--json"))

        assert record["campaign"] == twice[1][1].digest[:16]
        assert len(record["files"]) == 4

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            (("nobody",), "published nothing of 'nobody'"),
            (("@", "--as-of", "2001-01-01"), "readers saw nothing"),
            (("@", "--as-of", "soon"), "no date"),
            (("@", "--version", "v9"), "no version v9"),
        ],
    )
    def test_wrong_requests(self, reprocess, arc, dataset, words, says):
        """One line on standard error says what is wrong, and the exit code is 2."""
        result = reprocess("get", arc, *(dataset if word == "@" else word for word in words), code=2)

        assert says in result.stderr
        assert result.stderr.count("\n") == 1

    def test_damage(self, reprocess, arc, dataset):
        """Bytes that differ from the manifest end it with 3, and nothing is written."""
        (path,) = (
            path for path in arc.glob(f"products/{dataset}/*/provenance.json") if shown(arc, dataset) in str(path)
        )
        path.write_bytes(b"!" + path.read_bytes()[1:])

        assert "manifest says" in reprocess("get", arc, dataset, "--output-dir", "out", code=3).stderr


def shown(arc, dataset):
    return pointers.read(open_store(str(arc)), dataset)[0].version


class TestRollback:
    def test_of_a_dataset(self, reprocess, arc, dataset):
        """A dry run, the move, and once more: each says what became of the dataset."""
        before = shown(arc, dataset)
        dry = reprocess("rollback", arc, dataset, "--dry-run").stdout
        assert shown(arc, dataset) == before
        done = reprocess("rollback", arc, dataset, "--why", "stripes").stdout
        again = reprocess("rollback", arc, dataset).stdout

        assert f"{dataset}  would be moved from {before} to {shown(arc, dataset)}" in dry
        assert f"{dataset}  moved from {before} to {shown(arc, dataset)}" in done
        assert "1 moved, 0 as they were, 0 refused" in done
        assert "as it was" in again
        assert "--to" in again

    def test_of_a_campaign_and_to_a_release(self, reprocess, arc, twice):
        """A campaign is taken back and a release shown again; JSON counts."""
        reprocess("release", arc, "dr2")
        name = twice[1][1].digest[:16]
        back = loaded(reprocess("rollback", arc, "--campaign", name, "--json"))
        again = loaded(reprocess("rollback", arc, "--campaign", name, "--json"))
        forth = loaded(reprocess("rollback", arc, "--release", "dr2", "--json"))

        assert [each["counts"]["moved"] for each in (back, again, forth)] == [2, 0, 2]
        assert loaded(reprocess("verify", arc, "--json"))["problems"] == []

    def test_refused(self, reprocess, arc, dataset):
        """A dataset that is held ends it with 1, and who holds it and why is said."""
        reprocess("hold", arc, dataset, "--why", "under study", "--who", "ana")
        text = reprocess("rollback", arc, dataset, code=1).stdout

        assert "refused" in text
        assert "held by ana" in text

    @pytest.mark.parametrize("words", [(), ("d", "--campaign", "x"), ("--campaign", "x", "--to", "v")])
    def test_what_is_meant(self, reprocess, arc, words):
        """One thing is taken back at a time."""
        reprocess("rollback", arc, *words, code=2)


class TestOthers:
    def test_retire(self, reprocess, arc, dataset):
        """A retired dataset is told as such by get and verify; a reason has to be given."""
        reprocess("retire", arc, dataset, "--reason", "wrong target")

        assert "wrong target" in reprocess("get", arc, dataset, code=2).stderr
        assert "1 datasets are retired" in reprocess("verify", arc).stdout
        assert reprocess("retire", arc, dataset, code=2).stderr

    def test_explain(self, reprocess, arc, dataset):
        """The story of a retired dataset says when and why, and what readers saw before."""
        before = shown(arc, dataset)
        reprocess("retire", arc, dataset, "--reason", "wrong target")
        text = reprocess("explain", arc, dataset).stdout

        assert "retired on" in text
        assert "wrong target" in text
        assert before in text

    def test_release(self, reprocess, arc, twice):
        """It says how many versions it names; another one of the same name is refused."""
        assert "names 2 versions" in reprocess("release", arc, "dr2").stdout
        reprocess("rollback", arc, "--campaign", twice[1][1].digest)
        assert "another name" in reprocess("release", arc, "dr2", code=2).stderr

    def test_holds(self, reprocess, arc, dataset):
        """Holds are set, listed and lifted."""
        assert reprocess("holds", arc).stdout == "Nothing is held.\n"
        reprocess("hold", arc, dataset, "--why", "under study", "--who", "ana")
        (record,) = loaded(reprocess("holds", arc, "--json"))
        assert (record["dataset"], record["who"], record["why"]) == (dataset, "ana", "under study")
        assert "no longer held" in reprocess("unhold", arc, dataset).stdout
        assert "was not held" in reprocess("unhold", arc, dataset).stdout
        assert "no dataset 'x'" in reprocess("hold", arc, "x", "--why", "y", code=2).stderr

    def test_clean(self, reprocess, arc):
        """Without --yes nothing is changed; with it the same is done."""
        words = ("clean", arc, "--keep", 1, "--older-than", 0)
        dry = reprocess(*words)
        assert "--yes does it" in dry.stdout
        assert loaded(reprocess(*words, "--json"))["acted"] is False
        done = loaded(reprocess(*words, "--yes", "--json"))
        assert len(done["gone"]) == 2
        assert done["bytes_freed"] > 0
        assert "0 B freed" in reprocess(*words, "--yes").stdout.replace("0 bytes", "0 B")
        assert "all as their manifests say" in reprocess("verify", arc).stdout
        reprocess(*words, "--yes", "--dry-run", code=2)

    def test_verify(self, reprocess, arc, twice):
        """The sum of each campaign is printed; a remainder ends it with 4."""
        text = reprocess("verify", arc).stdout
        for plan in twice[1]:
            assert f"campaign {plan.digest[:16]}, ended: 2 published = 2 of 2 candidates" in text
        for path in arc.glob(f"campaigns/{twice[1][0].digest[:16]}/outcomes/*-00000001.json"):
            path.unlink()
        assert "2 without a class (a remainder)" in reprocess("verify", arc, code=4).stdout
