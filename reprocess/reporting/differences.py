"""How new versions differ from those that readers had: the comparisons of all outcomes added up; pure.

Differences are in units of the older version's ERR unless something else is said.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reprocess.exposure import Outcome
from reprocess.reporting.effort import Bin
from reprocess.reporting.wording import plain

MAIN = "rate/SCI"
"""The extension that tells most. A comparison lists what differs, so one without it left it as it was."""

VERDICTS = ("identical", "within", "outside")

_FRACTIONS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_SIGMAS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, math.inf)
_REASONS = 3
_NAMES = 40

Mode = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, and the one that is farthest from zero."""

    median: float
    extreme: float


@dataclass(frozen=True, slots=True)
class ModeDifference:
    """The comparisons of one instrument and EXP_TYPE, of their main extension."""

    instrument: str
    exp_type: str
    verdicts: Mapping[str, int]
    changed: Spread
    median_sigma: Spread
    mad_sigma: Spread

    @property
    def compared(self) -> int:
        """How many there are."""
        return sum(self.verdicts.values())


@dataclass(frozen=True, slots=True)
class ExtensionDifference:
    """The comparisons in which one extension differs: how many, and by how much."""

    name: str
    differing: int
    changed: Spread
    nan_old: int
    nan_new: int
    reshaped: int


@dataclass(frozen=True, slots=True)
class BitChange:
    """A DQ flag, the pixels that gained and lost it over all exposures, and exposures in which any did."""

    name: str
    gained: int
    lost: int
    exposures: int


@dataclass(frozen=True, slots=True)
class KeywordChange:
    """A keyword that changed: in how many exposures, and from what to what in the first of them."""

    name: str
    exposures: int
    old: str
    new: str
    example: str


@dataclass(frozen=True, slots=True)
class Change:
    """How one exposure's new version differs.

    Attributes
    ----------
    dataset, outcome_class, version, against, verdict : str
        `version` was compared with `against`.
    changed : float
        Share of the pixels of the main extension that differ.
    elsewhere : float
        The same of the extension, of all others, that differs most.
    median_sigma, mad_sigma, max_sigma : float
    nan_old, nan_new : int
    bits_gained, bits_lost : int
        Pixels over all flags.
    reasons : tuple of str
        The first sentences on what is outside the budget.
    more_reasons : int
        How many more there are.
    """

    dataset: str
    outcome_class: str
    version: str
    against: str
    verdict: str
    changed: float
    elsewhere: float
    median_sigma: float
    mad_sigma: float
    max_sigma: float
    nan_old: int
    nan_new: int
    bits_gained: int
    bits_lost: int
    reasons: tuple[str, ...] = ()
    more_reasons: int = 0

    @property
    def size(self) -> tuple[float, ...]:
        """What changes are sorted by: how far the image as a whole moved, how much of it, and how far at most."""
        return (abs(self.median_sigma) + self.mad_sigma, self.changed, abs(self.max_sigma), self.elsewhere)


@dataclass(frozen=True, slots=True)
class Differences:
    """All comparisons of a campaign.

    Attributes
    ----------
    verdicts : mapping of str to int
        Comparisons by verdict; their sum is all comparisons.
    modes, extensions, bits, keywords : tuple
    more_keywords : int
        Keywords that are left out.
    wcs_changed : int
        Exposures whose world coordinates changed.
    changed_bins, sigma_bins : tuple of Bin
        Exposures by changed share of pixels, and by the size of the median difference.
    largest : tuple of Change
        The largest changes first.
    held_back : tuple of Change
        The first of those that wait for a decision, the largest first.
    """

    verdicts: Mapping[str, int] = field(default_factory=dict)
    modes: tuple[ModeDifference, ...] = ()
    extensions: tuple[ExtensionDifference, ...] = ()
    bits: tuple[BitChange, ...] = ()
    keywords: tuple[KeywordChange, ...] = ()
    more_keywords: int = 0
    wcs_changed: int = 0
    changed_bins: tuple[Bin, ...] = ()
    sigma_bins: tuple[Bin, ...] = ()
    largest: tuple[Change, ...] = ()
    held_back: tuple[Change, ...] = ()

    @property
    def compared(self) -> int:
        """How many comparisons there are."""
        return sum(self.verdicts.values())


def differences(outcomes: Iterable[Outcome], modes: Mapping[str, Mode], *, rows: int) -> Differences:
    """Add up comparisons.

    Parameters
    ----------
    outcomes : iterable of Outcome
        Those that decided on their datasets.
    modes : mapping of dataset to (str, str)
        Instrument and EXP_TYPE.
    rows : int
        How many of the largest changes, and of what is held back, are listed.
    """
    compared = [outcome for outcome in outcomes if outcome.difference]
    if not compared:
        return Differences()
    changes = sorted((change(each) for each in compared), key=lambda each: (*(-x for x in each.size), each.dataset))
    keywords = _keywords(compared)
    return Differences(
        verdicts=_verdicts(changes),
        modes=_modes(changes, modes),
        extensions=_extensions(compared),
        bits=_bits(compared),
        keywords=keywords[:_NAMES],
        more_keywords=len(keywords[_NAMES:]),
        wcs_changed=sum(bool(each.difference.get("wcs_changed")) for each in compared),
        changed_bins=_bins([each.changed for each in changes], _FRACTIONS),
        sigma_bins=_bins([abs(each.median_sigma) for each in changes], _SIGMAS),
        largest=tuple(each for each in changes if each.verdict != "identical")[:rows],
        held_back=tuple(each for each in changes if each.outcome_class == "held-back")[:rows],
    )


