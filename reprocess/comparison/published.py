"""A version that was just written, held against the one that readers see.

What cannot be read of the published version is no reason to keep it: the new one may be made to replace it. So damage
is told, and stops nothing; a store that does not answer does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reprocess import errors
from reprocess.comparison import compare, files, gate
from reprocess.comparison.compare import Findings
from reprocess.formats import records
from reprocess.publication import manifest as manifests
from reprocess.publication import pointer as pointers
from reprocess.publication import publish
from reprocess.publication.manifest import Manifest
from reprocess.publication.pointer import Pointer
from reprocess.storage.store import Store
from reprocess.target import Budget

KIND = "difference"
SCHEMA = 1

Difference = dict[str, Any]
"""A record of JSON values: ``against``, ``verdict``, ``reasons``, ``extensions``, ``keywords``, ``wcs_changed``."""

_SHOWN = 40  # keywords in an outcome


def difference(
    store: Store,
    manifest: Manifest,
    *,
    budget: Budget,
    held: Mapping[str, object] | None = None,
    replaces_damage: bool = False,
) -> Difference:
    """Compare a version with the one that readers see, and decide whether they may see it.

    Costs two requests where nothing differs.

    Parameters
    ----------
    store : Store
    manifest : Manifest
        Of the new version.
    budget : Budget
        What is expected of its mode.
    held : mapping of suffix to Rate, optional
        Arrays of the new version that are in memory, for example those of ``rate``.
    replaces_damage : bool
        Whether it was made because the published one is damaged: it is then never `identical`, so that it is shown.

    Returns
    -------
    dict
        Empty if nothing was published, or this very version.

    Raises
    ------
    StorageUnavailable, AccessDenied
        They say nothing of the published version.
    """
    try:
        pointer, _ = pointers.read(store, manifest.dataset)
    except errors.DamagedRecord as error:
        return _record("", "within", (f"What is published is unknown: {error}",))
    if pointer is None or pointer.version in ("", manifest.version):  # empty after it was retired
        return {}
    try:
        before = _published(store, pointer)
        findings = _findings(store, before, manifest, held)
    except (errors.StorageUnavailable, errors.AccessDenied):
        raise
    except errors.ReprocessError as error:
        return _record(pointer.version, "within", (f"The published version could not be compared: {error}",))
    verdict, reasons = gate.decide(findings, budget)
    if verdict == "identical" and (why := _why_shown(before, manifest, replaces_damage=replaces_damage)):
        verdict, reasons = "within", (why,)
    return _record(pointer.version, verdict, reasons, findings)


def _published(store: Store, pointer: Pointer) -> Manifest:
    found = publish.read_version(store, pointer.dataset, pointer.version)
    if found is None:
        key = manifests.prefix(pointer.dataset, pointer.version)
        raise errors.ObjectMissing(f"{key}manifest.json is missing.")
    return found


def _findings(store: Store, before: Manifest, manifest: Manifest, held: Mapping[str, object] | None) -> Findings:
    old = files.product_files(store, before)
    new = files.product_files(store, manifest, held)
    return Findings() if compare.are_identical(old, new) else compare.compare(old, new)


def _why_shown(before: Manifest, manifest: Manifest, *, replaces_damage: bool) -> str:
    """Say why a version is to be shown although it shows the same science; empty if it need not be."""
    if replaces_damage:
        return "The same science; it replaces a version that is damaged."
    if before.fingerprint and before.fingerprint[-1].digest == manifest.fingerprint[-1].digest:
        return "The same science, made again from the same inputs; it replaces the version before it."
    if dict(before.raw) != dict(manifest.raw):
        # What a pointer says of equivalent recipes holds for one Level 1b object only.
        return "The same science, made from another Level 1b object, which provenance must name."
    if {file.name for file in before.files} != {file.name for file in manifest.files}:
        return "The same science, with other files beside it."
    return ""


def _record(
    against: str, verdict: gate.Verdict, reasons: tuple[str, ...], findings: Findings | None = None
) -> Difference:
    found = findings or Findings()
    return {
        "against": against,
        "verdict": verdict,
        "reasons": list(reasons),
        "extensions": {name: dict(record) for name, record in found.extensions.items()},
        "keywords": {name: list(values) for name, values in found.keywords.items()},
        "wcs_changed": found.wcs_changed,
    }


def summary(found: Difference) -> Difference:
    """Cut a difference to what an outcome carries: of very many keywords the first ones."""
    keywords = found.get("keywords", {})
    return {**found, "keywords": dict(list(keywords.items())[:_SHOWN])} if len(keywords) > _SHOWN else found


def key(campaign: str, dataset: str) -> str:
    """Where the difference of a version that was held back is kept."""
    return f"campaigns/{campaign}/differences/{dataset}.json"


def keep(store: Store, campaign: str, manifest: Manifest, found: Difference) -> None:
    """Keep the difference of a version that is held back, beside the plan that asked for it."""
    record = {**found, "dataset": manifest.dataset, "version": manifest.version}
    data = records.dumps(KIND, SCHEMA, record)
    store.put(key(campaign, manifest.dataset), data, content_type="application/json")


def read(store: Store, campaign: str, dataset: str) -> Difference | None:
    """Read the difference of a version that was held back; None if there is none.

    Raises
    ------
    DamagedRecord
        The record is none of this package.
    """
    place = key(campaign, dataset)
    try:
        return records.loads(store.get(place).data, KIND, name=place, schemas=(SCHEMA,))
    except errors.ObjectMissing:
        return None
