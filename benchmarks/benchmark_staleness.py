"""Judging a catalogue against another context: how time and memory grow from ten thousand exposures to ten million.

Beside it, judging a catalogue again after one rule has changed, with what the other rules have answered before.

The catalogue is made up: the settings of real headers drawn at random, dates of twelve years, products made with the
earlier context. The rules are real ones, from the folder that the environment variable REPROCESS_SHARED names (laid out
as a CRDS cache below ``crds``); without them there is nothing to measure. Reading the partitions is part of the time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import measurement
from benchmarks.measurement import Result
from reprocess.archive import answers, catalogue, cells, partition, recipe, verdicts
from reprocess.archive.context import Context, load_context
from reprocess.archive.judging import resolve_parameters
from reprocess.archive.verdicts import Question
from reprocess.calibration.step import Step
from reprocess.exposure import ReferenceFile
from reprocess.storage import open_store

OLD, NEW = "jwst_0468.pmap", "jwst_0541.pmap"
CHANGED, CHANGED_IMAP, CHANGED_RULE = "jwst_9541.pmap", "jwst_nircam_9120.imap", "jwst_nircam_dark_9017.rmap"
AGAIN_ROWS = 10**6
INSTRUMENTS = ("FGS", "MIRI", "NIRCAM", "NIRISS")
PROGRAM_ROWS, BATCH_ROWS = 20_000, catalogue.BATCH_ROWS
DAYS = [f"{year}-{month:02d}-{day:02d}" for year in range(2015, 2027) for month in range(1, 13) for day in range(1, 29)]
MODES = {
    "NIRCAM": ("NRC_IMAGE", ["NRCA1", "NRCA2", "NRCA3", "NRCA4", "NRCALONG", "NRCB1", "NRCB2", "NRCBLONG"]),
    "NIRISS": ("NIS_IMAGE", ["NIS"]),
    "FGS": ("FGS_IMAGE", ["GUIDER1", "GUIDER2"]),
    "MIRI": ("MIR_IMAGE", ["MIRIMAGE"]),
}
FILTERS = ["F090W", "F150W", "F200W", "F277W", "F356W", "F444W", "F770W", "F1000W", "F1500W", "CLEAR"]
PATTERNS = ["RAPID", "BRIGHT1", "BRIGHT2", "SHALLOW4", "DEEP8", "MEDIUM8", "NIS", "NISRAPID", "FAST", "SLOW", "FGS"]
SUBARRAYS = ["FULL", "SUB160", "SUB320", "SUB640", "SUB64P", "SUB80", "MASK1550", "BRIGHTSKY"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_staleness", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10**4, 10**5, 10**6, 10**7])
    parser.add_argument("--quick", action="store_true", help="up to 100,000 rows")
    wanted = parser.parse_args(arguments)
    rules = Path(os.environ.get("REPROCESS_SHARED", measurement.ROOT.parent / "shared"), "crds")
    if not (rules / "mappings" / "jwst" / NEW).is_file():
        print(f"no rules: neither REPROCESS_SHARED nor ../shared has crds/mappings/jwst/{NEW}; nothing is measured")
        return
    load = os.getloadavg()[0]
    sizes = [rows for rows in wanted.rows if not wanted.quick or rows <= 10**5]
    found = {
        str(rows): measurement.apart("benchmarks.benchmark_staleness:judged", rows=rows, rules=str(rules))
        for rows in sizes
    }
    title = ("exposures", "stale", "CPU s", "of it rules", "groups", "peak MB", "exposures per CPU s")
    lines = [
        (f"{one['rows']:,}", f"{one['stale'] / one['rows']:.1%}", one["seconds"], one["rules"], one["groups"],
         one["peak_bytes"] / 1e6, one["rows"] / one["seconds"])
        for one in found.values()
    ]  # fmt: skip
    print(measurement.table(title, lines))
    again = measurement.apart(
        "benchmarks.benchmark_staleness:judged_again", rows=min(AGAIN_ROWS, max(sizes)), rules=str(rules)
    )
    print(
        f"\nafter one rule changed ({again['rule']}): {again['rows']:,} exposures judged again in "
        f"{again['seconds']:.2f} CPU s, {again['stale']:,} stale; {again['loading']:.2f} s of it to load the context "
        f"and what its rules have answered, {again['reading']:.2f} s to read partitions"
    )
    if not wanted.quick:
        record = {"contexts": [OLD, NEW], "sizes": found, "again": again}
        measurement.write(measurement.record("staleness", record, load))


def judged(rows: int, rules: str) -> Result:
    """Judge so many exposures once; called in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="reprocess-benchmark-") as cache:
        start = time.process_time()
        old, new = (load_context(open_store(rules), name, Path(cache)) for name in (OLD, NEW))
        edges = cells.edges_of([old, new], INSTRUMENTS)
        loading = time.process_time() - start
        made_by, asked = (_question(context, edges) for context in (old, new))
        spent, stale, groups = loading, 0, 0
        for batch in _batches(rows, made_by):
            begin = time.process_time()
            objects, pointers = _read(batch)
            done = verdicts.judge(objects, pointers, asked)
            stale += int(np.count_nonzero(done.states() == "stale"))
            groups += len(done.verdicts)
            spent += time.process_time() - begin
    return {
        "rows": rows,
        "stale": stale,
        "seconds": spent,
        "rules": loading,
        "groups": groups,
        "peak_bytes": measurement.peak_bytes(),
    }


