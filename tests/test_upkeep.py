"""`references sync`, `references --check` and `find` on an archive that went the whole trip."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from click.testing import CliRunner

from reprocess import campaign, cli, upkeep
from reprocess.archive import agreement, answers
from reprocess.settings import CacheSettings
from reprocess.storage import open_store
from tests import trips

GAIN = "jwst_nircam_gain_9001.fits"


@pytest.fixture(scope="module")
def archive():
    """An archive with products; a mirror of its own is made by the plan."""
    archive = trips.make()
    trips.go(archive)
    campaign.scan(archive)
    return archive


@pytest.fixture
def fresh():
    """A scanned archive in which nothing was planned."""
    return trips.make()


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the command line; what it prints, and its exit code."""
    monkeypatch.setenv("REPROCESS_CACHE_DIRECTORY", str(tmp_path / "cache"))
    monkeypatch.delenv("CRDS_PATH", raising=False)
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(trips.target(name).text)

    def call(*words, code=0):
        done = CliRunner().invoke(cli.main, [str(word).replace("@", f"{tmp_path}/") for word in words])
        assert done.exit_code == code, (done.output, done.exception)
        return done

    return call


def files(archive):
    return {key: value for key, value in trips.objects(archive.store, "references/").items() if "/files/" in key}


class TestSync:
    """`reprocess references sync`."""

    def test_copied_then_present(self, fresh, call):
        """The first call copies all that the target needs, the second nothing."""
        words = ("references", "sync", fresh.store.url, "--target", "@first.toml", "--json")
        first, second = (json.loads(call(*words).stdout) for _ in range(2))

        assert first["copied"] == second["present"] != []
        assert (first["missing"], second["copied"], second["bytes_copied"]) == ([], [], 0)
        assert first["bytes_copied"] == second["bytes_present"] == sum(one["size"] for one in first["copied"]) > 0
        assert len(files(fresh)) == len(first["copied"])

    def test_a_plan_after_it_copies_nothing(self, fresh, call, monkeypatch):
        """What `plan` reads of the references after a sync is nothing, and it asks crds nothing."""
        call("references", "sync", fresh.store.url, "--target", "@first.toml")
        before = files(fresh)
        reads, contexts = Counter(), []
        source = campaign.open_url(fresh.root.references, fresh.settings)
        kind = type(source)
        get, load = kind.get, campaign.load_context

        def counted(store, key, **options):
            if store.url == source.url:
                reads[key] += 1
            return get(store, key, **options)

        def kept(*arguments):
            contexts.append(load(*arguments))
            return contexts[-1]

        monkeypatch.setattr(kind, "get", counted)
        monkeypatch.setattr(campaign, "load_context", kept)
        made = campaign.plan(fresh, trips.target(), created=trips.CREATED)

        assert {item.action for item in made.items} == {"calibrate"}
        assert not [key for key in reads if key.startswith("references/")]
        assert files(fresh) == before
        assert [context.lookups for context in contexts] == [0]

    def test_a_plan_elsewhere_needs_no_other_place(self, call, tmp_path):
        """After a sync another machine plans though the place of references is gone: rules are mirrored as well."""
        place = trips.copy(trips.simulated(), trips.fresh()).below("crds")
        archive = trips.make(references=place.url)
        call("references", "sync", archive.store.url, "--target", "@first.toml")
        for stamp in list(place.list()):
            place.delete(stamp.key)
        elsewhere = replace(archive.settings, cache=CacheSettings(directory=str(tmp_path / "empty")))

        made = campaign.plan(campaign.open_archive(archive.store.url, elsewhere), trips.target(), created=trips.CREATED)

        assert {item.action for item in made.items} == {"calibrate"}

    def test_damaged_rules_in_the_mirror(self, call, tmp_path):
        """A rule that was changed in the mirror fails the exposures that need it, named where it is, and no others."""
        archive = trips.make()
        call("references", "sync", archive.store.url, "--target", "@first.toml")
        key = next(stamp.key for stamp in archive.store.list("references/rules/") if "nircam_gain" in stamp.key)
        archive.store.put(key, archive.store.get(key).data.replace(b"9001.fits", b"9002.fits"))
        elsewhere = replace(archive.settings, cache=CacheSettings(directory=str(tmp_path / "empty")))

        made = campaign.plan(campaign.open_archive(archive.store.url, elsewhere), trips.target())

        failed = {item.entry.header["INSTRUME"]: item for item in made.items if item.action == "fail"}
        assert set(failed) == {"NIRCAM"}
        assert f"{key} does not have the sha1sum" in failed["NIRCAM"].failure
        assert {item.action for item in made.items} == {"fail", "calibrate"}

    def test_missing(self, fresh, call, tmp_path):
        """A file that is not there is named, the exit code is 1, and the others are copied."""
        place = trips.copy(trips.simulated(), trips.fresh()).below("crds")
        place.delete(f"references/jwst/nircam/{GAIN}")
        words = ("references", "sync", fresh.store.url, "--target", "@first.toml", "--references", place.url)
        done = call(*words, "--json", code=1)
        told = call(*words, code=1).stdout

        assert [one["name"] for one in json.loads(done.stdout)["missing"]] == [GAIN]
        assert "1 missing" in told
        assert f"{GAIN} is not at" in told

    @pytest.mark.parametrize("damage", [None, b"", b"edited"])
    def test_a_rule_that_cannot_be_had(self, fresh, call, damage):
        """All other rules and files are copied, the rule is named with what to do, and the exit code is 1."""
        place = trips.copy(trips.simulated(), trips.fresh()).below("crds")
        key = "mappings/jwst/jwst_nircam_gain_9001.rmap"
        place.delete(key) if damage is None else place.put(key, place.get(key).data.replace(b"9001.fits", damage))
        words = ("references", "sync", fresh.store.url, "--target", "@first.toml", "--references", place.url)
        done = json.loads(call(*words, "--json", code=1).stdout)
        told = call(*words, code=1).stdout

        assert [(one["name"], one["missing"]) for one in done["rules"]] == [(key.rpartition("/")[2], damage is None)]
        assert (done["missing"], done["unusable"]) == ([], [])
        assert GAIN not in {one["name"] for one in done["copied"]}
        assert len(done["copied"]) > 10
        assert "1 rules cannot be had" in told
        assert key in told
        held = {stamp.key.rpartition("/")[2] for stamp in fresh.store.list("references/rules/")}
        every = {stamp.key.rpartition("/")[2] for stamp in trips.simulated().list("crds/mappings/jwst/")}
        assert held == {name for name in every if "_9001." in name} - {key.rpartition("/")[2]}

    def test_two_processes(self, tmp_path):
        """Two syncs at once copy each file once between them, and both end well."""
        trips.copy(trips.simulated(), open_store(str(tmp_path / "sim")))
        archive = trips.make(str(tmp_path / "archive"), references=str(tmp_path / "sim" / "crds"))
        (tmp_path / "first.toml").write_text(trips.target().text)
        words = ["references", "sync", str(tmp_path / "archive"), "--target", str(tmp_path / "first.toml"), "--json"]
        command = [sys.executable, "-c", "from reprocess.cli import program; program()", *words]
        cache = {"REPROCESS_CACHE_DIRECTORY": str(tmp_path / "cache")}
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **cache}) for _ in range(2)]
        told = [json.loads(process.communicate(timeout=120)[0]) for process in both]
        copied = [one["name"] for each in told for one in each["copied"]]

        assert [process.returncode for process in both] == [0, 0]
        assert len(copied) == len(set(copied)) == len(files(archive))
        assert all(len(each["copied"]) + len(each["present"]) == len(copied) for each in told)
        assert not list(archive.store.list("references/claims/"))

    @pytest.mark.parametrize(
        "words", [("--context", "x.pmap"), ("--check", "3"), ("--headers", "x"), ("--references", "y"), ("--json",)]
    )
    def test_options_of_the_other_uses(self, fresh, call, words):
        """Options that do not belong to it are refused, not ignored."""
        done = call("references", *words, "sync", fresh.store.url, "--target", "@first.toml", code=2)

        assert f"{words[0]} means nothing before sync" in done.stderr


