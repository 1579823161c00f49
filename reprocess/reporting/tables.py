"""The tables of a report: kinds of exposures, reasons, what was published, and what was not; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from reprocess.exposure import Reason
from reprocess.planning.plan import Item, Plan
from reprocess.publication import ledger
from reprocess.publication.manifest import File, prefix
from reprocess.reporting.classes import advice, is_failure, rank
from reprocess.reporting.effort import Tally
from reprocess.reporting.wording import plain

T = TypeVar("T")

_PER_OBJECT = ("raw-changed", "product-missing", "product-damaged")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The first rows of something, and how many rows there are."""

    rows: tuple[T, ...]
    total: int

    @property
    def extent(self) -> str:
        """Say how much is shown, for example ``first 200 of 10,432``."""
        shown = len(self.rows)
        return f"first {shown:,} of {self.total:,}" if shown < self.total else f"{self.total:,}"


@dataclass(frozen=True, slots=True)
class ModeRow:
    """How many candidates of one instrument and EXP_TYPE ended in each class."""

    instrument: str
    exp_type: str
    counts: Mapping[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """One reason, and the datasets that it was given for.

    Attributes
    ----------
    verdict, kind, step : str
        State of the verdict, kind of the reason, and the first step that the change affects.
    reference_type, old, new : str
        Empty where there is none, or where they differ from object to object.
    datasets : int
    example : str
        The first of the datasets.
    """

    verdict: str
    kind: str
    step: str
    reference_type: str
    old: str
    new: str
    datasets: int
    example: str


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One dataset whose pointer moved.

    Attributes
    ----------
    dataset, instrument, exp_type, version : str
    first_step : str
        The first step that what changed affects.
    seconds : float
        Wall seconds of all its units.
    bytes_written : int
    prefix : str
        Where its files are, below the archive.
    files : tuple of File
        Empty when the manifest was not read.
    """

    dataset: str
    instrument: str
    exp_type: str
    version: str
    first_step: str
    seconds: float
    bytes_written: int
    prefix: str
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One dataset that was not published, and the message that says why."""

    dataset: str
    message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """Every dataset that ended in one class other than done."""

    outcome_class: str
    failure: bool
    advice: str
    examples: Listing[Example]


def listing(rows: Sequence[T], limit: int) -> Listing[T]:
    """Take the first rows."""
    return Listing(tuple(rows[:limit]), len(rows))


def mode(item: Item) -> tuple[str, str]:
    """Return instrument and EXP_TYPE of a candidate."""
    header = item.entry.header
    return plain(header.get("INSTRUME", "unknown")), plain(header.get("EXP_TYPE", "unknown"))


def count_modes(plan: Plan, closing: ledger.Summary, open_class: str) -> tuple[ModeRow, ...]:
    """Count candidates by kind of exposure and class; those without a class are counted as `open_class`."""
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for item in plan.items:
        found[mode(item)][plain(closing.classes.get(item.dataset, open_class))] += 1
    for each in plan.settled:
        found[plain(each.instrument or "unknown"), plain(each.exp_type or "unknown")]["current"] += len(each.datasets)
    return tuple(ModeRow(*mode, counts=dict(some), total=some.total()) for mode, some in sorted(found.items()))


def reasons(plan: Plan) -> list[ReasonRow]:
    """Count the datasets of each reason, the most first."""
    found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in plan.items:
        # A dataset counts once in a row, however often its verdict repeats the reason.
        for key in dict.fromkeys(_reason_key(item.verdict.state, reason) for reason in item.verdict.reasons):
            found[key].append(item.dataset)
    for each in plan.settled:
        for key in dict.fromkeys(_reason_key(each.state, reason) for reason in each.reasons):
            found[key].extend(each.datasets)
    table = [_reason_row(key, datasets) for key, datasets in found.items()]
    return sorted(table, key=lambda row: (-row.datasets, row.verdict, row.kind, row.step, row.reference_type, row.new))


def _reason_row(key: tuple[str, ...], datasets: Sequence[str]) -> ReasonRow:
    verdict, kind, step, reference_type, old, new = map(plain, key)
    return ReasonRow(
        verdict=verdict,
        kind=kind,
        step=step,
        reference_type=reference_type,
        old=old,
        new=new,
        datasets=len(datasets),
        example=plain(datasets[0]),
    )


def _reason_key(state: str, reason: Reason) -> tuple[str, ...]:
    # Identities of single objects would make a row of every dataset.
    old, new = ("", "") if reason.kind in _PER_OBJECT else (reason.old or "", reason.new or "")
    return state, reason.kind, reason.step, reason.reference_type or "", old, new


def published(
    plan: Plan,
    closing: ledger.Summary,
    work: Mapping[str, Tally],
    products: Mapping[str, Sequence[File]],
    limit: int,
) -> Listing[PublishedRow]:
    """List what readers now see."""
    items = [item for item in plan.items if closing.classes.get(item.dataset) == "published"]
    rows = (_published_row(item, work.get(item.dataset, Tally()), products) for item in items[:limit])
    return Listing(tuple(rows), len(items))


def _published_row(item: Item, tally: Tally, products: Mapping[str, Sequence[File]]) -> PublishedRow:
    instrument, exp_type = mode(item)
    version = tally.version or item.version
    return PublishedRow(
        dataset=plain(item.dataset),
        instrument=instrument,
        exp_type=exp_type,
        version=plain(version),
        first_step=plain(item.verdict.reasons[0].step if item.verdict.reasons else ""),
        seconds=tally.seconds,
        bytes_written=tally.bytes_written,
        prefix=plain(prefix(item.dataset, version)),
        files=tuple(replace(file, name=plain(file.name)) for file in products.get(item.dataset, ())),
    )


def problems(plan: Plan, closing: ledger.Summary, work: Mapping[str, Tally], limit: int) -> tuple[ProblemGroup, ...]:
    """Group what was not published by class, failures first, with some examples of each."""
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in plan.items:
        name = closing.classes.get(item.dataset)
        if name is not None and name not in ("current", "published", "unchanged"):
            groups[name].append(item)
    return tuple(
        ProblemGroup(
            outcome_class=plain(name),
            failure=is_failure(name),
            advice=advice(name),
            examples=Listing(
                tuple(
                    _example(item, closing.messages.get(item.dataset, ""), work.get(item.dataset, Tally()))
                    for item in groups[name][:limit]
                ),
                len(groups[name]),
            ),
        )
        for name in sorted(groups, key=lambda name: (not is_failure(name), rank(name)))
    )


def _example(item: Item, message: str, tally: Tally) -> Example:
    return Example(plain(item.dataset), plain(message.removeprefix(f"{item.dataset}: ")), tally.attempts)
