"""A reference file as the kernels see it: arrays and keywords, no file format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from reprocess import errors
from reprocess.exposure import Card


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference, cut to the rows of the slab and to the subarray, with its flags in JWST bits.

    Attributes
    ----------
    type : str
        CRDS type in lower case.
    arrays : mapping of str to array
        Native byte order; float32 for data, uint32 for flags. The last two axes are (row, column), but for the `ipc`
        kernel, whose `sci` may be a plain kernel, and for columns of tables, which have one axis; text is bytes.
    keywords : mapping of str to str, int, float or bool
        Keywords of the primary header by their FITS names.
    name : str
        File name, for messages.
    """

    type: str
    arrays: Mapping[str, NDArray[Any]]
    keywords: Mapping[str, Card]
    name: str = ""

    @property
    def label(self) -> str:
        """How messages call this reference."""
        return f"{self.type} reference {self.name}".rstrip()

    def array(self, name: str, shape: tuple[int, int]) -> NDArray[Any]:
        """Return an array whose last two axes must be `shape`.

        Raises
        ------
        errors.DamagedReference
            If there is no such array, or its rows and columns are not those of the science data.
        """
        found = self.arrays.get(name)
        if found is None:
            raise errors.DamagedReference(f"{self.label} has no array {name!r}; take another file of this type")
        if found.shape[-2:] != shape:
            raise errors.DamagedReference(
                f"{self.label}: array {name!r} has shape {found.shape}, but rows and columns of the data are {shape}; "
                "cut the reference to the subarray, or take one that covers it"
            )
        return found

    def integer(self, keyword: str) -> int:
        """Return a keyword that must be a whole number.

        Raises
        ------
        errors.DamagedReference
            If the keyword is missing or is not a whole number.
        """
        value = self.keywords.get(keyword)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise errors.DamagedReference(f"{self.label}: keyword {keyword} is {value!r}, but must be a whole number")
        return int(value)

    def number(self, keyword: str) -> float | None:
        """Return a keyword that may be a number, or None.

        Raises
        ------
        errors.DamagedReference
            If the keyword is there and is not a number.
        """
        value = self.keywords.get(keyword)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.DamagedReference(f"{self.label}: keyword {keyword} is {value!r}, but must be a number")
        return float(value)

    def rows(self, rows: slice, height: int) -> Reference:
        """Return this reference cut to `rows` where an array has `height` rows; the arrays are views.

        Kernels without a row axis (a plain IPC kernel) stay whole.
        """
        cut = {n: a[..., rows, :] if a.ndim > 1 and a.shape[-2] == height else a for n, a in self.arrays.items()}
        return replace(self, arrays=cut)

    def columns(self, columns: slice, width: int) -> Reference:
        """Return this reference cut to `columns` where an array has `width` columns; see `rows`."""
        cut = {n: a[..., columns] if a.ndim > 1 and a.shape[-1] == width else a for n, a in self.arrays.items()}
        return replace(self, arrays=cut)


References = Mapping[str, Reference | None]