def judged_again(rows: int, rules: str) -> Result:
    """Judge exposures that were judged before, under a context of which one rule differs; in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="reprocess-benchmark-") as cache:
        place = Path(cache, "rules")
        Path(cache, "bucket").mkdir()
        bucket = open_store(str(Path(cache, "bucket")))
        rule = _with_one_rule_changed(Path(rules), place)
        source = open_store(str(place))
        before = load_context(source, NEW, Path(cache, "before"), bucket)
        edges = cells.edges_of([before], INSTRUMENTS)
        batches = list(_batches(rows, _question(before, edges)))
        answers.keep(bucket, before)

        begin = time.process_time()
        context = load_context(source, CHANGED, Path(cache, "after"), bucket)
        answers.recall(bucket, context)
        asked = _question(context, cells.edges_of([context], INSTRUMENTS))
        loading = time.process_time() - begin
        stale, reading = 0, 0.0
        for batch in batches:
            start = time.process_time()
            objects, pointers = _read(batch)
            reading += time.process_time() - start
            stale += int(np.count_nonzero(verdicts.judge(objects, pointers, asked).states() == "stale"))
        seconds = time.process_time() - begin
    told = {"rows": rows, "rule": rule, "stale": stale}
    return told | {"seconds": seconds, "loading": loading, "reading": reading}


def _with_one_rule_changed(rules: Path, place: Path) -> str:
    """Copy a context's rules, and make another context of which one rule selects another file in one place."""
    there = place / "mappings" / "jwst"
    there.mkdir(parents=True)
    for each in (rules / "mappings" / "jwst").iterdir():
        (there / each.name).write_bytes(each.read_bytes())
    top = (there / NEW).read_text()
    imap = re.findall(r"jwst_nircam_\d+\.imap", top)[0]
    rmap = re.findall(r"jwst_nircam_dark_\d+\.rmap", (there / imap).read_text())[0]
    ((file, _),) = Counter(re.findall(r"jwst_nircam_dark_\d+\.fits", (there / rmap).read_text())).most_common(1)
    steps = ((rmap, CHANGED_RULE, file, "jwst_nircam_dark_9999.fits"), (imap, CHANGED_IMAP, rmap, CHANGED_RULE))
    for name, new, old_part, new_part in (*steps, (NEW, CHANGED, imap, CHANGED_IMAP)):
        text = (there / name).read_text().replace(f"'{name}'", f"'{new}'").replace(old_part, new_part)
        lines = text.splitlines(keepends=True)
        bare = "".join(line for line in lines if "sha1sum" not in line)
        digest = hashlib.sha1(bare.encode()).hexdigest()
        (there / new).write_text(re.sub(r"('sha1sum' : ')[0-9a-f]+", rf"\g<1>{digest}", text))
    return rmap


def _read(batch: Sequence[tuple[bytes, bytes]]) -> tuple[Any, Any]:
    """Read partitions as a scan left them: objects and pointers of some programs."""
    columns = zip(*batch, strict=True)
    objects, pointers = (
        partition.joined([pq.read_table(pa.BufferReader(data), use_threads=False) for data in each]) for each in columns
    )
    return objects, pointers


def _question(context: Context, edges: tuple[str, ...]) -> Question:
    resolved: dict[tuple[str, ...], Any] = {}

    def parameters(steps: Sequence[Step], files: Mapping[str, str | None]) -> Any:  # noqa: ANN401
        chain = tuple(step.name for step in steps)
        if chain not in resolved:
            resolved[chain] = resolve_parameters(steps, {})
        return resolved[chain]

    return Question(context=context, edges=edges, parameters=parameters, files=_files, software="0.1.0")


