"""Where the pixels of an exposure lie in the frame of a reference file."""

from __future__ import annotations

from collections.abc import Mapping

from reprocess import errors
from reprocess.exposure import Card

Corner = tuple[int, int]


def window(keywords: Mapping[str, Card], corner: Corner, shape: tuple[int, int], label: str) -> tuple[slice, slice]:
    """Find some detector pixels in the frame of a reference, whose own corner is in SUBSTRT1 and SUBSTRT2.

    Parameters
    ----------
    keywords : mapping
        Of the reference.
    corner : tuple of int
        0-based detector row and column where the pixels begin.
    shape : tuple of int
        Rows and columns.
    label : str
        How messages call the reference.

    Raises
    ------
    DamagedReference
        The reference begins after the pixels.
    """
    slices = []
    for keyword, start, length in (("SUBSTRT2", corner[0], shape[0]), ("SUBSTRT1", corner[1], shape[1])):
        own = keywords.get(keyword, 1)
        if isinstance(own, bool) or not isinstance(own, int) or start < own - 1:
            raise errors.DamagedReference(
                f"{label}: {keyword} is {own!r}, and the science data begin at pixel {start + 1}. "
                "Take a reference that covers them."
            )
        slices.append(slice(start - own + 1, start - own + 1 + length))
    return slices[0], slices[1]


def outside(
    label: str, name: str, frames: tuple[int, ...], *, corner: Corner, shape: tuple[int, int]
) -> errors.DamagedReference:
    """Say that an array ends before the pixels do."""
    return errors.DamagedReference(
        f"{label}: {name} has frames of {frames[-2:]} from its corner on and does not cover "
        f"{shape[0]} x {shape[1]} pixels from {corner}. Take a reference for this subarray."
    )
