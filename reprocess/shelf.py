"""References as workers need them: prepared once in the archive, kept once on the machine, kept in the process.

Prepared they are arrays that are chunked by rows. A marker, written when all of them are there, tells their digests.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock

from reprocess import errors
from reprocess.calibration.reference import Reference
from reprocess.exposure import ReferenceFile
from reprocess.formats import prepared, region
from reprocess.formats.reference_cache import ReferenceCache
from reprocess.formats.window import Corner
from reprocess.publication import publish
from reprocess.settings import CacheSettings
from reprocess.storage.store import Store

Key = tuple[object, ...]


def prepared_prefix(reference: ReferenceFile) -> str:
    """Where the arrays of a reference are, below the archive root."""
    return f"references/prepared/{reference.sha256}/{reference.type}.zarr"


def ready_key(reference: ReferenceFile) -> str:
    """Marker that is written when the arrays of a reference are all there."""
    return f"references/ready/{reference.sha256}.json"


def write(archive: Store, reference: ReferenceFile, found: Reference) -> None:
    """Write the arrays of a reference to the archive, and the marker last; doing it again changes nothing."""
    prepared.write_prepared(archive, prepared_prefix(reference), found)
    marker = json.dumps({"type": reference.type, "arrays": prepared.digests(found)}, sort_keys=True)
    publish.put_once(archive, ready_key(reference), f"{marker}\n".encode())


def read(
    archive: Store,
    reference: ReferenceFile,
    *,
    corner: Corner,
    shape: tuple[int, int],
    cache: CacheSettings | None = None,
) -> Reference:
    """Read the part of a prepared reference that covers some detector pixels; see `region.read_region`.

    Parameters
    ----------
    cache : CacheSettings, optional
        Where this machine keeps what it has fetched once; without it every call reads from the archive.
    """
    prefix = prepared_prefix(reference)
    if cache is None:
        return region.read_region(archive, prefix, corner=corner, shape=shape)
    return ReferenceCache(cache.path / "references", cache.references_gb * 10**9).read_region(
        archive,
        prefix,
        f"{reference.sha256}-{reference.type}",
        corner=corner,
        shape=shape,
        digests=lambda: _digests(archive, reference),
    )


def _digests(archive: Store, reference: ReferenceFile) -> Mapping[str, str]:
    """Digests of the arrays of a reference; none where its marker was written before markers told them."""
    key = ready_key(reference)
    try:
        marker = json.loads(archive.get(key).data)
        found: Mapping[str, str] = marker["arrays"] if marker.get("type") == reference.type else {}
    except (ValueError, AttributeError, KeyError) as error:
        raise errors.DamagedReference(f"{key} is no marker of a prepared reference. Delete it, run again.") from error
    return found


class Shelf:
    """References by key, the least recently used given up first.

    Parameters
    ----------
    limit_bytes : int
        Bytes of arrays that are kept at most; what is larger is handed out and not kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._kept: OrderedDict[Key, Reference] = OrderedDict()
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes of the arrays that are kept."""
        return sum(map(_size, self._kept.values()))

    def get(self, key: Key, read: Callable[[], Reference]) -> Reference:
        """Return the reference of `key`, read at its first use. Its arrays must not be changed."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = read()
        for array in found.arrays.values():
            array.flags.writeable = False
        with self._lock:
            if _size(found) <= self.limit_bytes:
                self._kept[key] = found
            while self.size_bytes > self.limit_bytes:
                self._kept.popitem(last=False)
        return found


def _size(reference: Reference) -> int:
    return sum(array.nbytes for array in reference.arrays.values())
