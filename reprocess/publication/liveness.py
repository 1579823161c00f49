"""Which campaigns have a coordinator that is alive: its lease is renewed while one looks. Takes no lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from reprocess import errors
from reprocess.formats import records
from reprocess.publication import lease as leases
from reprocess.storage.store import Store


def live(store: Store, campaigns: Iterable[str], *, sleep: Callable[[float], None] = time.sleep) -> frozenset[str]:
    """Watch the leases of campaigns, all at a time, for as long as their holders may be silent.

    Leases that were released are not waited for; if no other is there, this returns at once.

    Parameters
    ----------
    sleep : callable
        Takes seconds.
    """
    held = {campaign: found for campaign in campaigns if (found := _held(store, campaign)) is not None}
    if held:
        sleep(max(silence_s for _, silence_s in held.values()))
    return frozenset(
        campaign
        for campaign, (etag, _) in held.items()
        if (now := _held(store, campaign)) is not None and now[0] != etag
    )


def _held(store: Store, campaign: str) -> tuple[str, float] | None:
    """Return ETag and silence of a lease that was not released; None if there is none."""
    key = leases.key(campaign)
    try:
        blob = store.get(key)
    except errors.ObjectMissing:
        return None
    body = records.loads(blob.data, leases.KIND, name=key, schemas=(leases.SCHEMA,))
    return None if body.get("released") else (blob.stamp.etag, float(body.get("silence_s", leases.SILENCE_S)))
