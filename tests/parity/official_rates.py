"""Runs the official stage 1 on simulated exposures, opened by file name; a program, called with a folder.

Usage: official_rates.py ROOT OUTPUT DATASET... with the root of a simulated archive. Prints nothing; writes for every
dataset OUTPUT/<dataset>.npz with the arrays sci, err and dq of its rate product. Any warning is an error.
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

root, output, datasets = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
CONTEXT = "jwst_9001.pmap"
config = output / "cache" / "config" / "jwst" / "server_config"
config.parent.mkdir(parents=True)
config.write_text(
    repr(
        {
            "observatory": "jwst",
            "operational_context": CONTEXT,
            "crds_version": {"str": "14"},
            "last_synced": "2026-01-01 00:00:00",
            "status": "offline",
            "bad_files": "",
            "bad_files_set": set(),
        }
    )
)
os.environ.update(
    CRDS_PATH=str(output / "cache"),
    CRDS_SERVER_URL="https://crds-serverless-mode.stsci.edu",
    CRDS_CONTEXT=CONTEXT,
    CRDS_OBSERVATORY="jwst",
    STPIPE_DISABLE_CRDS_STEPPARS="true",
)
logging.disable(logging.CRITICAL)
import numpy as np  # noqa: E402 - the environment comes first
from jwst.pipeline import Detector1Pipeline  # noqa: E402

warnings.simplefilter("error")
expected = json.loads((root / "truth" / "expected.json").read_text())
keys = {exposure["dataset"]: exposure["key"] for exposure in expected["exposures"]}
for dataset in datasets:
    files = expected["datasets"][dataset]["first"]
    pipeline = Detector1Pipeline()
    pipeline.prefetch_references = False
    for name in pipeline.step_defs:
        step = getattr(pipeline, name)
        for kind in step.reference_file_types:
            path = root / "crds/references/jwst" / files[kind].split("_")[1] / files[kind] if kind in files else "N/A"
            setattr(step, f"override_{kind}", str(path))
    rate = pipeline.run(str(root / keys[dataset]))
    np.savez(output / f"{dataset}.npz", sci=rate.data, err=rate.err, dq=rate.dq)
