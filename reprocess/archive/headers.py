"""Header sweep: the first bytes of many objects to catalogue entries, one ranged request each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reprocess import errors
from reprocess.archive import fingerprint, recipe
from reprocess.archive.partition import Pointer
from reprocess.archive.spool import Found
from reprocess.exposure import CatalogueEntry
from reprocess.formats import level1b, records
from reprocess.formats.header import FIRST_BYTES, NeedMore
from reprocess.storage.store import Blob, ByteRange, RangeRequest, Store

_FIRST = ByteRange(0, FIRST_BYTES)


@dataclass(slots=True)
class Reads:
    """How many requests a sweep has made so far."""

    requests: int = 0


def sweep(store: Store, found: Sequence[Found], *, reads: Reads) -> Iterator[CatalogueEntry]:
    """Read the headers of objects of one store, in the order in which the answers come.

    Parameters
    ----------
    store : Store
        The store that holds all of them.
    found : sequence of Found
        Objects to read; their keys differ.
    reads : Reads
        Counts the requests, so that a caller can tell what a scan cost.

    Yields
    ------
    CatalogueEntry
        One for each object that is still there. What cannot be read has `error_class` and `error`; an object that
        vanished since the listing has no entry; one that was replaced is described as it is now.
    """
    waiting = {one.stamp.key: one for one in found}
    for one in found:
        if one.stamp.size == 0:  # an empty object has no first byte that could be asked for
            yield _broken(one, errors.Truncated(f"{one.stamp.key} is empty. Fetch the file again."))
    requests = [RangeRequest(one.stamp.key, _FIRST, one.stamp.etag) for one in found if one.stamp.size]
    while requests:
        again: list[RangeRequest] = []
        reads.requests += len(requests)
        for request, answer in store.sweep(requests):
            result = _entry(waiting[request.key], request, answer)
            if isinstance(result, RangeRequest):
                again.append(result)
            elif result is not None:
                yield result
        requests = again


def sweep_pointers(store: Store, found: Sequence[Found], *, reads: Reads) -> Iterator[Pointer]:
    """Read pointer records whole.

    Yields
    ------
    Pointer
        One for each record that is still there; what cannot be read has an error.
    """
    waiting = {one.stamp.key: one for one in found}
    requests = [RangeRequest(one.stamp.key, ByteRange(0, max(1, one.stamp.size)), one.stamp.etag) for one in found]
    while requests:
        again: list[RangeRequest] = []
        reads.requests += len(requests)
        for request, answer in store.sweep(requests):
            result = _pointer(waiting[request.key], request, answer)
            if isinstance(result, RangeRequest):
                again.append(result)
            elif result is not None:
                yield result
        requests = again


def _pointer(one: Found, request: RangeRequest, answer: Blob | Exception) -> Pointer | RangeRequest | None:
    if isinstance(answer, errors.ObjectMissing):
        return None
    if isinstance(answer, errors.PreconditionFailed) and request.etag:
        return RangeRequest(request.key, _FIRST)
    stamp = one.stamp
    if isinstance(answer, errors.ReprocessError):
        return Pointer(
            one.dataset, one.location, stamp.key, stamp.size, stamp.etag,
            error_class=answer.outcome_class, error=str(answer),
        )  # fmt: skip
    if isinstance(answer, Exception):
        raise answer
    if len(answer.data) < answer.stamp.size:
        return RangeRequest(request.key, ByteRange(0, answer.stamp.size), answer.stamp.etag)
    return read_pointer(answer, dataset=one.dataset, location=one.location)


def read_pointer(blob: Blob, *, dataset: str, location: str) -> Pointer:
    """Read a pointer record; what is wrong with it is kept in its place."""
    place = Pointer(dataset, location, blob.stamp.key, blob.stamp.size, blob.stamp.etag)
    try:
        record = records.loads(blob.data, "pointer", name=place.key)
        chain = fingerprint.from_record(record["fingerprint"])
        found = replace(
            place,
            version=str(record["version"]),
            software=str(record["software"]),
            context=str(record["context"]),
            raw=dict(record["raw"]),
            recipe=recipe.text(chain),
            equivalents=tuple(map(str, record["equivalents"])),
            left=tuple(dict.fromkeys(_left(record))),
            created=str(record.get("created", "")),
            manifest=str(record.get("manifest", "")),
        )
        if recipe.chain(found.raw, found.recipe)[-1].digest != chain[-1].digest:
            raise errors.DamagedRecord(f"{place.key}: its fingerprint has not the digest it claims. Publish again.")
        return found
    except errors.ReprocessError as error:
        return replace(place, error_class=error.outcome_class, error=str(error))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        text = f"{place.key} lacks {error}. Restore it from an earlier version."
        return replace(place, error_class=errors.DamagedRecord.outcome_class, error=text)


def _left(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield the versions that no pointer shows again by itself: seen before, or cleaned away."""
    yield from (str(commit["version"]) for commit in record["history"] if commit["version"])
    yield from map(str, record.get("removed", ()))


def _entry(one: Found, request: RangeRequest, answer: Blob | Exception) -> CatalogueEntry | RangeRequest | None:
    """Make the entry, or the request that has to follow, or nothing for an object that is gone."""
    if isinstance(answer, errors.ObjectMissing):
        return None
    if isinstance(answer, errors.PreconditionFailed) and request.etag:
        return replace(request, etag="")
    if isinstance(answer, Exception):
        return _broken(one, answer)
    try:
        entry = level1b.read_entry(answer.data, answer.stamp, one.location, one.dataset, one.level)
    except errors.ReprocessError as error:
        return level1b.broken_entry(error, answer.stamp, one.location, one.dataset, one.level)
    if isinstance(entry, NeedMore):
        return _more(one, entry, answer)
    return replace(entry, header={key: _shared(value) for key, value in entry.header.items()})


def _more(one: Found, need: NeedMore, answer: Blob) -> CatalogueEntry | RangeRequest:
    if need.length <= len(answer.data) or len(answer.data) >= answer.stamp.size:
        return _broken(one, errors.Truncated(f"{one.stamp.key} ends within its headers. Fetch the file again."))
    return RangeRequest(one.stamp.key, ByteRange(0, need.length), answer.stamp.etag)


def _broken(one: Found, error: Exception) -> CatalogueEntry:
    if not isinstance(error, errors.ReprocessError):
        raise error  # a store promises our own errors; anything else is a defect, not a property of the object
    return level1b.broken_entry(error, one.stamp, one.location, one.dataset, one.level)


def _shared(value: str | int | float | bool) -> str | int | float | bool:
    # Most values repeat from exposure to exposure: one copy of each keeps a program's entries small.
    return sys.intern(value) if type(value) is str else value
