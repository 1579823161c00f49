"""The official stage 1 finds the truth that was put into simulated exposures."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from astropy.io import fits

from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store

PROGRAM = Path(__file__).with_name("official_rates.py")
# A subarray of each instrument, one of them with averaged frames and one with two integrations.
NUMBERS = (0, 1, 2, 3, 4, 12)

pytestmark = pytest.mark.slow


def peer_python():
    """The Python that has the official pipeline: this one, or the one of REPROCESS_PEER, or of .venv-peer."""
    if importlib.util.find_spec("jwst"):
        return sys.executable
    peer = Path(os.environ.get("REPROCESS_PEER", Path(__file__).parents[2] / ".venv-peer")) / "bin" / "python"
    if not peer.exists():
        pytest.skip("the package jwst is neither here nor in the environment REPROCESS_PEER or .venv-peer")
    return str(peer)


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """Root of a simulated archive, its datasets, and a folder with the official rates of some of them."""
    python = peer_python()
    store = open_store(str(tmp_path_factory.mktemp("archive")))
    summary = simulate(store, SimulationOptions(exposures=13))
    root, output = Path(urlsplit(store.url).path), tmp_path_factory.mktemp("official")
    datasets = {number: summary.exposures[number].dataset for number in NUMBERS}
    command = [python, PROGRAM, root, output, *datasets.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=output)
    assert done.returncode == 0, done.stderr
    return root, datasets, output


@pytest.mark.parametrize("number", NUMBERS)
def test_official_rates_agree_with_the_truth(rates, number):
    """Over usable pixels the official rate differs from the truth by its own error, without bias."""
    root, datasets, output = rates
    rate = np.load(output / f"{datasets[number]}.npz")
    with fits.open(root / "truth" / f"{datasets[number]}_truth.fits") as file:
        truth, usable = file["RATE"].data.astype(float), file["USABLE"].data == 1
    good = usable & (rate["dq"] & 1 == 0)
    assert good.sum() > 0.99 * usable.sum()
    pull = (rate["sci"] - truth)[good] / rate["err"][good]
    assert np.isfinite(pull).all()
    assert abs(np.median(pull)) < 0.05
    assert 0.95 < 1.4826 * np.median(np.abs(pull - np.median(pull))) < 1.1
