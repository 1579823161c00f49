"""What became of a campaign: a plan and its outcomes reduced to a summary.

Pure: no clock and no I/O, so the same plan and outcomes give the same report.
Names, headers and messages come from outside; characters that a terminal or a reader would not show are spelled out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reprocess.exposure import Outcome
from reprocess.planning.pilot import Finding
from reprocess.planning.plan import Plan, counts
from reprocess.publication import ledger, spending
from reprocess.publication.manifest import File
from reprocess.publication.obstacles import Obstacle
from reprocess.reporting import cost as costs
from reprocess.reporting import differences, later, tables
from reprocess.reporting import timeline as timelines
from reprocess.reporting.classes import AFTER, BEFORE, REMAINDER, TO_DO, WORKED, rank
from reprocess.reporting.cost import Cost
from reprocess.reporting.differences import Differences
from reprocess.reporting.effort import Effort, add_up, measure
from reprocess.reporting.ending import Ending
from reprocess.reporting.later import Step
from reprocess.reporting.tables import Listing, ModeRow, ProblemGroup, PublishedRow, ReasonRow
from reprocess.reporting.timeline import Timeline
from reprocess.reporting.wording import plain
from reprocess.settings import PriceSettings


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
    ending : Ending
        How the run ended, or that it has not.
    to_do : int
        Candidates that a campaign that has not ended has still to do; they are no remainder.
    where : str
        Expression that chose the candidates; empty when all exposures are.
    not_selected : int
        Exposures that it left out. With the candidates they are all of the catalogue.
    timeline : Timeline or None
    cost : Cost
    differences : Differences
    later : tuple of Step
        What a later run would do, and what waits for a decision.
    pilot : Finding or None
    obstacles : tuple of Obstacle
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
    ending: Ending
    to_do: int
    where: str
    not_selected: int
    timeline: Timeline | None
    cost: Cost
    differences: Differences
    later: tuple[Step, ...]
    pilot: Finding | None
    obstacles: tuple[Obstacle, ...]

    @property
    def ended(self) -> bool:
        """Whether a run has come to its end, planned or not."""
        return self.ending.is_over

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


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a report says besides what plan and outcomes tell.

    Attributes
    ----------
    archive : str
        URL of the archive root.
    products : mapping of dataset to sequence of File
        Files of the published versions, from their manifests.
    wall_seconds : float or None
        Duration of the campaign; None: the times in which units were at work.
    ending : Ending
        How the run ended, which decides whether candidates without a class are still to do or break the closing sum.
    prices : PriceSettings
        For what the campaign cost in money.
    pilot : Finding or None
        What the pilot has shown, where there was one.
    obstacles : sequence of Obstacle
        What was in the way of the workers.
    """

    archive: str
    products: Mapping[str, Sequence[File]] = field(default_factory=dict)
    wall_seconds: float | None = None
    ending: Ending = field(default_factory=Ending)
    prices: PriceSettings = field(default_factory=PriceSettings)
    pilot: Finding | None = None
    obstacles: Sequence[Obstacle] = ()


def summarise(
    plan: Plan,
    outcomes: Iterable[Outcome],
    around: Circumstances,
    *,
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
    around : Circumstances
    rows, examples : int
        Rows of a table, and examples of a class, that are listed; counts are always exact.
    """
    every = tuple(outcomes)
    closing = ledger.close(plan, every, rest=around.ending.rest)
    is_over = around.ending.is_over
    broken = {*closing.pending, *closing.strangers} if is_over else {*closing.strangers}
    work = add_up(every)
    modes = {item.dataset: tables.mode(item) for item in plan.items}
    worked = {name: mode for name, mode in modes.items() if name in work and closing.classes.get(name) in WORKED}
    wall_seconds = spending.elapsed(every) if around.wall_seconds is None else around.wall_seconds
    effort = measure(every, work, worked, wall_seconds=wall_seconds)
    classes = _count_classes(closing)
    names = later.Names(plain(around.archive), plan.digest, plan.digest[:16])
    to_do = 0 if is_over else len(closing.pending)
    is_whole = not to_do and not classes["deferred"]
    return Summary(
        archive=plain(around.archive),
        campaign=plan.digest[:16],
        digest=plan.digest,
        created=plain(plan.created),
        software=plain(plan.software),
        context=plain(plan.context),
        references=plain(plan.references),
        target="\n".join(map(plain, plan.target.strip().splitlines())),
        candidates=plan.candidates,
        classes=classes,
        remainder=tables.listing([plain(dataset) for dataset in sorted(broken)], rows),
        modes=tables.count_modes(plan, closing, REMAINDER if is_over else TO_DO),
        verdicts=counts(plan)["verdict"],
        reasons=tables.listing(tables.reasons(plan), rows),
        published=tables.published(plan, closing, work, around.products, rows),
        problems=tables.problems(plan, closing, work, examples),
        effort=effort,
        ending=around.ending,
        to_do=to_do,
        where=plain(plan.where),
        not_selected=plan.not_selected,
        timeline=timelines.timeline(every),
        cost=costs.cost(plan.forecast, spending.spent(every, around.prices), effort, is_whole=is_whole),
        differences=differences.differences(_decisive(every), modes, rows=rows),
        later=later.steps(classes, to_do=to_do, remainder=len(broken), state=around.ending.state, names=names),
        pilot=around.pilot,
        obstacles=tuple(Obstacle(plain(one.text), plain(one.since)) for one in around.obstacles),
    )


def _decisive(outcomes: Iterable[Outcome]) -> Iterable[Outcome]:
    """Return the last outcome of each dataset that has a terminal class."""
    terminal = ledger.terminal_classes()
    return {outcome.dataset: outcome for outcome in outcomes if outcome.outcome_class in terminal}.values()


def _count_classes(closing: ledger.Summary) -> dict[str, int]:
    named = dict.fromkeys(BEFORE + AFTER, 0) | closing.counts
    return {plain(name): named[name] for name in sorted(named, key=rank)}
