"""The coordinator: works off a plan's units, moves pointers, and notes how each unit ended.

Everything durable is in the archive's store; this process may be killed at any moment, and the same call goes on.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from reprocess import __version__, closing, errors, logs, redaction, units, worker, workplace
from reprocess.campaign import Archive, find_plan
from reprocess.execution.attempts import policy
from reprocess.execution.executor import Again, Executor, Left
from reprocess.exposure import Outcome
from reprocess.planning import pilot
from reprocess.planning.brake import Brake
from reprocess.planning.plan import Item, Plan
from reprocess.publication import control as controls
from reprocess.publication import (
    events,
    holds,
    kept_plans,
    ledger,
    obstacles,
    refusals,
    releases,
    settlement,
    spending,
    unit_logs,
)
from reprocess.publication import lease as leases
from reprocess.publication.control import Control
from reprocess.publication.holds import Hold
from reprocess.publication.lease import Lease
from reprocess.publication.refusals import Refusal
from reprocess.reporting.campaign_metrics import Live
from reprocess.reporting.ending import RUNNING, Ending
from reprocess.reporting.report import Summary
from reprocess.showing import AT_ONCE, Showing, gated

Progress = Callable[[int, int | None, str], None]
"""Called with how many are done, how many there are, and a word on the last one."""

CONTROL_S = 5.0
"""How often a coordinator looks at what operators want."""

_LOG = logging.getLogger(__name__)
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What whoever starts a run wants of it.

    Attributes
    ----------
    approve : bool
        Stop after the pilot, until somebody has approved it.
    release : str
        Show readers all versions together, under this name; empty to show each as it is done.
    most_cost : float
        Stop when the campaign has cost so much, in the currency of the prices; 0 for no limit.
    most_hours : float
        Stop when this run has taken so long; 0 for no limit.
    most_exposures : int
        Work on so many exposures at most; 0 for all.
    first : tuple of str
        Datasets to begin with, in this order.
    """

    approve: bool = False
    release: str = ""
    most_cost: float = 0.0
    most_hours: float = 0.0
    most_exposures: int = 0
    first: tuple[str, ...] = ()


def run(
    archive: Archive,
    digest: str,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    observe: Callable[[Outcome], None] | None = None,
    metrics: Live | None = None,
    wish: Wish = Wish(),
) -> Summary:
    """Do what a plan says: work off its units, move pointers, write the report.

    Parameters
    ----------
    executor : Executor, optional
        Stays open; without it one is opened as the settings say, and closed.
    progress : callable, optional
    observe : callable, optional
        Called with each outcome as it is noted.
    metrics : Live, optional
        Told of each outcome, and whom to ask about workers.
    wish : Wish

    Raises
    ------
    PlanError
        There is no such plan, or it was made for another version of this package.
    UsageError
        A limit on the cost is asked for and there are no prices.
    LeaseHeld
        Another coordinator works off the same plan, or has taken over from this one.
    """
    made = find_plan(archive, digest)
    if made.software != __version__:
        raise errors.PlanError(
            f"Plan {made.digest[:12]} is for reprocess {made.software}, and this is {__version__}. Plan again."
        )
    if wish.most_cost and not archive.settings.prices.core_hour:
        raise errors.UsageError("--max-cost needs prices. Set core_hour in the section [prices] of the settings.")
    start = time.monotonic()
    campaign = made.digest[:16]
    before = ledger.read(archive.store, campaign)
    end = _standing(controls.read(archive.store, campaign))
    if end is None and units.waiting(archive, made, before):
        with logs.fields(campaign=campaign), _lease(archive, made).kept() as lease:
            # Whoever held it before has perhaps done some of the work.
            run = _Run(archive, made, wish, lease, ledger.read(archive.store, campaign), progress, observe, metrics)
            try:
                end = run.work(executor)
            except (errors.ClusterError, errors.WorkerLost) as error:  # what its operators can do about it
                closing.write_report(archive, made, end=Ending(RUNNING, redaction.clean(str(error))))
                raise
    # The time of this run says nothing of what earlier runs did.
    wall_seconds = None if before else time.monotonic() - start
    return close(archive, made, wall_seconds=wall_seconds, end=end or Ending())


