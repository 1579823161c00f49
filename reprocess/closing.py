"""The end of a campaign, or of a run of it: its sum, its report as text and as one HTML file, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from reprocess import errors, worker
from reprocess.campaign import Archive
from reprocess.comparison.files import ProductFile, product_files
from reprocess.exposure import Band, Outcome
from reprocess.formats import records
from reprocess.planning.pilot import Finding
from reprocess.planning.plan import Item, Plan
from reprocess.publication import ledger, obstacles, publish
from reprocess.publication.manifest import Manifest, prefix
from reprocess.reporting import ending, page, plaintext, quicklook, report
from reprocess.reporting.ending import Ending
from reprocess.reporting.report import Circumstances, Summary

_LOG = logging.getLogger(__name__)
_KIND, _SCHEMA = "ending", 1
_LISTED = 200
_PICTURES = 12
_SIDE = 256
_PICTURE_BYTES = 2_500_000
"""Of all pictures of a report; a mail takes no more."""

_PLAIN_END = Ending()


def write_report(
    archive: Archive, made: Plan, *, wall_seconds: float | None = None, end: Ending = _PLAIN_END
) -> Summary:
    """Sum up a campaign, and keep the report as text and as one HTML file beside its plan.

    Parameters
    ----------
    archive : Archive
    made : Plan
    wall_seconds : float, optional
        Duration of the campaign, where known.
    end : Ending
        How the run ended: a campaign that is paused, or waits for approval, may have candidates that are still to do.
    """
    outcomes = tuple(ledger.read(archive.store, made.digest[:16]).values())
    around = Circumstances(
        archive=archive.store.url,
        products={item.dataset: manifest.files for item, manifest in _published(archive, made, outcomes)},
        wall_seconds=wall_seconds,
        ending=end,
        prices=archive.settings.prices,
        pilot=_pilot(archive, made),
        obstacles=obstacles.read(archive.store, made.digest[:16]),
    )
    summary = report.summarise(made, outcomes, around)
    place = f"campaigns/{made.digest[:16]}/report"
    archive.store.put(f"{place}.txt", plaintext.render(summary).encode())
    pictures = _pictures(archive, made, summary, outcomes)
    archive.store.put(f"{place}.html", page.render(summary, pictures=pictures).encode())
    # Last, because whoever finds it takes the others to be there.
    archive.store.put(ending_key(made.digest), records.dumps(_KIND, _SCHEMA, _record(summary)))
    return summary


def ending_key(digest: str) -> str:
    """Where it is kept how the last run of a campaign ended."""
    return f"campaigns/{digest[:16]}/report.json"


def read_ending(archive: Archive, digest: str) -> Ending | None:
    """Read how the last run of a campaign ended; None if none has.

    Raises
    ------
    DamagedRecord
        What is stored is no such record.
    """
    key = ending_key(digest)
    try:
        data = archive.store.get(key).data
    except errors.ObjectMissing:
        return None
    return ending.from_record(records.loads(data, _KIND, name=key, schemas=(_SCHEMA,)))


def _pilot(archive: Archive, made: Plan) -> Finding | None:
    """Read what the pilot has shown; None if there was none."""
    key = f"campaigns/{made.digest[:16]}/pilot.json"
    try:
        body = records.loads(archive.store.get(key).data, "pilot", name=key)
        return Finding(**{name: body[name] for name in Finding.__dataclass_fields__})
    except errors.ObjectMissing:
        return None
    except KeyError as error:
        raise errors.DamagedRecord(f"{key} lacks {error}. Delete it, and run the plan again.") from error


def _record(summary: Summary) -> dict[str, object]:
    return {
        **ending.to_record(summary.ending),
        "campaign": summary.campaign,
        "candidates": summary.candidates,
        "classes": dict(summary.classes),
        "to_do": summary.to_do,
        "remainder": summary.remainder.total,
    }


def _published(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[tuple[Item, Manifest]]:
    """Read the manifests of what a campaign published, as many as a report lists."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    for item in [item for item in made.items if item.dataset in datasets][:_LISTED]:
        manifest = publish.read_version(archive.store, item.dataset, item.version)
        if manifest is not None:
            yield item, manifest


def _pictures(archive: Archive, made: Plan, summary: Summary, outcomes: tuple[Outcome, ...]) -> list[page.Picture]:
    """Make the pictures of the largest changes; where nothing was compared, take some of what was published."""
    found: list[page.Picture] = []
    size = 0
    for picture in _changes(archive, made, summary) or _samples(archive, made, outcomes):
        size += len(picture.png)
        if size > _PICTURE_BYTES:
            break
        found.append(picture)
    return found


def _changes(archive: Archive, made: Plan, summary: Summary) -> list[page.Picture]:
    """Draw the largest changes: what readers had, the new version, and their difference."""
    items = {item.dataset: item for item in made.items}
    largest = summary.differences.largest[:_PICTURES]
    drawn = (_change(archive, items[each.dataset], each.against) for each in largest if each.dataset in items)
    return [picture for picture in drawn if picture is not None]


def _change(archive: Archive, item: Item, against: str) -> page.Picture | None:
    """Draw one change; None, with a warning, if one of the versions cannot be read."""
    try:
        old, new = (_rate(archive, item.dataset, version) for version in (against, item.version))
        shape = old.places["SCI"]["shape"]
        if shape != new.places["SCI"]["shape"] or len(shape) != 2:
            raise errors.WrongLayout(f"{item.dataset}: the versions differ in shape, so no difference can be drawn.")
        height, width = shape
        images = quicklook.pair((height, width), lambda band: (_usable(old, band), _usable(new, band)), side=_SIDE)
    except (errors.StorageError, errors.BadData, errors.DamagedRecord, KeyError) as error:
        _LOG.warning("no picture of the change of %s: %s", item.dataset, error)
        return None
    title = worker.title(item)
    return page.Picture(item.dataset, title, quicklook.render_pair(item.dataset, title, images))


def _rate(archive: Archive, dataset: str, version: str) -> ProductFile:
    manifest = publish.read_version(archive.store, dataset, version)
    if manifest is None:
        raise errors.ObjectMissing(f"{dataset}: version {version} has no manifest.")
    return product_files(archive.store, manifest)["rate"]


def _usable(rate: ProductFile, band: Band) -> npt.NDArray[np.floating]:
    """Read a band of a rate, NaN where a pixel must not be used."""
    width = rate.places["SCI"]["shape"][1]
    planes = rate.read(("SCI", "DQ"), band.start * width, band.stop * width)
    values = np.where(planes["DQ"] & quicklook.DO_NOT_USE, np.nan, planes["SCI"])
    return values.reshape(len(band), width)


def _samples(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[page.Picture]:
    """Read the quick looks of published exposures, evenly over the detectors."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    kinds: dict[str, list[Item]] = {}
    for item in made.items:
        if item.dataset in datasets:
            kinds.setdefault(f"{item.entry.header.get('DETECTOR')}", []).append(item)
    turns = [item for turn in range(_PICTURES) for each in kinds.values() for item in each[turn : turn + 1]]
    for item in turns[:_PICTURES]:
        key = f"{prefix(item.dataset, item.version)}{item.dataset}_quicklook.png"
        try:
            yield page.Picture(item.dataset, worker.title(item), archive.store.get(key).data)
        except errors.ObjectMissing:
            _LOG.warning("%s is missing; run `reprocess verify`", key)