def _files(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Any]:
    """Records of reference files that are not here."""
    return {(kind, name): ReferenceFile(kind, name, _digest(name), _digest(name), 1) for kind, name in wanted}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _batches(rows: int, made_by: Question) -> Iterator[list[tuple[bytes, bytes]]]:
    """Partitions of some programs at a time, objects and pointers, as the catalogue stores them."""
    random = np.random.default_rng(1)
    left, program, batch, held = rows, 0, [], 0
    while left:
        count = min(PROGRAM_ROWS, left)
        batch.append(_program(random, program, count, made_by))
        left, program, held = left - count, program + 1, held + count
        if held >= BATCH_ROWS or not left:
            yield batch
            batch, held = [], 0


def _program(random: np.random.Generator, program: int, rows: int, made_by: Question) -> tuple[bytes, bytes]:
    """One program: raw objects, and products that were made by the earlier context."""
    objects = _objects(random, program, rows)
    nothing = partition.read_table(partition.pointers_to_parquet([]), name="nothing")
    done = verdicts.judge(objects, nothing, made_by)
    texts = [recipe.text(one.wanted({}, "0.1.0").fingerprint) for one in done.recipes]
    made = pa.DictionaryArray.from_arrays(pa.array(done.recipe_of_row.astype(np.int32)), pa.array(texts))
    plain = {name: objects.column(name) for name in ("location", "key", "size", "etag")}
    names = pa.array([[]] * rows, pa.list_(pa.string()))
    nulls = pa.nulls(rows, pa.string())
    pointers = pa.table(
        {
            "dataset": objects.column("dataset"),
            **plain,
            "version": objects.column("etag"),
            "software": pa.array(["0.1.0"] * rows).dictionary_encode(),
            "context": pa.array([OLD] * rows).dictionary_encode(),
            "recipe": made,
            "equivalents": names,
            "left": names,
            "missing": names,
            "created": pa.array(["2026-01-01T00:00:00.000"] * rows).dictionary_encode(),
            "manifest": objects.column("etag"),
            "compared": objects.column("etag"),
            "damage": pa.array([""] * rows).dictionary_encode(),
            "error_class": nulls.dictionary_encode(),
            "error": nulls,
            **{f"raw_{name}": column for name, column in plain.items()},
        }
    )
    return _parquet(objects), _parquet(pointers)


def _objects(random: np.random.Generator, program: int, rows: int) -> Any:  # noqa: ANN401
    """Draw headers: each program uses a few settings, as real ones do."""
    instrument = INSTRUMENTS[program % len(INSTRUMENTS)]
    exp_type, detectors = MODES[instrument]
    number = np.arange(rows)
    names = np.char.add(f"jw{program:05d}001001_02101_", np.char.add(np.char.zfill(number.astype("U7"), 7), "_x"))

    def drawn(words: Sequence[str], of: int = 0) -> Any:  # noqa: ANN401
        some = list(random.permutation(words)[: of or len(words)])
        return pa.DictionaryArray.from_arrays(
            pa.array(random.integers(0, len(some), rows, dtype=np.int32)), pa.array(some)
        )

    milliseconds = random.integers(0, 86_400_000, rows)
    parts = [milliseconds // 3_600_000, milliseconds // 60_000 % 60, milliseconds // 1000 % 60]
    clock = np.char.zfill(parts[0].astype("U2"), 2)
    for part in parts[1:]:
        clock = np.char.add(np.char.add(clock, ":"), np.char.zfill(part.astype("U2"), 2))
    clock = np.char.add(np.char.add(clock, "."), np.char.zfill((milliseconds % 1000).astype("U3"), 3))
    nothing = pa.nulls(rows, pa.string())
    return pa.table(
        {
            "dataset": pa.array(names),
            "level": drawn(["uncal"]),
            "location": drawn(["s3://archive/jwst/public"]),
            "key": pa.array(np.char.add(names, "_uncal.fits")),
            "size": pa.array(random.integers(10**6, 10**8, rows)),
            "etag": pa.array(np.char.add("e", random.integers(0, 10**9, rows).astype("U10"))),
            "error_class": nothing.dictionary_encode(),
            "error": nothing,
            "INSTRUME": drawn([instrument]),
            "EXP_TYPE": drawn([exp_type]),
            "DETECTOR": drawn(detectors),
            "FILTER": drawn(FILTERS, 4),
            "PUPIL": drawn(["CLEAR", "CLEARP", "F162M", "GRISMR"], 2),
            "READPATT": drawn(PATTERNS, 3),
            "SUBARRAY": drawn(SUBARRAYS, 3),
            "DATE-OBS": drawn(DAYS, 400),
            "TIME-OBS": pa.array(clock),
        }
    )


def _parquet(table: Any) -> bytes:  # noqa: ANN401
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", version="2.6")
    found: bytes = sink.getvalue().to_pybytes()
    return found


if __name__ == "__main__":
    main()