def close(archive: Archive, made: Plan, *, wall_seconds: float | None, end: Ending) -> Summary:
    """Note what was refused and what the campaign cost, and write its report."""
    campaign = made.digest[:16]
    outcomes = ledger.read(archive.store, campaign)
    refusals.note(archive.store, campaign, _refused(made, outcomes))
    settlement.keep(archive.store, settlement.settle(made, outcomes.values(), archive.settings.prices))
    return closing.write_report(archive, made, wall_seconds=wall_seconds, end=end)


def _refused(made: Plan, outcomes: Mapping[str, Outcome]) -> Iterator[Refusal]:
    for item in made.items:
        outcome = outcomes.get(units.last_unit(item))
        if outcome is not None and refusals.refuses(outcome):
            key = refusals.run_key(item.version)
            yield Refusal(item.dataset, key, outcome.outcome_class, outcome.message, made.digest[:16])


def _standing(control: Control) -> Ending | None:
    """Say why a campaign must not be worked off, if it must not."""
    if control.state == controls.CANCEL:
        return Ending("cancelled", control.why, control.by)
    if control.state == controls.PAUSE:
        state = "approval" if control.why == WAITS_FOR_APPROVAL else "paused"
        return Ending(state, control.why, control.by)
    return None


WAITS_FOR_APPROVAL = "The pilot is done, and the run was started with --approve."


_ENDS = ledger.terminal_classes()


def _lease(archive: Archive, made: Plan) -> Lease:
    silence_s = archive.settings.execution.lease_s
    return leases.acquire(archive.store, made.digest[:16], silence_s=silence_s, waiting=_LOG.warning)


