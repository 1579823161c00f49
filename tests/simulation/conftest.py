"""One small archive, simulated once."""

import pytest

from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """A store with sixteen exposures of four instruments, and the summary."""
    store = open_store(str(tmp_path_factory.mktemp("simulated")))
    return store, simulate(store, SimulationOptions(exposures=16))
