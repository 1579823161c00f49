"""The demonstration: the whole trip, twice, on a made-up archive behind a real S3 interface.

The first generation of products is made under the first context, from the exposures that there are then. New exposures
arrive, the second context arrives, and the trip is made again: it redoes what has changed and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from reprocess import campaign, coordinator, inspection, story, terminal
from reprocess.archive import root
from reprocess.demo import endpoint
from reprocess.execution import executors
from reprocess.execution.executor import Executor
from reprocess.planning.plan import Plan
from reprocess.reporting.report import Summary
from reprocess.settings import CacheSettings, Settings, StorageSettings
from reprocess.simulation import archive as simulation
from reprocess.simulation.options import SimulationOptions
from reprocess.storage.store import Store
from reprocess.target import read_target

BUCKET = "demo"
_LATE = 8
_BEGAN = time.monotonic()
_NOBODYS_KEYS = {
    # The embedded endpoint takes any key; these are no secret, and a user's own must not reach it.
    "AWS_ACCESS_KEY_ID": "demo",
    "AWS_SECRET_ACCESS_KEY": "demo",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_OUT_OF_THE_WAY = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_CONFIG_FILE")


def show(output_dir: Path, settings: Settings, options: SimulationOptions | None = None) -> tuple[Summary, Summary]:
    """Make the whole trip and leave the reports in a directory; stops all that it started.

    Parameters
    ----------
    output_dir : Path
        For the reports, a product, and pictures; made if it is not there.
    settings : Settings
    options : SimulationOptions, optional
        Another archive than that of the demonstration.

    Returns
    -------
    tuple of Summary
        Of the first and of the second campaign.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with endpoint.serve() as url, _environment(url), _cache(settings) as own:
        _say(f"An S3 endpoint listens at {url} (moto, in memory, on this machine only).")
        endpoint.make_bucket(url, BUCKET)
        store = campaign.open_url(f"s3://{BUCKET}", own)
        _simulate(store, options or SimulationOptions.demo())
        with _executor(own) as executor:
            first, second = _trips(store, own, executor, output_dir)
    _say("Everything that was started is stopped.")
    _say(f"Open {output_dir / 'report.html'} in a browser; the first campaign's is {output_dir / 'report-first.html'}.")
    return first, second


def _trips(store: Store, settings: Settings, executor: Executor, output_dir: Path) -> tuple[Summary, Summary]:
    archive_url = f"s3://{BUCKET}/archive"
    campaign.init(
        archive_url,
        root.ArchiveRoot(raw=(root.RawLocation(f"s3://{BUCKET}/raw"),), references=f"s3://{BUCKET}/crds"),
        settings,
    )
    archive = campaign.open_archive(archive_url, settings)
    late = _hold_back(store, _LATE)
    _headline("First generation: what there is, under the first context")
    made, first = _trip(archive, store, "first", executor)
    _keep(archive, made, output_dir / "report-first.html")
    _headline(f"{len(late)} new exposures arrive, and a new context")
    _release(store, late)
    made, second = _trip(archive, store, "second", executor)
    _why(made)
    _keep(archive, made, output_dir / "report.html")
    _compare(store, made)
    _again(archive)
    _verify(archive)
    click.echo(terminal.summary_text(second))
    _example(archive, made, output_dir)
    return first, second


def _trip(archive: campaign.Archive, store: Store, name: str, executor: Executor) -> tuple[Plan, Summary]:
    """Scan, plan and run once."""
    with terminal.progress("scan     ") as progress:
        done = campaign.scan(archive, progress)
    click.echo(terminal.scan_text(done))
    target = read_target(store.get(f"targets/{name}.toml").data.decode(), name=f"{name}.toml")
    with terminal.progress("plan     ") as progress:
        made = campaign.plan(archive, target, progress=progress)
    click.echo(terminal.plan_text(made, archive.store.url))
    with terminal.progress("calibrate") as progress:
        summary = coordinator.run(archive, made.digest, executor=executor, progress=progress)
    click.echo(terminal.closing_text(summary))
    return made, summary


def _simulate(store: Store, options: SimulationOptions) -> None:
    _say(f"{options.exposures} Level 1b exposures, their reference files and two contexts are made up ...")
    with terminal.progress("simulate ") as progress:
        made = simulation.simulate(store, options, progress=progress)
    counts = Counter(exposure.instrument for exposure in made.exposures)
    full = sum(exposure.shape[-2:] == (2048, 2048) for exposure in made.exposures)
    words = ", ".join(f"{count} {instrument}" for instrument, count in sorted(counts.items()))
    click.echo(
        f"{words}; {full} of them 2048 x 2048; {len(made.references)} references; {made.bytes_written / 1e6:.0f} MB"
    )


