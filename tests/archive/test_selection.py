"""Selection for many rows at once, against CRDS itself and against one row at a time."""

import pyarrow as pa
import pytest

from reprocess.archive import cells, context, partition, selection
from tests.archive import realistic, rules, small_rules
from tests.archive.stores import CountingStore
from tests.archive.test_context import crds_mapping, edges, real, reference_answer

CONTEXTS = ["jwst_0541.pmap", "jwst_0400.pmap", "jwst_0100.pmap"]
INSTRUMENTS = ["FGS", "MIRI", "NIRCAM", "NIRISS", "NIRSPEC"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def table(headers):
    """Headers as the columns of the catalogue."""
    words = sorted({word for header in headers for word in header})
    columns = [partition.keyword_column(word, [header.get(word) for header in headers]) for word in words]
    return pa.table([array for array, _ in columns], schema=pa.schema([field for _, field in columns]))


def answers(context, headers, types):
    """For each header what each type is selected to: a name, None, or the reason why it is undecided."""
    names = selection.Names()
    sorted_out = cells.cells(table(headers), cells.edges_of([context], INSTRUMENTS))
    wanted = [types] * len(sorted_out.configurations.headers)
    found = selection.select(sorted_out, context, wanted, names)
    of_row = []
    for row in range(len(headers)):
        cell = int(sorted_out.of_row[row])
        numbers = {kind: int(found.files[kind][cell]) for kind in types}
        of_row.append(
            {
                kind: found.problems[cell].text if number == selection.UNDECIDED else names.name(number)
                for kind, number in numbers.items()
            }
        )
    return of_row


@pytest.mark.parametrize("name", CONTEXTS)
def test_as_crds(cache, name):
    """Every type of varied headers, many of them on the edge of a USEAFTER, is what CRDS selects."""
    headers = list(rules.headers(300, dates=edges(name)))
    found = answers(real(cache, name), headers, rules.TYPES)

    for header, answer in zip(headers, found, strict=True):
        expected = reference_answer(name, header, rules.TYPES)
        told = {
            kind: "several files" if text and "not the name of one file" in text else text
            for kind, text in answer.items()
        }
        assert told == expected, header
    assert sum(file is not None for answer in found for file in answer.values()) > 1000


def test_realistic_headers(cache):
    """Headers whose settings go together have the files that crds selects, and most look-ups of a rule find one."""
    headers = list(realistic.headers([crds_mapping(name) for name in CONTEXTS], 150, seed=5))
    found = answers(real(cache), headers, rules.TYPES)

    assert found == [reference_answer("jwst_0541.pmap", header, rules.TYPES) for header in headers]
    assert sum(file is not None for answer in found for file in answer.values()) > 1200


def test_fractions_of_a_second_decide_where_a_rule_has_them(cache):
    """A rule with a USEAFTER between two seconds tells exposures of one second apart, as CRDS writes them."""
    name = "jwst_0541.pmap"
    headers = [
        {
            **{"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_IFU", "READPATT": "NRSRAPID"},
            **{"SUBARRAY": "FULL", "DATE-OBS": "2009-06-25", "TIME-OBS": f"22:14:38{fraction}"},
        }
        for fraction in ("", ".100", ".295", ".296", ".297", ".2961", ".999")
    ]
    found = answers(real(cache, name), headers, ["dark"])

    assert found == [reference_answer(name, header, ["dark"]) for header in headers]


def test_rows_without_a_date_are_told_apart(cache):
    """A row without a usable date is undecided with the keyword's value; the other rows are not touched."""
    good = next(iter(rules.headers(1)))
    bad = [
        {**good, "TIME-OBS": "25:61:00"},
        {**good, "DATE-OBS": "soon"},
        {k: v for k, v in good.items() if k != "DATE-OBS"},
    ]
    found = answers(real(cache), [good, *bad, {**good, "INSTRUME": "HST"}], ["dark", "gain"])

    assert found[0] == reference_answer("jwst_0541.pmap", good, ["dark", "gain"])
    assert [part in answer["dark"] for part, answer in zip(("25:61", "SOON", "DATE-OBS"), found[1:4], strict=True)]
    assert "HST" in found[4]["gain"]


def test_each_question_is_asked_once(cache):
    """A hundred times the rows cost no further look-up."""
    ours = real.__wrapped__(cache)
    headers = list(rules.headers(50))
    once = answers(ours, headers, rules.TYPES)
    before = ours.lookups

    assert answers(ours, headers * 100, rules.TYPES) == once * 100
    assert ours.lookups == before


def test_rules_of_both_contexts_are_looked_at_once(cache):
    """A type whose rule is the same in two contexts is not evaluated for the second, and nothing else changes."""
    headers = [
        *rules.headers(200, dates=edges("jwst_0541.pmap")),
        {"INSTRUME": "HST"},
        {"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "DATE-OBS": "soon"},
    ]
    names = selection.Names()
    old, new, alone = (real.__wrapped__(cache, name) for name in ("jwst_0540.pmap", "jwst_0541.pmap", "jwst_0541.pmap"))
    sorted_out = cells.cells(table(headers), cells.edges_of([old, new], INSTRUMENTS))
    wanted = [rules.TYPES] * len(sorted_out.configurations.headers)
    before = selection.select(sorted_out, old, wanted, names)

    plain = selection.select(sorted_out, alone, wanted, names)
    quick = selection.select(sorted_out, new, wanted, names, like=(old, before))

    assert 0 < new.lookups < alone.lookups / 2
    assert {kind: codes.tolist() for kind, codes in quick.files.items()} == {
        kind: codes.tolist() for kind, codes in plain.files.items()
    }
    assert set(quick.problems) == set(plain.problems)
    changed = {kind for kind in rules.TYPES if (plain.files[kind] != before.files[kind]).any()}
    assert changed <= {
        kind
        for kind in rules.TYPES
        for instrument in INSTRUMENTS
        if new.rule(instrument, kind) and not new.rule(instrument, kind).is_same(old.rule(instrument, kind))
    }


def test_the_same_name_with_another_content_is_another_rule(tmp_path):
    """Rules of two servers that share a name are both evaluated."""
    names, found = selection.Names(), []
    for number in (1, 2):
        references = CountingStore()
        small_rules.add_context(references, numbers={"gain": number}, absent=["ipc"] if number == 2 else [])
        found.append(context.load_context(references, "jwst_9001.pmap", tmp_path))
    header = {"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "DATE-OBS": "2026-01-01", "TIME-OBS": "00:00:00"}
    sorted_out = cells.cells(table([header]), cells.edges_of(found, ["NIRCAM"]))
    before = selection.select(sorted_out, found[0], [["gain", "dark", "ipc"]], names)
    after = selection.select(sorted_out, found[1], [["gain", "dark", "ipc"]], names, like=(found[0], before))

    told = {kind: names.name(int(after.files[kind][0])) for kind in ("gain", "dark", "ipc")}
    assert told == {"gain": small_rules.file_name("gain", 2), "dark": small_rules.file_name("dark"), "ipc": None}
    # The rule of the dark has the same text, and so the same answer without a question.
    assert found[1].lookups == 1
