"""What time the store has. Clocks of other machines say nothing about how old an object is."""

from __future__ import annotations

import datetime
import uuid

from reprocess import errors
from reprocess.storage.store import Store


def now(store: Store) -> datetime.datetime:
    """Ask a store for its time, by writing an object of a few bytes and deleting it.

    Raises
    ------
    StorageError
        It may not be written, or the store stamps no times.
    """
    key = f"clock/{uuid.uuid4()}.json"
    stamp = store.put_if_absent(key, b"{}\n", content_type="application/json")
    try:
        return moment(stamp.modified or store.head(key).modified)
    except ValueError as error:
        raise errors.StorageError(f"{store.url} stamps objects with {stamp.modified!r}, which is no time.") from error
    finally:
        store.delete(key)


def moment(text: str) -> datetime.datetime:
    """Read a time that a store has stamped, in UTC.

    Raises
    ------
    ValueError
        It is no time.
    """
    found = datetime.datetime.fromisoformat(text)
    return found.replace(tzinfo=datetime.UTC) if found.tzinfo is None else found.astimezone(datetime.UTC)
