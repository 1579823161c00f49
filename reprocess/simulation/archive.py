"""An archive made up from nothing: exposures, reference files, two contexts, targets and the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from reprocess.simulation import deliveries, level1b, pixels, ramp, reference_files, rules, sky, truth
from reprocess.simulation.chance import Floats
from reprocess.simulation.deliveries import DARK_RENEWED, FIRST_CONTEXT, SECOND_CONTEXT, Deliveries
from reprocess.simulation.instruments import Detector, Subarray
from reprocess.simulation.options import SimulatedExposure, SimulationOptions, SimulationSummary
from reprocess.simulation.pixels import PixelMaps
from reprocess.simulation.schedule import Exposure, schedule
from reprocess.storage.store import Store

Progress = Callable[[int, int, str], None]

_EXPECTED_SCHEMA = 1
_SOFTWARE = ">=0.1"


def simulate(store: Store, options: SimulationOptions, *, progress: Progress | None = None) -> SimulationSummary:
    """Write an archive below the root of a store.

    One part of one detector is dealt with at a time and one group of one exposure is in memory at a time, so memory
    does not grow with the number of exposures. The last object written is ``truth/expected.json``.

    Parameters
    ----------
    store : Store
    options : SimulationOptions
    progress : callable, optional
        Called after each exposure with how many are done, how many there are, and the dataset.

    Returns
    -------
    SimulationSummary

    Raises
    ------
    AlreadyExists
        There is a simulated archive below this root already.
    """
    exposures = schedule(options)
    made = deliveries.deliveries(exposures)
    written: dict[int, SimulatedExposure] = {}
    total = 0
    for detector, region in _regions(exposures, made):
        maps = pixels.build(detector, region, options.seed)
        for delivery in made.files:
            if (delivery.detector, delivery.region) == (detector, region):
                total += _upload(store, delivery.key, reference_files.file_parts(delivery, maps, options.seed))
        for exposure in exposures:
            if (exposure.mode.detector, exposure.mode.subarray) == (detector, region):
                written[exposure.number], size = _write_exposure(store, exposure, maps)
                total += size
                if progress is not None:
                    progress(len(written), len(exposures), exposure.dataset)
    summary = SimulationSummary(
        options=options,
        contexts=(FIRST_CONTEXT, SECOND_CONTEXT),
        exposures=tuple(written[exposure.number] for exposure in exposures),
        references=tuple(delivery.key for delivery in made.files),
        changes=made.changes,
        expected=deliveries.expectations(exposures, made),
        bytes_written=total,
    )
    _write_rules(store, made)
    _write_targets(store)
    store.put("truth/expected.json", statement(summary))
    return summary


def statement(summary: SimulationSummary) -> bytes:
    """What differs between the contexts and which dataset is expected to be stale why, as JSON."""
    content = {
        "kind": "expected",
        "schema": _EXPECTED_SCHEMA,
        "contexts": {"first": summary.contexts[0], "second": summary.contexts[1]},
        "changes": [asdict(change) for change in summary.changes],
        "datasets": {expected.dataset: _without_name(asdict(expected)) for expected in summary.expected},
        "exposures": [asdict(exposure) for exposure in summary.exposures],
        "references": list(summary.references),
    }
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _without_name(expected: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in expected.items() if key != "dataset"}


def _regions(exposures: Sequence[Exposure], made: Deliveries) -> list[tuple[Detector, Subarray]]:
    """Every part of a detector that is read or has reference files, once, so that its maps are made once."""
    read = [(exposure.mode.detector, exposure.mode.subarray) for exposure in exposures]
    covered = [(delivery.detector, delivery.region) for delivery in made.files]
    return list(dict.fromkeys((*read, *covered)))


def _write_exposure(store: Store, exposure: Exposure, maps: PixelMaps) -> tuple[SimulatedExposure, int]:
    """Write the Level 1b file and the truth about it; also the bytes of both."""
    light = ramp.Light(sky=sky.count_rate(exposure, maps), dark=_dark(exposure, maps))
    saturation = truth.SaturationWatch(exposure, maps)
    groups = saturation.watch(ramp.read_out(exposure, maps, light))
    size = _upload(store, exposure.key, level1b.file_parts(exposure, groups))
    parts = truth.file_parts(exposure, maps, light.sky, saturation.too_early)
    truth_size = _upload(store, f"truth/{exposure.dataset}_truth.fits", parts)
    mode = exposure.mode
    return SimulatedExposure(
        dataset=exposure.dataset,
        key=exposure.key,
        instrument=mode.detector.instrument,
        detector=mode.detector.name,
        subarray=mode.subarray.name,
        read_pattern=mode.pattern.name,
        start=exposure.start.isoformat(timespec="milliseconds"),
        shape=(mode.nints, mode.ngroups, mode.subarray.rows, mode.subarray.columns),
        size=size,
    ), size + truth_size


def _dark(exposure: Exposure, maps: PixelMaps) -> Floats:
    """The dark current on the day: NIRISS has another one after its warm-up."""
    mode = exposure.mode
    if mode.detector.instrument == "NIRISS" and f"{exposure.start:%Y-%m-%d %H:%M:%S}" >= DARK_RENEWED:
        return pixels.renewed_dark(maps, mode.detector, mode.subarray, exposure.seed)
    return maps.dark


def _write_rules(store: Store, made: Deliveries) -> None:
    for name, text in rules.mappings(made).items():
        store.put(f"crds/mappings/jwst/{name}", text.encode())


def _write_targets(store: Store) -> None:
    for name, context in (("first", FIRST_CONTEXT), ("second", SECOND_CONTEXT)):
        text = f'context = "{context}"\nsoftware = "{_SOFTWARE}"\n'
        store.put(f"targets/{name}.toml", text.encode())


def _upload(store: Store, key: str, parts: Iterable[bytes]) -> int:
    """Write an object from its pieces; the bytes written."""
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for part in parts:
            size += len(part)
            yield part

    store.upload_if_absent(key, counted())
    return size
