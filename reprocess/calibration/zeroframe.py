"""The first frame of each integration, where it was sent down alone: ZEROFRAME.

Groups that average frames hide how bright pixels fill up. A ramp that has no good group keeps a rate if its first frame
is good. This frame goes through the steps before jump as a group does; it has no flags, so what cannot be used is 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from reprocess import errors
from reprocess.calibration import linearity, refpix, saturation
from reprocess.calibration.chain import Chain, Settings, coefficients_of
from reprocess.calibration.readout import Readout

Pixels = NDArray[np.uint16] | NDArray[np.float32]


def matters(readout: Readout, settings: Settings) -> bool:
    """Return whether the rates of an exposure can depend on its ZEROFRAME.

    Only the fit asks for it, and only where single groups count. MIRI has none.

    Parameters
    ----------
    readout : Readout
    settings : mapping
        Every parameter of every step.
    """
    single = not settings["ramp_fit"]["suppress_one_group"] or readout.ngroups == 1
    return single and readout.instrument != "MIRI"


def check(frames: Pixels, readout: Readout, rows: int) -> None:
    """Refuse a ZEROFRAME that is not of the rows at hand, or that cannot be calibrated.

    Parameters
    ----------
    frames : uint16 or float32 array, (integration, row, column)
    readout : Readout
    rows : int
        Rows that it must have.

    Raises
    ------
    errors.WrongLayout
        If it has another shape or type.
    errors.Unsupported
        If reference pixels are read between its pixels (NIRSpec IRS2).
    """
    wanted = readout.nints, rows, readout.columns
    if frames.shape != wanted or frames.dtype not in (np.uint16, np.float32):
        raise errors.WrongLayout(
            f"ZEROFRAME has axes {frames.shape} of type {frames.dtype}, but must have {wanted} of uint16 or float32 "
            "in native byte order"
        )
    if readout.interleaved:
        raise errors.Unsupported(
            f"READPATT {readout.read_pattern}: the ZEROFRAME of this pattern is not calibrated here; "
            "leave suppress_one_group of ramp_fit on"
        )


def without_bias(frames: Pixels, chain: Chain) -> NDArray[np.float32]:
    """Return the frames after the saturation and superbias steps.

    Parameters
    ----------
    frames : uint16 or float32 array, (integration, row, column)
        DN as in the file, the rows of the chain's band. Not changed.
    chain : Chain

    Returns
    -------
    float32 array, (integration, row, column)
        DN; 0 where the frame is at the threshold, or a neighbour is, or where it reads 0 or less.
    """
    images = frames.astype(np.float32)
    for image in images:
        if chain.limits is not None:
            image[_lost(image, chain.limits, chain.layers)] = 0
        if chain.bias is not None:
            _keep_zeros(image, image - chain.bias)
    return images


def _lost(image: NDArray[np.float32], limits: saturation.Threshold, layers: int) -> NDArray[np.bool_]:
    """Return the pixels that are saturated, or next to one that is, and those that read nothing."""
    first = np.where(image >= limits.level, np.uint8(0), np.uint8(1))
    lost: NDArray[np.bool_] = saturation.grow(first, layers) == 0
    lost |= image <= 0
    return lost


def _keep_zeros(image: NDArray[np.float32], changed: NDArray[np.float32]) -> None:
    """Take over a changed image but where the image is 0."""
    np.copyto(image, changed, where=image != 0)


def prepare(frames: Pixels, chain: Chain, signal: refpix.Signal | None) -> NDArray[np.float32]:
    """Run the steps before jump that have a meaning for single frames: saturation, superbias, refpix, linearity.

    Parameters
    ----------
    frames : uint16 or float32 array, (integration, row, column)
        DN as in the file, the rows of the chain's band. Not changed.
    chain : Chain
    signal : refpix.Signal or None
        Reference signal of the frames of the whole exposure, each as an integration of one group.

    Returns
    -------
    float32 array, (integration, row, column)
        DN; 0 where it cannot be used.
    """
    images = without_bias(frames, chain)
    rows = chain.band.rows
    for number, image in enumerate(images):
        if signal is not None:
            changed = image.copy()
            refpix.subtract(changed[None], signal, integration=number, rows=rows, single=False)
            _keep_zeros(image, changed)
        if chain.linearity is not None:
            _keep_zeros(image, _linear(image, chain))
    return images


def _linear(image: NDArray[np.float32], chain: Chain) -> NDArray[np.float32]:
    """Return an image after the linearity step, which takes a single frame as a single read."""
    assert chain.linearity is not None
    coefficients, _, flags = coefficients_of(chain.linearity, chain.shape)
    usable, _ = linearity.usable(coefficients, flags)
    corrected: NDArray[np.float32] = linearity.correct(image[None], coefficients=usable, saturated=None)[0]
    return corrected


def measure(frames: Iterable[Pixels], chain: Chain, layout: refpix.Layout, options: refpix.Options) -> refpix.Signal:
    """Measure the reference signal of the frames of a whole exposure.

    Parameters
    ----------
    frames : iterable of uint16 or float32 array
        (row, column), or several with a leading axis, in the order of the integrations.
    chain : Chain
        Settled for all rows with saturation and superbias.
    layout : refpix.Layout
    options : refpix.Options

    Returns
    -------
    refpix.Signal
        Each frame as an integration of one group.

    Raises
    ------
    errors.WrongLayout
        If there are more or fewer frames than integrations.
    """
    readout = chain.readout
    picked = [
        without_bias(each.reshape(-1, *readout.frame_shape), chain)
        .reshape(-1, readout.rows * readout.columns)
        .take(layout.pixels, axis=1)
        for each in frames
    ]
    count = sum(map(len, picked))
    if count != readout.nints:
        raise errors.WrongLayout(f"ZEROFRAME has {count} frames, but the exposure {readout.nints} integrations")
    # Officially the arrays at hand are in double precision by now, but where no sides are used.
    values = np.concatenate(picked)
    return refpix.signal_of([refpix.measure(values, layout, options, single=not layout.sides)], readout, groups=1)
