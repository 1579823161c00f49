"""What the key of an object says: dataset, level, program."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from reprocess import errors
from reprocess.archive.root import PUBLIC_KEY_PATTERN

RAW_LEVEL = "uncal"
PRODUCT_LEVELS = ("rate", "rateints")
LATER_LEVELS = ("cal", "calints")
"""Products of stage 2, which others made."""
LEVELS = (RAW_LEVEL, *PRODUCT_LEVELS, *LATER_LEVELS)
UNPARSABLE = "unparsable"
MANIFEST = "manifest.json"
"""What a version of ours ends with; one without it does not exist."""
BEGINNINGS = tuple(f"jw{hundred:03d}" for hundred in range(100))
"""How names of exposures begin, up to the hundreds of their program: where a long listing may be cut."""

_POINTER = re.compile(r"pointers/(?P<dataset>[^/]+)\.json")
_PRODUCT = re.compile(r"products/(?P<dataset>[^/]+)/(?P<version>[^/]+)/(?P<name>.+)")
_LOOKS_RAW = re.compile(rf"_{RAW_LEVEL}\.fits(\.gz)?\Z", re.IGNORECASE)
_PROGRAM = re.compile(r"jw(\d{5})")


@dataclass(frozen=True, slots=True)
class Name:
    """What a key says of its object.

    Attributes
    ----------
    dataset : str
        Root name of the file without level, for example ``jw01075001001_03105_00009_nrca2``.
    level : str
        Suffix of the file, for example ``uncal``.
    """

    dataset: str
    level: str

    @property
    def program(self) -> str:
        """The catalogue's partition, see `program`."""
        return program(self.dataset)


@dataclass(frozen=True, slots=True)
class Product:
    """One file of a version of ours: `name` is what its key has below the version."""

    dataset: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """An archive's key pattern: a regular expression with the groups ``dataset`` and ``level``, for whole keys."""

    pattern: str = PUBLIC_KEY_PATTERN

    def parse(self, key: str) -> Name | None:
        """Read a key; None when the pattern does not fit all of it."""
        # `re` keeps its own cache of compiled expressions, so a pattern can be pickled as the text it is.
        match = re.fullmatch(self.pattern, key)
        return Name(match["dataset"], match["level"]) if match else None


def looks_raw(key: str) -> bool:
    """Whether an object is meant as a Level 1b file, whatever else its key says."""
    return _LOOKS_RAW.search(key) is not None


def unparsable(key: str, pattern: KeyPattern) -> errors.UnparsableKey:
    """Say why a Level 1b file cannot be catalogued under a name."""
    if key.endswith(".gz"):
        return errors.UnparsableKey(f"{key} is gzip-compressed, so no part of it can be read. Store it uncompressed.")
    return errors.UnparsableKey(
        f"{key} does not follow the key pattern {pattern.pattern!r}. Rename it, or set key_pattern in archive.toml."
    )


def pointer_dataset(key: str) -> str | None:
    """Dataset of a pointer record's key; None when the key is not one of a pointer."""
    match = _POINTER.fullmatch(key)
    return match["dataset"] if match else None


def needed_files(dataset: str) -> dict[str, str]:
    """Names of the files of a version of ours without which nobody can read it, and what each is."""
    return {MANIFEST: MANIFEST, f"{dataset}_rate.fits": "rate.fits"}


def needed(dataset: str, version: str) -> dict[str, str]:
    """Keys of the files that `needed_files` names, and what each is."""
    return {f"products/{dataset}/{version}/{name}": what for name, what in needed_files(dataset).items()}


def product(key: str) -> Product | None:
    """Read the key of a file of a version of ours; None for other keys."""
    match = _PRODUCT.fullmatch(key)
    return Product(**match.groupdict()) if match else None


def meant(text: str, pattern: KeyPattern) -> tuple[str, ...]:
    """Datasets that somebody may mean by a dataset, a file name, a key or a URL; the likeliest first."""
    last = text.rstrip("/").rpartition("/")[2]
    named = [name.dataset for each in (text, last) if (name := pattern.parse(each))]
    of_ours = re.search(r"(?:^|/)(?:products/([^/]+)/.*|pointers/([^/]+)\.json)\Z", text)
    stem = re.sub(r"\.(fits(\.gz)?|json|png)\Z", "", last)
    root, _, suffix = stem.rpartition("_")
    cut = [root] if stem != last or suffix in LEVELS else []
    return tuple(dict.fromkeys(filter(None, [text, *(of_ours.groups() if of_ours else ()), *named, stem, *cut])))


def program(dataset: str) -> str:
    """Partition of the catalogue that a dataset belongs to.

    The five digits of the program for official names. Other names are spread over 256 partitions, so that no partition
    of a large archive grows without bound.
    """
    match = _PROGRAM.match(dataset)
    return match[1] if match else "x" + hashlib.sha256(dataset.encode()).hexdigest()[:2]
