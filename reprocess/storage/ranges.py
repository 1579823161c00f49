"""Arithmetic of byte ranges: which requests to send for the ranges that are wanted. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reprocess import errors
from reprocess.storage.store import ByteRange


@dataclass(frozen=True, slots=True)
class Extent:
    """A stretch of an object that is fetched for the wanted ranges with the indices `members`."""

    start: int
    end: int
    members: tuple[int, ...]


def merge(ranges: Sequence[ByteRange], *, gap_bytes: int, limit_bytes: int) -> list[Extent]:
    """Join ranges that lie at most `gap_bytes` apart, as long as what comes of it is no longer than `limit_bytes`.

    Every range that is not empty is a member of exactly one extent, which covers it wholly. A range that is longer than
    the limit makes an extent of its own.
    """
    wanted = sorted((part.start, part.start + part.length, index) for index, part in enumerate(ranges) if part.length)
    extents: list[Extent] = []
    for start, end, index in wanted:
        if extents:
            last = extents[-1]
            joined = max(last.end, end)
            if start <= last.end + gap_bytes and (joined - last.start <= limit_bytes or joined == last.end):
                extents[-1] = Extent(last.start, joined, (*last.members, index))
                continue
        extents.append(Extent(start, end, (index,)))
    return extents


def cut(start: int, end: int, piece_bytes: int) -> list[tuple[int, int]]:
    """Cut the stretch from `start` to `end` into pieces of at most `piece_bytes`, as (start, end)."""
    return [(first, min(first + piece_bytes, end)) for first in range(start, end, piece_bytes)]


def check(ranges: Sequence[ByteRange], name: str) -> None:
    """Refuse ranges with a negative start or length.

    Raises
    ------
    StorageError
        One is negative.
    """
    for part in ranges:
        if part.start < 0 or part.length < 0:
            raise errors.StorageError(f"{name}: the range of {part.length} bytes from {part.start} makes no sense.")


def past_end(name: str, start: int, end: int, size: int) -> errors.StorageError:
    """Word the error of a range that reaches past the end of an object."""
    return errors.StorageError(
        f"{name} has {size} bytes, so bytes {start} to {end} cannot be read. The object is shorter than "
        "what was read of it before said; scan it again."
    )