class TestCheck:
    """`reprocess references --check`."""

    def words(self, archive, count=100):
        return ("references", "--check", count, "--archive", archive.store.url, "--context", "jwst_9001.pmap")

    def test_agreement(self, archive, call):
        """Without a difference the exit code is 0 and the sum says what was compared; N may exceed the rows."""
        told = json.loads(call(*self.words(archive), "--json").stdout)

        assert (told["rows"], told["differences"], told["context"]) == (trips.SMALL.exposures, [], "jwst_9001.pmap")
        assert told["comparisons"] > told["rows"]
        assert "0 differences" in call(*self.words(archive), "--seed", "7").stdout

    def test_difference(self, archive, call, monkeypatch):
        """A kept answer that is wrong is found, told, and ends in exit code 4."""
        changed = trips.copy(archive.store, trips.fresh())
        key = next(stamp.key for stamp in changed.list(answers.PREFIX) if "nircam_gain" in stamp.key)
        record = json.loads(changed.get(key).data)
        record["answers"] = [[period, values, "wrong.fits"] for period, values, _ in record["answers"]]
        record["digest"] = answers._digest(record["answers"])
        changed.put(key, json.dumps(record).encode())
        words = ("references", "--check", 100, "--archive", changed.url, "--context", "jwst_9001.pmap")

        told = call(*words, code=4).stdout

        assert "gain: wrong.fits, crds says jwst_nircam_gain_9001.fits" in told

    def test_many_differences(self):
        """Only the first ones are printed, and how many more there are."""
        one = agreement.Difference("jw1", "gain", None, "a.fits")
        told = upkeep.agreement_text(agreement.Agreement("x.pmap", 50, 100, 100, 0, (one,) * 50))

        assert "50 differences" in told
        assert "and 30 more" in told

    @pytest.mark.parametrize(
        ("words", "named"),
        [
            (("--check", "3", "--context", "x.pmap"), "--archive"),
            (("--check", "3"), "--context"),
            (("--context", "x.pmap"), "--headers"),
            ((), "--context"),
        ],
    )
    def test_what_is_not_said(self, call, words, named):
        """What is missing on the line is asked for."""
        assert named in call("references", *words, code=2).stderr


