"""Best references of headers in a file: no archive is needed, only the rules of one context, or of two."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from reprocess import errors
from reprocess.archive import cells, partition, selection
from reprocess.archive.context import Context
from reprocess.calibration import detector1
from reprocess.exposure import Card, Header

ALL = "all"
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Row:
    """What is selected for one header.

    Attributes
    ----------
    number : int
        Line of the file, from 1.
    references : mapping of context to mapping of type to str or None
        None where the rules give no file.
    differ : tuple of str
        Types that the contexts select differently.
    problem : str
        Why nothing can be selected; empty when all is well.
    """

    number: int
    references: Mapping[str, Mapping[str, str | None]]
    differ: tuple[str, ...] = ()
    problem: str = ""


def read_headers(path: Path) -> Iterator[Header]:
    """Read FITS keywords, one JSON object in each line; empty lines at the end are passed over.

    Raises
    ------
    UsageError
        A line is no such object, or the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            empty = 0
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    empty = empty or number
                    continue
                if empty:
                    raise errors.UsageError(f"{path}, line {empty} is empty. Write one object of FITS keywords a line.")
                yield _header(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(f"{path}: cannot be read ({error}). Name a file of JSON Lines.") from error


def _header(line: str, place: str) -> dict[str, Card]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise errors.UsageError(f"{place} is not JSON ({error}). Write one object of FITS keywords a line.") from error
    if not isinstance(record, dict):
        raise errors.UsageError(f"{place} is {type(record).__name__}, not an object. Write FITS keywords and values.")
    bad = [word for word, value in record.items() if not isinstance(value, str | int | float | bool | None)]
    if bad:
        raise errors.UsageError(f"{place}: {bad[0]} is neither text nor a number nor true or false.")
    return {word.upper(): value for word, value in record.items() if value is not None}


def best(headers: Iterable[Header], contexts: Sequence[Context], types: str = "") -> Iterator[Row]:
    """Select the references of many headers.

    Parameters
    ----------
    headers : iterable of mapping
        FITS keywords.
    contexts : sequence of Context
        One, or two to be compared.
    types : str
        ``all`` for every type of the instrument; types separated by commas; empty for those that the steps of stage 1
        read for the type of exposure, and their parameter files.
    """
    _check_types(contexts, types)
    rest, number = iter(headers), 0
    edges: dict[frozenset[str], tuple[str, ...]] = {}
    while block := list(islice(rest, _ROWS_AT_ONCE)):
        known = frozenset(filter(None, (_instrument(header, contexts) for header in block)))
        if known not in edges:
            edges[known] = cells.edges_of(contexts, known)
        for row in _block(block, contexts, types, edges[known]):
            number += 1
            yield Row(number, row.references, row.differ, row.problem)


def _check_types(contexts: Sequence[Context], types: str) -> None:
    """Refuse a type that no context names for any instrument."""
    asked = {kind.strip().lower() for kind in types.split(",") if kind.strip()} - {ALL}
    if not asked:
        return
    instruments = [(context, one) for context in contexts for one in context.instruments() if one != "SYSTEM"]
    known = frozenset[str]().union(*(context.named(instrument) for context, instrument in instruments))
    for kind in sorted(asked - known):
        near = ", ".join(difflib.get_close_matches(kind, known, 3)) or ", ".join(sorted(known)[:5]) + ", ..."
        names = " and ".join(context.name for context in contexts)
        raise errors.UsageError(f"--types: {names} have no type {kind!r}. Is it {near}?")


def _instrument(header: Header, contexts: Sequence[Context]) -> str | None:
    name = str(header.get("INSTRUME", "")).strip().upper()
    return name if all(context.knows(name) for context in contexts) else None


def _block(headers: Sequence[Header], contexts: Sequence[Context], types: str, edges: Sequence[str]) -> Iterator[Row]:
    words = sorted({word for header in headers for word in header})
    columns = [partition.keyword_column(word, [header.get(word) for header in headers]) for word in words]
    if not columns:
        columns = [partition.keyword_column("INSTRUME", [None] * len(headers))]
    table = pa.table([array for array, _ in columns], schema=pa.schema([field for _, field in columns]))
    sorted_out = cells.cells(table, edges)
    names = selection.Names()
    wanted = [_types(header, contexts, types) for header in sorted_out.configurations.headers]
    found: list[selection.Selection] = []
    for context in contexts:
        like = (contexts[0], found[0]) if found else None
        found.append(selection.select(sorted_out, context, wanted, names, like=like))
    for cell in map(int, sorted_out.of_row):
        yield _row(cell, wanted[sorted_out.configuration[cell]], contexts, found, names)


def _types(header: Header, contexts: Sequence[Context], types: str) -> tuple[str, ...]:
    instrument = str(header.get("INSTRUME", "")).strip().upper()
    if not all(context.knows(instrument) for context in contexts):
        return ("gain",)  # whatever is asked for tells what is wrong
    every = sorted({kind for context in contexts for kind in context.types(instrument)})
    if types == ALL:
        return tuple(every)
    if types:
        return tuple(kind.strip().lower() for kind in types.split(",") if kind.strip())
    try:
        steps = detector1.steps_for(header)
    except (errors.BadData, errors.Unsupported):
        return tuple(every)
    ours = {f"pars-{step.name.replace('_', '')}step" for step in steps} | {"pars-detector1pipeline"}
    return (*detector1.reference_types(steps), *(kind for kind in every if kind in ours))


def _row(
    cell: int,
    wanted: Sequence[str],
    contexts: Sequence[Context],
    found: Sequence[selection.Selection],
    names: selection.Names,
) -> Row:
    problems = [one.problems[cell] for one in found if cell in one.problems]
    codes = [{kind: int(one.files[kind][cell]) for kind in wanted} for one in found]
    references = {
        context.name: {kind: names.name(code) for kind, code in some.items()}
        for context, some in zip(contexts, codes, strict=True)
    }
    differ = tuple(kind for kind in wanted if len({some[kind] for some in codes}) > 1)
    return Row(0, references, differ, problems[0].text if problems else "")


def record(row: Row) -> dict[str, Any]:
    """Put a row into JSON values: with one context its references, with two those of each and what differs."""
    told: dict[str, Any] = {"row": row.number}
    if len(row.references) == 1:
        told["references"] = dict(next(iter(row.references.values())))
    else:
        told |= {"references": {name: dict(each) for name, each in row.references.items()}, "differ": list(row.differ)}
    return told | ({"problem": row.problem} if row.problem else {})


def text(row: Row) -> str:
    """Say what is selected for a header, a line for each type."""
    lines = [f"header {row.number}" + (f": {row.problem}" if row.problem else "")]
    sides = list(row.references.values())
    for kind in sides[0]:
        files = [side[kind] or "no file" for side in sides]
        mark = "  differs" if kind in row.differ else ""
        lines.append(f"  {kind:<16} {' -> '.join(dict.fromkeys(files))}{mark}")
    return "\n".join(lines)
