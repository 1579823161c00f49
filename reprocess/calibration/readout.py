"""How the detector was read: the part of the headers that the kernels need, checked once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reprocess import errors
from reprocess.exposure import Card, Header

INTERLEAVED_FROM, INTERLEAVED_ROWS = 2048, 3200


def is_interleaved(read_pattern: str, rows: Card) -> bool:
    """Return whether frames of so many rows have reference samples between the pixels."""
    return "IRS2" in read_pattern and rows == INTERLEAVED_FROM


@dataclass(frozen=True, slots=True)
class Readout:
    """One exposure's readout, from its header.

    Attributes
    ----------
    instrument, detector, exp_type, subarray, read_pattern : str
        INSTRUME, DETECTOR, EXP_TYPE, SUBARRAY and READPATT.
    nints, ngroups : int
        Integrations in this file (a segment's, not the exposure's) and groups in each.
    nframes, groupgap, drop_frames1 : int
        Frames averaged into a group, frames dropped between groups, frames dropped before the first group.
    frame_time_s, group_time_s : float
        TFRAME and TGROUP in seconds.
    fast_axis, slow_axis : int
        FASTAXIS and SLOWAXIS: 1 is the column axis, 2 the row axis, the sign is the direction of reading.
    rows, columns : int
        Shape of the frame in the file.
    row_start, column_start : int
        0-based position of the frame on the detector, from SUBSTRT2 and SUBSTRT1.
    frame_divisor : int or None
        FRMDIVSR: what the sum of a group's frames was divided by on board.
    outputs : int or None
        NOUTPUTS: amplifiers in use.
    first_integration : int
        INTSTART: 1-based number of the file's first integration in the exposure.
    normal_samples, reference_samples : int
        NRS_NORM and NRS_REF: how reference samples are interleaved with those of pixels, in IRS2 frames of NIRSpec.
    """

    instrument: str
    detector: str
    exp_type: str
    subarray: str
    read_pattern: str
    nints: int
    ngroups: int
    nframes: int
    groupgap: int
    drop_frames1: int
    frame_time_s: float
    group_time_s: float
    fast_axis: int
    slow_axis: int
    rows: int
    columns: int
    row_start: int
    column_start: int
    frame_divisor: int | None = None
    outputs: int | None = None
    first_integration: int = 1
    normal_samples: int = 16
    reference_samples: int = 4

    @classmethod
    def from_header(cls, header: Header, shape: Sequence[int], *, name: str = "") -> Readout:
        """Read the keywords and hold the shape of SCI against them.

        Parameters
        ----------
        header : mapping
            Keywords of the primary header (and of SCI) by their FITS names.
        shape : sequence of int
            Axes of SCI: (integration, group, row, column).
        name : str
            Key or data set that messages begin with.

        Raises
        ------
        errors.MissingKeyword
            If a keyword is missing or has no usable value.
        errors.WrongLayout
            If SCI does not have four axes, is empty, or is not what the keywords promise.
        """
        cards = _Cards(header, name)
        readout = cls(
            instrument=cards.text("INSTRUME"),
            detector=cards.text("DETECTOR"),
            exp_type=cards.text("EXP_TYPE"),
            subarray=cards.text("SUBARRAY"),
            read_pattern=cards.text("READPATT"),
            nints=_integrations(cards),
            ngroups=cards.integer("NGROUPS", least=0),
            nframes=cards.integer("NFRAMES", least=1),
            groupgap=cards.integer("GROUPGAP", least=0),
            drop_frames1=cards.integer("DRPFRMS1", least=0, default=0),
            frame_time_s=cards.seconds("TFRAME"),
            group_time_s=cards.seconds("TGROUP"),
            fast_axis=cards.axis("FASTAXIS"),
            slow_axis=cards.axis("SLOWAXIS"),
            rows=cards.integer("SUBSIZE2", least=1),
            columns=cards.integer("SUBSIZE1", least=1),
            row_start=cards.integer("SUBSTRT2", least=1) - 1,
            column_start=cards.integer("SUBSTRT1", least=1) - 1,
            frame_divisor=cards.optional_integer("FRMDIVSR"),
            outputs=cards.optional_integer("NOUTPUTS"),
            first_integration=cards.integer("INTSTART", least=1, default=1),
            normal_samples=cards.integer("NRS_NORM", least=1, default=16),
            reference_samples=cards.integer("NRS_REF", least=0, default=4),
        )
        _check_axes(readout, name)
        _check_shape(readout, tuple(shape), name)
        return readout

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Rows and columns of one frame."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Axes of the ramp: integration, group, row, column."""
        return self.nints, self.ngroups, self.rows, self.columns

    @property
    def interleaved(self) -> bool:
        """Whether the file has reference samples between the pixels: a full frame of NIRSpec in an IRS2 pattern."""
        return is_interleaved(self.read_pattern, self.rows)

    @property
    def raw_rows(self) -> int:
        """Rows of a frame in the Level 1b file."""
        return INTERLEAVED_ROWS if self.interleaved else self.rows

    @property
    def raw_shape(self) -> tuple[int, int, int, int]:
        """Axes of SCI in the Level 1b file: integration, group, row, column."""
        return self.nints, self.ngroups, self.raw_rows, self.columns


