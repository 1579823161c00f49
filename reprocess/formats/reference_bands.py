"""References read by bands of the exposure's rows, cut to its columns, straight from their files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reprocess.calibration.reference import Reference
from reprocess.exposure import Band
from reprocess.formats.reference import ReferenceFile, Take
from reprocess.formats.window import Corner, outside, window


@dataclass(frozen=True, slots=True)
class ReferenceBands:
    """A reference file, seen from an exposure.

    Attributes
    ----------
    file : ReferenceFile
    rows, columns : slice
        Where the exposure's frame lies in that of the file.
    groups : int or None
        How many groups of it are read; None for all.
    """

    file: ReferenceFile
    rows: slice
    columns: slice
    groups: int | None = None

    @classmethod
    def of(
        cls, file: ReferenceFile, *, corner: Corner, shape: tuple[int, int], groups: int | None = None
    ) -> ReferenceBands:
        """Find the frame of an exposure in a reference file.

        Parameters
        ----------
        file : ReferenceFile
        corner, shape : tuple of int
            0-based detector row and column where the exposure's frame begins; its rows and columns.
        groups : int, optional
            How many of its first groups are needed.

        Raises
        ------
        DamagedReference
            The reference does not cover the frame.
        """
        label = f"{file.type} reference {file.name}"
        rows, columns = window(file.keywords, corner, shape, label)
        for name in (*file.images, *file.absent):
            frames = file.shape(name)
            if file.covers(name) and (rows.stop > frames[-2] or columns.stop > frames[-1]):
                raise outside(label, name, frames, corner=corner, shape=shape)
        return cls(file, rows, columns, groups)

    def read(self, band: Band, *, take: Take, columns: slice | None = None) -> Reference:
        """Read the rows of a band.

        Parameters
        ----------
        band : Band
            Rows of the exposure.
        take : callable
            Gives the memory for an array by its name, shape and type.
        columns : slice, optional
            Columns of the exposure; all where they are left out.
        """
        rows = slice(self.rows.start + band.start, self.rows.start + band.stop)
        if columns is not None:
            columns = slice(self.columns.start + columns.start, self.columns.start + columns.stop)
        return self.file.read(rows, columns or self.columns, take=take, groups=self.groups)

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes that its arrays have for one pixel of the detector."""
        frames = [
            self.file.shape(name)[:-2] for name in (*self.file.images, *self.file.absent) if self.file.covers(name)
        ]
        return 4 * sum(_planes(leading, self.groups) for leading in frames)


def _planes(leading: tuple[int, ...], groups: int | None) -> int:
    if leading and groups is not None:
        leading = (*leading[:-1], min(groups, leading[-1]))
    return int(np.prod(leading, dtype=np.int64))
