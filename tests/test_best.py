"""`reprocess references`: which files rules select for headers of a file."""

import json

import pytest
from click.testing import CliRunner

from reprocess import cli
from tests.archive import rules
from tests.archive.test_context import edges, reference_answer

OLD, NEW = "jwst_0500.pmap", "jwst_0541.pmap"


def run(tmp_path, headers, *arguments, contexts=(NEW,)):
    """The lines that the command prints, as JSON."""
    path = tmp_path / "headers.jsonl"
    path.write_text("".join(json.dumps(header) + "\n" for header in headers))
    words = [word for name in contexts for word in ("--context", name)]
    place = ["--references", str(rules.directory()), "--cache-dir", str(tmp_path / "cache")]
    done = CliRunner().invoke(
        cli.main, ["references", *words, "--headers", str(path), "--json", *place, *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def test_each_header_has_the_references_that_crds_selects(tmp_path):
    """With one context each line has the file of each type, null where there is none."""
    headers = list(rules.headers(40, dates=edges(NEW)))
    lines = run(tmp_path, headers, "--types", ",".join(rules.TYPES))

    assert [line["row"] for line in lines] == list(range(1, 41))
    for header, line in zip(headers, lines, strict=True):
        expected = reference_answer(NEW, header, rules.TYPES)
        assert {kind: line["references"][kind] for kind in expected if expected[kind] != "several files"} == {
            kind: file for kind, file in expected.items() if file != "several files"
        }


def test_two_contexts_tell_what_differs(tmp_path):
    """The types that differ are those whose files do."""
    headers = list(rules.headers(40))
    lines = run(tmp_path, headers, "--types", "all", contexts=(OLD, NEW))

    assert any(line["differ"] for line in lines)
    for line in lines:
        old, new = line["references"][OLD], line["references"][NEW]
        assert line["differ"] == [kind for kind in old if old[kind] != new[kind]]


def test_types_are_those_that_stage_1_reads(tmp_path):
    """Without --types an image has what the steps of its chain read, and not the types of later stages."""
    header = next(header for header in rules.headers(200) if header.get("EXP_TYPE") == "NRC_IMAGE")
    (line,) = run(tmp_path, [header])

    assert {"dark", "gain", "linearity", "mask", "readnoise", "saturation", "superbias"} <= set(line["references"])
    assert not {"photom", "area", "distortion"} & set(line["references"])


def test_a_header_that_nothing_can_be_selected_for_says_why(tmp_path):
    """No date, an unknown instrument and no keyword at all are told on their own lines."""
    good = next(rules.headers(1))
    undated = {word: value for word, value in good.items() if word != "DATE-OBS"}
    lines = run(tmp_path, [good, undated, {"INSTRUME": "HST"}, {}])

    assert "problem" not in lines[0]
    assert "DATE-OBS" in lines[1]["problem"]
    assert "HST" in lines[2]["problem"]
    assert "INSTRUME" in lines[3]["problem"]


@pytest.mark.parametrize("line", ["not JSON", "[1, 2]", '{"FILTER": ["a"]}'])
def test_a_line_that_is_no_header_is_named(tmp_path, line):
    """The file and the line are in the message."""
    path = tmp_path / "headers.jsonl"
    path.write_text(f"{json.dumps(next(rules.headers(1)))}\n{line}\n")
    place = ["--references", str(rules.directory()), "--cache-dir", str(tmp_path / "cache")]
    done = CliRunner().invoke(cli.main, ["references", "--context", NEW, "--headers", str(path), *place])

    assert done.exit_code == 2
    assert "line 2" in done.output


def test_a_type_that_there_is_not(tmp_path):
    """A type that no instrument has is refused, with those that are spelt alike."""
    (tmp_path / "headers.jsonl").write_text('{"INSTRUME": "NIRCAM"}\n')
    words = ["--context", NEW, "--headers", str(tmp_path / "headers.jsonl"), "--types", "distorsion"]
    place = ["--references", str(rules.directory()), "--cache-dir", str(tmp_path / "cache")]

    done = CliRunner().invoke(cli.main, ["references", *words, *place])

    assert done.exit_code == cli.EXIT_USAGE
    assert "distortion" in done.output