@dataclass
class _Run:
    """One coordinator at work on one campaign, as long as it holds the lease."""

    archive: Archive
    made: Plan
    wish: Wish
    lease: Lease
    before: Mapping[str, Outcome]
    progress: Progress | None
    observe: Callable[[Outcome], None] | None
    metrics: Live | None
    control: Control = field(default_factory=Control)
    end: Ending | None = None
    _looked: float = 0.0
    _reading: Future[tuple[Control, Mapping[str, Hold]]] | None = None
    _done: int = 0
    _total: int = 0

    def __post_init__(self) -> None:
        self.writer = str(uuid.uuid4())
        self.started = time.monotonic()
        self.items = {item.dataset: item for item in self.made.items}
        self.held: Mapping[str, Hold] = holds.read(self.archive.store)
        self._reader = ThreadPoolExecutor(1, "control")
        self.spent = spending.spent(self.before.values(), self.archive.settings.prices)
        self.brake = Brake(self.archive.settings.execution.error_budget)
        self.past = units.Past(self.before, len(self.archive.settings.execution.memory_tiers_mb))
        self.written = {one.dataset: one for one in self.before.values() if one.outcome_class == worker.WRITTEN}

    @property
    def campaign(self) -> str:
        return self.made.digest[:16]

    def work(self, executor: Executor | None) -> Ending:
        """Do what is to be done; returns how it ended."""
        store = self.archive.store
        self.control = controls.read(store, self.campaign)
        if self.control.state == controls.DEFER:
            again = (controls.DEFER,)
            self.control = controls.change(store, self.campaign, by="run", only_from=again, state=controls.RUN, why="")
        with ledger.begin(store, self.campaign) as self.book:
            self.book.before_batch = self._tell
            last = [one for one in self.before.values() if one.dataset in self.items and self._decides(one)]
            events.catch_up(store, self.made, last, epoch=self.book.epoch)
            try:
                with ExitStack() as stack:
                    self.executor = executor or stack.enter_context(workplace.open_executor(self.archive.settings))
                    self.executor.tell_obstacles(self._note_obstacle)
                    if self.metrics is not None:
                        stack.enter_context(self.metrics.attending(self.executor.load, epoch=self.book.epoch))
                    self._phases()
            finally:
                self._reader.shutdown(wait=False, cancel_futures=True)
        return self.end or Ending()

    def _tell(self, outcomes: list[Outcome], number: int) -> None:
        """Append the events of a batch of outcomes before the batch itself."""
        last = [one for one in outcomes if one.dataset in self.items and self._decides(one)]
        found = events.of(last, self.items, self.campaign)
        store, epoch = self.archive.store, self.book.epoch
        events.record(store, found, campaign=self.campaign, epoch=epoch, number=number)
        unit_logs.write(store, self.campaign, outcomes, epoch=epoch, number=number)

    def _note_obstacle(self, text: str) -> None:
        """Keep what is in the way of the workers; called in a thread that must not wait for the store."""
        with suppress(RuntimeError):  # the run is over
            self._reader.submit(obstacles.note, self.archive.store, self.campaign, text)

    def _decides(self, outcome: Outcome) -> bool:
        """Whether an outcome says what became of its exposure."""
        return outcome.unit == units.last_unit(self.items[outcome.dataset]) and outcome.outcome_class in _ENDS

    def _phases(self) -> None:
        """Run the pilot, then all others, then what waits for its release."""
        chosen = self._pilot()
        waiting = self._chosen(chosen)
        self._total = len(waiting)
        if chosen and not self._passes(chosen, waiting):
            return
        if not self.wish.release:
            self._publish_written()
        rest = [item for item in waiting if item.dataset not in chosen]
        if self._work_off(rest, publishing=not self.wish.release) and self.wish.release:
            self._release()
        if self.end is None and self._left_out:
            self._halt(controls.DEFER, f"Exposures left for another run: {self._left_out}.", "--max-exposures")

    def _chosen(self, pilot_first: tuple[str, ...]) -> list[Item]:
        """Choose what this run works on, and in which order; what is held is deferred, what is written only waits."""
        waiting = units.waiting(self.archive, self.made, self.before)
        for item in waiting:
            if item.dataset in self.held:
                self._note(_deferred(item, str(self.held[item.dataset])))
        rank = {dataset: place for place, dataset in enumerate(self.wish.first)}
        waiting = [item for item in waiting if item.dataset not in self.held and item.dataset not in self.written]
        early = frozenset(pilot_first)
        waiting.sort(key=lambda item: (rank.get(item.dataset, len(rank)), item.dataset not in early, item.dataset))
        most = self.wish.most_exposures or len(waiting)
        self._left_out = max(len(waiting) - most, 0)
        return waiting[:most]

    # The pilot

    def _pilot(self) -> tuple[str, ...]:
        """Choose the pilot: from all of the plan, so that a run that goes on has the same one."""
        every = [item for item in self.made.items if item.action == "calibrate" and item.dataset not in self.held]
        chosen = pilot.choose(every, each=self.archive.settings.execution.canary)
        # A campaign too small for a pilot is looked at whole, if somebody wants to look.
        return chosen or (tuple(item.dataset for item in every) if self.wish.approve else ())

    def _passes(self, chosen: tuple[str, ...], waiting: list[Item]) -> bool:
        """Run what is left of the pilot, and say whether the others may go on."""
        first = [item for item in waiting if item.dataset in chosen]
        if not self._work_off(first, publishing=False):
            return False
        self.book.flush()
        outcomes = ledger.read(self.archive.store, self.campaign)
        ended = [outcomes[unit] for name in chosen if (unit := units.last_unit(self.items[name])) in outcomes]
        finding = pilot.judge(chosen, ended, others=len(waiting) - len(first))
        _LOG.info(
            "The pilot of %d exposures took %.1f core seconds each; the others will take about %.2f core hours.",
            len(chosen),
            finding.cpu_seconds,
            finding.core_hours_left,
        )
        kept_plans.keep_finding(self.archive.store, self.campaign, finding)
        self.past = units.Past(outcomes, self.past.tiers, pilot.tiers(self.items, ended))
        if self.control.approved:
            return True
        if not finding.passed:
            self._halt(controls.PAUSE, f"{finding.reason} Look at them, then `reprocess approve` or cancel.", "pilot")
        elif self.wish.approve:
            self._halt(controls.PAUSE, WAITS_FOR_APPROVAL, "--approve")
        return self.end is None

    # Units

    def _work_off(self, items: list[Item], *, publishing: bool) -> bool:
        """Run the units of some items; returns whether all of them came to an end."""
        if not items or self.end is not None:
            return self.end is None
        tasks = units.tasks(self.archive, self.made, items, self.past)
        retry = policy(self.archive.settings.execution.attempts, self.past.tiers, note=self._note_again)
        with self._showing() as showing:

            def stops() -> bool:
                self._note_all(showing.ended())
                return self._stops()

            self.executor.expect(lambda: units.expected(self.made, items, self.past), left=self._left)
            ended = self.executor.run(
                worker.run, tasks, retry=retry, stop=stops, priority=lambda: self.control.priority
            )
            for outcome in ended:
                self.lease.check()
                self._take(outcome, showing if publishing else None)
            self._note_all(showing.ended(wait=True))
        self.lease.check()
        return self.end is None

    def _take(self, outcome: Outcome, showing: Showing | None) -> None:
        """Have shown what a unit has written, or let it wait; note how any other ended."""
        item = self.items.get(outcome.dataset)
        if item is None:
            level = logging.INFO if outcome.outcome_class == worker.STAGED else logging.WARNING
            _LOG.log(level, "%s: %s %s", outcome.unit, outcome.outcome_class, redaction.clean(outcome.message))
            return
        self.spent = self.spent + spending.spent([outcome], self.archive.settings.prices)
        if showing is not None:
            self._hand_over(showing, item, outcome)
            self._note_all(showing.ended())
            return
        outcome = gated(item, outcome, self.held)
        if outcome.outcome_class == worker.WRITTEN:
            self.written[outcome.dataset] = replace(outcome, log=())
        self._note(outcome)
        self._count(item, outcome)

    def _count(self, item: Item, outcome: Outcome) -> None:
        """Count an exposure whose last unit has ended, and stop if too many end badly."""
        if outcome.unit != units.last_unit(item):
            return
        self._done += 1
        if self.progress is not None:
            self.progress(self._done, self._total, f"{outcome.dataset} {outcome.outcome_class}")
        if (reason := self.brake.note(outcome)) and self.end is None:
            self._halt(controls.PAUSE, f"Too many failures. {reason}", "error budget")

    def _note(self, outcome: Outcome) -> None:
        outcome = replace(outcome, message=redaction.clean(outcome.message))
        self.book.append(outcome)
        with logs.fields(dataset=outcome.dataset, attempt=outcome.attempt):
            _LOG.info("%s: %s %s", outcome.unit, outcome.outcome_class, outcome.message)
        if self.metrics is not None:
            self.metrics.update(outcome)
        if self.observe is not None:
            self.observe(outcome)

    def _note_again(self, outcome: Outcome, again: Again) -> None:
        """Note a failure that is followed by another try: a later run begins in the tier that this one has come to."""
        told = f"{outcome.outcome_class}: {outcome.message}"
        self.book.append(replace(outcome, outcome_class=ledger.AGAIN, message=told, tier=again.tier))

    # Stopping

    def _stops(self) -> bool:
        """Whether to stop: asked often, so that the store is asked now and then."""
        if self.lease.is_lost or self.end is not None:
            return True
        if self.wish.most_hours and time.monotonic() - self.started >= self.wish.most_hours * _HOUR_S:
            self._halt(controls.DEFER, f"This run has taken {self.wish.most_hours:g} hours.", "--max-hours")
        elif self.wish.most_cost and (self.spent.money or 0.0) >= self.wish.most_cost:
            self._halt(controls.DEFER, f"The campaign has cost {self.spent.money:.2f}.", "--max-cost")
        else:
            self._look()
        return self.end is not None

    def _left(self) -> Left:
        """Say what the run may still take. Money is taken to buy nothing but core time: requests come besides."""
        wish, price = self.wish, self.archive.settings.prices.core_hour
        hours = wish.most_hours - (time.monotonic() - self.started) / _HOUR_S
        core_hours = (wish.most_cost - (self.spent.money or 0.0)) / price if price else 0.0
        return Left(
            max(hours, 0.0) if wish.most_hours else None,
            max(core_hours, 0.0) * _HOUR_S if wish.most_cost else None,
        )

    def _look(self) -> None:
        """Take what operators wanted when it was last read, and have it read again in a thread: answers may be late."""
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            try:
                self.control, self.held = reading.result()
            except errors.StorageError as error:
                _LOG.warning("What operators want cannot be read at present: %s", error)
            self.end = _standing(self.control)
        if self._reading is None and time.monotonic() - self._looked >= CONTROL_S:
            self._looked = time.monotonic()
            self._reading = self._reader.submit(self._wanted)

    def _wanted(self) -> tuple[Control, Mapping[str, Hold]]:
        return controls.read(self.archive.store, self.campaign), holds.read(self.archive.store)

    def _halt(self, state: str, why: str, by: str) -> None:
        """Stop by oneself, and leave word of it for operators and for the next run; what they said meanwhile holds."""
        _LOG.warning("The campaign stops: %s", why)
        going = (controls.RUN, controls.DEFER)
        self.control = controls.change(self.archive.store, self.campaign, by=by, only_from=going, state=state, why=why)
        self.end = _standing(self.control) or Ending("deferred", why, by)

    # Publication

    def _publish_written(self) -> None:
        """Let readers see what waited."""
        with self._showing() as showing:
            for dataset, written in sorted(self.written.items()):
                if self._stops():
                    break
                outcome = gated(self.items[dataset], written, self.held)
                if outcome.outcome_class == worker.WRITTEN:
                    showing.give(self.items[dataset], outcome)
                else:
                    self._note(outcome)
                for shown in showing.ended():
                    self._note(shown)
            for shown in showing.ended(wait=True):
                self._note(shown)

    def _showing(self) -> Showing:
        # With one worker there is nothing to wait for: what happens then happens in a known order.
        at_once = 1 if self.executor.slots == 1 else AT_ONCE
        return Showing(self.archive.store, writer=self.writer, check=self.lease.check, at_once=at_once)

    def _hand_over(self, showing: Showing, item: Item, outcome: Outcome) -> None:
        """Have a version shown, unless the gate holds it back."""
        outcome = gated(item, outcome, self.held)
        if outcome.outcome_class == worker.WRITTEN:
            showing.give(item, outcome)
        else:
            self._note(outcome)
            self._count(item, outcome)

    def _note_all(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self._note(outcome)
            self._count(self.items[outcome.dataset], outcome)

    def _release(self) -> None:
        """Show all versions together, and name them."""
        releases.key(self.wish.release)
        self._publish_written()
        if self.end is None:
            self.book.flush()
            every = ledger.read(self.archive.store, self.campaign).values()
            shown = {one.dataset: one.version for one in every if one.outcome_class == "published"}
            if shown:
                releases.write(self.archive.store, releases.Release(self.wish.release, shown, self.campaign))


def _deferred(item: Item, why: str) -> Outcome:
    return Outcome(units.last_unit(item), item.dataset, "deferred", why, attempt=0)
