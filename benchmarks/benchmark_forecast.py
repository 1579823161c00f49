"""What exposures of many shapes take from S3 to S3, and the constants of the forecast that fit it.

The endpoint is that of AWS_ENDPOINT_URL, or else moto on this machine. Exposures are simulated, and calibrated twice by
one worker in this process, so that the references are at hand the second time. Core seconds are wall seconds of all
stages of a unit, waiting for the store included: keep the machine quiet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from scipy.optimize import nnls

from benchmarks import endpoint, measurement
from reprocess import campaign, coordinator
from reprocess.archive import root
from reprocess.execution.serial import SerialExecutor
from reprocess.planning import forecast
from reprocess.planning.forecast import Taken
from reprocess.publication import experience
from reprocess.settings import CacheSettings, ExecutionSettings, Settings
from reprocess.simulation.archive import simulate
from reprocess.simulation.options import SimulationOptions
from reprocess.storage import open_store
from reprocess.target import read_target

SHAPES = {
    "NIRCAM": [
        (1, 5, 64, 64),
        (1, 10, 256, 256),
        (8, 10, 256, 256),
        (1, 6, 640, 640),
        (1, 20, 640, 640),
        (4, 6, 1024, 1024),
        (1, 5, 2048, 2048),
        (1, 20, 2048, 2048),
        (3, 5, 2048, 2048),
    ],
    "NIRISS": [(20, 8, 64, 2048)],
    "MIRI": [(4, 10, 256, 256), (1, 10, 1024, 1032), (1, 40, 1024, 1032), (4, 10, 1024, 1032)],
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmark_forecast", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest shapes only")
    wanted = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    shapes = {name: each[:3] if wanted.quick else each for name, each in SHAPES.items()}
    with endpoint.bucket() as bucket, tempfile.TemporaryDirectory() as cache:
        execution = ExecutionSettings(scheduler="serial", memory_limit_mb=6000)
        settings = Settings(cache=CacheSettings(directory=cache), execution=execution)
        taken = [one for name, each in shapes.items() for shape in each for one in _take(bucket, settings, name, shape)]
    _show(taken)
    content = {"arguments": vars(wanted), "server": bucket.server, "taken": [asdict(one) for one in taken]}
    measurement.write(measurement.record(f"forecast{bucket.suffix}", content, load))


def _take(bucket: endpoint.Bucket, settings: Settings, instrument: str, shape: tuple[int, ...]) -> Iterator[Taken]:
    """Calibrate three exposures of a shape twice, and tell what they took the second time."""
    integrations, groups, *frame = shape
    url = f"s3://{bucket.name}/{instrument}-{'x'.join(map(str, shape))}"
    store = open_store(url)
    options = SimulationOptions(3, 1, (instrument,), (frame[0], frame[1]), groups, integrations)
    simulate(store, options)
    campaign.init(f"{url}/archive", root.ArchiveRoot((root.RawLocation(f"{url}/raw"),), f"{url}/crds"), settings)
    archive = campaign.open_archive(f"{url}/archive", settings)
    known = campaign.scan(archive).catalogue
    target = store.get("targets/first.toml").data.decode()
    for turn in range(2):
        for stamp in list(archive.store.list("campaigns/")):  # references were not at hand
            archive.store.delete(stamp.key)
        # Another threshold makes every product stale and the work the same.
        text = f"{target}\n[parameters.jump]\nrejection_threshold = 4.{turn}\n"
        made = campaign.plan(archive, read_target(text, name="benchmark.toml"))
        coordinator.run(archive, made.digest, executor=SerialExecutor())
    yield from experience.read(archive.store, known)
    for stamp in list(store.list()):
        store.delete(stamp.key)


def _show(taken: Sequence[Taken]) -> None:
    print("\ncore seconds of an exposure, from S3 to S3, medians")
    rows: list[Sequence[object]] = []
    for key in dict.fromkeys((one.instrument, one.shape) for one in taken):
        found = float(np.median([one.seconds for one in taken if (one.instrument, one.shape) == key]))
        told = forecast.seconds(*key)
        rows.append((f"{key[0]} {' x '.join(map(str, key[1]))}", found, told, found / told))
    print(measurement.table(("exposure", "measured", "forecast", "ratio"), rows))
    for name, some in (
        ("near infrared", [one for one in taken if one.instrument != "MIRI"]),
        ("MIRI", [one for one in taken if one.instrument == "MIRI"]),
    ):
        print(f"{name}: {', '.join(f'{value:.3f}' for value in _fit(some))} s per exposure, 10^6 samples, 10^6 pixels")


def _fit(taken: Sequence[Taken]) -> np.ndarray:
    """Fit constant, seconds per million samples and per million pixels of products, by relative residuals."""
    shapes = np.array([one.shape for one in taken], float)
    pixels = shapes[:, 2] * shapes[:, 3] / 1e6
    terms = np.stack([np.ones(len(taken)), shapes[:, 0] * shapes[:, 1] * pixels, (1 + shapes[:, 0]) * pixels], axis=1)
    found, _ = nnls(terms / np.array([[one.seconds] for one in taken]), np.ones(len(taken)))
    return found


if __name__ == "__main__":
    main()