def change(outcome: Outcome) -> Change:
    """Read the comparison of one outcome; numbers that are not there, or not finite, are 0."""
    found = outcome.difference
    records = _records(found)
    main = records.get(MAIN, {})
    reasons = [plain(reason) for reason in found.get("reasons") or ()]
    return Change(
        dataset=plain(outcome.dataset),
        outcome_class=plain(outcome.outcome_class),
        version=plain(outcome.version),
        against=plain(found.get("against") or ""),
        verdict=plain(found.get("verdict") or ""),
        changed=_share(main),
        elsewhere=max((_share(one) for name, one in records.items() if name != MAIN), default=0.0),
        median_sigma=_number(main.get("median_sigma")),
        mad_sigma=_number(main.get("mad_sigma")),
        max_sigma=_number(main.get("max_sigma")),
        nan_old=int(_number(main.get("nan_old"))),
        nan_new=int(_number(main.get("nan_new"))),
        bits_gained=sum(sum(_counts(one, "bits_gained").values()) for one in records.values()),
        bits_lost=sum(sum(_counts(one, "bits_lost").values()) for one in records.values()),
        reasons=tuple(reasons[:_REASONS]),
        more_reasons=len(reasons[_REASONS:]),
    )


def _records(difference: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    found = difference.get("extensions") or {}
    return {name: one for name, one in found.items() if isinstance(one, Mapping)}


def _number(value: Any) -> float:  # noqa: ANN401
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if math.isfinite(number) else 0.0


def _counts(record: Mapping[str, Any], name: str) -> dict[str, int]:
    return {bit: int(_number(count)) for bit, count in (record.get(name) or {}).items()}


def _share(record: Mapping[str, Any]) -> float:
    pixels = _number(record.get("pixels"))
    return _number(record.get("changed")) / pixels if pixels else 0.0


def _verdicts(changes: Sequence[Change]) -> dict[str, int]:
    found = Counter(each.verdict for each in changes)
    return {name: found[name] for name in dict.fromkeys((*VERDICTS, *sorted(found)))}


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), max(values, key=abs)) if values else Spread(0.0, 0.0)


def _modes(changes: Sequence[Change], modes: Mapping[str, Mode]) -> tuple[ModeDifference, ...]:
    members: defaultdict[Mode, list[Change]] = defaultdict(list)
    for each in changes:
        members[modes.get(each.dataset, ("unknown", "unknown"))].append(each)
    return tuple(
        ModeDifference(
            *mode,
            verdicts=_verdicts(some),
            changed=_spread([each.changed for each in some]),
            median_sigma=_spread([each.median_sigma for each in some]),
            mad_sigma=_spread([each.mad_sigma for each in some]),
        )
        for mode, some in sorted(members.items())
    )


def _extensions(outcomes: Sequence[Outcome]) -> tuple[ExtensionDifference, ...]:
    members: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in outcomes:
        for name, record in _records(outcome.difference).items():
            members[name].append(record)
    return tuple(
        ExtensionDifference(
            name=plain(name),
            differing=len(some),
            changed=_spread([_share(one) for one in some]),
            nan_old=sum(int(_number(one.get("nan_old"))) for one in some),
            nan_new=sum(int(_number(one.get("nan_new"))) for one in some),
            reshaped=sum(map(_is_reshaped, some)),
        )
        for name, some in sorted(members.items())[:_NAMES]
    )


def _is_reshaped(record: Mapping[str, Any]) -> bool:
    return record.get("shape_old") != record.get("shape_new")


def _bits(outcomes: Iterable[Outcome]) -> tuple[BitChange, ...]:
    gained: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    exposures: Counter[str] = Counter()
    for outcome in outcomes:
        touched = set()
        for record in _records(outcome.difference).values():
            for name, total in (("bits_gained", gained), ("bits_lost", lost)):
                counts = _counts(record, name)
                total.update(counts)
                touched |= {bit for bit, count in counts.items() if count}
        exposures.update(touched)
    names = sorted(exposures, key=lambda bit: (-gained[bit] - lost[bit], bit))
    return tuple(BitChange(plain(bit), gained[bit], lost[bit], exposures[bit]) for bit in names[:_NAMES])


def _keywords(outcomes: Iterable[Outcome]) -> tuple[KeywordChange, ...]:
    counts: Counter[str] = Counter()
    first: dict[str, tuple[Any, str]] = {}
    for outcome in outcomes:
        for name, pair in (outcome.difference.get("keywords") or {}).items():
            counts[name] += 1
            first.setdefault(name, (pair, outcome.dataset))
    found = []
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        pair, example = first[name]
        old, new = pair if isinstance(pair, list | tuple) and len(pair) == 2 else ("", pair)
        found.append(KeywordChange(plain(name), counts[name], plain(old)[:200], plain(new)[:200], plain(example)))
    return tuple(found)


def _bins(values: Iterable[float], edges: Sequence[float]) -> tuple[Bin, ...]:
    """Count values in bins: the first for zero, each other above its lower edge and up to its upper one."""
    counts = Counter(bisect_left(edges, value) for value in values)
    bins = [Bin(0.0, 0.0, counts[0])]
    for n in range(1, len(edges)):
        bins.append(Bin(edges[n - 1], edges[n], counts[n]))
    return tuple(bins)
