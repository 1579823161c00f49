"""How far products may be from the official ones, and how far they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

NUMBERS = ("SCI", "ERR", "VAR_POISSON", "VAR_RNOISE")
RELATIVE = 1e-5
OF_ERROR = 5e-4
BEYOND = 1e-4  # fraction of pixels with equal flags
NOTHING = 1e-12  # DN/s or its square: what is left of sums that cancel
FLAGS = 1e-5  # fraction of pixels
STATUS_PREFIX = "S_"


@dataclass(frozen=True)
class Difference:
    """How far one product is from the official one.

    Attributes
    ----------
    pixels, flags : int
        How many there are, and how many of them differ in DQ.
    not_alike : mapping of str to int
        How many numbers of a plane are not the same bits, where the flags are the same.
    of_limit : mapping of str to float
        The largest difference of a plane there, as a part of what is allowed.
    beyond, not_numbers : mapping of str to int
        How many are beyond the limits, and how many are NaN on one side only.
    """

    pixels: int
    flags: int
    not_alike: dict[str, int]
    of_limit: dict[str, float]
    beyond: dict[str, int]
    not_numbers: dict[str, int]

    @property
    def within(self) -> bool:
        """Whether the product is within the limits; one pixel's flags may differ in a small array."""
        rest = max(1, self.pixels - self.flags)
        return self.flags <= max(1, FLAGS * self.pixels) and all(
            count <= BEYOND * rest for found in (self.beyond, self.not_numbers) for count in found.values()
        )


def planes(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Image planes of a product, and the statuses of its steps."""
    with fits.open(path, memmap=False) as file:
        arrays = {name: np.asarray(file[name].data) for name in (*NUMBERS, "DQ")}
        statuses = {key: value for key, value in file[0].header.items() if key.startswith(STATUS_PREFIX)}
    return {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}, statuses


def difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> Difference:
    """Compare two products plane by plane."""
    assert {name: a.shape for name, a in ours.items()} == {name: a.shape for name, a in theirs.items()}
    same = ours["DQ"] == theirs["DQ"]
    found = Difference(same.size, int((~same).sum()), {}, {}, {}, {})
    for name in NUMBERS:
        our, their, error = (array[same].astype(float) for array in (ours[name], theirs[name], theirs["ERR"]))
        numbers = ~(np.isnan(our) | np.isnan(their))
        found.not_numbers[name] = int((np.isnan(our) != np.isnan(their)).sum())
        our, their, error = our[numbers], their[numbers], error[numbers]
        with np.errstate(invalid="ignore"):
            apart = np.where(our == their, 0, np.abs(our - their))
        allowed = np.maximum(np.maximum(RELATIVE * np.abs(their), _slack(name, error)), NOTHING)
        found.not_alike[name] = int((apart > 0).sum())
        found.of_limit[name] = float(np.max(apart / allowed, initial=0))
        found.beyond[name] = int((apart > allowed).sum())
    return found


def _slack(name: str, error: np.ndarray) -> np.ndarray:
    """What a plane may differ by whatever its value; read noise has no such slack."""
    slack = OF_ERROR * {"VAR_RNOISE": np.zeros_like(error), "VAR_POISSON": error**2}.get(name, error)
    return np.nan_to_num(slack, posinf=0)


class Worst:
    """The largest differences of a session, with the case that each was seen in."""

    def __init__(self) -> None:
        self.products = 0
        self._seen: dict[str, tuple[float, str]] = {}

    def add(self, found: Difference, case: str) -> None:
        """Remember what is larger than all before."""
        self.products += 1
        values: dict[str, float] = {"DQ: pixels differing": found.flags}
        for name in NUMBERS:
            values[f"{name}: part of the limit"] = found.of_limit[name]
            values[f"{name}: numbers not alike"] = found.not_alike[name] / found.pixels
            values[f"{name}: NaN on one side"] = found.not_numbers[name]
        for name, value in values.items():
            if value > self._seen.get(name, (0.0, ""))[0]:
                self._seen[name] = value, case

    def lines(self) -> list[str]:
        """One line for each kind of difference that was seen at all."""
        head = f"{self.products} products against the official ones; the largest differences"
        return [head, *(f"  {name:28} {value:8.2g}  {case}" for name, (value, case) in self._seen.items())]
