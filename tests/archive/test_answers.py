"""Answers of rules, kept in the archive."""

import json
import logging
import threading

import pytest

from reprocess.archive import answers, context
from reprocess.storage import open_store
from tests.archive import rules, small_rules
from tests.archive.stores import CountingStore, dataset, fill
from tests.archive.test_context import edges
from tests.archive.test_judging import World

NAME = "jwst_0541.pmap"
HEADER = {
    "INSTRUME": "NIRCAM",
    "DETECTOR": "NRCA1",
    "EXP_TYPE": "NRC_IMAGE",
    "DATE-OBS": "2026-10-01",
    "TIME-OBS": "10:00:00",
}


@pytest.fixture
def archive():
    return CountingStore()


@pytest.fixture
def load(tmp_path):
    """Load a context anew, as another process would."""
    references = CountingStore()
    small_rules.add_context(references)
    return lambda: context.load_context(references, "jwst_9001.pmap", tmp_path)


def asked(store, loaded, header=HEADER, types=small_rules.TYPES):
    """What a planner does: recall, ask, keep."""
    answers.recall(store, loaded)
    found = loaded.best_references(header, types)
    answers.keep(store, loaded)
    return found


def kept(store):
    return [stamp.key for stamp in store.list(answers.PREFIX)]


def test_real_rules_are_asked_once(tmp_path, archive):
    """What one process has asked another one knows, for every type and every kind of answer."""
    place = open_store(str(rules.directory()))
    headers = list(rules.headers(60, dates=edges(NAME)))

    def every(loaded):
        found = []
        answers.recall(archive, loaded)
        for header in headers:
            for kind in rules.TYPES:
                try:
                    found.append(loaded.best_references(header, [kind]))
                except context.errors.ContextError as error:
                    found.append(str(error))
        answers.keep(archive, loaded)
        return found

    first, second = (context.load_context(place, NAME, tmp_path) for _ in range(2))

    assert every(first) == every(second)
    assert first.lookups > 300
    assert second.lookups == 0


def test_two_plans_ask_once(tmp_path):
    """A second judgement of an archive in a new process asks crds nothing; new exposures ask for what is new."""
    world = World(tmp_path)
    fill(world.raw, [dataset(1)])
    world.judge()
    seen = []
    load = context.load_context

    def judge():
        made = load(world.references, "jwst_9001.pmap", tmp_path)
        seen.append(made)
        return made

    for _ in range(2):
        answers.recall(world.archive, judge())
        seen[-1].best_references(HEADER, small_rules.TYPES)
    assert [each.lookups for each in seen] == [0, 0]
    seen[-1].best_references({**HEADER, "DETECTOR": "NRCB1"}, small_rules.TYPES)
    assert seen[-1].lookups == len(small_rules.TYPES)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"{",
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"_0001.fits", b"_0002.fits"),
        lambda data: json.dumps({**json.loads(data), "answers": [[1]]}).encode(),
        lambda data: json.dumps({**json.loads(data), "answers": None}).encode(),
    ],
)
def test_damage_is_left_aside_and_mended(archive, load, caplog, damage):
    """A damaged object is told of, changes no answer, and is whole again after the next plan."""
    right = asked(archive, load())
    key = next(key for key in kept(archive) if "_gain.rmap" in key)
    whole = archive.get(key).data
    archive.put(key, damage(whole))

    with caplog.at_level(logging.WARNING):
        found = load()
        assert asked(archive, found) == right

    assert key in caplog.text
    assert found.lookups == 1
    assert archive.get(key).data == whole


def test_rules_of_one_name(tmp_path, archive):
    """Two servers may give one name to different rules: neither answers for the other."""
    loaded = []
    for number in (1, 2):
        references = CountingStore()
        small_rules.add_context(references, numbers={"gain": number})
        loaded.append(context.load_context(references, "jwst_9001.pmap", tmp_path))
    found = [asked(archive, each)["gain"] for each in loaded]

    assert found == [small_rules.file_name("gain", number) for number in (1, 2)]
    assert len([key for key in kept(archive) if "_gain.rmap" in key]) == 2


def test_answers_of_another_crds(archive, load, monkeypatch):
    """Answers of another version of crds are not taken over, and are replaced."""
    asked(archive, load())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99.0")
    found = load()
    asked(archive, found)

    assert found.lookups == len(small_rules.TYPES)
    assert all(json.loads(archive.get(key).data)["crds"] == "99.0" for key in kept(archive))


def test_planners_at_the_same_time(archive, load):
    """What several planners learn at once is all kept."""
    planners = []
    for number in range(1, 6):
        planner = load()
        answers.recall(archive, planner)
        planner.best_references({**HEADER, "DETECTOR": f"NRCA{number}"}, ["gain"])
        planners.append(planner)
    threads = [threading.Thread(target=answers.keep, args=(archive, planner)) for planner in planners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (key,) = kept(archive)
    assert len(json.loads(archive.get(key).data)["answers"]) == 5


def test_nothing_new_is_not_written(archive, load):
    """A plan that learns nothing writes nothing."""
    asked(archive, load())
    before = {stamp.key: stamp.etag for stamp in archive.list()}
    asked(archive, load())

    assert {stamp.key: stamp.etag for stamp in archive.list()} == before


def test_a_store_that_refuses(archive, load, caplog, monkeypatch):
    """Answers that cannot be kept are no reason to fail."""

    def refuse(key, data, **options):
        raise context.errors.AccessDenied("read only")

    monkeypatch.setattr(archive, "put_if_absent", refuse)

    assert asked(archive, load())["gain"] == small_rules.file_name("gain")
    assert "read only" in caplog.text
