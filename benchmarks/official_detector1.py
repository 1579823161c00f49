"""Runs the official stage 1 once and prints what it took; a program of its own, for the environment that has `jwst`.

Usage: official_detector1.py JSON with the keys uncal, references (type to path), parameters (by step) and output_dir.
Nothing is looked up.
"""

import importlib.metadata
import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = "jwst_9001.pmap"
SERVER = {
    "observatory": "jwst",
    "operational_context": CONTEXT,
    "crds_version": {"str": "14"},
    "last_synced": "2026-01-01 00:00:00",
    "status": "offline",
    "bad_files": "",
    "bad_files_set": set(),
}


def main() -> None:
    wanted = json.loads(sys.argv[1])
    config = Path(wanted["output_dir"], "crds", "config", "jwst", "server_config")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(repr(SERVER))
    os.environ.update(
        CRDS_PATH=str(config.parents[2]),
        CRDS_SERVER_URL="https://crds-serverless-mode.stsci.edu",
        CRDS_CONTEXT=CONTEXT,
        CRDS_OBSERVATORY="jwst",
        STPIPE_DISABLE_CRDS_STEPPARS="true",
    )
    logging.disable(logging.CRITICAL)
    from jwst.pipeline import Detector1Pipeline

    imports = time.process_time()
    pipeline = Detector1Pipeline()
    pipeline.prefetch_references = False
    pipeline.save_results = True
    pipeline.output_dir = wanted["output_dir"]
    seconds: dict[str, float] = defaultdict(float)
    for name in pipeline.step_defs:
        step = getattr(pipeline, name)
        for kind in step.reference_file_types:
            setattr(step, f"override_{kind}", wanted["references"].get(kind, "N/A"))
        for parameter, value in wanted["parameters"].get(name, {}).items():
            setattr(step, parameter, value)
        step.run = timed(step.run, name, seconds)
    start = time.process_time()
    pipeline.run(wanted["uncal"])
    total = time.process_time() - start
    seconds["other"] = total - sum(seconds.values())
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    versions = {name: importlib.metadata.version(name) for name in ("jwst", "stcal", "numpy")}
    record = {"imports": imports, "total": total, "peak_bytes": peak, "steps": seconds, "versions": versions}
    print(json.dumps(record))


def timed(run: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    """Add the processor time of a step to its entry; gain_scale runs twice."""

    def measured(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401 (whatever a step takes)
        start = time.process_time()
        try:
            return run(*arguments, **keywords)
        finally:
            seconds[name] += time.process_time() - start

    return measured


main()
