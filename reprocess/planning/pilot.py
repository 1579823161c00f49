"""The pilot: a few exposures of each kind that run before all others, and whether what they say lets the others go on.

Its versions are written and compared, and readers do not see them until the pilot has passed.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reprocess.exposure import Outcome
from reprocess.planning.plan import Item

SMALLEST_CAMPAIGN = 20
"""A campaign of fewer exposures has no pilot: it would be most of the campaign."""

MOST = 200
"""Exposures of a pilot at most."""

LARGEST_PART = 4
"""A pilot is no more than a quarter of its campaign."""

WORST_SHARE = 0.2
"""Share of a pilot that may fail or be held back."""


Kind = tuple[object, ...]


@dataclass(frozen=True)
class Finding:
    """What a pilot has shown.

    Attributes
    ----------
    datasets : tuple of str
    passed : bool
    reason : str
        Why it did not pass; empty if it did.
    classes : dict of str to int
        How its exposures ended.
    cpu_seconds : float
        Of one exposure, in the mean; 0 if none was calibrated.
    peak_bytes : int
        Highest of all its workers.
    core_hours_left : float
        What the other exposures will take if they are like those of the pilot: the forecast, corrected.
    """

    datasets: tuple[str, ...]
    passed: bool
    reason: str
    classes: dict[str, int]
    cpu_seconds: float
    peak_bytes: int
    core_hours_left: float = 0.0


def choose(items: Sequence[Item], *, each: int, most: int = MOST) -> tuple[str, ...]:
    """Choose the exposures of the pilot: of each instrument, mode, size class and kind of reason, a few.

    The choice follows from the items alone, whatever their order: a run that goes on chooses the same.

    Parameters
    ----------
    items : sequence of Item
        Candidates with work to do.
    each : int
        Exposures of each kind.
    most : int
        Exposures in all; the kinds take turns.

    Returns
    -------
    tuple of str
        Datasets, sorted; empty for a campaign too small for a pilot.
    """
    if len(items) < SMALLEST_CAMPAIGN or each < 1:
        return ()
    kinds: dict[Kind, list[str]] = defaultdict(list)
    for item in items:
        kinds[kind(item)].append(item.dataset)
    ranked = [sorted(datasets, key=_draw) for datasets in kinds.values()]
    turns = sorted((turn, _draw(some[turn]), some[turn]) for some in ranked for turn in range(min(each, len(some))))
    return tuple(sorted(dataset for _, _, dataset in turns[: min(most, len(items) // LARGEST_PART)]))


def kind(item: Item) -> Kind:
    """Say what exposures are alike in: instrument, mode, size class, and what has changed since they were made."""
    header = item.entry.header
    reasons = frozenset((reason.kind, reason.reference_type) for reason in item.verdict.reasons)
    size = round(math.log2(max(item.entry.size, 1)))
    return header.get("INSTRUME"), header.get("EXP_TYPE"), size, bool(item.rows_per_slab), reasons


def _draw(dataset: str) -> str:
    """Order datasets in a way that has nothing to do with their names."""
    return hashlib.sha256(dataset.encode()).hexdigest()


def judge(datasets: Sequence[str], outcomes: Iterable[Outcome], *, others: int = 0) -> Finding:
    """Say whether a pilot lets the others go on.

    Parameters
    ----------
    datasets : sequence of str
        Those that were chosen.
    outcomes : iterable of Outcome
        The last one of each of them.
    others : int
        How many exposures are left.
    """
    ended = [outcome for outcome in outcomes if outcome.dataset in set(datasets)]
    classes = Counter(outcome.outcome_class for outcome in ended)
    bad = {name: number for name, number in classes.items() if name not in _GOOD}
    taken = [outcome.seconds["cpu"] for outcome in ended if outcome.seconds.get("cpu")]
    mean = sum(taken) / len(taken) if taken else 0.0
    reason = ""
    if sum(bad.values()) > WORST_SHARE * len(datasets):
        told = ", ".join(f"{number} {name}" for name, number in sorted(bad.items()))
        reason = f"{sum(bad.values())} of {len(datasets)} exposures of the pilot did not end well: {told}."
    return Finding(
        datasets=tuple(datasets),
        passed=not reason,
        reason=reason,
        classes=dict(sorted(classes.items())),
        cpu_seconds=mean,
        peak_bytes=max((outcome.peak_bytes for outcome in ended), default=0),
        core_hours_left=mean * others / 3600,
    )


_GOOD = frozenset({"published", "unchanged", "written", "current", "unsupported", "cancelled", "deferred"})


def tiers(items: Mapping[str, Item], outcomes: Iterable[Outcome]) -> dict[Kind, int]:
    """Return the memory tier that exposures of each kind begin in: the highest that one of the pilot came to."""
    found: dict[Kind, int] = {}
    for outcome in outcomes:
        if outcome.tier:
            each = kind(items[outcome.dataset])
            found[each] = max(found.get(each, 0), outcome.tier)
    return found
