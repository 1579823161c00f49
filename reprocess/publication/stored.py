"""What is stored of each version, as a listing tells it: whole, removed, or remains of something that was cut off."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from reprocess.publication import removed, store_clock
from reprocess.storage.store import Stamp, Store

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Stored:
    """What is below the prefix of one version, as a listing tells it."""

    version: str
    stamps: tuple[Stamp, ...]

    @property
    def names(self) -> frozenset[str]:
        """Names of the files."""
        return frozenset(stamp.key.rpartition("/")[2] for stamp in self.stamps)

    @property
    def is_removed(self) -> bool:
        """Whether a clean-up has been here; files that it left are remains."""
        return removed.NAME in self.names

    @property
    def is_whole(self) -> bool:
        """Whether there is a manifest."""
        return MANIFEST in self.names and not self.is_removed

    @property
    def files(self) -> tuple[Stamp, ...]:
        """What may be deleted: all but the records that stay."""
        return tuple(stamp for stamp in self.stamps if stamp.key.rpartition("/")[2] not in (MANIFEST, removed.NAME))

    @property
    def size_bytes(self) -> int:
        """Bytes of the files."""
        return sum(stamp.size for stamp in self.files)

    @property
    def newest(self) -> datetime.datetime:
        """When the last of them was written, by the store's clock."""
        return max(store_clock.moment(stamp.modified) for stamp in self.stamps)


def listed(store: Store) -> Iterator[tuple[str, list[Stored]]]:
    """Yield what is stored of each dataset, version by version, from one listing of all products."""
    stamps = (stamp for stamp in store.list("products/") if stamp.key.count("/") >= 3)
    for dataset, of_dataset in itertools.groupby(stamps, key=lambda stamp: stamp.key.split("/", 3)[1]):
        versions: dict[str, list[Stamp]] = {}
        for stamp in of_dataset:
            versions.setdefault(stamp.key.split("/", 3)[2], []).append(stamp)
        yield dataset, [Stored(version, tuple(those)) for version, those in versions.items()]
