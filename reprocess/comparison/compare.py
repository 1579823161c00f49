"""Two versions of the products of a dataset, compared: arrays, flags, tables, keywords.

What digests tell to be equal is not read. Of the rest only bands of rows are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reprocess.comparison.files import Array, Place, ProductFile
from reprocess.comparison.statistics import FlagTally, ImageTally, RowTally
from reprocess.exposure import Card
from reprocess.formats import payload, science

BAND_PIXELS = 1 << 22
"""Pixels of each array that are read at a time: a full frame, which is one request of S3 for each."""

Tally = ImageTally | FlagTally | RowTally
Files = Mapping[str, ProductFile]
_UNIT = "ERR"


@dataclass(frozen=True)
class Findings:
    """What differs between two versions.

    Attributes
    ----------
    extensions : mapping of ``<suffix>/<extension>`` to mapping
        What `statistics` counted, of arrays that differ; ``shape_old`` and ``shape_new`` where arrays have other axes,
        another type, or are in one version only (None).
    keywords : mapping of keyword to (old, new)
        Science keywords; those of extensions as ``SCI/BUNIT``. None where there is none.
    """

    extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    keywords: Mapping[str, tuple[Card | None, Card | None]] = field(default_factory=dict)

    @property
    def wcs_changed(self) -> bool:
        """Whether a keyword of the place on the sky is among them."""
        return any(is_place(name) for name in self.keywords)

    @property
    def is_empty(self) -> bool:
        """Whether the two show the same science."""
        return not self.extensions and not self.keywords


def is_place(name: str) -> bool:
    """Whether a keyword, as findings name it, says where on the sky the pixels are."""
    extension, _, keyword = name.rpartition("/")
    return science.is_wcs(extension or "PRIMARY", keyword)


def are_identical(old: Files, new: Files) -> bool:
    """Whether digests tell that two versions show the same science; False also where there are no digests."""
    return old.keys() == new.keys() and all(_same_file(old[suffix], new[suffix]) for suffix in old)


def compare(old: Files, new: Files) -> Findings:
    """Find out what differs between two versions.

    Parameters
    ----------
    old, new : mapping of suffix to ProductFile

    Raises
    ------
    StorageError, BadData
        A file cannot be read.
    """
    extensions: dict[str, Mapping[str, Any]] = {}
    keywords: dict[str, tuple[Card | None, Card | None]] = {}
    for suffix in dict.fromkeys((*old, *new)):
        if suffix in old and suffix in new:
            found = _arrays(old[suffix], new[suffix], _known(old, new, suffix, extensions))
            for extension, keyword, values in _keywords(old[suffix], new[suffix]):
                keywords.setdefault(keyword if extension == "PRIMARY" else f"{extension}/{keyword}", values)
        elif suffix in old:
            found = {name: _other_shape(old=place, new=None) for name, place in old[suffix].places.items()}
        else:
            found = {name: _other_shape(old=None, new=place) for name, place in new[suffix].places.items()}
        extensions |= {f"{suffix}/{name}": record for name, record in found.items()}
    return Findings(extensions, keywords)


def _same_file(old: ProductFile, new: ProductFile) -> bool:
    return (
        bool(old.digests)
        and old.digests == new.digests
        and old.places.keys() == new.places.keys()
        and all(_same_array(old.places[name], new.places[name]) for name in old.places)
    )


def _same_array(old: Place, new: Place) -> bool:
    return bool(old.get("sha256")) and all(old.get(key) == new.get(key) for key in ("sha256", "shape", "dtype"))


def _known(old: Files, new: Files, suffix: str, records: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return what was found of other files of which both versions of the arrays are the same, bit by bit.

    Of an exposure with a single integration the rates of each integration are the rate.
    """
    known: dict[str, Any] = {}
    for earlier in (each for each in old if each != suffix and each in new):
        alike = {
            name
            for name in old[suffix].places
            if all(_same_bits(side[suffix].places.get(name), side[earlier].places.get(name)) for side in (old, new))
        }
        # The unit of all differences is the published error.
        if "ERR" in alike:
            known |= {name: records[f"{earlier}/{name}"] for name in alike if f"{earlier}/{name}" in records}
    return known


