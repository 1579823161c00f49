"""What became of a campaign: a plan and its outcomes reduced to a summary.

Pure: no clock and no I/O, so the same plan and outcomes give the same report.
Names, headers and messages come from outside; characters that a terminal or a reader would not show are spelled out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from reprocess.exposure import Outcome, Reason
from reprocess.planning.plan import Item, Plan, counts
from reprocess.publication import ledger
from reprocess.publication.manifest import File, prefix
from reprocess.reporting.effort import Effort, Tally, add_up, measure
from reprocess.reporting.wording import plain

T = TypeVar("T")

REMAINDER = "remainder"
"""What the candidates without a terminal class are counted as once a campaign has ended."""

TO_DO = "still to do"
"""What they are counted as before that."""

_BEFORE = ("current", "published", "unchanged", "held-back")
_AFTER = ("unsupported", "deferred", "cancelled")
WORKED = ("published", "unchanged", "held-back")
_PER_OBJECT = ("raw-changed", "product-missing", "product-damaged")

_ADVICE = {
    "bad-data": "The raw object cannot be calibrated. Get it again from where it came from, then scan and plan again.",
    "raw-replaced": "The raw object is no longer the one that the plan names. Scan and plan again.",
    "reference": "Put the named reference file where references come from, or take another context; then plan again.",
    "storage": "Check endpoint, credentials and permissions, then run the same plan again: it goes on.",
    "worker-lost": "The worker went away, often for lack of memory. Give workers more memory, then run the plan again.",
    "publication": "A version of this name exists with other bytes. Scan and plan again.",
    "overtaken": "Readers already see the version of a later plan. Nothing was changed; scan and plan again.",
    "own-error": "A defect of this package. Report the message together with the plan's digest.",
    "usage": "The request is wrong. The message says which option, setting or target to change.",
    "held-back": "The new version differs by more than the budget allows. Look, then accept or reject it.",
    "unsupported": "This version does not calibrate them; the message of each says what can be done.",
    "deferred": "A budget or limit was reached. Run the same plan again to go on.",
    "cancelled": "The campaign was cancelled before this was done. Run the same plan again to go on.",
}
_GENERAL_ADVICE = "The message says what to do."


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


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything a report says.

    Attributes
    ----------
    archive, campaign, digest, created, software, context, references, target : str
        What was asked for; `target` is the text of the target file.
    candidates : int
    classes : mapping of str to int
        Candidates by terminal class, in the order of the closing sum; counts are exact.
    remainder : Listing of str
        Datasets that break the closing sum.
    modes : tuple of ModeRow
    verdicts : mapping of str to int
    reasons, published : Listing
    problems : tuple of ProblemGroup
    effort : Effort
    ended : bool
        Whether a run has come to its end.
    to_do : int
        Candidates that a campaign that has not ended has still to do; they are no remainder.
    """

    archive: str
    campaign: str
    digest: str
    created: str
    software: str
    context: str
    references: str
    target: str
    candidates: int
    classes: Mapping[str, int]
    remainder: Listing[str]
    modes: tuple[ModeRow, ...]
    verdicts: Mapping[str, int]
    reasons: Listing[ReasonRow]
    published: Listing[PublishedRow]
    problems: tuple[ProblemGroup, ...]
    effort: Effort
    ended: bool = True
    to_do: int = 0

    @property
    def closes(self) -> bool:
        """Whether every candidate ended in exactly one class."""
        return not self.remainder.total and not self.to_do

    @property
    def failed(self) -> int:
        """Candidates that ended in a class of failure."""
        return sum(group.examples.total for group in self.problems if group.failure)

    @property
    def command(self) -> str:
        """What to type to run the same plan again."""
        return f"reprocess run {self.archive} {self.digest}"


