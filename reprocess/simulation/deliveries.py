"""Which reference files there are, and which rules select them, under the first context and under the second.

Between the two contexts a known part differs: NIRCam gets one new superbias, the FGS gains come again under new names
with the same pixels, NIRISS gets new darks from a date in the middle of the year on, and the rmap of the MIRI gains
changes its own name only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reprocess.simulation.instruments import INSTRUMENTS, Detector, Subarray
from reprocess.simulation.options import Change, Expectation, ExpectedReason
from reprocess.simulation.schedule import Exposure

FIRST_CONTEXT, SECOND_CONTEXT = "jwst_9001.pmap", "jwst_9002.pmap"
USEAFTER = "2022-06-01 00:00:00"
DARK_RENEWED = "2023-01-10 00:00:00"

_INFRARED_TYPES = ("mask", "saturation", "superbias", "linearity", "dark", "gain", "readnoise")
_MIRI_TYPES = ("mask", "saturation", "reset", "linearity", "rscd", "dark", "gain", "readnoise")
_PATTERNS = {"NIRCAM": "ANY", "NIRISS": "NIS|NISRAPID", "FGS": "FGS|FGSRAPID", "MIRI": "FAST|FASTR1"}

DETECTOR, SUBARRAY, PATTERN, EXP_TYPE, BAND, FILTER = (
    "META.INSTRUMENT.DETECTOR",
    "META.SUBARRAY.NAME",
    "META.EXPOSURE.READPATT",
    "META.EXPOSURE.TYPE",
    "META.INSTRUMENT.BAND",
    "META.INSTRUMENT.FILTER",
)
_KEYS: Mapping[str, tuple[str, ...]] = {
    "mask": (DETECTOR, SUBARRAY),
    "saturation": (DETECTOR, SUBARRAY),
    "superbias": (DETECTOR, PATTERN, SUBARRAY),
    "linearity": (DETECTOR, SUBARRAY),
    "dark": (DETECTOR, PATTERN, SUBARRAY),
    "gain": (DETECTOR, SUBARRAY),
    "readnoise": (DETECTOR, PATTERN, SUBARRAY),
    "reset": (DETECTOR, PATTERN, SUBARRAY),
    "rscd": (DETECTOR,),
}
_OWN_KEYS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("NIRCAM", "dark"): (EXP_TYPE, DETECTOR, SUBARRAY),
    ("FGS", "mask"): (DETECTOR, SUBARRAY, EXP_TYPE),
    ("MIRI", "linearity"): (DETECTOR, SUBARRAY, BAND, FILTER),
    ("MIRI", "readnoise"): (DETECTOR, SUBARRAY, PATTERN),
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One reference file and the rule that selects it.

    Attributes
    ----------
    type, name : str
        CRDS type in lower case; file name.
    detector : Detector
    region : Subarray
        What the file covers.
    subarray_rule : str
        SUBARRAY of the rule: a name, or GENERIC for any.
    useafter : str
        ``yyyy-mm-dd hh:mm:ss``.
    content : str
        ``exact``, ``hasty`` (a superbias with errors), ``copy`` (the pixels of an exact one), ``renewed`` (a dark after
        the warm-up).
    """

    type: str
    name: str
    detector: Detector
    region: Subarray
    subarray_rule: str
    useafter: str = USEAFTER
    content: str = "exact"

    @property
    def key(self) -> str:
        """Where the file is, below the root."""
        return f"crds/references/jwst/{self.detector.instrument.lower()}/{self.name}"

    @property
    def match(self) -> tuple[str, ...]:
        """What the rule asks of the keys."""
        values = {
            DETECTOR: self.detector.name,
            SUBARRAY: self.subarray_rule,
            PATTERN: _PATTERNS[self.detector.instrument],
        }
        return tuple(values.get(key, "N/A") for key in match_keys(self.detector.instrument, self.type))


@dataclass(frozen=True)
class Deliveries:
    """What both contexts select, and what differs; `first` and `second` hold the files that each knows."""

    first: tuple[Delivery, ...]
    second: tuple[Delivery, ...]
    changes: tuple[Change, ...]

    @property
    def files(self) -> tuple[Delivery, ...]:
        """Every file once."""
        return tuple(dict.fromkeys((*self.first, *self.second)))


def match_keys(instrument: str, reference_type: str) -> tuple[str, ...]:
    """The keys of a rule, as in the observatory's rmaps."""
    return _OWN_KEYS.get((instrument, reference_type), _KEYS[reference_type])


def reference_types(instrument: str) -> tuple[str, ...]:
    """The reference types that stage 1 reads for an instrument."""
    return _MIRI_TYPES if instrument == "MIRI" else _INFRARED_TYPES


def deliveries(exposures: Sequence[Exposure]) -> Deliveries:
    """The reference files that these exposures need, under both contexts.

    A detector that is read in full frames has files of the full frame, cut for its subarrays, and darks for each
    subarray. Any other has files of just the subarrays that it is read in.
    """
    first = tuple(_numbered(exposures))
    counts = _counts(first)
    second, changes = first, []
    for alter in (_new_superbias, _renamed_gains, _renewed_darks):
        second, more = alter(second, counts)
        changes += more
    hasty = {change.old for change in changes if change.kind == "payload"}
    first, second = (_with_hasty(files, hasty) for files in (first, second))
    if any(file.detector.instrument == "MIRI" for file in first):
        changes.append(Change("rules-only", "MIRI", "gain", rmap_name("MIRI", "gain", 1), rmap_name("MIRI", "gain", 2)))
    return Deliveries(first, second, tuple(changes))


def rmap_name(instrument: str, reference_type: str, version: int) -> str:
    """Name of an rmap of the first or the second version."""
    return f"jwst_{instrument.lower()}_{reference_type}_{9000 + version}.rmap"


