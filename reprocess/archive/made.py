"""What is known of the products of many rows, as numbers that are equal where their verdicts have to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reprocess.archive import configurations, keys

Numbers = NDArray[np.int64]

_SELF = "RPFPRINT"
_FOREIGN = ("CAL_VER", "CRDS_CTX", "RPVERS", "NGROUPS")


@dataclass(frozen=True)
class Made:
    """What is known of the products of each row, as numbers that are equal where a verdict has to be.

    A number that counts rows makes a group of each: of damaged pointers, replaced raw objects and products that carry
    a fingerprint of ours, because their reasons tell what only they have.

    Attributes
    ----------
    recipe, equivalents, missing, damage, alone : (int64 array, (row,), int)
        Numbers from 0 and how many there may be: of our pointers, and of rows that are a group of their own.
    foreign : tuple of the same
        Of products of somebody else, level by level.
    products : tuple of int64 array, (row,)
        Where the product of each level is in their table; -1 where there is none.
    twice : bool array, (row,)
        Rows that share their dataset's name with another row.
    """

    recipe: tuple[Numbers, int]
    equivalents: tuple[Numbers, int]
    missing: tuple[Numbers, int]
    damage: tuple[Numbers, int]
    alone: tuple[Numbers, int]
    foreign: tuple[tuple[Numbers, int], ...]
    products: tuple[Numbers, ...]
    twice: NDArray[np.bool_]

    def numbers(self) -> Iterator[tuple[Numbers, int]]:
        """Yield all numbers that a group agrees in."""
        yield from (self.recipe, self.equivalents, self.missing, self.damage, self.alone, *self.foreign)

    @classmethod
    def of(cls, raw: Any, pointers: Any, place: Numbers, products: Any) -> Made:  # noqa: ANN401
        """Look at pointers and products beside rows.

        Parameters
        ----------
        raw, pointers, products : pyarrow.Table
        place : int64 array, (row,)
            Row of the pointer; -1 without one.
        """
        published = place >= 0
        alone = published.copy()
        alone[published] = _differs(raw, pointers, place, published)
        code, count, own = _foreign(products)
        which, foreign = [], []
        for level in (*keys.PRODUCT_LEVELS, *keys.LATER_LEVELS):
            index = np.flatnonzero(pc.equal(products.column("level"), level).to_numpy(zero_copy_only=False))
            found = places(raw.column("dataset"), products.column("dataset").take(index))
            rows = np.where(found >= 0, np.append(index, -1)[found], -1)
            # A version of ours stands for itself; what stage 2 made of it, or of another, is beside it.
            there = rows >= 0 if level in keys.LATER_LEVELS else (rows >= 0) & ~published
            mine = np.zeros(raw.num_rows, np.int64)
            mine[there] = code[rows[there]] + 1
            alone[there] |= own[rows[there]]
            which.append(rows)
            foreign.append((mine, count + 1))
        twice = _twice(raw.column("dataset"))
        alone |= twice | pc.is_valid(raw.column("error")).to_numpy(zero_copy_only=False)
        serial = np.where(alone, np.arange(1, raw.num_rows + 1), 0)
        return cls(
            recipe=_at(place, *_column_numbers(pointers.column("recipe"))),
            equivalents=_at(place, *_column_numbers(_as_text(pointers.column("equivalents")))),
            missing=_at(place, *_column_numbers(_as_text(pointers.column("missing")))),
            damage=_at(place, *_column_numbers(pointers.column("damage"))),
            alone=(serial, raw.num_rows + 1),
            foreign=tuple(foreign),
            products=tuple(which),
            twice=twice,
        )


def _twice(datasets: Any) -> NDArray[np.bool_]:  # noqa: ANN401
    """Tell which rows share their dataset's name with another row."""
    names = configurations.one_chunk(datasets)
    # Partitions are sorted by name, which is faster to see than to count the names.
    if not len(names) or pc.all(pc.less(names[:-1], names[1:]), min_count=0).as_py():
        return np.zeros(len(names), np.bool_)
    numbers, count = _column_numbers(names)
    found: NDArray[np.bool_] = np.bincount(numbers, minlength=count)[numbers] > 1
    return found


def _at(place: Numbers, numbers: Numbers, count: int) -> tuple[Numbers, int]:
    """Return the number of each row's pointer, from 1; 0 without a pointer."""
    return np.append(numbers + 1, 0)[place], count + 1


def _column_numbers(column: Any) -> tuple[Numbers, int]:  # noqa: ANN401
    array = configurations.one_chunk(column)
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    count = len(encoded.dictionary) + 1
    return encoded.indices.fill_null(count - 1).to_numpy(zero_copy_only=False).astype(np.int64), count


def _as_text(column: Any) -> Any:  # noqa: ANN401
    return pc.binary_join(column.cast(pa.list_(pa.string())), " ")


def _differs(raw: Any, pointers: Any, place: Numbers, published: NDArray[np.bool_]) -> NDArray[np.bool_]:  # noqa: ANN401
    """Tell which published rows have to be judged each for itself: an error, or another raw object than it was."""
    rows, theirs = pa.array(np.flatnonzero(published)), pa.array(place[published])
    differs = pc.is_valid(pointers.column("error").take(theirs))
    for name in ("location", "key", "size", "etag"):
        now, then = raw.column(name).take(rows), pointers.column(f"raw_{name}").take(theirs)
        differs = pc.or_(differs, pc.fill_null(pc.not_equal(_plain(now), _plain(then)), True))
    found: NDArray[np.bool_] = configurations.one_chunk(differs).to_numpy(zero_copy_only=False)
    return found


def _plain(column: Any) -> Any:  # noqa: ANN401
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _foreign(products: Any) -> tuple[Numbers, int, NDArray[np.bool_]]:  # noqa: ANN401
    """Number the products of somebody else by what they say; tell which have to be judged each for itself."""
    words = [word for word in products.column_names if word[:2] in ("R_", "S_") or word in _FOREIGN]
    found = configurations.configurations(products, words)
    own = pc.is_valid(products.column("error")).to_numpy(zero_copy_only=False).copy()
    if _SELF in products.column_names:
        own |= pc.is_valid(products.column(_SELF)).to_numpy(zero_copy_only=False)
    return found.of_row.astype(np.int64), len(found.headers), own


def places(wanted: Any, among: Any) -> Numbers:  # noqa: ANN401
    """Return where each value is in a column; -1 where it is not."""
    wanted, among = configurations.one_chunk(wanted), configurations.one_chunk(among)
    if wanted.equals(among):  # an archive of which everything is published
        return np.arange(len(wanted))
    place = pc.index_in(wanted, value_set=among)
    found: Numbers = configurations.one_chunk(place).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found
