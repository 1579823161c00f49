"""The full check of selection against crds: `make verify`. Left out of `make test`, because it takes minutes.

REPROCESS_VERIFY_HEADERS changes how many headers there are, REPROCESS_VERIFY_SEED which ones, and
REPROCESS_VERIFY_CONTEXTS names other contexts, separated by commas.
"""

import functools
import os
import time

import pytest
from crds.core import utils

from reprocess.archive import cells, selection
from reprocess.archive.context import KEYWORDS
from tests.archive import realistic
from tests.archive.test_context import crds_mapping, plain, real
from tests.archive.test_selection import table

CONTEXTS = os.environ.get("REPROCESS_VERIFY_CONTEXTS", "jwst_0541.pmap,jwst_0468.pmap,jwst_0400.pmap").split(",")
COUNT = int(os.environ.get("REPROCESS_VERIFY_HEADERS", "10000"))
SEED = int(os.environ.get("REPROCESS_VERIFY_SEED", "1"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
def test_no_difference(cache, capsys):
    """For realistic headers of all instruments, all types and three contexts, crds selects the same files."""
    headers = list(realistic.headers([crds_mapping(name) for name in CONTEXTS], COUNT, seed=SEED))
    start = time.process_time()
    ours, spent = selected(cache, headers), time.process_time() - start
    lines, differences = [], []
    for name in CONTEXTS:
        start = time.process_time()
        found = [crds_answer(name, header) for header in headers]
        asked = time.process_time() - start
        files = sum(file is not None for answer in found for file in answer.values())
        unlike = [
            (name, header, kind, mine[kind], file)
            for header, mine, answer in zip(headers, ours[name], found, strict=True)
            for kind, file in answer.items()
            if mine[kind] != file
        ]
        differences += unlike
        total = sum(map(len, found))
        ruled = sum(len(kinds_with_rule(name, header["INSTRUME"])) for header in headers)
        lines.append(
            f"[verify] {name}: {len(headers):,} headers, {total:,} comparisons, {ruled:,} of types with a rule, "
            f"{files:,} with a file: {len(unlike):,} differences; crds {asked:.0f} s"
        )
    with capsys.disabled():
        print("", *lines, f"[verify] ours, {len(CONTEXTS)} contexts: {spent:.1f} s", sep="\n")
    assert not differences, differences[:5]
    assert files > ruled / 2, "too few look-ups find a file: the headers are not realistic"


def selected(cache, headers):
    """What we select by columns, as the planner does, each context like the first: {context: [{type: file}]}."""
    contexts = [real(cache, name) for name in CONTEXTS]
    sorted_out, names = cells.cells(table(headers), cells.edges_of(contexts, realistic.FIVE)), selection.Names()
    wanted = [types_of(header["INSTRUME"]) for header in sorted_out.configurations.headers]
    chosen = []
    for context in contexts:
        like = (contexts[0], chosen[0]) if chosen else None
        chosen.append(selection.select(sorted_out, context, wanted, names, like=like))
    return {
        context.name: [
            {
                kind: told(int(found.files[kind][cell]), found.problems.get(int(cell)), names)
                for kind in wanted[sorted_out.configuration[cell]]
            }
            for cell in sorted_out.of_row
        ]
        for context, found in zip(contexts, chosen, strict=True)
    }


def told(number, problem, names):
    if number != selection.UNDECIDED:
        return names.name(number)
    return "several files" if "not the name of one file" in problem.text else problem.text


@functools.cache
def types_of(instrument):
    """Every type that any of the contexts has for an instrument."""
    return tuple(sorted({kind for name in CONTEXTS for kind in selections(name, instrument)}))


def selections(name, instrument):
    """What a context says of each type of an instrument; early contexts do not have every instrument."""
    mapping = crds_mapping(name)
    known = {each.upper() for each in mapping.selections}
    return mapping.get_imap(instrument).selections if instrument in known else {}


@functools.cache
def kinds_with_rule(name, instrument):
    """The types that are not applicable or left out as a whole do not ask for a rule."""
    told = selections(name, instrument)
    return [kind for kind in told if str(told[kind]).upper() not in ("N/A", "OMIT")]


def crds_answer(name, header):
    """What crds says, by its own loading and its own loop over types."""
    asked = {parameter: header.get(keyword, "UNDEFINED") for parameter, keyword in KEYWORDS.items()}
    types = types_of(header["INSTRUME"])
    found = crds_mapping(name).get_best_references(utils.condition_header(asked), include=list(types))
    return {kind: plain(found.get(kind, "N/A")) for kind in types}
