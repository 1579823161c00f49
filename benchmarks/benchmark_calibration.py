"""Stage 1 of one full frame, FITS in and FITS out, on one core: ours, and the official pipeline beside it.

The official pipeline runs where `.venv-peer` (see `make parity`) or the environment variable REPROCESS_PEER has it.
Both get the same files. Time that a process spends on imports is told apart and not part of the totals.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks import measurement
from benchmarks.exposures import Scene
from benchmarks.measurement import ROOT, Clock, Result

STEPS = ("saturation", "superbias", "refpix", "linearity", "dark_current", "jump", "ramp_fit")
OURS = ("read exposure", "read references", "write")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_calibration", description=__doc__)
    parser.add_argument("--groups", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--runs", type=int, default=3, help="of ours, after one that is not counted")
    parser.add_argument(
        "--peer-runs", type=int, default=2, help="of the official pipeline, after one likewise; 0: none"
    )
    parser.add_argument("--quick", action="store_true", help="ten groups, one run of each, none to warm up")
    wanted = parser.parse_args(arguments)
    if wanted.quick:
        wanted.groups, wanted.runs, wanted.peer_runs = [10], 1, min(1, wanted.peer_runs)
    peer = _peer() if wanted.peer_runs else None
    if wanted.peer_runs and peer is None:
        print("no official pipeline: neither .venv-peer nor REPROCESS_PEER is there; `make parity` sets it up")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="reprocess-benchmark-") as directory:
        scene = Scene(max(wanted.groups))
        cases = {groups: _write_data(Path(directory), groups, scene) for groups in wanted.groups}
        if not wanted.quick:
            _ours(cases[wanted.groups[0]])
            if peer:
                _official(peer, cases[wanted.groups[0]])
        found = {}
        for groups, case in cases.items():
            ours, theirs = [], []
            for run in range(max(wanted.runs, wanted.peer_runs)):
                if run < wanted.runs:
                    ours.append(_ours(case))
                if peer and run < wanted.peer_runs:
                    theirs.append(_official(peer, case))
            found[groups] = _summary(ours, theirs, _agreement(Path(case["output_dir"])) if theirs else None)
            _show(groups, found[groups])
    measurement.write("calibration", {"arguments": vars(wanted), "groups": found}, load)


def ours(uncal: str, references: Mapping[str, str], output_dir: str) -> Result:
    """Run our stage 1 once; called in a process of its own."""
    from reprocess import laptop
    from reprocess.calibration import (
        dark_current,
        detector1,
        jump,
        linearity,
        ramp_fit,
        refpix,
        saturation,
        superbias,
    )
    from reprocess.formats import level1b, product, region, tail
    from reprocess.formats import reference as reference_format

    imports = time.process_time()
    clock = Clock()
    clock.watch(level1b, "read exposure", "read_entry", "read_slab")
    clock.watch(tail, "read exposure", "read_tail")
    clock.watch(reference_format, "read references", "read_reference")
    clock.watch(region, "read references", "cut")
    clock.watch(saturation, "saturation", "threshold", "first_saturated", "grow", "flag_groups", "flag_averaged")
    clock.watch(superbias, "superbias", "usable", "subtract")
    clock.watch(refpix, "refpix", "layout", "measure", "subtract")
    clock.watch(linearity, "linearity", "usable", "correct", "correct_reads")
    clock.watch(dark_current, "dark_current", "match", "groups", "subtract", "average")
    clock.watch(jump, "jump", "detect")
    clock.watch(ramp_fit, "ramp_fit", "fit")
    clock.watch(detector1, "between the steps", "calibrate")
    clock.watch(product, "write", "write_rate", "write_rateints")
    paths: dict[str, Path | None] = {kind: Path(path) for kind, path in references.items()}
    start = time.process_time()
    laptop.calibrate(Path(uncal), references=paths, parameters={}, output_dir=Path(output_dir, "ours"))
    total = time.process_time() - start
    steps = {**clock.seconds, "other": total - sum(clock.seconds.values())}
    return {"imports": imports, "total": total, "peak_bytes": measurement.peak_bytes(), "steps": steps}


def _ours(case: Result) -> Result:
    return measurement.apart("benchmarks.benchmark_calibration:ours", **case)


def _official(python: Path, case: Result) -> Result:
    told = {**case, "output_dir": str(Path(case["output_dir"], "official"))}
    program = Path(__file__).with_name("official_detector1.py")
    return measurement.run_program([str(python), str(program), json.dumps(told)])


def _peer() -> Path | None:
    python = Path(os.environ.get("REPROCESS_PEER", ROOT / ".venv-peer")) / "bin" / "python"
    return python if python.exists() else None


def _write_data(directory: Path, groups: int, scene: Scene) -> Result:
    """Write one exposure and its references; the arguments of a run."""
    place = directory / str(groups)
    place.mkdir()
    exposure = scene.exposures(1, groups)[0]
    uncal = place / f"{exposure.dataset}_uncal.fits"
    uncal.write_bytes(scene.level1b(exposure))
    references = {}
    for kind, key, data in scene.references(groups):
        references[kind] = str(place / Path(key).name)
        Path(references[kind]).write_bytes(data)
    return {"uncal": str(uncal), "references": references, "output_dir": str(place)}


def _agreement(place: Path) -> Result:
    """How far the products of both agree: flags, and rates in terms of their errors."""
    name = next((place / "ours").glob("*_rate.fits")).name
    with fits.open(place / "ours" / name) as our, fits.open(place / "official" / name) as their:
        good = np.isfinite(their["SCI"].data) & np.isfinite(our["SCI"].data) & (their["ERR"].data > 0)
        pull = np.abs(our["SCI"].data - their["SCI"].data)[good] / their["ERR"].data[good]
        flags = float(np.mean(our["DQ"].data != their["DQ"].data))
    return {"pixels_with_other_flags": flags, "largest_difference_in_errors": float(pull.max())}


def _summary(ours: Sequence[Result], theirs: Sequence[Result], agreement: Result | None) -> Result:
    result: Result = {"ours": _medians(ours)}
    if theirs:
        result["official"] = _medians(theirs) | {"versions": theirs[0]["versions"]}
        result["agreement"] = agreement
        result["ratio"] = result["official"]["total"] / result["ours"]["total"]
    return result


def _medians(runs: Sequence[Result]) -> Result:
    numbers = measurement.median({name: run[name] for name in ("imports", "total", "peak_bytes")} for run in runs)
    every = [round(run["total"], 2) for run in runs]
    return {**numbers, "steps": measurement.median(run["steps"] for run in runs), "every_total": every}


def _show(groups: int, found: Result) -> None:
    ours, theirs = found["ours"], found.get("official", {"steps": {}})
    rest = sum(seconds for name, seconds in theirs["steps"].items() if name not in STEPS)
    rows: list[Sequence[object]] = [(name, ours["steps"].get(name, 0.0), theirs["steps"].get(name)) for name in STEPS]
    rows += [(name, ours["steps"].get(name, 0.0), None) for name in OURS]
    left = sum(seconds for name, seconds in ours["steps"].items() if name not in (*STEPS, *OURS))
    rows.append(("everything else", left, rest if "total" in theirs else None))
    rows.append(("**whole**, CPU s", ours["total"], theirs.get("total")))
    peaks = [each.get("peak_bytes") and each["peak_bytes"] / 1e6 for each in (ours, theirs)]
    rows.append(("peak memory, MB", *peaks))
    rows.append(("imports, CPU s (not in the whole)", ours["imports"], theirs.get("imports")))
    filled = [(*row, _ratio(*row[1:])) for row in rows]
    print(f"\n{groups} groups of 2048 x 2048, CPU seconds, medians")
    print(measurement.table(("step", "ours", "official", "official/ours"), filled))
    if found.get("agreement"):
        print(", ".join(f"{name.replace('_', ' ')}: {value:.2g}" for name, value in found["agreement"].items()))


def _ratio(ours: Any, theirs: Any) -> float | None:  # noqa: ANN401 (a cell of a table)
    return theirs / ours if ours and theirs else None


if __name__ == "__main__":
    main()
