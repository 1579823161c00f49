"""The sweep: what comes first, how long new exposures took, one at a time, and what is left for the next night."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprocess import campaign, cleaning, errors, inspection, steering, verification
from reprocess import sweep as sweeping
from reprocess.archive.debt import Amount, Cause, Debt
from reprocess.coordinator import Wish
from reprocess.exposure import Outcome, Reason, Verdict
from reprocess.formats import records
from reprocess.publication import lease
from reprocess.simulation.options import SimulationOptions
from tests import trips
from tests.publication import samples
from tests.publication.faulty import Watched

FEW = SimulationOptions(exposures=4, shape=(32, 32), groups=4, instruments=("NIRCAM",))
DAY_S = 86400.0


def classes(summary):
    return {name: count for name, count in summary.classes.items() if count}


def item(dataset, state="stale", *reasons, action="calibrate"):
    made = samples.item(dataset, action=action)
    return replace(made, verdict=Verdict(dataset, state, reasons, "jump"))


def stale(dataset, old, kind="reference", reference_type="dark"):
    return item(dataset, "stale", Reason(kind, "jump", reference_type, old, "new"))


def debt(*causes):
    found = tuple(Cause(state, kind, name, Amount(1, 1), since) for state, kind, name, since in causes)
    return Debt("2026-11-21T00:00:00.000", "0" * 64, "jwst_1464.pmap", "0.1.0", {}, found, "")


class TestOrder:
    """`order`."""

    KNOWN = debt(
        ("stale", "reference", "dark", {"d1": "2026-03-01", "d2": "2026-01-01"}),
        ("stale", "software", "", {"3": "2026-02-01"}),
        ("unknown", "product-missing", "", {"": "2025-01-01"}),
    )

    def test_new_exposures_first(self):
        """New exposures as they arrived, before all debt, however old it is."""
        items = [stale("a", "d2"), item("b", "missing"), item("c", "missing"), item("d", "missing")]
        arrivals = {"b": "2026-11-20T02:00:00", "c": "2026-11-19T02:00:00", "d": "2026-11-20T01:00:00"}

        assert sweeping.order(items, arrivals, self.KNOWN) == ("c", "d", "b", "a")

    def test_the_oldest_debt_first(self):
        """Then what is stale because of what has been stale for longest."""
        items = [stale("a", "d1"), stale("b", "3", "software", None), stale("c", "d2")]

        assert sweeping.order(items, {}, self.KNOWN) == ("c", "b", "a")

    def test_of_several_reasons_the_oldest_counts(self):
        """An exposure with several reasons is as old as its oldest."""
        both = item("z", "stale", Reason("reference", "x", "dark", "d1"), Reason("software", "y", None, "3"))

        assert sweeping.order([stale("a", "d1"), both], {}, self.KNOWN) == ("z", "a")

    def test_reasons_without_anything_old(self):
        """Kinds of reasons that tell nothing old have one age for all."""
        gone = item("z", "unknown", Reason("product-missing", "x", None, "whatever"))

        assert sweeping.order([stale("a", "d2"), gone], {}, self.KNOWN) == ("z", "a")

    def test_what_nobody_knows_comes_last(self):
        """Without a record of its age an exposure comes last, sorted by name; without any record all do."""
        items = [stale("b", "unheard of"), stale("c", "d1"), item("a", "missing")]

        assert sweeping.order(items, {}, self.KNOWN) == ("c", "a", "b")
        assert sweeping.order(items, {}, None) == ("a", "b", "c")

    def test_only_what_is_work(self):
        """What cannot be calibrated is not in the order."""
        assert sweeping.order([item("a", "missing", action="fail")], {"a": "2026-11-20"}, None) == ()

    @given(st.permutations([stale("a", "d1"), stale("b", "d2"), item("c", "missing"), item("d", "missing")]))
    def test_it_does_not_depend_on_the_plan(self, items):
        """The same work has the same order."""
        assert sweeping.order(items, {"d": "2026-01-01"}, self.KNOWN) == ("d", "b", "a", "c")


NOW = datetime(2026, 11, 21, tzinfo=UTC)


def ago(days):
    return (NOW - timedelta(days=days)).isoformat(timespec="milliseconds")


def shown(dataset, days=0.0, name="published"):
    ended = (NOW - timedelta(days=days)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return Outcome(dataset, dataset, name, ended=ended)


class TestClock:
    """`clock`."""

    def test_percentiles(self):
        """Each percentile is a time that so many in a hundred did not exceed, and that one of them took."""
        arrivals = {f"jw{number}": ago(number / 24) for number in range(1, 101)}
        found = sweeping.clock(arrivals, [shown(name) for name in arrivals], now=NOW.isoformat())

        assert found == sweeping.Clock(
            done=100, hours={"50": 50.0, "90": 90.0, "95": 95.0, "100": 100.0}, in_time=1.0, waiting=0, overdue=0
        )

    def test_the_share_in_time(self):
        """Five days are in time, a second more is not."""
        arrivals = {"a": ago(1), "b": ago(5), "c": ago(5 + 1 / DAY_S), "d": ago(9)}
        found = sweeping.clock(arrivals, map(shown, arrivals), now=NOW.isoformat())

        assert (found.done, found.in_time, found.hours["50"], found.hours["100"]) == (4, 0.5, 120.0, 216.0)

    def test_who_waits(self):
        """What failed or was left waits until now; unless it is of a kind that is never calibrated."""
        arrivals = {"a": ago(1), "b": ago(6), "c": ago(7), "d": ago(8)}
        ended = [shown("a", name="deferred"), shown("b", name="bad-data"), shown("d", name="unsupported")]
        found = sweeping.clock(arrivals, ended, now=NOW.isoformat())

        assert found == sweeping.Clock(done=0, hours={}, in_time=None, waiting=3, overdue=2)

    def test_only_new_exposures(self):
        """What was made again has nothing to do with it, nor has the end of a slab."""
        found = sweeping.clock(
            {"a": ago(2)}, [shown("b"), shown("a", 1), shown("a", name="staged")], now=NOW.isoformat()
        )

        assert (found.done, found.hours["100"], found.waiting) == (1, 24.0, 0)

    def test_clocks_that_differ(self):
        """A worker whose clock is an hour behind that of the store does not make exposures arrive after their end."""
        found = sweeping.clock({"a": ago(-1 / 24), "b": ago(-1 / 24)}, [shown("a")], now=NOW.isoformat())

        assert (found.hours["100"], found.in_time, found.waiting, found.overdue) == (0.0, 1.0, 1, 0)

    def test_nothing_new(self):
        """A night without new exposures has no times."""
        found = sweeping.clock({}, [shown("a")], now=NOW.isoformat())

        assert found == sweeping.Clock(done=0, hours={}, in_time=None, waiting=0, overdue=0)

    @given(st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60))
    def test_percentiles_rise(self, days):
        """Percentiles rise, the last is the longest time, and at least so many in a hundred are within each."""
        arrivals = {f"jw{number}": ago(each) for number, each in enumerate(days)}
        found = sweeping.clock(arrivals, map(shown, arrivals), now=NOW.isoformat())
        taken = [round((NOW - datetime.fromisoformat(at)).total_seconds() / 3600, 3) for at in arrivals.values()]

        assert list(found.hours.values()) == sorted(found.hours.values())
        assert found.hours["100"] == max(taken)
        for share, hours in found.hours.items():
            assert sum(each <= hours for each in taken) >= len(taken) * int(share) / 100


@pytest.fixture
def moments(monkeypatch):
    """Plans are made one day after another."""
    days = itertools.count(1)
    monkeypatch.setattr(campaign, "_now", lambda: f"2026-11-{next(days):02d}T00:00:00.000")


@pytest.fixture
def archive(moments):
    """A scanned archive without products."""
    return trips.make(options=FEW)


def sweep(archive, **limits):
    return sweeping.sweep(archive, trips.target(options=FEW), wish=Wish(**limits))


class TestSweep:
    """`sweep`."""

    def test_a_night(self, archive):
        """What is new is published, the clock of new exposures has run, and the night is on record."""
        done = sweep(archive)

        assert (classes(done.summary), done.summary.ending.state) == ({"published": 4}, "ended")
        assert (done.clock.done, done.clock.in_time, done.clock.waiting) == (4, 1.0, 0)
        (key,) = [stamp.key for stamp in archive.store.list(sweeping.PREFIX)]
        body = records.loads(archive.store.get(key).data, "sweep", name=key)
        assert (body["plan"], body["classes"]["published"]) == (done.plan.digest, 4)
        assert body["clock"]["done"] == 4

    def test_a_night_with_nothing_to_do(self, archive):
        """The next night finds nothing, changes nothing that readers see, and is on record too."""
        sweep(archive)
        before, files = trips.shown(archive), trips.products(archive)
        done = sweep(archive)

        assert (done.plan.items, classes(done.summary)) == ((), {"current": 4})
        assert done.summary.closes
        assert done.clock == sweeping.Clock(done=0, hours={}, in_time=None, waiting=0, overdue=0)
        assert (trips.shown(archive), trips.products(archive)) == (before, files)
        assert len(list(archive.store.list(sweeping.PREFIX))) == 2

    def test_new_objects_are_scanned(self, tmp_path, moments):
        """What arrived since the last night is found without another command, and is done before what is stale."""
        raw = trips.copy(trips.simulated(FEW), trips.fresh())
        keys = [stamp.key for stamp in raw.list("raw/")]
        late = {key: raw.get(key).data for key in keys[2:]}
        for key in late:
            raw.delete(key)
        archive = trips.make(raw=f"{raw.url}/raw", options=FEW)
        assert classes(sweep(archive).summary) == {"published": 2}
        for key, data in late.items():
            raw.put(key, data)
        wanted = trips.target("second", options=FEW)
        done = sweeping.sweep(archive, wanted, wish=Wish(most_exposures=2))

        assert done.scan.new == 2
        assert classes(done.summary)["published"] == 2
        assert len(trips.shown(archive)) == 4

    def test_a_limit(self, archive):
        """What is left at a limit is deferred and told as waiting, and the next night does it by a plan of its own."""
        first, second = sweep(archive, most_exposures=3), sweep(archive)

        assert (classes(first.summary), first.summary.closes) == ({"published": 3, "deferred": 1}, True)
        assert (first.clock.done, first.clock.waiting) == (3, 1)
        assert second.plan.digest != first.plan.digest
        assert classes(second.summary) == {"current": 3, "published": 1}
        assert len(trips.shown(archive)) == 4

    def test_those_that_arrived_first_are_done_first(self, tmp_path, moments):
        """With a limit the exposures that have waited for longest are done."""
        raw = trips.copy(trips.simulated(FEW), trips.fresh())
        archive = trips.make(raw=f"{raw.url}/raw", options=FEW)
        urgent = sorted(stamp.key for stamp in raw.list("raw/"))[-1]
        times = {stamp.key.removeprefix("raw/"): ago(1 if stamp.key != urgent else 9) for stamp in raw.list("raw/")}

        def hook(name, key, perform):
            found = perform()
            return replace(found, modified=times[key]) if name == "head" else found

        (location,) = archive.raw
        dated = replace(archive, raw={location: Watched(archive.raw[location], hook)})
        done = sweep(dated, most_exposures=1)

        assert [f"/{name}_" in f"/{urgent.rpartition('/')[2]}" for name in trips.shown(archive)] == [True]
        assert done.clock.in_time == 0.0

    def test_one_at_a_time(self, archive):
        """While another sweep is alive this one ends before it has scanned or planned anything."""
        before = trips.objects(archive.store, "campaigns/")
        with lease.acquire(archive.store, "sweep", silence_s=0.4).kept():
            quick = replace(archive, settings=trips.settings(lease_s=1.0))
            with pytest.raises(errors.LeaseHeld, match="sweep"):
                sweep(quick)

        after = {key for key in trips.objects(archive.store, "campaigns/") if "lease" not in key}
        assert after == set(before)
        assert classes(sweep(archive).summary) == {"published": 4}

    def test_after_a_sweep_that_was_killed(self, archive):
        """A sweep that died holds nobody up for longer than it may be silent, and what it planned does no harm."""
        lease.acquire(archive.store, "sweep", silence_s=0.2)
        campaign.plan(archive, trips.target(options=FEW))

        assert classes(sweep(archive).summary) == {"published": 4}

    def test_it_never_waits_for_a_person(self, archive):
        """Approval is not waited for, even if it is asked for."""
        assert classes(sweep(archive, approve=True).summary) == {"published": 4}

    def test_the_lease_is_no_campaign(self, archive):
        """Commands that look at all campaigns are not led astray by what a sweep leaves beside them."""
        sweep(archive)
        with lease.acquire(archive.store, "sweep", silence_s=0.3).kept():
            cleaned = cleaning.clean(archive, act=False)

        assert cleaned is not None
        assert len(inspection.standings(archive, 10)) == 1
        assert list(verification.verify(archive).problems) == []

    def test_held_back_is_not_computed_again(self, archive):
        """A night does not do again what an earlier one was refused for good."""
        sweep(archive)
        tight = trips.target(
            options=FEW,
            extra="\n[parameters.jump]\nrejection_threshold = 1.0\n[budget.default]\nchanged_fraction = 0.0\n",
        )
        first = sweeping.sweep(archive, tight, wish=Wish())
        before = trips.products(archive)
        second = sweeping.sweep(archive, tight, wish=Wish())

        held = first.summary.classes["held-back"]
        assert held > 0
        assert second.summary.classes["held-back"] == held
        assert trips.products(archive) == before

    def test_a_night_that_was_paused(self, archive, monkeypatch):
        """An operator who pauses the campaign of a night stops that night, and not the next one."""
        real = campaign.plan

        def paused(*words, **more):
            made = real(*words, **more)
            steering.pause(archive, made.digest, why="hands off", by="Ada")
            return made

        with monkeypatch.context() as patch:
            patch.setattr(campaign, "plan", paused)
            stopped = sweep(archive)

        assert (stopped.summary.ending.state, stopped.summary.ending.by) == ("paused", "Ada")
        assert not trips.shown(archive)
        assert classes(sweep(archive).summary) == {"published": 4}
