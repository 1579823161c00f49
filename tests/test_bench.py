"""Benchmark campaigns."""

import json
from dataclasses import replace

import pytest

from reprocess import bench, bench_place, errors
from reprocess.reporting import benchmark
from reprocess.settings import PriceSettings
from reprocess.storage import open_store
from tests import trips

TINY = bench.Wish(exposures=2, groups=3, shape=(16, 16), workers=(1,))


@pytest.fixture
def settings():
    """Serial, so that a test needs no processes."""
    return trips.settings()


@pytest.fixture
def place():
    """An empty store, by its URL."""
    return trips.fresh().url


@pytest.fixture(scope="module")
def kept():
    """A place with a run of two repetitions, and the run; nobody changes it."""
    url = trips.fresh().url
    return url, bench.measure(url, trips.settings(), replace(TINY, repeat=2))


@pytest.fixture
def copied(kept):
    """A copy of it, to be changed."""
    url, made = kept
    return trips.copy(open_store(url), trips.fresh()).url, made


def keys(url, prefix=""):
    try:
        return [stamp.key for stamp in open_store(url).list(prefix)]
    except errors.BucketMissing:
        return []


class TestMeasure:
    """`measure`."""

    def test_a_run(self, kept):
        """Everything asked for is measured of every exposure in each repetition, and kept with its picture."""
        url, made = kept

        assert [(one.workers, one.turn, one.exposures, one.failed) for one in made.campaigns] == [
            (1, 1, 2, 0),
            (1, 2, 2, 0),
        ]
        for one in made.campaigns:
            assert all(name == "cost" or getattr(one, name) > 0 for name in benchmark.FIGURES)
            assert one.core_seconds == pytest.approx(3600 / one.exposures_per_core_hour)
            assert one.cost is None
        assert benchmark.from_bytes(open_store(url).get(f"bench/runs/{made.id}.json").data, name="r") == made
        assert keys(url, f"bench/runs/{made.id}.svg")

    def test_the_data_set_is_used_again(self, copied, settings):
        """The next run makes no exposures, and has an archive of its own; with prices an exposure has a cost."""
        (url, first), said = copied, []
        before = {key: open_store(url).head(key).etag for key in keys(url, "bench/data/")}
        made = bench.measure(url, replace(settings, prices=PriceSettings(core_hour=3600.0)), TINY, say=said.append)
        (one,) = made.campaigns

        assert any("there already" in sentence for sentence in said)
        assert {key: open_store(url).head(key).etag for key in keys(url, "bench/data/")} == before
        assert len({key.split("/")[2] for key in keys(url, "bench/archives/")}) == 3
        assert benchmark.compare(first, made)
        assert one.cost == pytest.approx(one.core_seconds)

    def test_a_data_set_that_was_cut_off(self, copied, settings):
        """What a killed benchmark left of a data set is made anew, and nothing else is touched."""
        url, _ = copied
        store, before = open_store(url), keys(url)
        data = [key for key in before if key.startswith("bench/data/")]
        for key in (f"bench/data/{bench.data_digest(TINY)[:16]}/truth/expected.json", data[0]):
            store.delete(key)

        assert bench.measure(url, settings, TINY).failed == 0
        assert set(before) < set(keys(url))
        assert keys(url, "bench/data/") == data

    def test_other_options(self):
        """Other options are other data; the number of workers is none of them."""
        assert bench.data_digest(bench.Wish(exposures=3)) != bench.data_digest(bench.Wish(exposures=4))
        assert bench.data_digest(bench.Wish(workers=(1,))) == bench.data_digest(bench.Wish(workers=(2,)))

    def test_machine(self):
        """The description of the machine names no host, user or directory."""
        found = bench.machine()

        assert set(found) == {"cores", "cpu", "memory_gib", "python", "numpy"}
        assert not any(str(value).startswith("/") for value in found.values())

    def test_workers_that_cannot_be_had(self, place):
        """Workers are not ours to choose when a scheduler is named, nor when there are none."""
        for scheduler in ("serial", "tcp://127.0.0.1:1"):
            with pytest.raises(errors.UsageError):
                bench.measure(place, trips.settings(scheduler=scheduler), bench.Wish(workers=(1, 2)))
        assert keys(place) == []

    def test_a_directory_and_s3(self, tmp_path, s3_endpoint, s3_bucket):
        """A directory and a bucket are measured alike: as many bytes, in as many requests."""
        found = [
            bench.measure(url, trips.settings(endpoint=s3_endpoint), TINY).campaigns[0]
            for url in (str(tmp_path / "new"), f"s3://{s3_bucket}")
        ]

        assert found[0].bytes_written == pytest.approx(found[1].bytes_written, rel=0.02)
        # A bucket is asked once more now and then: by time, and for parts of files.
        assert found[0].requests == pytest.approx(found[1].requests, rel=0.25)


