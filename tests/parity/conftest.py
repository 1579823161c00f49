"""Lets the official pipeline run beside this package without a network.

Run with an environment that has both, for example

    PYTHONPATH=. .venv-peer/bin/python -m pytest -o addopts="--import-mode=importlib" tests/parity
"""

import gc
import importlib.util
import logging
import os

import pytest

WORST = pytest.StashKey()
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

    # Each official step begins with a full garbage collection: keep all that was imported out of them.
    gc.collect()
    gc.freeze()
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


@pytest.fixture(scope="session")
def worst(request):
    """The largest differences of the session; printed at its end."""
    from tests.parity import limits

    request.config.stash[WORST] = limits.Worst()
    return request.config.stash[WORST]


@pytest.fixture
def beside(official, worst, tmp_path):
    """Runs both pipelines on the files of an exposure, as commands, and holds the products against the limits."""
    from tests.parity import command

    def run(exposure, case, parameters=None, covered=None):
        for suffix, found in command.compared(exposure, tmp_path, parameters or {}, covered):
            worst.add(found, f"{suffix}: {case}")
            assert found.within, (suffix, found)

    return run


def pytest_terminal_summary(terminalreporter, config):
    """Say how far the products were from the official ones."""
    worst = config.stash.get(WORST, None)
    if worst is not None and worst.products:
        terminalreporter.section("parity")
        for line in worst.lines():
            terminalreporter.write_line(line)
