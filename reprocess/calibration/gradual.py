"""Raw groups that come some integrations at a time: an exposure of very many is never held as it is in its file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import preparation
from reprocess.calibration.chain import Chain
from reprocess.calibration.ramp import Ramp


@dataclass(frozen=True, slots=True)
class Pieces:
    """Raw groups of a slab that are read as they are needed, and may be gone through again.

    Attributes
    ----------
    shape : tuple of int
        (integration, group, row, column) of all of them.
    dtype : dtype
    read : callable
        Begins to read; yields whole integrations in order, each piece (integration, group, row, column). A piece may be
        overwritten by the next.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[], Iterator[NDArray[Any]]]


Raw = NDArray[Any] | Pieces


def prepare(raw: Raw, chain: Chain, signal: preparation.Signal | None) -> Ramp:
    """Run the steps before jump, see `preparation.prepare`; each integration is prepared by itself.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column), or Pieces
        DN as in the file.
    chain : Chain
    signal : refpix.Signal or refpix_miri.Signal or refpix_irs2.Frames or None
        Of all integrations.
    """
    if not isinstance(raw, Pieces):
        return preparation.prepare(raw, chain, signal)
    shape = raw.shape
    ramp = Ramp(np.empty(shape, np.float32), np.empty(shape, np.uint8), np.zeros(shape[2:], np.uint32))
    first = 0
    for piece in raw.read():
        part = preparation.prepare(piece, chain, signal, first=first)
        integrations = slice(first, first + len(piece))
        ramp.data[integrations], ramp.groupdq[integrations] = part.data, part.groupdq
        ramp.pixeldq[...] |= part.pixeldq
        first = integrations.stop
    return ramp
