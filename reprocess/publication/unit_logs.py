"""The lines that units logged, kept in the bucket: one object for each batch of outcomes, beside it.

``campaigns/<id>/logs/<epoch>-<number>.jsonl`` has the lines of the units of the batch of the same name in
``outcomes/``, each with campaign, dataset, step and attempt, and at the end of each unit how it ended. A request per
batch is all that this costs; and because logs only serve to look things up, a batch that cannot be written is given up.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from reprocess import errors, logs
from reprocess.exposure import Outcome
from reprocess.publication.patience import Patience
from reprocess.publication.publish import PATIENT, put_once
from reprocess.storage.store import Store

_AT_A_TIME = 8
_LOG = logging.getLogger(__name__)


def prefix(campaign: str) -> str:
    """Where the logs of a campaign are."""
    return f"campaigns/{campaign}/logs/"


def write(
    store: Store,
    campaign: str,
    outcomes: Sequence[Outcome],
    *,
    epoch: int,
    number: int,
    patience: Patience = PATIENT,
) -> None:
    """Keep what the units of one batch of outcomes logged; doing it again changes nothing. Never fails."""
    data = b"".join(_body(campaign, outcome) for outcome in outcomes)
    try:
        put_once(store, f"{prefix(campaign)}{epoch:06d}-{number:08d}.jsonl", data, patience=patience)
    except (errors.StorageError, errors.PublicationError) as error:
        _LOG.warning("What %d units logged is not kept: %s", len(outcomes), error)


def find(
    store: Store, datasets: Collection[str], campaign: str = "", *, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, Any], ...]:
    """Return the lines of a dataset, the oldest first, of the latest campaign that has any.

    Parameters
    ----------
    datasets : collection of str
        Names that may be meant.
    campaign : str
        Only this one: its id, or the digest of its plan, or how either begins.
    progress : callable, optional
        Called with how many objects were read of the campaign, and of how many.
    """
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for keys in _campaigns(store, campaign[:16]):
            found: list[dict[str, Any]] = []
            for done, lines in enumerate(pool.map(lambda key: _lines_of(store, key, datasets), keys), 1):
                found += lines
                if progress is not None:
                    progress(done, len(keys))
            if found:
                return tuple(found)
    return ()


def _campaigns(store: Store, begin: str) -> list[list[str]]:
    """List the objects of each campaign's logs, the latest campaign first by the store's clock."""
    planned: dict[str, str] = {}
    kept: dict[str, list[str]] = {}
    for stamp in store.list(f"campaigns/{begin}"):
        name, _, rest = stamp.key.removeprefix("campaigns/").partition("/")
        if rest == "plan.json":
            planned[name] = stamp.modified
        elif rest.startswith("logs/"):
            kept.setdefault(name, []).append(stamp.key)
    return [kept[name] for name in sorted(kept, key=lambda name: planned.get(name, ""), reverse=True)]


def _body(campaign: str, outcome: Outcome) -> bytes:
    """Write all lines of one unit."""
    common = {
        "campaign": campaign,
        "dataset": outcome.dataset,
        "unit": outcome.unit,
        "attempt": outcome.attempt,
        "worker": outcome.worker,
    }
    lines = (logs.whole(line, common) for line in (*outcome.log, _ending(outcome)))
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _ending(outcome: Outcome) -> str:
    """Say how a unit ended: of one whose worker was lost this is all there is."""
    level = "WARNING" if outcome.message else "INFO"
    text = f"ended as {outcome.outcome_class}" + (f": {outcome.message}" if outcome.message else "")
    return logs.line_of(text, level=level, time=f"{outcome.ended}Z" if outcome.ended else "")


def _lines_of(store: Store, key: str, datasets: Collection[str]) -> list[dict[str, Any]]:
    needles = [json.dumps(dataset).encode() for dataset in datasets]
    lines = (line for line in store.get(key).data.splitlines() if any(needle in line for needle in needles))
    try:
        return [told for line in lines if (told := json.loads(line)).get("dataset") in datasets]
    except (ValueError, AttributeError) as error:
        raise errors.DamagedRecord(f"{key} has a line that is no record ({error}). Remove the object.") from error
