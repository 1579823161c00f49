"""Checking selection against crds on rows of a catalogue."""

import pytest

from reprocess.archive import agreement, partition
from reprocess.exposure import CatalogueEntry
from tests.archive import rules
from tests.archive.test_context import edges, real

NAME = "jwst_0541.pmap"
NIRCAM = {"INSTRUME": "NIRCAM", "DETECTOR": "NRCA2", "EXP_TYPE": "NRC_IMAGE", "SUBARRAY": "FULL", "READPATT": "BRIGHT1"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def batches(headers, size=40):
    """Headers as batches of a catalogue, with an unreadable object and somebody else's product in each."""
    pointers = partition.pointer_table([])
    for begin in range(0, len(headers), size):
        rows = [
            CatalogueEntry(f"jw{begin + n:06d}", "uncal", "memory://x", f"{begin + n:06d}", 1, "e", header)
            for n, header in enumerate(headers[begin : begin + size])
        ]
        rows.append(CatalogueEntry(f"bad{begin}", "uncal", "memory://x", f"bad{begin}", 1, "e", error="unreadable"))
        rows.append(CatalogueEntry(f"rate{begin}", "rate", "memory://x", f"rate{begin}", 1, "e", headers[0]))
        table = partition.read_table(partition.entries_to_parquet(rows), name="rows")
        yield partition.joined([table]), pointers


def datasets(table):
    return table.column("dataset").to_pylist()


def test_draw():
    """The same seed draws the same exposures, another one others, and never what is no exposure."""
    headers = list(rules.headers(120))
    first = datasets(agreement.draw(batches(headers), 30, seed=1))

    assert len(set(first)) == 30
    assert all(name.startswith("jw") for name in first)
    assert datasets(agreement.draw(batches(headers), 30, seed=1)) == first
    assert datasets(agreement.draw(batches(headers, size=7), 30, seed=1)) == first
    assert datasets(agreement.draw(batches(headers), 30, seed=2)) != first


def test_draw_more_than_there_are():
    """All exposures are drawn when there are not enough, and none from nothing."""
    headers = list(rules.headers(50))

    assert sorted(datasets(agreement.draw(batches(headers), 10**6, seed=1))) == [f"jw{n:06d}" for n in range(50)]
    assert agreement.draw([], 5, seed=1).num_rows == 0


def test_every_exposure_has_the_same_chance():
    """Over many draws no batch is preferred."""
    headers = list(rules.headers(100))
    drawn = [name for seed in range(200) for name in datasets(agreement.draw(batches(headers, 70), 10, seed=seed))]
    early = sum(int(name[2:]) < 70 for name in drawn) / len(drawn)

    assert 0.65 < early < 0.75


def test_selection_agrees(cache):
    """There is no difference on real rules, and the numbers say how much was compared."""
    headers = list(rules.headers(80, dates=edges(NAME)))
    found = agreement.compare(agreement.draw(batches(headers), 80, seed=1), real(cache))

    assert (found.rows, found.differences) == (80, ())
    assert found.comparisons > 1500
    assert found.files > 300


def test_what_cannot_be_decided_is_counted(cache):
    """Exposures without a date or with an unknown instrument are told apart from differences."""
    good = next(iter(rules.headers(1)))
    headers = [{**good, "DATE-OBS": "soon"}, {**good, "INSTRUME": "HST"}, {"FILTER": "F200W"}]
    found = agreement.compare(agreement.draw(batches(headers), 3, seed=1), real(cache))

    assert (found.rows, found.differences) == (3, ())
    assert found.undecided == found.comparisons > 10


def test_a_wrong_answer_is_found(cache):
    """An answer that is not the one of crds is told with both files."""
    ours = real.__wrapped__(cache)
    header = {**NIRCAM, "DATE-OBS": "2022-04-26", "TIME-OBS": "12:00:00"}
    right = ours.best_references(header, ["gain"])["gain"]
    rule = ours.rule("NIRCAM", "gain")
    (question,) = ours.learned[rule.name]
    wrong = real.__wrapped__(cache)
    wrong.recall(wrong.rule("NIRCAM", "gain"), {question: "jwst_nircam_gain_9999.fits"})

    found = agreement.compare(agreement.draw(batches([header]), 1, seed=1), wrong)

    assert found.differences == (agreement.Difference("jw000000", "gain", "jwst_nircam_gain_9999.fits", right),)
