"""Pixel flags of reference files in JWST bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Mnemonics by bit, the lowest first (jwst-pipeline documentation, "Data Quality Flags").
_MNEMONICS = """
    DO_NOT_USE SATURATED JUMP_DET DROPOUT OUTLIER PERSISTENCE AD_FLOOR CHARGELOSS
    RESERVED NON_SCIENCE DEAD HOT WARM LOW_QE RC TELEGRAPH
    NONLINEAR BAD_REF_PIXEL NO_FLAT_FIELD NO_GAIN_VALUE NO_LIN_CORR NO_SAT_CHECK UNRELIABLE_BIAS UNRELIABLE_DARK
    UNRELIABLE_SLOPE UNRELIABLE_FLAT OPEN ADJ_OPEN FLUX_ESTIMATED MSA_FAILED_OPEN OTHER_BAD_PIXEL REFERENCE_PIXEL"""
_PIECE = 1 << 15  # pixels that stay in the processor's cache
NAMES = tuple(_MNEMONICS.split())
"""Names of the JWST bits, the lowest first."""
_BITS = {name: 1 << bit for bit, name in enumerate(NAMES)}


def to_jwst(
    stored: npt.NDArray[np.uint32], meanings: Sequence[tuple[int, str]], *, out: npt.NDArray[np.uint32] | None = None
) -> npt.NDArray[np.uint32]:
    """Map flags through the DQ_DEF table of their file.

    Parameters
    ----------
    stored : uint32 array, any shape
        Flags as the file holds them.
    meanings : sequence of (value, mnemonic)
        What each value of the file stands for; a mnemonic that JWST does not know is passed over.
    out : uint32 array, C-contiguous, optional
        What is filled; may be `stored` itself.

    Returns
    -------
    uint32 array of the same shape
        JWST bits; a bit that no row explains is dropped.
    """
    known = [(value & 0xFFFFFFFF, _BITS[name]) for value, name in meanings if name in _BITS]
    if all(value == bit for value, bit in known):
        return np.bitwise_and(stored, np.uint32(sum({bit for _, bit in known})), out=out)
    out = np.empty_like(stored) if out is None else out
    source, target = stored.reshape(-1), out.reshape(-1)
    for start in range(0, source.size, _PIECE):
        piece = slice(start, start + _PIECE)
        target[piece] = _mapped(source[piece], known)
    return out


def _mapped(stored: npt.NDArray[np.uint32], known: Sequence[tuple[int, int]]) -> npt.NDArray[np.uint32]:
    """Map flags, value by value; those that occur nowhere cost nothing."""
    occurring = int(np.bitwise_or.reduce(stored))
    mapped = np.zeros_like(stored)
    for value, bit in known:
        if not value & occurring:
            continue
        found = stored & np.uint32(value)
        if value.bit_count() > 1:
            mapped[found != 0] |= np.uint32(bit)
        elif bit >= value:
            mapped |= found << np.uint32(bit.bit_length() - value.bit_length())
        else:
            mapped |= found >> np.uint32(value.bit_length() - bit.bit_length())
    return mapped
