"""The place of benchmarks in a store: marked as ours, never mixed with anything else, and cleaned of nothing else."""

from __future__ import annotations

from pathlib import Path

from reprocess import campaign, errors
from reprocess.formats import records
from reprocess.publication import publish
from reprocess.reporting import benchmark
from reprocess.reporting.benchmark import Run
from reprocess.settings import Settings
from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage.store import Store

PLACE = "bench"
MARKER = "bench.json"

_MARK = records.dumps("benchmarks", 1, {})
_TRUTH = "truth/expected.json"


def claim(url: str, settings: Settings) -> Store:
    """Open the place of benchmarks below a URL, and mark it as ours.

    Raises
    ------
    UsageError
        Something else is there.
    """
    outer = campaign.open_url(url, settings)
    stranger = next((key for key in (_first(outer), _first(outer, _AFTER_OURS)) if key and not _is_below(key)), "")
    if stranger:
        raise errors.UsageError(
            f"{url} holds {stranger}, which is of no benchmark. Name an empty bucket, prefix or directory."
        )
    place = outer.below(PLACE)
    if not _is_ours(place):
        if found := _first(place):
            raise errors.UsageError(
                f"{url}/{PLACE} holds {found} and no {MARKER}: it is of no benchmark. Name another."
            )
        publish.put_once(place, MARKER, _MARK)
    return place


_AFTER_OURS = f"{PLACE}/~"


def _first(store: Store, after: str = "") -> str:
    """Name the first object there is; a directory that is not there yet has none, and is made by the first write."""
    try:
        return next((stamp.key for stamp in store.list(after=after)), "")
    except errors.BucketMissing:
        return ""


def _is_below(key: str) -> bool:
    return key.startswith(f"{PLACE}/")


def _is_ours(place: Store) -> bool:
    try:
        records.loads(place.get(MARKER).data, "benchmarks", name=f"{place.url}/{MARKER}")
    except (errors.ObjectMissing, errors.BucketMissing):
        return False
    return True


def clean(url: str, settings: Settings) -> int:
    """Delete data sets and archives of benchmarks; what was measured stays.

    Returns
    -------
    int
        Objects that were deleted.

    Raises
    ------
    UsageError
        There are no benchmarks there.
    """
    place = campaign.open_url(campaign.absolute(url).rstrip("/"), settings).below(PLACE)
    if not _is_ours(place):
        raise errors.UsageError(f"{url} has no {PLACE}/{MARKER}, so nothing there was made by a benchmark. Check it.")
    return sum(_delete(place, prefix) for prefix in ("archives/", "data/"))


def _delete(place: Store, prefix: str) -> int:
    keys = [stamp.key for stamp in place.list(prefix)]
    for key in keys:
        place.delete(key)
    return len(keys)


def find(url: str, settings: Settings, name: str) -> Run:
    """Read a run that was kept: by its id or the beginning of it, or from a file.

    Raises
    ------
    UsageError
        There is none, or there are several.
    """
    if Path(name).is_file():
        return benchmark.from_bytes(Path(name).read_bytes(), name=name)
    place = campaign.open_url(campaign.absolute(url).rstrip("/"), settings).below(PLACE)
    kept = _runs(place)
    found = [each for each in kept if name and each.startswith(name)]
    if len(found) != 1:
        raise errors.UsageError(
            f"{url} has {'no run' if not found else f'{len(found)} runs'} {name}. "
            f"The latest are {', '.join(kept[-3:]) or 'none'}."
        )
    return benchmark.from_bytes(place.get(f"runs/{found[0]}.json").data, name=found[0])


def _runs(place: Store) -> list[str]:
    """Name the runs that were kept, the earliest first."""
    try:
        stamps = list(place.list("runs/"))
    except errors.BucketMissing:  # of a directory: nothing was measured there
        return []
    return [stamp.key[len("runs/") : -len(".json")] for stamp in stamps if stamp.key.endswith(".json")]


def make_data(place: Store, prefix: str, options: SimulationOptions) -> bool:
    """Make a data set, unless it is there whole: the simulator writes the truth last.

    Returns
    -------
    bool
        Whether anything was made.
    """
    below = place.below(prefix)
    try:
        below.head(_TRUTH)
        return False
    except errors.ObjectMissing:
        _delete(place, f"{prefix}/")  # what is left of a benchmark that was cut off
    simulate(below, options)
    return True
