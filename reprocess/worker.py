"""One task on one worker: prepare a reference; or read, calibrate and write an exposure, whole or slab by slab.

Nothing here raises: whatever happens becomes an `Outcome` of its own class. Workers write files and manifests below the
archive root and nothing else; only the coordinator moves pointers.
"""

from __future__ import annotations

import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from reprocess import errors, quicklook, reference_cache
from reprocess.calibration import detector1
from reprocess.calibration.readout import Readout
from reprocess.execution.executor import Task
from reprocess.exposure import Band, Outcome, Slab
from reprocess.formats import level1b, product, tail
from reprocess.planning.plan import Item
from reprocess.publication import assemble, provenance, publish
from reprocess.storage.store import Store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What every unit of a campaign is told.

    Attributes
    ----------
    archive, raw : Store
        Where products go, and where the Level 1b object is.
    campaign, plan : str
        Campaign id, and digest of the plan.
    created, software, context : str
        Of the plan: the date of every product, the version of this package, the CRDS context.
    item : Item
        The candidate.
    slab : Slab or None
        For the unit of one slab.
    cache_bytes : int
        Prepared references that a worker may keep between units.
    """

    archive: Store
    raw: Store
    campaign: str
    plan: str
    created: str
    software: str
    context: str
    item: Item
    slab: Slab | None = None
    cache_bytes: int = 0