@dataclass(frozen=True, slots=True)
class _Cards:
    """Keywords by kind of value; every refusal names the keyword, its value and what it should be."""

    header: Header
    name: str

    def _value(self, keyword: str, default: Card | None) -> Card:
        value = self.header.get(keyword)
        if value is None or (isinstance(value, str) and not value.strip()):
            value = default
        if value is None:
            raise errors.MissingKeyword(f"{_prefix(self.name)}keyword {keyword} is missing; the header is incomplete")
        return value

    def _refuse(self, keyword: str, value: Card, wanted: str) -> errors.MissingKeyword:
        return errors.MissingKeyword(f"{_prefix(self.name)}keyword {keyword} is {value!r}, but must be {wanted}")

    def text(self, keyword: str, *, default: str | None = None) -> str:
        """Return a keyword that must be text."""
        value = self._value(keyword, default)
        if not isinstance(value, str):
            raise self._refuse(keyword, value, "text")
        return value.strip()

    def integer(self, keyword: str, *, least: int, default: int | None = None) -> int:
        """Return a keyword that must be a whole number of at least `least`."""
        value = self._value(keyword, default)
        wanted = f"a whole number, {least} or more"
        if isinstance(value, bool | str) or not math.isfinite(value) or value != int(value) or value < least:
            raise self._refuse(keyword, value, wanted)
        return int(value)

    def optional_integer(self, keyword: str) -> int | None:
        """Return a whole number of at least 1, or None if the keyword is not there."""
        return self.integer(keyword, least=1) if self.header.get(keyword) is not None else None

    def seconds(self, keyword: str) -> float:
        """Return a keyword that must be a positive time."""
        value = self._value(keyword, None)
        if isinstance(value, bool | str) or not math.isfinite(value) or value <= 0:
            raise self._refuse(keyword, value, "a positive number of seconds")
        return float(value)

    def axis(self, keyword: str) -> int:
        """Return a keyword that must be 1, -1, 2 or -2."""
        value = self._value(keyword, None)
        if isinstance(value, bool | str) or value not in (1, -1, 2, -2):
            raise self._refuse(keyword, value, "1, -1, 2 or -2")
        return int(value)


def _prefix(name: str) -> str:
    return f"{name}: " if name else ""


def _integrations(cards: _Cards) -> int:
    """Return how many integrations this file should hold: all, or those of its segment."""
    nints = cards.integer("NINTS", least=0)
    if cards.header.get("INTSTART") is None or cards.header.get("INTEND") is None:
        return nints
    return cards.integer("INTEND", least=1) - cards.integer("INTSTART", least=1) + 1


def _check_axes(readout: Readout, name: str) -> None:
    """Refuse a fast and a slow axis that are the same axis."""
    if abs(readout.fast_axis) == abs(readout.slow_axis):
        raise errors.MissingKeyword(
            f"{_prefix(name)}keywords FASTAXIS={readout.fast_axis} and SLOWAXIS={readout.slow_axis} name one axis; "
            "one must be 1 or -1, the other 2 or -2"
        )


def _check_shape(readout: Readout, shape: tuple[int, ...], name: str) -> None:
    """Refuse a SCI array that is empty or not of the shape that the keywords promise."""
    if shape != readout.raw_shape:
        raise errors.WrongLayout(
            f"{_prefix(name)}SCI has axes {shape}, but NINTS, NGROUPS, SUBSIZE2, SUBSIZE1 promise {readout.raw_shape} "
            "(integration, group, row, column); the file is damaged or its header is wrong"
        )
    if 0 in shape:
        raise errors.WrongLayout(
            f"{_prefix(name)}SCI is empty: NINTS={readout.nints}, NGROUPS={readout.ngroups}; nothing to calibrate"
        )
