"""When exposures began, for many at once: whole seconds, and the text that rules compare where a second is not enough.

Rules order dates as text in the form that `crds` gives them. Between two texts that differ in whole seconds the order
is that of the seconds; only within one second the fraction decides, and `crds` itself has to write it.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reprocess import errors

UNKNOWN = np.int64(np.iinfo(np.int64).min)
_EPOCH = datetime.datetime(2000, 1, 1)
_DAY_S = 86400
_LENGTH = len("HH:MM:SS")

Text = Callable[[str, str], str]
"""Writes a day and a time of day as rules compare them; raises `errors.MissingKeyword` where they are none."""


@dataclass(frozen=True)
class Instants:
    """When rows began.

    Attributes
    ----------
    seconds : int64 array, (row,)
        Whole seconds since 2000-01-01; `UNKNOWN` where there is no date.
    days, times : pyarrow array of str, (row,)
        DATE-OBS and TIME-OBS as they are in the headers.
    written : callable
        Writes a day and a time as rules compare them.
    """

    seconds: NDArray[np.int64]
    days: Any
    times: Any
    written: Text

    def text(self, row: int) -> str:
        """Write the date of a row as rules compare it.

        Raises
        ------
        errors.MissingKeyword
            There is none.
        """
        return self.written(*(str(column[row].as_py() or "UNDEFINED").upper() for column in (self.days, self.times)))


def seconds_of(text: str) -> int:
    """Return the whole seconds of a date as rules compare it."""
    return int((datetime.datetime.fromisoformat(text).replace(microsecond=0) - _EPOCH).total_seconds())


def instants(days: Any, times: Any, written: Text) -> Instants:  # noqa: ANN401 (pyarrow has no types)
    """Read two columns of a catalogue.

    Parameters
    ----------
    days, times : pyarrow array of str or dictionary of str, (row,)
        DATE-OBS and TIME-OBS.
    written : callable
        See `Text`.
    """
    day = _of_days(days, written)
    time = _of_times(times)
    seconds = day * _DAY_S + time
    seconds[day == UNKNOWN] = UNKNOWN
    found = Instants(seconds, days, times, written)
    for row in np.flatnonzero((time < 0) & (day != UNKNOWN)):
        try:
            seconds[row] = seconds_of(found.text(int(row)))
        except errors.MissingKeyword:
            seconds[row] = UNKNOWN
    return found


def _of_days(days: Any, written: Text) -> NDArray[np.int64]:  # noqa: ANN401
    """Return the day of each row; `UNKNOWN` where there is none."""
    encoded = days if pa.types.is_dictionary(days.type) else days.dictionary_encode()
    distinct = np.array([_day(text, written) for text in encoded.dictionary.to_pylist()] + [UNKNOWN], np.int64)
    codes = encoded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)
    found: NDArray[np.int64] = distinct.take(codes)
    return found


def _day(text: str | None, written: Text) -> np.int64:
    try:
        return np.int64(seconds_of(written(str(text).upper(), "00:00:00")) // _DAY_S)
    except (errors.MissingKeyword, ValueError):
        return UNKNOWN


def _of_times(times: Any) -> NDArray[np.int64]:  # noqa: ANN401
    """Return the whole seconds of the day of each row; -1 where the text is not plainly HH:MM:SS with a fraction."""
    if pa.types.is_dictionary(times.type):
        distinct = np.append(_of_times(times.dictionary), np.int64(-1))
        codes = times.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)
        found: NDArray[np.int64] = distinct.take(codes)
        return found
    texts = times.cast(pa.large_string()).fill_null("")
    seconds = np.full(len(texts), -1, np.int64)
    _, bounds, data = texts.buffers()
    if not len(texts) or data is None:
        return seconds
    starts = np.frombuffer(bounds, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    characters = np.frombuffer(data, np.uint8)
    lengths = np.diff(starts)
    for length in np.unique(lengths):
        if length >= _LENGTH:
            rows = np.flatnonzero(lengths == length)
            seconds[rows] = _plain(characters, starts[:-1][rows], int(length))
    return seconds


def _plain(characters: NDArray[np.uint8], starts: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return the whole seconds of times that are all `length` characters long; -1 where one is not plain."""

    def digit(position: int) -> NDArray[np.uint8]:
        return characters.take(starts + position) - np.uint8(ord("0"))

    def mark(position: int, character: str) -> NDArray[np.bool_]:
        return np.asarray(characters.take(starts + position) == ord(character))

    plain = mark(2, ":") & mark(5, ":")
    if length > _LENGTH:
        plain &= mark(_LENGTH, ".")
    total = np.zeros(len(starts), np.int64)
    for position, weight in ((0, 36000), (1, 3600), (3, 600), (4, 60), (6, 10), (7, 1)):
        value = digit(position)
        plain &= value <= (9 if position in (1, 4, 7) else 5 if position else 2)
        total += value.astype(np.int64) * weight
    for position in range(_LENGTH + 1, length):
        plain &= digit(position) <= 9
    plain &= total < _DAY_S
    return np.where(plain, total, -1)
