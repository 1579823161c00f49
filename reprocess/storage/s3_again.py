"""Reads are made again here and not by the client of the data plane, which would not tell how often it had to wait."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reprocess import errors

TRIES = 6
_LIMIT_S = 120.0
"""After so long no other try begins."""
_FIRST_S, _LONGEST_S = 0.2, 10.0
_CONFLICT_PAUSES_S = (0.01, 0.05, 0.2, 1.0)
Out = TypeVar("Out")


async def read(attempt: Callable[[], Awaitable[Out]]) -> Out:
    """Make an attempt that changes nothing, or that may be made twice, until it succeeds.

    After no answer, or one that asks to wait: with growing pauses. After a conflict, of which Ceph tells readers of an
    object that is being replaced: nearly at once.

    Raises
    ------
    StorageUnavailable, CommitConflict
        None of the tries succeeded.
    """
    begin, silences, conflicts = time.monotonic(), 0, 0
    while True:
        try:
            return await attempt()
        except errors.CommitConflict:
            if conflicts == len(_CONFLICT_PAUSES_S):
                raise
            pause_s = _CONFLICT_PAUSES_S[conflicts]
            conflicts += 1
        except errors.StorageUnavailable:
            silences += 1
            if silences == TRIES or time.monotonic() - begin > _LIMIT_S:
                raise
            # Half of the pause by chance: those who were refused together do not come back together.
            pause_s = min(_FIRST_S * 2 ** (silences - 1), _LONGEST_S) * random.uniform(0.5, 1.0)
        await asyncio.sleep(pause_s)