class TestClaim:
    """`claim` and `clean`."""

    @pytest.mark.parametrize("key", ["archive.toml", "raw/something.fits", "bench/notes.txt"])
    def test_what_is_not_ours(self, place, settings, key):
        """A place that holds anything else is refused, and nothing is written."""
        open_store(place).put(key, b"x")
        for act in (lambda: bench.measure(place, settings, TINY), lambda: bench_place.clean(place, settings)):
            with pytest.raises(errors.UsageError, match=r"bench"):
                act()

        assert keys(place) == [key]

    def test_an_archive(self, settings):
        """An archive is refused."""
        archive = trips.make()
        with pytest.raises(errors.UsageError, match="holds"):
            bench.measure(archive.store.url, settings, TINY)

    def test_clean(self, copied, settings):
        """Data and archives are deleted, and what was measured stays."""
        url, made = copied
        deleted = bench_place.clean(url, settings)

        assert deleted > 10
        assert keys(url) == ["bench/bench.json", f"bench/runs/{made.id}.json", f"bench/runs/{made.id}.svg"]


class TestFind:
    """`find`."""

    def test_by_id_beginning_and_file(self, kept, settings, tmp_path):
        """A run is found by its id, by the beginning of it, and as a file."""
        url, made = kept
        (record, _) = bench.keep_copies(made, tmp_path / "out")

        for name in (made.id, made.id[:12], str(record)):
            assert bench_place.find(url, settings, name) == made

    def test_none(self, kept, settings):
        """A run that does not exist is refused, and those that do are named."""
        url, made = kept
        with pytest.raises(errors.UsageError, match=f"no run 1999.*{made.id}"):
            bench_place.find(url, settings, "1999")


class TestCommand:
    """`reprocess bench`."""

    def test_trip(self, reprocess, tmp_path, monkeypatch):
        """Measure, compare with what was kept, and clean up."""
        monkeypatch.setenv("REPROCESS_EXECUTION_SCHEDULER", "serial")
        options = ("--exposures", 2, "--shape", "16x16", "--groups", 3, "--workers", 1)
        first = json.loads(reprocess("bench", "place", *options, "--json", "--output-dir", "out").stdout)
        text = reprocess("bench", "place", *options, "--compare", first["id"]).stdout

        assert first["figures"]["1"]["requests"]["median"] > 0
        assert f"compared with {first['id']}" in text
        assert "verdict: " in text
        assert (tmp_path / "out" / f"{first['id']}.svg").exists()
        assert "objects deleted" in reprocess("bench", "place", "--clean").stdout

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--workers", "two"), "1,2,4"),
            (("--shape", "64"), "ROWSxCOLUMNS"),
            (("--shape", "17x17", "--workers", "1"), "multiples of 4"),
            (("--compare", "1999"), "no run"),
            (("--clean", "--groups", "3"), "means nothing with --clean"),
        ],
    )
    def test_mistakes(self, reprocess, options, said):
        """A mistake is one line and exit code 2, and nothing is written."""
        result = reprocess("bench", "place", *options, code=2)

        assert said in result.stderr
        assert keys("place") == []
