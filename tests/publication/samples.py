"""Plans, items and versions to publish; and names for stores that nobody shares."""

from __future__ import annotations

import itertools
from dataclasses import replace

from reprocess.archive import recipe
from reprocess.exposure import CatalogueEntry, Reason, ReferenceFile, Settled, StepFingerprint, Verdict
from reprocess.planning.plan import Item, Plan, seal
from reprocess.publication import manifest
from reprocess.publication.patience import Patience
from reprocess.storage.memory import MemoryStore

DATASET = "jw01234001001_02101_00001_nrca1"
HURRIED = Patience(tries=4, sleep=lambda seconds: None)

_numbers = itertools.count()


def memory_store() -> MemoryStore:
    return MemoryStore(f"publication-{next(_numbers)}")


def fingerprint(salt: str = "") -> tuple[StepFingerprint, ...]:
    superbias = (("superbias", "jwst_nircam_superbias_0123.fits", "5" * 64),)
    return (
        StepFingerprint("raw", 1, (), (), f"raw{salt}".ljust(64, "0")),
        StepFingerprint("superbias", 2, (), superbias, f"superbias{salt}".ljust(64, "0")),
        StepFingerprint("jump", 1, (("rejection_threshold", "4.0"), ("salt", salt)), (), f"jump{salt}".ljust(64, "0")),
    )


def item(dataset: str = DATASET, *, action: str = "calibrate", version: str = "v1-1", **changes) -> Item:
    entry = CatalogueEntry(dataset, "uncal", "s3://raw/public", f"jwst/{dataset}_uncal.fits", 2880 * 7, '"e7a9"')
    verdict = Verdict(dataset, "stale", (Reason("software", "jump"),), "jump")
    made = Item(
        entry=entry,
        verdict=verdict,
        action=action,
        references=(ReferenceFile("superbias", "jwst_nircam_superbias_0123.fits", "a" * 64, "5" * 64, 4321),),
        parameters={"jump": {"rejection_threshold": 4.0, "flag_4_neighbors": True}, "superbias": {}},
        recipe=recipe.text(fingerprint(version)),
        version=version,
    )
    return replace(made, **changes)


def plan(*items: Item, created: str = "2026-11-21T02:00:00.000") -> Plan:
    work = tuple(each for each in items if each.action != "none")
    rest = tuple(Settled("current", (), "", "", (each.dataset,)) for each in items if each.action == "none")
    return seal(Plan(created, "0.1.0", "jwst_1464.pmap", "software = '0.1'\n", "s3://crds", work, rest))


def draft(version: str = "v1-1", *, created: str = "2026-11-21T02:00:00.000") -> manifest.Manifest:
    made = item(version=version)
    return manifest.draft(plan(made, created=created), made)


def files(version: str) -> dict[str, bytes]:
    return {
        f"{DATASET}_rate.fits": f"rate of {version}".encode() * 100,
        f"{DATASET}_rateints.fits": f"rateints of {version}".encode() * 300,
        "provenance.json": f'{{"version":"{version}"}}'.encode(),
    }