def summarise(
    plan: Plan,
    outcomes: Iterable[Outcome],
    *,
    archive: str,
    products: Mapping[str, Sequence[File]] | None = None,
    wall_seconds: float | None = None,
    ended: bool = True,
    rows: int = 200,
    examples: int = 5,
) -> Summary:
    """Reduce a plan and its outcomes to what a report says.

    Parameters
    ----------
    plan : Plan
        Sealed.
    outcomes : iterable of Outcome
        In the order they were recorded, such as the values of `ledger.read`.
    archive : str
        URL of the archive root.
    products : mapping of dataset to sequence of File, optional
        Files of the published versions, from their manifests.
    wall_seconds : float, optional
        Duration of the campaign.
    ended : bool
        Whether a run has come to its end: until then candidates without a class are still to do, after it they break
        the closing sum.
    rows, examples : int
        Rows of a table, and examples of a class, that are listed; counts are always exact.
    """
    every = tuple(outcomes)
    closing = ledger.close(plan, every)
    broken = {*closing.pending, *closing.strangers} if ended else {*closing.strangers}
    work = add_up(every)
    worked = {
        item.dataset: _mode(item)
        for item in plan.items
        if item.dataset in work and closing.classes.get(item.dataset) in WORKED
    }
    return Summary(
        archive=plain(archive),
        campaign=plan.digest[:16],
        digest=plan.digest,
        created=plain(plan.created),
        software=plain(plan.software),
        context=plain(plan.context),
        references=plain(plan.references),
        target="\n".join(map(plain, plan.target.strip().splitlines())),
        candidates=plan.candidates,
        classes=_count_classes(closing),
        remainder=_listing([plain(dataset) for dataset in sorted(broken)], rows),
        modes=_count_modes(plan, closing, REMAINDER if ended else TO_DO),
        verdicts=counts(plan)["verdict"],
        reasons=_listing(_reasons(plan), rows),
        published=_published(plan, closing, work, products or {}, rows),
        problems=_problems(plan, closing, work, examples),
        effort=measure(every, work, worked, wall_seconds=wall_seconds),
        ended=ended,
        to_do=0 if ended else len(closing.pending),
    )


def _listing(rows: Sequence[T], limit: int) -> Listing[T]:
    return Listing(tuple(rows[:limit]), len(rows))


def _rank(outcome_class: str) -> tuple[int, str]:
    if outcome_class in _BEFORE:
        return _BEFORE.index(outcome_class), ""
    if outcome_class in _AFTER:
        return len(_BEFORE) + 1 + _AFTER.index(outcome_class), ""
    return len(_BEFORE), outcome_class


def is_failure(outcome_class: str) -> bool:
    """Whether a class that a candidate can end in is one of failure."""
    return outcome_class not in _BEFORE + _AFTER


def _count_classes(closing: ledger.Summary) -> dict[str, int]:
    named = dict.fromkeys(_BEFORE + _AFTER, 0) | closing.counts
    return {plain(name): named[name] for name in sorted(named, key=_rank)}


def _mode(item: Item) -> tuple[str, str]:
    header = item.entry.header
    return plain(header.get("INSTRUME", "unknown")), plain(header.get("EXP_TYPE", "unknown"))


def _count_modes(plan: Plan, closing: ledger.Summary, open_class: str) -> tuple[ModeRow, ...]:
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for item in plan.items:
        found[_mode(item)][plain(closing.classes.get(item.dataset, open_class))] += 1
    for each in plan.settled:
        found[plain(each.instrument or "unknown"), plain(each.exp_type or "unknown")]["current"] += len(each.datasets)
    return tuple(ModeRow(*mode, counts=dict(some), total=some.total()) for mode, some in sorted(found.items()))


def _reasons(plan: Plan) -> list[ReasonRow]:
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


def _published(
    plan: Plan,
    closing: ledger.Summary,
    work: Mapping[str, Tally],
    products: Mapping[str, Sequence[File]],
    limit: int,
) -> Listing[PublishedRow]:
    items = [item for item in plan.items if closing.classes.get(item.dataset) == "published"]
    rows = (_published_row(item, work.get(item.dataset, Tally()), products) for item in items[:limit])
    return Listing(tuple(rows), len(items))


def _published_row(item: Item, tally: Tally, products: Mapping[str, Sequence[File]]) -> PublishedRow:
    instrument, exp_type = _mode(item)
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


def _problems(plan: Plan, closing: ledger.Summary, work: Mapping[str, Tally], limit: int) -> tuple[ProblemGroup, ...]:
    groups: defaultdict[str, list[Item]] = defaultdict(list)
    for item in plan.items:
        name = closing.classes.get(item.dataset)
        if name is not None and name not in ("current", "published", "unchanged"):
            groups[name].append(item)
    return tuple(
        ProblemGroup(
            outcome_class=plain(name),
            failure=is_failure(name),
            advice=_ADVICE.get(name, _GENERAL_ADVICE),
            examples=Listing(
                tuple(
                    _example(item, closing.messages.get(item.dataset, ""), work.get(item.dataset, Tally()))
                    for item in groups[name][:limit]
                ),
                len(groups[name]),
            ),
        )
        for name in sorted(groups, key=lambda name: (not is_failure(name), _rank(name)))
    )


def _example(item: Item, message: str, tally: Tally) -> Example:
    return Example(plain(item.dataset), plain(message.removeprefix(f"{item.dataset}: ")), tally.attempts)
