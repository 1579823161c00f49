"""Lets the official pipeline run beside this package without a network.

Run with an environment that has both, for example

    PYTHONPATH=. .venv-peer/bin/python -m pytest -o addopts="--import-mode=importlib" tests/parity
"""

import importlib.util
import logging
import os

import pytest

CONFIG = """{
    "instruments": ["fgs", "miri", "nircam", "niriss", "nirspec", "system"],
    "observatory": "jwst",
    "crds_version": {"str": "14.0.3"},
    "operational_context": "jwst_0000.pmap",
    "last_synced": "2026-01-01 00:00:00",
    "status": "offline",
    "bad_files": "",
    "bad_files_set": set(),
    "context_warnings": {},
    "mappings": [],
}
"""


@pytest.fixture(scope="session")
def official(tmp_path_factory):
    """The module that runs the official steps; skips where they cannot be imported."""
    if importlib.util.find_spec("jwst") is None:
        pytest.skip("the package jwst is not importable in this environment: run with one that has it and this package")
    cache = tmp_path_factory.mktemp("crds")
    config = cache / "config" / "jwst" / "server_config"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG)
    os.environ.update(
        CRDS_PATH=str(cache),
        CRDS_SERVER_URL="https://crds-serverless-mode.stsci.edu",
        CRDS_CONTEXT="jwst_0000.pmap",
        CRDS_OBSERVATORY="jwst",
        STPIPE_DISABLE_CRDS_STEPPARS="true",
    )
    logging.disable(logging.CRITICAL)
    from tests.parity import official_steps

    return official_steps


@pytest.fixture(scope="session")
def same(official, tmp_path_factory):
    """Compares this package with the official steps up to one of them; official runs are made once."""
    from tests.calibration import exposures
    from tests.parity import steps

    trails = {}

    def compare(step, plan, parameters=None):
        exposure = exposures.make(plan)
        key = repr((plan, parameters))
        if key not in trails:
            trails[key] = official.trail(exposure, tmp_path_factory.mktemp("official"), parameters)
        ours = steps.after(step, exposure, parameters)
        steps.assert_same(ours, trails[key][step])
        return ours

    return compare
