"""Stage 1 of one full frame, FITS in and FITS out, on one core: ours, and the official pipeline beside it.

The official pipeline runs where `.venv-peer` (see `make parity`) or the environment variable REPROCESS_PEER has it.
Both get the same files, in turn, each in a process of its own. Time that a process spends on imports is told apart and
not part of the totals. What was measured is printed, and kept in ``results/calibration.json`` and ``.png``.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from benchmarks import calibration_table, measurement
from benchmarks.exposures import HIT_PIXELS, Scene
from benchmarks.measurement import ROOT, Clock, Result

HALF = 0.5


@dataclass(frozen=True)
class Case:
    """One exposure and what is done with it.

    Attributes
    ----------
    groups : int
    hits : float
        Share of the pixels that a cosmic ray hits.
    algorithm : str
        Of the ramp fit.
    """

    groups: int
    hits: float = HIT_PIXELS
    algorithm: str = "OLS_C"

    @property
    def name(self) -> str:
        """How tables call it."""
        rest = [f"{self.hits:.0%} of pixels hit"] if self.hits != HIT_PIXELS else []
        rest += [self.algorithm] if self.algorithm != "OLS_C" else []
        return ", ".join([f"{self.groups} groups", *rest])

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """Parameters that differ from the defaults."""
        return {} if self.algorithm == "OLS_C" else {"ramp_fit": {"algorithm": self.algorithm}}


CASES = (Case(5), Case(10), Case(20), Case(10, hits=HALF), Case(10, algorithm="LIKELY"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_calibration", description=__doc__)
    parser.add_argument("--groups", type=int, nargs="+", help="only exposures of so many groups")
    parser.add_argument("--runs", type=int, default=5, help="of ours")
    parser.add_argument("--peer-runs", type=int, default=5, help="of the official pipeline; 0: none")
    parser.add_argument("--quick", action="store_true", help="ten groups, one run of each")
    wanted = parser.parse_args(arguments)
    cases = [case for case in CASES if wanted.groups is None or case.groups in wanted.groups]
    if wanted.quick:
        cases, wanted.runs, wanted.peer_runs = [Case(10)], 1, min(1, wanted.peer_runs)
    peer = _peer() if wanted.peer_runs else None
    if wanted.peer_runs and peer is None:
        print("no official pipeline: neither .venv-peer nor REPROCESS_PEER is there; `make parity` sets it up")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="reprocess-benchmark-") as directory:
        scenes = {hits: Scene(max(case.groups for case in cases), hits=hits) for hits in {case.hits for case in cases}}
        told = {case: _write_data(Path(directory, str(n)), case, scenes[case.hits]) for n, case in enumerate(cases)}
        if not wanted.quick:  # the first run finds files and programs that are in no cache
            _ours(told[cases[0]])
        ours: dict[Case, list[Result]] = {case: [] for case in cases}
        theirs: dict[Case, list[Result]] = {case: [] for case in cases}
        for run in range(max(wanted.runs, wanted.peer_runs)):
            for case in cases:  # in turn, so that a busy minute of the machine falls on both
                if run < wanted.runs:
                    ours[case].append(_ours(told[case]))
                if peer and run < wanted.peer_runs:
                    theirs[case].append(_official(peer, told[case]))
        agreement = {case: _agreement(Path(told[case]["output_dir"])) for case in cases if theirs[case]}
    found = {case.name: _summary(ours[case], theirs[case], agreement.get(case)) for case in cases}
    record = measurement.record("calibration", {"arguments": vars(wanted), "cases": found}, load)
    print(calibration_table.text(record))
    if not wanted.quick and wanted.groups is None:
        measurement.write(record)
        calibration_table.plot(record, measurement.RESULTS / "calibration.png")


def ours(
    uncal: str, references: Mapping[str, str], output_dir: str, parameters: Mapping[str, Mapping[str, Any]]
) -> Result:
    """Run our stage 1 once; called in a process of its own."""
    from reprocess import heap, laptop
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
    from reprocess.formats import exposure_file, level1b, product_rows, reference_bands, tail
    from reprocess.formats import reference as reference_format

    heap.keep_freed()  # as the program does
    imports = time.process_time()
    clock = Clock()
    clock.watch(level1b, "read exposure", "read_entry")
    clock.watch(exposure_file.ExposureFile, "read exposure", "read", "__iter__")
    clock.watch(tail, "read exposure", "read_tail")
    clock.watch(reference_format, "read references", "open_reference")
    clock.watch(reference_bands.ReferenceBands, "read references", "read")
    clock.watch(saturation, "saturation", "threshold", "first_saturated", "grow", "flag_groups", "flag_averaged")
    clock.watch(superbias, "superbias", "usable", "subtract")
    clock.watch(refpix, "refpix", "layout", "measure", "subtract")
    clock.watch(linearity, "linearity", "usable", "correct", "correct_reads")
    clock.watch(dark_current, "dark_current", "match", "groups", "subtract", "average")
    clock.watch(jump, "jump", "detect")
    clock.watch(ramp_fit, "ramp_fit", "fit")
    clock.watch(detector1, "facts of the exposure", "gather_facts")
    clock.watch(detector1, "between the steps", "calibrate")
    clock.watch(product_rows.RowFile, "write", "__init__", "write")
    paths: dict[str, Path | None] = {kind: Path(path) for kind, path in references.items()}
    start = time.process_time()
    laptop.calibrate(Path(uncal), references=paths, parameters=parameters, output_dir=Path(output_dir, "ours"))
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


def _write_data(place: Path, case: Case, scene: Scene) -> Result:
    """Write one exposure and its references; the arguments of a run."""
    place.mkdir()
    exposure = scene.exposures(1, case.groups)[0]
    uncal = place / f"{exposure.dataset}_uncal.fits"
    uncal.write_bytes(scene.level1b(exposure))
    references = {}
    for kind, key, data in scene.references(case.groups):
        references[kind] = str(place / Path(key).name)
        Path(references[kind]).write_bytes(data)
    return {
        "uncal": str(uncal),
        "references": references,
        "output_dir": str(place),
        "parameters": case.parameters,
    }


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


if __name__ == "__main__":
    main()