class TestFind:
    """`reprocess find`."""

    def test_products(self, archive, call):
        """Each product made with the file is a line with dataset and version, with or without the prefix."""
        plain = call("find", archive.store.url, "--reference", GAIN, "--json")
        found = [json.loads(line) for line in plain.stdout.splitlines()]
        shown = trips.shown(archive)

        assert found
        assert all(shown[one["dataset"]] == one["version"] for one in found)
        assert {one["used_as"] for one in found} == {"gain"}
        assert call("find", archive.store.url, "--reference", f"crds://{GAIN}", "--json").stdout == plain.stdout
        assert f"{len(found)} product(s)" in call("find", archive.store.url, "--reference", GAIN).stderr

    def test_products_that_do_not_tell(self, archive, call):
        """A damaged pointer is named on the error stream, after what was found, and the exit code is 4."""
        changed = trips.copy(archive.store, trips.fresh())
        key = sorted(stamp.key for stamp in changed.list("pointers/"))[0]
        changed.put(key, b"{")
        campaign.scan(campaign.open_archive(changed.url, archive.settings))
        done = call("find", changed.url, "--reference", GAIN, "--json", code=4)

        assert "1 product(s) cannot be read" in done.stderr
        assert f"{key} is no JSON" in done.stderr
        assert key not in done.stdout
        assert len(done.stdout.splitlines()) > 0

    def test_nothing(self, archive, call):
        """That nothing was made with it is said, and part of a name finds nothing."""
        done = call("find", archive.store.url, "--reference", GAIN.removesuffix("s"))

        assert done.stdout == ""
        assert "Nothing was made with" in done.stderr

    def test_no_name(self, archive, call):
        """A pattern is refused."""
        assert "whole name" in call("find", archive.store.url, "--reference", "*gain*", code=2).stderr
