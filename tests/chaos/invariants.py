"""What must be true when a campaign has ended, whatever happened meanwhile; one sentence for each thing that is not."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from reprocess.storage import Store
from tests.chaos import workload
from tests.chaos.workload import Workload

SUCCESS = frozenset({"published", "staged", "written", "unchanged"})
AGAIN = "again"
"""Class of what is noted of a unit that failed and is tried again."""
LOST = "worker-lost"


def problems(store: Store, calm: Store, work: Workload, *, worker_deaths: int, faults: int) -> Iterator[str]:
    """Look at an archive after a storm.

    Parameters
    ----------
    store : Store
        The archive, without a proxy.
    calm : Store
        The archive after an undisturbed run of the same plans.
    worker_deaths : int
        Upper bound of how many workers died, for whatever reason.
    faults : int
        How many requests met a fault.
    """
    yield from _products(store, work)
    yield from _chains(workload.chains(store), workload.chains(calm))
    yield from _strangers(store, calm)
    for digest in work.plans:
        yield from _outcomes(outcomes(store, digest), worker_deaths, faults)


def _products(store: Store, work: Workload) -> Iterator[str]:
    found = workload.digests(store, "products/")
    for key in sorted(set(work.products) - set(found)):
        yield f"{key} is lost"
    for key in sorted(set(found) - set(work.products)):
        yield f"{key} is more than an undisturbed run writes"
    for key, digest in found.items():
        if work.products.get(key, digest) != digest:
            yield f"{key} has other bytes than after an undisturbed run"


def _chains(found: Mapping[str, list[str]], calm: Mapping[str, list[str]]) -> Iterator[str]:
    """Whatever was published was published once, as often as anything is committed in calm."""
    for dataset in sorted(set(found) | set(calm)):
        if found.get(dataset) != calm.get(dataset):
            yield f"the pointer of {dataset} has the chain {found.get(dataset)}, not {calm.get(dataset)}"


def _strangers(store: Store, calm: Store) -> Iterator[str]:
    """Objects of a kind that an undisturbed run does not leave; remains of staging are told apart, see `remains`."""

    def kind(key: str) -> str:
        return re.sub(r"[0-9a-f]{16,}|\d+", "#", "/".join(key.split("/")[:2]) if key.startswith("refer") else key)

    known = {kind(stamp.key) for stamp in calm.list()}
    for stamp in store.list():
        if not stamp.key.startswith(("staging/", "products/")) and kind(stamp.key) not in known:
            yield f"{stamp.key} is of no known kind"


def outcomes(store: Store, digest: str) -> list[dict[str, Any]]:
    """Every outcome that was ever recorded of a plan, in the order of its batches."""
    keys = sorted(stamp.key for stamp in store.list(f"campaigns/{digest[:16]}/outcomes/"))
    return [outcome for key in keys for outcome in json.loads(store.get(key).data)["outcomes"]]


def _outcomes(recorded: list[dict[str, Any]], worker_deaths: int, faults: int) -> Iterator[str]:
    published = Counter(each["dataset"] for each in recorded if each["outcome_class"] == "published")
    failed = [each for each in recorded if each["outcome_class"] not in SUCCESS | {AGAIN}]
    for each in failed:
        if not each["temporary"]:
            yield f"{each['unit']} failed for good: {each['outcome_class']} {each['message']}"
    charged = sum(max(each["attempt"] - 1, 0) for each in recorded)
    if charged > worker_deaths + faults:
        yield f"{charged} attempts were charged for {worker_deaths} deaths and {faults} faults"
    # A worker executes one unit at a time, so each death is charged to one unit at most.
    lost = [each["unit"] for each in recorded if LOST in (each["outcome_class"], each["message"].partition(":")[0])]
    if len(lost) > worker_deaths:
        yield f"{len(lost)} times a unit was charged for the death of a worker, of which there were {worker_deaths}"
    quarantined = [each["unit"] for each in failed if each["outcome_class"] == LOST]
    if quarantined:
        yield f"{quarantined} ended {LOST}: no unit of this workload kills its worker again and again"
    if not published:
        yield "nothing was recorded as published"


def remains(store: Store) -> int:
    """Objects below ``staging/`` that nobody needs any more."""
    return sum(1 for _ in store.list("staging/"))
