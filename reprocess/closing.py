"""The end of a campaign: its sum, its report as text and as one HTML file."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from reprocess import errors, worker
from reprocess.campaign import Archive
from reprocess.exposure import Outcome
from reprocess.planning.plan import Item, Plan
from reprocess.publication import ledger, publish
from reprocess.publication.manifest import Manifest
from reprocess.reporting import page, plaintext, report

_LOG = logging.getLogger(__name__)
_PICTURES = 12


def write_report(archive: Archive, made: Plan, *, wall_seconds: float | None = None) -> report.Summary:
    """Sum up a campaign, and keep the report as text and as one HTML file beside its plan."""
    outcomes = tuple(ledger.read(archive.store, made.digest[:16]).values())
    summary = report.summarise(
        made,
        outcomes,
        archive=archive.store.url,
        products={item.dataset: manifest.files for item, manifest in _published(archive, made, outcomes)},
        wall_seconds=wall_seconds,
    )
    pictures = tuple(_pictures(archive, made, outcomes))
    place = f"campaigns/{made.digest[:16]}/report"
    archive.store.put(f"{place}.txt", plaintext.render(summary).encode())
    archive.store.put(f"{place}.html", page.render(summary, pictures=pictures).encode())
    return summary


def _published(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[tuple[Item, Manifest]]:
    """Read the manifests of what a campaign published, as many as a report lists."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    for item in [item for item in made.items if item.dataset in datasets][:_LISTED]:
        manifest = publish.read_version(archive.store, item.dataset, item.version)
        if manifest is not None:
            yield item, manifest


_LISTED = 200


def _pictures(archive: Archive, made: Plan, outcomes: tuple[Outcome, ...]) -> Iterator[page.Picture]:
    """Read the quick looks of published exposures, evenly over the instruments."""
    datasets = {outcome.dataset for outcome in outcomes if outcome.outcome_class == "published"}
    kinds: dict[str, list[Item]] = {}
    for item in made.items:
        if item.dataset in datasets:
            kinds.setdefault(f"{item.entry.header.get('DETECTOR')}", []).append(item)
    turns = [item for turn in range(_PICTURES) for each in kinds.values() for item in each[turn : turn + 1]]
    for item in turns[:_PICTURES]:
        key = f"products/{item.dataset}/{item.version}/{item.dataset}_quicklook.png"
        try:
            yield page.Picture(item.dataset, worker.title(item), archive.store.get(key).data)
        except errors.ObjectMissing:
            _LOG.warning("%s is missing; run `reprocess verify`", key)
