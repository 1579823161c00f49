"""What a storm falls upon: an archive with published versions and two plans, and what they give when nobody disturbs.

Made once below a URL and copied for each seed. Raw objects, references and the copied versions are only ever read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from unittest import mock

from reprocess import campaign, coordinator
from reprocess.archive import root
from reprocess.planning import slabs
from reprocess.planning.plan import Plan
from reprocess.settings import CacheSettings, ExecutionSettings, Settings, StorageSettings
from reprocess.simulation import archive as simulation
from reprocess.simulation.options import SimulationOptions
from reprocess.simulation.schedule import Exposure, schedule
from reprocess.storage import Store
from reprocess.target import Target, read_target

EARLIER, CREATED = "2026-11-20T00:00:00.000", "2026-11-21T00:00:00.000"
SMALL = SimulationOptions(shape=(32, 32), groups=4, integrations=1, instruments=("NIRCAM",))
TALL = SimulationOptions(shape=(64, 32), groups=60, integrations=1, instruments=("NIRISS",))
"""Cut into slabs at the least memory limit that there is."""
WIDE = SimulationOptions(shape=(128, 128), groups=2, integrations=54, instruments=("FGS",))
"""Its rates of each integration are too large for a single PUT, so they are uploaded in parts."""
LEAST_MEMORY = f"\n[limits]\nmemory_limit_mb = {slabs.PROCESS_BYTES // 10**6 + 1}\n"
OTHER_PIXELS = "[parameters.dark_current]\nskip = true\n"
SAME_PIXELS = "[parameters.jump]\nrejection_threshold = 5.0\n"
"""So few groups have no jumps: the fingerprint differs and the science payload does not."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Workload:
    """The archive that seeds are copied from.

    Attributes
    ----------
    url : str
        Of the archive before the storm.
    plans : tuple of str
        Digests of the plans to work off, in this order.
    published : mapping of dataset to version
        What readers see after an undisturbed run.
    earlier : mapping of dataset to version
        What readers see before.
    products : mapping of key to digest
        All below ``products/`` after an undisturbed run.
    """

    url: str
    plans: tuple[str, ...]
    published: dict[str, str]
    earlier: dict[str, str]
    products: dict[str, str]

    @property
    def units(self) -> int:
        """Candidates of all plans."""
        return len(self.published)


def settings(endpoint: str, cache: str) -> Settings:
    """One process, and nothing that the caller has set."""
    return Settings(StorageSettings(endpoint=endpoint), ExecutionSettings(scheduler="serial"), CacheSettings(cache))


def make(url: str, units: int, known: Settings) -> Workload:
    """Make the workload below `url`, or read it if it was made before."""
    notes = campaign.open_url(url, known)
    key = f"workload-{units}.json"
    if any(stamp.key == key for stamp in notes.list("workload-")):
        return Workload(**{**(body := json.loads(notes.get(key).data)), "plans": tuple(body["plans"])})
    made = _make(f"{url}/{units}", units, known)
    notes.put(key, json.dumps(dataclasses.asdict(made)).encode())
    return made


def _make(url: str, units: int, known: Settings) -> Workload:
    source = campaign.open_url(f"{url}/source", known)
    exposures = tuple(_exposures(units))
    with mock.patch.object(simulation, "schedule", return_value=exposures):
        simulation.simulate(source, dataclasses.replace(SMALL, exposures=units))
    before, after = f"{url}/before", f"{url}/after"
    campaign.init(before, root.ArchiveRoot((root.RawLocation(f"{url}/source/raw"),), f"{url}/source/crds"), known)
    archive = campaign.open_archive(before, known)
    campaign.scan(archive)
    text = source.get("targets/first.toml").data.decode()
    names = [exposure.dataset for exposure in exposures]
    earlier = [
        _published(archive, read_target(text + lines, name="earlier.toml"), names[start : start + units // 4])
        for start, lines in ((0, OTHER_PIXELS), (units // 4, SAME_PIXELS))
    ]
    campaign.scan(archive)
    wide = exposures[-1].dataset
    plans = [
        campaign.plan(archive, read_target(text + limits, name="target.toml"), where=where, created=CREATED)
        for limits, where in ((LEAST_MEMORY, f"dataset != '{wide}'"), ("", f"dataset = '{wide}'"))
    ]
    place = campaign.open_url(before, known)
    for stamp in list(place.list("references/ready/")):
        place.delete(stamp.key)  # references are to be prepared in the storm
    calm = campaign.open_url(after, known)
    copy(place, calm)
    for plan in plans:
        summary = coordinator.run(campaign.open_archive(after, known), plan.digest)
        assert summary.closes, summary
        assert not summary.failed, summary
    return Workload(
        url=before,
        plans=tuple(plan.digest for plan in plans),
        published={dataset: versions[-1] for dataset, versions in chains(calm).items()},
        earlier={item.dataset: item.version for plan in earlier for item in plan.items},
        products=digests(calm, "products/"),
    )


def _published(archive: campaign.Archive, target: Target, names: list[str]) -> Plan:
    """Publish versions of some datasets, so that pointers are both made and moved later."""
    quoted = ", ".join(f"'{name}'" for name in names)
    plan = campaign.plan(archive, target, where=f"dataset in ({quoted})", created=EARLIER)
    coordinator.run(archive, plan.digest)
    return plan


def _exposures(units: int) -> Iterator[Exposure]:
    """Small ones, one in twenty of them tall, and a wide one as the last."""
    for number in range(units):
        kind = WIDE if number == units - 1 else TALL if number % 20 == 2 else SMALL
        yield schedule(dataclasses.replace(kind, exposures=number + 1))[number]


def copy(source: Store, place: Store) -> None:
    """Copy a whole store."""

    def one(key: str) -> None:
        place.put(key, source.get(key).data)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, [stamp.key for stamp in source.list()]))


def chains(store: Store) -> dict[str, list[str]]:
    """The versions that readers have seen of each dataset, in the order of its commits."""
    found = {}
    for key in [stamp.key for stamp in store.list("pointers/")]:
        pointer = json.loads(store.get(key).data)
        commits = [*pointer["history"], pointer]
        assert [commit["sequence"] for commit in commits] == list(range(1, len(commits) + 1)), key
        found[pointer["dataset"]] = [commit["version"] for commit in commits]
    return found


def digests(store: Store, prefix: str) -> dict[str, str]:
    """SHA-256 of every object below a prefix, by key."""
    keys = [stamp.key for stamp in store.list(prefix)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(keys, pool.map(lambda key: hashlib.sha256(store.get(key).data).hexdigest(), keys), strict=True))