def _same_bits(one: Place | None, other: Place | None) -> bool:
    """Whether two arrays hold the same bits, whatever their axes."""
    return bool(one and other and one.get("sha256") and one["sha256"] == other.get("sha256"))


def _arrays(old: ProductFile, new: ProductFile, known: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Compare the arrays of two files; those that are equal have no record."""
    found: dict[str, Mapping[str, Any]] = {}
    wanted: list[str] = []
    for name in dict.fromkeys((*old.places, *new.places)):
        before, after = old.places.get(name), new.places.get(name)
        if before is None or after is None or any(before[key] != after[key] for key in ("shape", "dtype")):
            found[name] = _other_shape(old=before, new=after)
        elif name in known:
            found[name] = known[name]
        elif not _same_array(before, after):
            wanted.append(name)
    for names in _alike(wanted, old.places):
        found |= {name: record for name, record in _counted(old, new, names).items() if record["changed"]}
    return found


def _alike(names: Sequence[str], places: Mapping[str, Place]) -> Iterator[list[str]]:
    """Group arrays that have the same number of elements, so that they are read together."""
    sizes = {name: payload.pixels(places[name]) for name in names}
    for size in dict.fromkeys(sizes.values()):
        yield [name for name in names if sizes[name] == size]


def _counted(old: ProductFile, new: ProductFile, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Count the differences of arrays of one size, band by band."""
    pixels = payload.pixels(old.places[names[0]])
    tallies = {name: _tally(name, old.places[name], pixels) for name in names}
    for start in range(0, pixels, BAND_PIXELS):
        stop = min(start + BAND_PIXELS, pixels)
        before, after, error = _band(old, new, names, start, stop)
        for name, tally in tallies.items():
            if isinstance(tally, ImageTally):
                tally.add(before[name], after[name], error)
            else:
                tally.add(before[name], after[name])
    return {name: tally.record() for name, tally in tallies.items()}


def _band(
    old: ProductFile, new: ProductFile, names: Sequence[str], start: int, stop: int
) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Read a band of both versions, and of the published errors."""
    error = old.places.get(_UNIT)
    wanted = any(old.places[name]["dtype"][0] == "f" for name in names)
    if not wanted or error is None or payload.pixels(error) != payload.pixels(old.places[names[0]]):
        return old.read(names, start, stop), new.read(names, start, stop), np.full(stop - start, np.nan, np.float32)
    if _UNIT not in names and new.holds(_UNIT) and _same_array(error, new.places[_UNIT]):
        # Those in memory are the same.
        after = new.read([*names, _UNIT], start, stop)
        return old.read(names, start, stop), after, after[_UNIT]
    before = old.read(list(dict.fromkeys((*names, _UNIT))), start, stop)
    return before, new.read(names, start, stop), before[_UNIT]


def _tally(name: str, place: Place, pixels: int) -> Tally:
    if place["dtype"] == "row":
        return RowTally(pixels)
    if place["dtype"][0] == "f":
        return ImageTally(pixels, squared=name.startswith("VAR_"))
    return FlagTally(pixels)


def _other_shape(*, old: Place | None, new: Place | None) -> dict[str, Any]:
    """Record an array that has other axes or another type, or is in one version only."""
    pixels = payload.pixels(new) if new else 0
    record: dict[str, Any] = {"pixels": pixels, "changed": pixels}
    for side, place in (("old", old), ("new", new)):
        record |= {f"shape_{side}": place and place["shape"], f"type_{side}": place and place["dtype"]}
    return record


def _keywords(old: ProductFile, new: ProductFile) -> Iterator[tuple[str, str, tuple[Card | None, Card | None]]]:
    """Yield extension, keyword and both values of science keywords that differ."""
    both = dict.fromkeys(("PRIMARY", *(name for name in old.places if name in new.places)))
    differing = [name for name in both if not old.digests or old.digests.get(name) != new.digests.get(name)]
    if not differing:
        return
    before, after = old.keywords(differing), new.keywords(differing)
    for name in differing:
        then, now = before.get(name, {}), after.get(name, {})
        for keyword in dict.fromkeys((*then, *now)):
            if then.get(keyword) != now.get(keyword):
                yield name, keyword, (then.get(keyword), now.get(keyword))
