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
_BITS = {name: 1 << bit for bit, name in enumerate(_MNEMONICS.split())}


def to_jwst(stored: npt.NDArray[np.uint32], meanings: Sequence[tuple[int, str]]) -> npt.NDArray[np.uint32]:
    """Map flags through the DQ_DEF table of their file.

    Parameters
    ----------
    stored : uint32 array, any shape
        Flags as the file holds them.
    meanings : sequence of (value, mnemonic)
        What each value of the file stands for; a mnemonic that JWST does not know is passed over.

    Returns
    -------
    uint32 array of the same shape
        JWST bits; a bit that no row explains is dropped.
    """
    known = [(value & 0xFFFFFFFF, _BITS[name]) for value, name in meanings if name in _BITS]
    if all(value == bit for value, bit in known):
        return stored & np.uint32(sum({bit for _, bit in known}))
    mapped = np.zeros_like(stored)
    for value, bit in known:
        mapped |= np.where(stored & np.uint32(value), np.uint32(bit), np.uint32(0))
    return mapped
