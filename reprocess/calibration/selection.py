"""Order statistics along the leading axis, for all pixels at once, without a sort.

A network of comparisons does the same steps whatever the values are. Each step is then one `minimum` and one `maximum`
of whole rows of pixels, and steps that no wanted rank depends on are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Real = TypeVar("Real", np.float32, np.float64)

NETWORK_LIMIT = 64  # rows; above it a sort of each pixel's values takes less time


class Comparator(NamedTuple):
    """One step: the smaller of two rows goes to `low`, the larger to `high`, each only if it is wanted later."""

    low: int
    high: int
    keep_low: bool
    keep_high: bool


def _merge_exchange(length: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs of Batcher's odd-even merge sort in its form for any length (Knuth, volume 3, 5.2.2 M)."""
    top = 1 << max(length - 1, 0).bit_length() >> 1
    step = top
    while step:
        reach, residue, distance = top, 0, step
        while True:
            yield from ((i, i + distance) for i in range(length - distance) if i & step == residue)
            if reach == step:
                break
            distance, reach, residue = reach - step, reach >> 1, step
        step >>= 1


@lru_cache(maxsize=256)
def network(length: int, ranks: tuple[int, ...]) -> tuple[Comparator, ...]:
    """Return the steps after which rows `ranks` hold the values of those ranks.

    Parameters
    ----------
    length : int
        Number of rows.
    ranks : tuple of int
        Wanted ranks, 0 for the smallest.
    """
    wanted = set(ranks)
    steps = []
    for low, high in reversed(list(_merge_exchange(length))):
        keep_low, keep_high = low in wanted, high in wanted
        if keep_low or keep_high:
            wanted |= {low, high}
            steps.append(Comparator(low, high, keep_low, keep_high))
    return tuple(reversed(steps))


def order_statistics(values: NDArray[Real], ranks: Sequence[int]) -> list[NDArray[Real]]:
    """Return the values of some ranks for each pixel.

    Parameters
    ----------
    values : float array, (n, pixel)
        Overwritten. A pixel that has a NaN among its values has NaN in every rank that is not left to a sort.
    ranks : sequence of int
        Wanted ranks along the first axis, 0 for the smallest.

    Returns
    -------
    list of float array, (pixel,)
        In the order of `ranks`; views of `values` or of scratch memory.
    """
    if len(values) > NETWORK_LIMIT:
        ordered = np.sort(np.ascontiguousarray(values.T), axis=1).T
        return [ordered[rank] for rank in ranks]
    rows = list(values)
    spare = np.empty_like(rows[0])
    for low, high, keep_low, keep_high in network(len(rows), tuple(ranks)):
        one, other = rows[low], rows[high]
        if keep_low and keep_high:
            np.minimum(one, other, out=spare)
            np.maximum(one, other, out=other)
            rows[low], spare = spare, one
        elif keep_low:
            np.minimum(one, other, out=one)
        else:
            np.maximum(one, other, out=other)
    return [rows[rank] for rank in ranks]


def ordered(values: NDArray[Real]) -> NDArray[Real]:
    """Return the values of each pixel in ascending order along the first axis.

    Parameters
    ----------
    values : float array, (n, pixel)
        Overwritten. Free of NaN.
    """
    return np.stack(order_statistics(values, range(len(values))))


def at_rank(sorted_values: NDArray[Real], rank: NDArray[np.intp]) -> NDArray[Real]:
    """Return for each pixel the value of a rank of its own.

    Parameters
    ----------
    sorted_values : float array, (n, pixel)
        Contiguous.
    rank : int array, (pixel,)
    """
    pixels = sorted_values.shape[1]
    values: NDArray[Real] = sorted_values.reshape(-1).take(rank * pixels + np.arange(pixels))
    return values


def median_of_known(values: NDArray[Real]) -> NDArray[np.float64]:
    """Return the median of each pixel's values along the first axis, NaN left out; NaN if there is nothing else.

    Parameters
    ----------
    values : float array, (n, pixel)
        Overwritten.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        incomplete = np.flatnonzero(np.isnan(np.add.reduce(values, axis=0)))
    partly = values.take(incomplete, axis=1)
    below, above = order_statistics(values, ((len(values) - 1) // 2, len(values) // 2))
    median = below.astype(np.float64)
    median += above
    median *= 0.5
    if incomplete.size:
        lower, upper = middle_of_known(partly)
        median[incomplete] = (lower + upper) / 2
    return median


def middle_of_known(values: NDArray[Real]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two values, or twice the one, in the middle of each pixel's values, NaN left out.

    Parameters
    ----------
    values : float array, (n, pixel)
        Overwritten.

    Returns
    -------
    lower, upper : float64 array, (pixel,)
        NaN where there is nothing but NaN.
    """
    known = count_of(~np.isnan(values))
    np.fmin(values, values.dtype.type(np.inf), out=values)
    ascending = ordered(values)
    lower = at_rank(ascending, np.maximum(known - 1, 0) // 2).astype(np.float64)
    upper = at_rank(ascending, np.minimum(known // 2, len(values) - 1)).astype(np.float64)
    lower[known == 0] = np.nan
    return lower, upper


def count_of(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return how many values of each pixel are marked along the first axis.

    Parameters
    ----------
    marked : bool array, (n, pixel)
    """
    narrow = np.uint8 if len(marked) < 256 else np.intp
    count: NDArray[np.intp] = np.add.reduce(marked, axis=0, dtype=narrow).astype(np.intp)
    return count
