"""The reference signal of a MIRI exposure: its reference pixels taken through the steps before refpix.

The reference pixels are the columns at both ends of a frame. Each end is calibrated as an exposure of its own: a strip
that is as much wider as saturation grows. So the signal is measured from a hundredth of the exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import preparation, refpix_miri
from reprocess.calibration.chain import Chain, Settings, settle
from reprocess.calibration.readout import Readout
from reprocess.calibration.reference import References
from reprocess.exposure import Band


def edges(readout: Readout, settings: Settings) -> tuple[slice, ...]:
    """Return the columns of both strips; none where the step has no reference pixels or is skipped.

    Parameters
    ----------
    readout : Readout
    settings : mapping
        Every parameter of every step.
    """
    if readout.instrument != "MIRI" or settings["refpix"]["skip"] or not refpix_miri.is_full_frame(readout):
        return ()
    width = refpix_miri.EDGE + int(settings["saturation"]["n_pix_grow_sat"] or 0)
    return slice(0, width), slice(readout.columns - width, readout.columns)


class EdgeMeter:
    """Measures the reference signal, frame by frame; holds the strips of one integration.

    Parameters
    ----------
    chain : Chain
        Settled for all rows.
    settings : mapping
        Every parameter of every step.
    strips : sequence of mapping of str to Reference or None
        The references cut to the columns of each of the `edges`.
    """

    def __init__(self, chain: Chain, settings: Settings, strips: Sequence[References]) -> None:
        assert isinstance(chain.refpix, refpix_miri.Options)
        self._options = chain.refpix
        self._ngroups = chain.readout.ngroups
        self._columns = edges(chain.readout, settings)
        self._chains = [
            _strip(chain.readout, settings, references, columns)
            for references, columns in zip(strips, self._columns, strict=True)
        ]
        self._held: list[list[NDArray[Any]]] = [[] for _ in self._columns]
        self._levels: list[NDArray[np.float64]] = []

    def add(self, integration: int, group: int, groups: NDArray[Any]) -> None:
        """Measure the next groups of an integration as they are in the file, (group, row, column)."""
        for held, columns in zip(self._held, self._columns, strict=True):
            held.append(groups[..., columns].copy())
        if group + len(groups) < self._ngroups:
            return
        places = slice(0, refpix_miri.EDGE), slice(-refpix_miri.EDGE, None)
        ends: list[refpix_miri.Edge] = []
        for held, chain, place in zip(self._held, self._chains, places, strict=True):
            ramp = preparation.prepare(np.concatenate(held)[None], chain, None, first=integration)
            ends.append(refpix_miri.Edge.of(ramp.data[0], ramp.pixeldq, place))
            held.clear()
        self._levels.append(refpix_miri.measure(ends[0], ends[1], self._options))

    def signal(self) -> refpix_miri.Signal:
        """Return the signal of all frames."""
        return refpix_miri.Signal(np.stack(self._levels))


def _strip(readout: Readout, settings: Settings, references: References, columns: slice) -> Chain:
    """Settle the steps before refpix for some columns."""
    cut = replace(readout, columns=columns.stop - columns.start, column_start=readout.column_start + columns.start)
    chain = settle(references, readout=cut, settings=settings, band=Band(0, readout.rows))
    return replace(chain, rscd=None)
