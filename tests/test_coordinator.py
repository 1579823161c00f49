"""What a coordinator does besides working off its plan: it listens, stops at limits, runs the pilot first, releases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reprocess import campaign, coordinator, errors, steering, worker
from reprocess.coordinator import Wish
from reprocess.execution.serial import SerialExecutor
from reprocess.publication import control, holds, lease, ledger, refusals, releases
from reprocess.publication.holds import Hold
from reprocess.settings import PriceSettings
from reprocess.simulation.options import SimulationOptions
from reprocess.target import read_target
from tests import trips
from tests.publication.faulty import Watched

FEW = SimulationOptions(exposures=6, shape=(32, 32), groups=4, instruments=("NIRCAM",))
MANY = SimulationOptions(exposures=24, shape=(32, 32), groups=4, instruments=("NIRCAM", "NIRISS"))


def prepare(options=FEW, wanted=None, **settings):
    archive = trips.make(options=options, **settings)
    made = campaign.plan(archive, wanted or trips.target(options=options), created=trips.CREATED)
    return archive, made, made.digest[:16]


def classes(summary):
    return {name: count for name, count in summary.classes.items() if count}


class Acting(SerialExecutor):
    """Runs tasks here, and does something after so many of them; may end some as a test wants it."""

    def __init__(self, after=10**9, act=None, end=None):
        self.after, self.act, self.end, self.done = after, act, end or {}, []

    def run(self, function, tasks, **options):
        def acting(task):
            self.done.append(task.unit)
            if len(self.done) == self.after:
                self.act()
            return self.end[task.unit](task) if task.unit in self.end else function(task)

        return super().run(acting, tasks, **options)

    @property
    def exposures(self):
        return [unit for unit in self.done if not unit.startswith("reference/")]


class TestControl:
    """Pause, resume, cancel."""

    def test_pause_and_resume(self, monkeypatch):
        """A campaign that is paused stops, refuses to be run, and does the rest when it is resumed."""
        monkeypatch.setattr(coordinator, "CONTROL_S", 0.0)
        archive, made, _ = prepare()
        executor = Acting(9, lambda: steering.pause(archive, made.digest, why="the store is slow", by="Ada"))

        cut = coordinator.run(archive, made.digest, executor=executor)
        again = coordinator.run(archive, made.digest)

        for summary in (cut, again):
            assert (summary.ending.state, summary.ending.reason, summary.ending.by) == (
                "paused",
                "the store is slow",
                "Ada",
            )
        assert 0 < len(trips.shown(archive)) < 6
        steering.resume(archive, made.digest)
        rest = Acting()
        assert classes(coordinator.run(archive, made.digest, executor=rest)) == {"published": 6}
        assert set(rest.exposures).isdisjoint(executor.exposures[:-1])

    def test_cancelled_is_for_good(self, monkeypatch):
        """What was published stays, the rest is cancelled, the sum closes, and nobody can resume it."""
        monkeypatch.setattr(coordinator, "CONTROL_S", 0.0)
        archive, made, _ = prepare()
        executor = Acting(9, lambda: steering.cancel(archive, made.digest, why="wrong target"))

        summary = coordinator.run(archive, made.digest, executor=executor)

        assert (summary.ending.state, summary.closes) == ("cancelled", True)
        shown = len(trips.shown(archive))
        assert classes(summary) == {"published": shown, "cancelled": 6 - shown}
        with pytest.raises(errors.PlanError, match="Plan again"):
            steering.resume(archive, made.digest)

    def test_no_such_campaign(self):
        """A campaign that does not exist cannot be steered."""
        archive, _, _ = prepare()
        with pytest.raises(errors.PlanError, match="no plan"):
            steering.pause(archive, "0123456789ab", why="")

    def test_damaged(self):
        """A control object that is none stops the run with what to do, and nothing is touched."""
        archive, made, name = prepare()
        archive.store.put(control.key(name), b"{")
        with pytest.raises(errors.DamagedRecord, match=r"control\.json"):
            coordinator.run(archive, made.digest)

        assert not trips.shown(archive)


class Hindered(Acting):
    """Tells of something that is in the way, and ends when it is told to."""

    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def tell_obstacles(self, note):
        note("No node takes worker w.")

    def run(self, function, tasks, **options):
        for outcome in super().run(function, tasks, **options):
            yield outcome
            if self.error is not None:
                raise self.error


class TestObstacles:
    """What keeps workers from coming."""

    def test_in_the_report(self):
        """It stands in the report of a campaign, of later runs too."""
        archive, made, name = prepare()
        first = coordinator.run(archive, made.digest, executor=Hindered(), wish=Wish(most_exposures=1))
        second = coordinator.run(archive, made.digest)

        assert [[one.text for one in each.obstacles] for each in (first, second)] == [["No node takes worker w."]] * 2
        assert "No node takes worker w." in archive.store.get(f"campaigns/{name}/report.html").data.decode()

    def test_the_end_of_a_run(self):
        """What ends a run because its cluster refuses something stands in the report, and the run can be repeated."""
        archive, made, name = prepare()
        with pytest.raises(errors.ClusterError, match="no image"):
            coordinator.run(archive, made.digest, executor=Hindered(errors.ClusterError("There is no image.")))

        text = archive.store.get(f"campaigns/{name}/report.txt").data.decode()
        assert "There is no image." in text
        assert "No node takes worker w." in text
        assert classes(coordinator.run(archive, made.digest)) == {"published": 6}


class TestLimits:
    """--max-hours, --max-cost, --max-exposures."""

    def test_exposures(self):
        """So many exposures are worked on, the rest is deferred, and the next run takes it up."""
        archive, made, _ = prepare()
        first = coordinator.run(archive, made.digest, wish=Wish(most_exposures=2))
        second = coordinator.run(archive, made.digest)

        assert classes(first) == {"published": 2, "deferred": 4}
        assert (first.closes, first.ending.state) == (True, "deferred")
        assert (classes(second), second.ending.state) == ({"published": 6}, "ended")

    def test_hours(self):
        """A run that has taken its time stops in order."""
        archive, made, _ = prepare()
        summary = coordinator.run(archive, made.digest, wish=Wish(most_hours=1e-9))

        assert (classes(summary), summary.ending.by) == ({"deferred": 6}, "--max-hours")

    def test_cost(self):
        """What earlier runs have cost counts; money without prices is refused."""
        archive, made, _ = prepare()
        with pytest.raises(errors.UsageError, match="prices"):
            coordinator.run(archive, made.digest, wish=Wish(most_cost=1.0))
        rich = replace(archive, settings=replace(archive.settings, prices=PriceSettings(core_hour=1e9)))

        summary = coordinator.run(rich, made.digest, wish=Wish(most_cost=1.0))
        again = coordinator.run(rich, made.digest, wish=Wish(most_cost=1.0))

        assert summary.ending.by == "--max-cost"
        assert 0 < summary.classes["published"] < 6
        assert classes(again) == classes(summary)

    def test_the_urgent_come_first(self):
        """Exposures run in the order that was asked for."""
        archive, made, _ = prepare()
        wanted = [item.dataset for item in made.items][3:5][::-1]
        coordinator.run(archive, made.digest, wish=Wish(most_exposures=2, first=tuple(wanted)))

        assert set(trips.shown(archive)) == set(wanted)


class TestFailures:
    """Error budget, memory tiers, what is given up."""

    def test_error_budget(self):
        """Too many failures of one class pause the campaign, with the class and an example."""
        archive, made, _ = prepare(error_budget=2)
        names = [item.dataset for item in made.items]
        end = {name: lambda task: worker.Outcome(task.unit, task.dataset, "own-error", "odd") for name in names[:3]}
        executor = Acting(end=end)

        summary = coordinator.run(archive, made.digest, executor=executor)

        assert (summary.ending.state, summary.ending.by) == ("paused", "error budget")
        assert "own-error" in summary.ending.reason
        assert executor.exposures == names[:2]

    def test_the_ledger_remembers_the_tier(self, monkeypatch):
        """A unit that ran out of memory begins in the next tier, after a restart too."""
        archive, made, name = prepare(memory_tiers_mb=(3000, 4000))
        dataset, tiers = made.items[0].dataset, []

        def hungry(task):
            tiers.append(task.tier)
            if len(tiers) == 2:
                raise KeyboardInterrupt
            return worker.Outcome(task.unit, task.dataset, "out-of-memory", "too large")

        with pytest.raises(KeyboardInterrupt):
            coordinator.run(archive, made.digest, executor=Acting(end={dataset: hungry}))
        lease.acquire(archive.store, name, silence_s=1).release()
        summary = coordinator.run(archive, made.digest, executor=Acting(end={dataset: hungry}))

        assert tiers == [0, 1, 1, 2]
        assert classes(summary) == {"published": 5, "out-of-memory": 1}

    def test_given_up_until_somebody_asks(self):
        """What ended for good is not tried by the next run, nor by a later plan; `retry` lifts both."""
        archive, made, _ = prepare()
        dataset = made.items[0].dataset
        lost = Acting(end={dataset: lambda task: worker.Outcome(task.unit, task.dataset, "overdue", "slow")})
        coordinator.run(archive, made.digest, executor=lost)
        idle = Acting()
        coordinator.run(archive, made.digest, executor=idle)
        later = campaign.plan(archive, trips.target(options=FEW), created=trips.LATER)
        refused = next(item for item in later.items if item.dataset == dataset)

        assert idle.done == []
        assert (refused.action, refused.failure_class) == ("fail", "overdue")
        assert "reprocess retry" in refused.failure
        retrial = steering.retry(archive, made.digest, classes=["overdue"])
        assert retrial.datasets == {dataset: "overdue"}
        assert not refusals.read(archive.store)
        assert classes(coordinator.run(archive, made.digest)) == {"published": 6}

    def test_retry_of_nonsense(self):
        """A class that is no failure is refused."""
        archive, made, _ = prepare()
        with pytest.raises(errors.UsageError, match="published"):
            steering.retry(archive, made.digest, classes=["published"])


class TestHolds:
    """Datasets that nothing touches."""

    def test_a_held_dataset_is_deferred(self):
        """It is not worked on, it is told who holds it, and it is done when the hold is lifted."""
        archive, made, _ = prepare()
        dataset = made.items[0].dataset
        holds.put(archive.store, Hold(dataset, "under review", "Grace"))
        executor = Acting()
        summary = coordinator.run(archive, made.digest, executor=executor)

        assert classes(summary) == {"published": 5, "deferred": 1}
        assert dataset not in executor.done
        outcomes = ledger.read(archive.store, made.digest[:16])
        assert "Grace" in outcomes[dataset].message
        holds.lift(archive.store, dataset)
        assert classes(coordinator.run(archive, made.digest)) == {"published": 6}


class TestPilot:
    """A few of each kind run first."""

    def test_readers_see_it_when_it_has_passed(self):
        """As long as the pilot is not whole nothing is published; then everything is."""
        archive, made, name = prepare(MANY)
        seen = []

        def hook(call, place, perform):
            if call.startswith(("put", "compare")) and place.startswith("pointers/"):
                seen.append(len(ledger.read(archive.store, name)))
            return perform()

        summary = coordinator.run(replace(archive, store=Watched(archive.store, hook)), made.digest)

        assert classes(summary) == {"published": 24}
        assert seen[0] >= 4  # the pilot was on record as a whole before the first pointer moved

    def test_a_pilot_that_fails(self):
        """If too many of the pilot end badly the campaign pauses before the others, and nothing was published."""
        archive, made, _ = prepare(MANY)
        bad = {
            item.dataset: lambda task: worker.Outcome(task.unit, task.dataset, "own-error", "odd")
            for item in made.items
        }
        executor = Acting(end=bad)
        summary = coordinator.run(archive, made.digest, executor=executor)

        assert (summary.ending.state, summary.ending.by) == ("paused", "pilot")
        assert "own-error" in summary.ending.reason
        assert len(executor.exposures) <= 24 // 4
        assert not trips.shown(archive)

    def test_approval(self):
        """With --approve the campaign waits after the pilot, and approval lets it go on without doing it again."""
        archive, made, _ = prepare(MANY)
        first, second = Acting(), Acting()
        waits = coordinator.run(archive, made.digest, executor=first, wish=Wish(approve=True))
        still = coordinator.run(archive, made.digest, executor=second, wish=Wish(approve=True))

        assert (waits.ending.state, still.ending.state) == ("approval", "approval")
        assert (second.done, trips.shown(archive)) == ([], {})
        steering.approve(archive, made.digest)
        summary = coordinator.run(archive, made.digest, executor=second)
        assert classes(summary) == {"published": 24}
        assert set(first.exposures).isdisjoint(second.exposures)

    def test_a_small_campaign_is_looked_at_whole(self):
        """With --approve and too few exposures for a pilot all of them wait."""
        archive, made, _ = prepare()
        summary = coordinator.run(archive, made.digest, wish=Wish(approve=True))

        assert (summary.ending.state, trips.shown(archive)) == ("approval", {})


class TestRelease:
    """All versions together."""

    def test_pointers_move_when_all_is_written(self):
        """No pointer moves before every version exists, and the release names all of them."""
        archive, made, _ = prepare()
        manifests = []

        def hook(call, place, perform):
            if call.startswith(("put", "compare")) and place.startswith("pointers/"):
                manifests.append(sum(key.endswith("manifest.json") for key in trips.products(archive)))
            return perform()

        watched = replace(archive, store=Watched(archive.store, hook))
        summary = coordinator.run(watched, made.digest, wish=Wish(release="dr-1"))

        assert classes(summary) == {"published": 6}
        assert manifests[0] == 6
        assert dict(releases.read(archive.store, "dr-1").versions) == trips.shown(archive)


class TestGate:
    """What the comparison means for the pointer."""

    TIGHT = "[budget.default]\nchanged_fraction = 0.0\n"

    def again(self, extra, created=trips.LATER):
        archive, made, _ = prepare()
        coordinator.run(archive, made.digest)
        before = trips.shown(archive)
        campaign.scan(archive)
        text = trips.target(options=FEW).text
        wanted = read_target(f"{text}\n{extra}", name="other.toml")
        later = campaign.plan(archive, wanted, created=created)
        return archive, later, before

    def test_identical_versions_are_not_shown(self):
        """If no pixel changes the pointer learns the fingerprint, readers see what they saw, and nothing is stale."""
        extra = "[parameters.jump]\nmin_jump_area = 6.0\n"  # of large events, which are not looked for
        archive, later, before = self.again(extra)
        summary = coordinator.run(archive, later.digest)
        campaign.scan(archive)
        last = campaign.plan(archive, read_target(later.target, name="other.toml"), created=trips.LATEST)

        assert classes(summary) == {"unchanged": 6}
        assert trips.shown(archive) == before
        assert not last.items

    def test_held_back(self):
        """A version outside the budget is not shown, is told why, and is not computed again by a later plan."""
        extra = f"[parameters.jump]\nrejection_threshold = 1.0\n{self.TIGHT}"
        archive, later, before = self.again(extra)
        summary = coordinator.run(archive, later.digest)
        last = campaign.plan(archive, read_target(later.target, name="other.toml"), created=trips.LATEST)

        assert summary.classes["held-back"] > 0
        assert summary.closes
        assert {name: trips.shown(archive)[name] for name in before} == before
        held = [item for item in last.items if item.failure_class == "held-back"]
        assert len(held) == summary.classes["held-back"]


class TestAtOnce:
    """What operators say at the very moment when a run stops by itself."""

    def test_a_limit_does_not_lift_a_pause(self):
        """An operator's word that came between two looks holds: a run that stops at its limit leaves it as it is."""
        archive, made, name = prepare()
        summary = coordinator.run(
            archive,
            made.digest,
            wish=Wish(most_exposures=1),
            observe=lambda outcome: steering.pause(archive, made.digest, why="hands off", by="Ada"),
        )

        assert (summary.ending.state, summary.ending.by) == ("paused", "Ada")
        assert control.read(archive.store, name).state == control.PAUSE

    def test_cancelled_while_it_pauses(self):
        """A campaign that an operator cancelled at that moment is cancelled: its sum closes, and nothing is raised."""
        archive, made, name = prepare(error_budget=1)
        first = made.items[0].dataset
        executor = Acting(end={first: lambda task: worker.Outcome(task.unit, task.dataset, "own-error", "odd")})

        summary = coordinator.run(
            archive,
            made.digest,
            executor=executor,
            observe=lambda outcome: steering.cancel(archive, made.digest, why="wrong target"),
        )

        assert (summary.ending.state, summary.closes) == ("cancelled", True)
        assert control.read(archive.store, name).state == control.CANCEL

    def test_a_limit_begins_with_the_pilot(self):
        """Who limits the exposures of a run that waits for approval sees those of the pilot first."""
        archive, made, _ = prepare(MANY)
        whole, few = Acting(), Acting()
        other = replace(archive, store=trips.copy(archive.store, trips.fresh()))
        coordinator.run(other, made.digest, executor=whole, wish=Wish(approve=True))
        coordinator.run(archive, made.digest, executor=few, wish=Wish(approve=True, most_exposures=2))

        assert len(few.exposures) == 2
        assert set(few.exposures) < set(whole.exposures)
