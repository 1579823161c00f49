"""The frames of an IRS2 exposure after its refpix step, which needs whole frames of all integrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reprocess.calibration import irs2, preparation, refpix_irs2
from reprocess.calibration.chain import Chain


def frames(raw: NDArray[Any], chain: Chain, correction: refpix_irs2.Correction) -> refpix_irs2.Frames:
    """Run the refpix step, and the steps before it that change its data.

    Parameters
    ----------
    raw : uint16 or float32 array, (integration, group, row, column)
        DN as in the file, 3200 rows.
    chain : Chain
        Settled for all rows.
    correction : refpix_irs2.Correction

    Returns
    -------
    refpix_irs2.Frames
    """
    readout = chain.readout
    bad = refpix_irs2.bad_rows(_samples(raw, chain, correction), correction)
    steps = refpix_irs2.repairs(bad, correction)
    data = np.empty(readout.shape, np.float32)
    for groups, corrected in zip(raw, data, strict=True):
        refpix_irs2.correct(_Frames(groups, chain, correction), correction, steps, out=corrected)
    return refpix_irs2.Frames(data, refpix_irs2.flags_of(bad, readout.detector))


def _samples(raw: NDArray[Any], chain: Chain, correction: refpix_irs2.Correction) -> Iterator[NDArray[np.float32]]:
    """Yield the reference samples of each integration after the superbias step."""
    between = irs2.between()
    bias = None if correction.bias is None else correction.bias[between[~irs2.normal_rows(correction.detector)]]
    for groups in raw:
        samples = chain.scaled(groups[:, between]).astype(np.float32)
        yield samples if bias is None else np.subtract(samples, bias, out=samples)


class _Frames:
    """Gives the raw frames of one integration after the superbias step."""

    def __init__(self, groups: NDArray[Any], chain: Chain, correction: refpix_irs2.Correction) -> None:
        self._groups = groups
        self._chain = chain
        self._bias = correction.bias
        self._normal = irs2.normal_rows(correction.detector)

    def __call__(self, group: int) -> NDArray[np.float32]:
        counts = self._chain.scaled(self._groups[group : group + 1])
        frame: NDArray[np.float32] = counts[0].astype(np.float32)
        if self._bias is not None:
            frame[~self._normal] -= self._bias
        normal = counts[:, self._normal]
        rows = slice(0, normal.shape[1])
        frame[self._normal] = preparation.without_bias(normal, rows, self._chain, np.empty(normal.shape, np.float32))[0]
        return frame