def _hold_back(store: Store, count: int) -> dict[str, bytes]:
    """Take some small exposures away; they arrive later."""
    small = [stamp.key for stamp in store.list("raw/") if stamp.size < _SMALL_BYTES]
    held = {key: store.get(key).data for key in small[:: max(1, len(small) // count)][:count]}
    for key in held:
        store.delete(key)
    return held


_SMALL_BYTES = 8 * 10**6


def _release(store: Store, held: dict[str, bytes]) -> None:
    for key, data in held.items():
        store.put(key, data)


def _why(made: Plan) -> None:
    """Say what was stale and why, by reason, each with an example."""
    _headline("What was stale, and why")
    reasons: dict[str, list[str]] = {}
    for item in made.items:
        for reason in item.verdict.reasons if item.action != "fail" else ():
            reasons.setdefault(f"{item.verdict.state}: {story.say(reason)}", []).append(item.dataset)
    for sentence, datasets in sorted(reasons.items()):
        click.echo(f"  {len(datasets):>3}  {sentence}  (for example {datasets[0]})")


def _compare(store: Store, made: Plan) -> None:
    """Hold the verdicts against what the simulator says it changed."""
    expected = json.loads(store.get("truth/expected.json").data)["datasets"]
    verdicts = [verdict for verdict in made.verdicts() if verdict.state not in ("missing", "unknown")]
    judged = {verdict.dataset: verdict.state for verdict in verdicts}
    wrong = sorted(dataset for dataset, state in judged.items() if expected[dataset]["state"] != state)
    _say(f"{len(judged) - len(wrong)} of {len(judged)} verdicts are those that the simulator's own record asks for.")
    for dataset in wrong:
        click.echo(f"  {dataset}: judged {judged[dataset]}, expected {expected[dataset]['state']}")


def _again(archive: campaign.Archive) -> None:
    """Scan once more: nothing is left to read but the pointers that moved."""
    done = campaign.scan(archive)
    _say(f"Scanned again: {done.unchanged} raw objects unchanged, {done.new + done.changed} read.")


def _verify(archive: campaign.Archive) -> None:
    with terminal.progress("verify   ") as progress:
        check = inspection.verify(archive, progress)
    _say(f"Read back {check.versions} published versions with {check.files} files: {len(check.problems)} problems.")
    for problem in check.problems:
        click.echo(f"  {problem}")


def _keep(archive: campaign.Archive, made: Plan, path: Path) -> None:
    path.write_bytes(inspection.read_report(archive, made.digest))


def _example(archive: campaign.Archive, made: Plan, output_dir: Path) -> None:
    """Leave one product and its provenance on disk, and tell its story."""
    redone = [each for each in made.items if each.action == "calibrate"]
    item = next((each for each in redone if each.verdict.state == "stale"), redone[0] if redone else None)
    if item is None:
        return
    for name in (f"{item.dataset}_rate.fits", f"{item.dataset}_quicklook.png", "provenance.json"):
        data = archive.store.get(f"products/{item.dataset}/{item.version}/{name}").data
        (output_dir / name).write_bytes(data)
    _headline(f"reprocess explain {archive.store.url} {item.dataset}")
    click.echo(story.tell(inspection.explain(archive, item.dataset)))


def _executor(settings: Settings) -> Executor:
    _say("A Dask cluster is started on this machine ...")
    execution = settings.execution
    executor = executors.open_executor(
        scheduler=execution.scheduler,
        workers=execution.workers,
        memory_limit_bytes=execution.memory_limit_mb * 10**6,
    )
    click.echo(f"{executor.slots} workers of {execution.memory_limit_mb} MB")
    return executor


@contextlib.contextmanager
def _environment(url: str) -> Iterator[None]:
    """Point this process and its workers at the embedded endpoint, and keep the user's own credentials out of it."""
    before = dict(os.environ)
    for name in _OUT_OF_THE_WAY:
        os.environ.pop(name, None)
    os.environ |= {**_NOBODYS_KEYS, "AWS_ENDPOINT_URL": url}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


@contextlib.contextmanager
def _cache(settings: Settings) -> Iterator[Settings]:
    """Keep the made-up contexts out of the user's cache of real ones."""
    with tempfile.TemporaryDirectory(prefix="reprocess-demo-") as directory:
        yield replace(settings, storage=StorageSettings(), cache=CacheSettings(directory=directory))


def _say(text: str) -> None:
    click.echo(f"[{time.monotonic() - _BEGAN:>4.0f} s] " + click.style(text, bold=True))


def _headline(text: str) -> None:
    click.echo()
    _say(text)
