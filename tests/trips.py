"""Small archives for the whole trip: simulated once in memory, opened anew for each test."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import signal
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from reprocess import campaign, coordinator
from reprocess.archive import root
from reprocess.planning import slabs
from reprocess.publication import pointer as pointers
from reprocess.settings import CacheSettings, ExecutionSettings, Settings, StorageSettings
from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import Store, open_store
from reprocess.storage.local import LocalStore
from reprocess.target import Target, read_target

CREATED = "2026-11-21T00:00:00.000"
LATER = "2026-11-22T00:00:00.000"
LATEST = "2026-11-23T00:00:00.000"
SMALL = SimulationOptions(exposures=8, shape=(64, 64), groups=6, instruments=("NIRCAM", "NIRISS", "FGS"))
TINY = SimulationOptions(exposures=2, shape=(32, 32), groups=4, instruments=("NIRCAM",))
TALL = SimulationOptions(exposures=2, shape=(64, 32), groups=60, instruments=("NIRCAM",))
"""Large enough to be cut at the least memory limit that there is."""
LEAST_MEMORY = f"[limits]\nmemory_limit_mb = {slabs.PROCESS_BYTES // 10**6 + 1}\n"
_CACHE = tempfile.TemporaryDirectory(prefix="reprocess-tests-")
_NAMES = itertools.count()


@functools.cache
def simulated(options: SimulationOptions = SMALL) -> Store:
    """A store with raw/, crds/, targets/ and truth/. Nobody may write to it."""
    store = fresh()
    simulate(store, options)
    return store


def fresh() -> Store:
    """A store in memory that nobody else has."""
    return open_store(f"memory://trip-{next(_NAMES)}")


def copy(source: Store, place: Store, prefix: str = "") -> Store:
    """Copy what is below a prefix."""
    for stamp in list(source.list(prefix)):
        place.put(stamp.key, source.get(stamp.key).data)
    return place


def settings(*, endpoint: str = "", **execution) -> Settings:
    """Serial unless said otherwise; contexts are cached away from the user's."""
    return Settings(
        storage=StorageSettings(endpoint=endpoint),
        execution=ExecutionSettings(**{"scheduler": "serial", **execution}),
        cache=CacheSettings(directory=_CACHE.name),
    )


def target(name: str = "first", extra: str = "", options: SimulationOptions = SMALL) -> Target:
    """One of the two targets of the simulation, with more lines."""
    text = simulated(options).get(f"targets/{name}.toml").data.decode()
    return read_target(text + extra, name=f"{name}.toml")


def make(
    url: str = "", *, raw: str = "", references: str = "", options: SimulationOptions = SMALL, **settings_
) -> campaign.Archive:
    """Make and scan an archive; with nothing said it is in memory and reads what was simulated."""
    source = simulated(options).url
    url = url or fresh().url
    described = root.ArchiveRoot(
        raw=(root.RawLocation(raw or f"{source}/raw"),), references=references or f"{source}/crds"
    )
    campaign.init(url, described, settings(**settings_))
    archive = campaign.open_archive(url, settings(**settings_))
    campaign.scan(archive)
    return archive


def go(archive: campaign.Archive, wanted: Target | None = None, *, created: str = CREATED, executor=None):
    """Plan and run once; the plan and the summary."""
    made = campaign.plan(archive, wanted or target(), created=created)
    return made, coordinator.run(archive, made.digest, executor=executor)


def objects(store: Store, prefix: str) -> dict[str, str]:
    """Digest of every object below a prefix, by key."""
    return {stamp.key: hashlib.sha256(store.get(stamp.key).data).hexdigest() for stamp in store.list(prefix)}


def products(archive: campaign.Archive) -> dict[str, str]:
    """Digest of every file of every version."""
    return objects(archive.store, "products/")


def shown(archive: campaign.Archive) -> dict[str, str]:
    """The version that readers see of each dataset."""
    keys = [stamp.key for stamp in archive.store.list("pointers/")]
    found = [pointers.from_bytes(archive.store.get(key).data, name=key) for key in keys]
    return {pointer.dataset: pointer.version for pointer in found}


def rate(archive: campaign.Archive, dataset: str, suffix: str = "rate"):
    """Planes of the product that readers see."""
    key = f"products/{dataset}/{shown(archive)[dataset]}/{dataset}_{suffix}.fits"
    return planes(archive.store.get(key).data)


def planes(data: bytes) -> dict[str, np.ndarray]:
    """Image planes of a FITS file, by name."""
    with fits.open(data_file(data)) as file:
        return {hdu.name: hdu.data.copy() for hdu in file if isinstance(hdu, fits.ImageHDU)}


def data_file(data: bytes):
    import io

    return io.BytesIO(data)


def place(data: bytes, keyword: str) -> int:
    """Byte at which the first card of a keyword begins."""
    found = next((at for at in range(0, len(data), 80) if data[at : at + 8] == keyword.ljust(8).encode()), -1)
    assert found >= 0, f"no {keyword} in the file"
    return found


def without(data: bytes, keyword: str) -> bytes:
    """The file with the first card of a keyword turned into a comment."""
    at = place(data, keyword)
    return data[:at] + b"COMMENT " + data[at + 8 :]


def having(data: bytes, keyword: str, value: str) -> bytes:
    """The file with another value in the first card of a keyword."""
    at = place(data, keyword)
    return data[:at] + f"{keyword:8}= {value:>20}".ljust(80).encode() + data[at + 80 :]


class Deadly(LocalStore):
    """A directory whose first reader of pixels dies; later ones live."""

    def __reduce__(self):
        return Deadly, (self._root, self._prefix)

    def get_ranges(self, key, ranges, *, etag=""):
        marker = Path(str(self.url).removeprefix("file://")).parent / "somebody-died"
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return super().get_ranges(key, ranges, etag=etag)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError
