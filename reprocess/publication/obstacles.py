"""What was in the way of a campaign's workers: a quota, an image, a server that did not answer. Kept for its report.

``campaigns/<id>/obstacles/<name>.json``, where the name is made of what was in the way: the first time counts.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from reprocess import errors, redaction
from reprocess.formats import records
from reprocess.publication import records_of
from reprocess.publication.patience import Patience
from reprocess.publication.publish import put_once
from reprocess.storage.store import Blob, Store

KIND = "obstacle"
SCHEMA = 1
BRIEFLY = Patience(tries=2)
"""It serves to look things up: nobody waits for it."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that was in the way.

    Attributes
    ----------
    text : str
        Sentences: what, and what to do about it.
    since : str
        When it was noticed first, by the store's clock (UTC, ISO 8601).
    """

    text: str
    since: str


def prefix(campaign: str) -> str:
    """Where those of a campaign are."""
    return f"campaigns/{campaign}/obstacles/"


def note(store: Store, campaign: str, text: str) -> None:
    """Keep what is in the way; doing it again changes nothing. Never fails."""
    text = redaction.clean(text)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        put_once(store, f"{prefix(campaign)}{name}.json", records.dumps(KIND, SCHEMA, {"text": text}), patience=BRIEFLY)
    except (errors.StorageError, errors.PublicationError) as error:
        _LOG.warning("The report will not tell what is in the way: %s", error)


def read(store: Store, campaign: str) -> tuple[Obstacle, ...]:
    """Read what was in the way of a campaign, the first first.

    Raises
    ------
    DamagedRecord
        One of them is unreadable.
    """
    found = map(_from_blob, records_of.read_all(store, prefix(campaign)))
    return tuple(sorted(found, key=lambda one: (one.since, one.text)))


def _from_blob(blob: Blob) -> Obstacle:
    body = records.loads(blob.data, KIND, name=blob.stamp.key, schemas=(SCHEMA,))
    if not isinstance(body.get("text"), str):
        raise errors.DamagedRecord(f"{blob.stamp.key} says nothing. Delete it: it only serves the report.")
    return Obstacle(body["text"], blob.stamp.modified)