def changed_rmaps(made: Deliveries) -> set[tuple[str, str]]:
    """Instrument and type of each rmap that the second context names differently."""
    return {(change.instrument, change.type) for change in made.changes}


def expectations(exposures: Sequence[Exposure], made: Deliveries) -> tuple[Expectation, ...]:
    """What the change of context does to each exposure, in their order."""
    kinds = {change.new: change.kind for change in made.changes}
    return tuple(_expectation(exposure, made, kinds) for exposure in exposures)


def _expectation(exposure: Exposure, made: Deliveries, kinds: Mapping[str, str]) -> Expectation:
    old, new = _selected(exposure, made.first), _selected(exposure, made.second)
    reasons = tuple(ExpectedReason(kinds[new[key]], key, old[key], new[key]) for key in old if old[key] != new[key])
    state = "current"
    if reasons:
        state = "stale-in-name-only" if all(one.kind == "header-only" for one in reasons) else "stale"
    return Expectation(exposure.dataset, state, reasons, old, new)


def _selected(exposure: Exposure, files: Sequence[Delivery]) -> dict[str, str]:
    """Type to name of the files that serve an exposure: the last of those whose date has come."""
    selected: dict[str, Delivery] = {}
    for file in files:
        if file.detector != exposure.mode.detector or not _serves(file, exposure.mode.subarray):
            continue
        begun = datetime.fromisoformat(f"{file.useafter}+00:00") <= exposure.start
        if begun and (file.type not in selected or file.useafter > selected[file.type].useafter):
            selected[file.type] = file
    return {key: file.name for key, file in sorted(selected.items())}


def _serves(file: Delivery, subarray: Subarray) -> bool:
    return file.subarray_rule in ("GENERIC", subarray.name)


def _numbered(exposures: Sequence[Exposure]) -> Iterator[Delivery]:
    """The files of the first context, numbered within instrument and type."""
    counts: dict[tuple[str, str], int] = {}
    for detector in _detectors(exposures):
        regions = _regions(exposures, detector)
        for reference_type in reference_types(detector.instrument):
            for region, rule in _covered(reference_type, regions):
                number = counts.get((detector.instrument, reference_type), 0) + 1
                counts[detector.instrument, reference_type] = number
                yield Delivery(reference_type, _name(detector, reference_type, number), detector, region, rule)


def _detectors(exposures: Sequence[Exposure]) -> list[Detector]:
    """The detectors in use, by instrument and, within one, as they first appear."""
    used = dict.fromkeys(exposure.mode.detector for exposure in exposures)
    return sorted(used, key=lambda detector: INSTRUMENTS.index(detector.instrument))


def _regions(exposures: Sequence[Exposure], detector: Detector) -> list[Subarray]:
    used = {exposure.mode.subarray for exposure in exposures if exposure.mode.detector == detector}
    return sorted(used, key=lambda region: (region.name != "FULL", region.name))


def _covered(reference_type: str, regions: Sequence[Subarray]) -> list[tuple[Subarray, str]]:
    """Regions for which there is a file of this type, and what their rules say of SUBARRAY."""
    if reference_type == "rscd":
        return [(regions[0], "GENERIC")]
    if regions[0].name == "FULL" and reference_type not in ("dark", "reset"):
        return [(regions[0], "GENERIC")]
    return [(region, region.name) for region in regions]


def _name(detector: Detector, reference_type: str, number: int) -> str:
    return f"jwst_{detector.instrument.lower()}_{reference_type}_{9000 + number}.fits"


def _counts(files: Sequence[Delivery]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for file in files:
        counts[file.detector.instrument, file.type] = counts.get((file.detector.instrument, file.type), 0) + 1
    return counts


def _next_name(file: Delivery, counts: dict[tuple[str, str], int]) -> str:
    counts[file.detector.instrument, file.type] += 1
    return _name(file.detector, file.type, counts[file.detector.instrument, file.type])


Altered = tuple[tuple[Delivery, ...], list[Change]]


def _new_superbias(files: tuple[Delivery, ...], counts: dict[tuple[str, str], int]) -> Altered:
    """The first NIRCam superbias is delivered again with better pixels."""
    old = next((file for file in files if file.detector.instrument == "NIRCAM" and file.type == "superbias"), None)
    if old is None:
        return files, []
    new = replace(old, name=_next_name(old, counts))
    return tuple(new if file is old else file for file in files), [
        Change("payload", "NIRCAM", "superbias", old.name, new.name)
    ]


def _renamed_gains(files: tuple[Delivery, ...], counts: dict[tuple[str, str], int]) -> Altered:
    """The FGS gains are delivered again with other words in their headers."""
    altered, changes = [], []
    for file in files:
        new = file
        if file.detector.instrument == "FGS" and file.type == "gain":
            new = replace(file, name=_next_name(file, counts), content="copy")
            changes.append(Change("header-only", "FGS", "gain", file.name, new.name))
        altered.append(new)
    return tuple(altered), changes


def _renewed_darks(files: tuple[Delivery, ...], counts: dict[tuple[str, str], int]) -> Altered:
    """Every NIRISS dark gets a successor for what is taken after the warm-up."""
    altered, changes = list(files), []
    for file in files:
        if file.detector.instrument == "NIRISS" and file.type == "dark":
            new = replace(file, name=_next_name(file, counts), useafter=DARK_RENEWED, content="renewed")
            altered.append(new)
            changes.append(Change("useafter", "NIRISS", "dark", file.name, new.name, DARK_RENEWED))
    return tuple(altered), changes


def _with_hasty(files: tuple[Delivery, ...], names: set[str]) -> tuple[Delivery, ...]:
    return tuple(replace(file, content="hasty") if file.name in names else file for file in files)
