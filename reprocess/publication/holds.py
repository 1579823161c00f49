"""Holds: datasets that nothing touches until somebody lifts the hold, each with who set it and why.

A held dataset is not planned, not published, not rolled back and not retired; its versions are not cleaned away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprocess import errors
from reprocess.formats import records
from reprocess.publication import records_of
from reprocess.publication.publish import put_once
from reprocess.storage.store import Blob, Store

KIND = "hold"
SCHEMA = 1
PREFIX = "holds/"


@dataclass(frozen=True, slots=True)
class Hold:
    """One dataset that is held.

    Attributes
    ----------
    dataset : str
    why : str
        What the operator said.
    who : str
        Who that is.
    since : str
        When, by the store's clock (UTC, ISO 8601).
    """

    dataset: str
    why: str
    who: str
    since: str = ""

    def __str__(self) -> str:
        return f"{self.dataset} is held by {self.who} since {self.since}: {self.why}"


def key(dataset: str) -> str:
    """Where the hold of a dataset is."""
    return f"{PREFIX}{dataset}.json"


def read(store: Store) -> Mapping[str, Hold]:
    """Read all holds, by dataset.

    Raises
    ------
    DamagedRecord
        One of them is unreadable: then nobody knows what is held.
    """
    found = map(_from_blob, records_of.read_all(store, PREFIX))
    return {hold.dataset: hold for hold in sorted(found, key=lambda hold: hold.dataset)}


def find(store: Store, dataset: str) -> Hold | None:
    """Read the hold of one dataset; None if it is not held."""
    try:
        return _from_blob(store.get(key(dataset)))
    except errors.ObjectMissing:
        return None


def check(store: Store, dataset: str) -> None:
    """Refuse to touch a dataset that is held.

    Raises
    ------
    OnHold
        It is.
    """
    hold = find(store, dataset)
    if hold is not None:
        raise errors.OnHold(f"{hold}. Nothing was changed; `reprocess unhold` lifts the hold.")


def put(store: Store, hold: Hold) -> Hold:
    """Hold a dataset; doing it again for the same reason changes nothing.

    Raises
    ------
    UsageError
        It is held already, by another or for another reason.
    """
    data = records.dumps(KIND, SCHEMA, {"dataset": hold.dataset, "why": hold.why, "who": hold.who})
    try:
        put_once(store, key(hold.dataset), data)
    except errors.PublicationError as error:
        held = find(store, hold.dataset)
        raise errors.UsageError(f"{held or hold.dataset + ' is held'}. Lift that hold first.") from error
    return find(store, hold.dataset) or hold


def lift(store: Store, dataset: str) -> Hold | None:
    """Lift a hold; None if there was none."""
    held = find(store, dataset)
    store.delete(key(dataset))
    return held


def _from_blob(blob: Blob) -> Hold:
    body = records.loads(blob.data, KIND, name=blob.stamp.key, schemas=(SCHEMA,))
    try:
        found = Hold(str(body["dataset"]), str(body["why"]), str(body["who"]), blob.stamp.modified)
    except KeyError as error:
        raise errors.DamagedRecord(f"{blob.stamp.key} lacks {error}. Lift the hold and set it anew.") from error
    if key(found.dataset) != blob.stamp.key:
        raise errors.DamagedRecord(f"{blob.stamp.key} holds {found.dataset}. Delete it and set the hold anew.")
    return found
